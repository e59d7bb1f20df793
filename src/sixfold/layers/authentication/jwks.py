"""Key sets of issuers (RFC 7517 section 5): read on the hot path, refreshed behind it. They outlive policies.

A ring keeps the last good keys while its issuer is down (JWKS-03), is asked for at most once per interval
however many unknown key ids arrive (JWKS-02), and by one fetch at a time (JWKS-04).
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import orjson

from sixfold.layers.authentication import fetch
from sixfold.layers.authentication.compact import Malformed, read_object
from sixfold.layers.authentication.dev import DevKeys
from sixfold.layers.authentication.jwk import Key, Unusable, Verify, load, secret
from sixfold.layers.authentication.rules import DEV_ISSUER, RuleError
from sixfold.needs import Unavailable
from sixfold.policy.document import Issuer
from sixfold.policy.model import Policy

FOREVER: Final = 2**63 - 1
COOLDOWN: Final = 30_000_000  # microseconds between two questions to an issuer whose keys we have
IMPATIENCE: Final = 5_000_000  # the same while we have no usable key at all
_SECOND: Final = 1_000_000


class Missing(NamedTuple):
    """Why a ring has no key for a token.

    Arguments:
        code: of the refusal.
        reason, remedy: for the operator.
        ask: a fresh key set might help.
    """

    code: str
    reason: str
    remedy: str
    ask: bool


class Source(NamedTuple):
    """Where an issuer's keys come from. A ring lives as long as its source stays the same.

    Arguments:
        url: https URL, or "".
        file: absolute path, or "".
        refresh, max_stale: microseconds.
    """

    issuer: str
    url: str = ""
    file: str = ""
    secret: str | None = None
    refresh: int = 0
    max_stale: int = 0

    def __repr__(self) -> str:
        return f"Source({self.issuer!r})"  # a secret must not get into a log by way of a traceback


class KeyRing:
    """The keys of one issuer.

    `generation` changes whenever a key is dropped or altered: what an earlier generation verified must be
    verified again. From `usable_until` (microseconds since the epoch) on, no key counts.
    """

    __slots__ = (
        "_by_kid", "_material", "asked_at", "failure", "fetched_at", "flight", "generation", "ignored",
        "keys", "source", "usable_until",
    )  # fmt: skip

    def __init__(self, source: Source, keys: Iterable[Key] = ()) -> None:
        self.source = source
        self.keys: tuple[Key, ...] = ()
        self.generation = 0
        self.fetched_at = 0
        self.asked_at: int | None = None
        self.failure = ""  # why the last fetch failed, "" if it did not
        self.ignored: tuple[str, ...] = ()  # keys of the set that cannot be used, and why
        self.flight: asyncio.Task[None] | None = None
        self._material: frozenset[bytes] = frozenset()
        self._by_kid: dict[str, list[Key]] = {}
        self._hold(tuple(keys))
        self.usable_until = FOREVER if self.keys else 0

    def find(self, kid: str, alg: str, now: int) -> Verify | Missing:
        """Return the function that verifies, or why there is none.

        Arguments:
            kid: of the token, "" if it names none; then exactly one key must fit (KEY-01).
            alg: of the token, already known to be on the issuer's list.
            now: microseconds since the epoch.
        """
        if now >= self.usable_until:
            reason = f"the issuer's keys cannot be had: {self.failure or 'not fetched yet'}"
            return Missing("keys-unavailable", reason, "check `jwks` of this issuer and the network to it", True)
        by_name = kid and self.source.secret is None  # a secret has no name
        candidates = self._by_kid.get(kid, ()) if by_name else self.keys
        fitting = [key.verifiers[alg] for key in candidates if alg in key.verifiers]
        if len(fitting) == 1:
            return fitting[0]
        return self._missing(kid, alg, len(candidates), len(fitting))

    def may_ask(self, now: int) -> bool:
        """Return whether a question may help at this time (microseconds since the epoch), or is under way."""
        if self.flight is not None:
            return True
        if not (self.source.url or self.source.file):
            return False
        wait = COOLDOWN if now < self.usable_until else IMPATIENCE
        return self.asked_at is None or now - self.asked_at >= wait

    def due(self, now: int) -> bool:
        """Return whether to refresh in the background: long before the keys cannot be used any longer."""
        return now - self.fetched_at >= self.source.refresh and self.may_ask(now)

    def accept(self, document: bytes, now: int) -> None:
        """Take a fetched key set as the truth.

        Raises:
            Malformed: no key set, or no key in it that can verify; the keys held stay.
        """
        keys, material, ignored = parse(document)
        if not self._material <= material:
            self.generation += 1
        self._material = material
        self.ignored = ignored
        self._hold(keys)
        self.fetched_at = now
        self.failure = ""
        self.usable_until = FOREVER if self.source.file else now + self.source.refresh + self.source.max_stale

    def _hold(self, keys: tuple[Key, ...]) -> None:
        self.keys = keys
        by_kid: dict[str, list[Key]] = {}
        for key in keys:
            by_kid.setdefault(key.kid, []).append(key)
        self._by_kid = by_kid

    def _missing(self, kid: str, alg: str, candidates: int, fitting: int) -> Missing:
        if fitting > 1:
            which = "two keys of the set have the token's `kid`" if kid else "the token names no `kid`"
            return Missing(
                "token-key",
                f"{which} and {fitting} keys fit {alg}",
                "every key needs a `kid` of its own",
                False,
            )
        if kid and candidates:
            return Missing(
                "token-algorithm",
                f"the key named by `kid` does not verify {alg}",
                "one key serves one algorithm",
                False,
            )
        reason = "no key of the issuer has the token's `kid`" if kid else f"no key of the issuer fits {alg}"
        return Missing(
            "token-key",
            reason,
            "the token is of another environment, or its key was withdrawn: get a new token",
            True,
        )


def parse(document: bytes) -> tuple[tuple[Key, ...], frozenset[bytes], tuple[str, ...]]:
    """Read a key set, skipping keys that cannot be used (RFC 7517 section 5).

    Returns:
        the keys, what they are made of (to see whether one was dropped), and why others were skipped.

    Raises:
        Malformed: no key set, or nothing in it can verify.
    """
    listed = read_object(document, "key set").get("keys")
    if not isinstance(listed, list):
        raise Malformed("the key set has no array `keys`")
    keys, material, ignored = [], [], []
    for number, jwk in enumerate(listed):
        try:
            keys.append(load(jwk))
            material.append(orjson.dumps(jwk, option=orjson.OPT_SORT_KEYS))
        except Unusable as problem:
            ignored.append(f"/keys/{number}: {problem}")
    if not keys:
        raise Malformed("; ".join(["the key set holds no key that can verify", *ignored[:5]]))
    return tuple(keys), frozenset(material), tuple(ignored)


class KeyRings:
    """The rings of all issuers of a policy. A reload makes new ones that share every ring whose source is unchanged.

    Arguments:
        rings: by issuer.
        allow_http: plain http to loopback hosts, for development and tests only.
        context: TLS context for fetching; None for the system's trust.
    """

    def __init__(
        self, rings: Mapping[str, KeyRing], *, allow_http: bool = False, context: ssl.SSLContext | None = None
    ) -> None:
        self._rings = dict(rings)
        self._allow_http = allow_http
        self._context = context

    @classmethod
    def for_policy(
        cls,
        policy: Policy,
        *,
        allow_http: bool = False,
        context: ssl.SSLContext | None = None,
        dev: DevKeys | None = None,
    ) -> KeyRings:
        """Make the rings of a policy. Key files are read at once, URLs when they are first needed or due.

        Arguments:
            policy: compiled.
            allow_http: see the class.
            context: see the class.
            dev: the developer keys, needed for `issuer = "dev"`.

        Raises:
            RuleError: a key source that cannot be used: a URL that is not https, a file without usable keys,
                a short secret (JWKS-01, F-24, F-30).
        """
        return cls({}, allow_http=allow_http, context=context).adopt(policy, dev=dev)

    def adopt(self, policy: Policy, *, dev: DevKeys | None = None) -> KeyRings:
        """Return the rings of another policy, sharing those whose source is the same. `self` goes on unchanged.

        Raises:
            RuleError: see `for_policy`.
        """
        rings: dict[str, KeyRing] = {}
        table = policy.document.authentication
        if table.issuer == "dev":
            held = self._rings.get(DEV_ISSUER) if dev is None else None
            rings[DEV_ISSUER] = held or _dev_ring(policy, dev)
        for number, issuer in enumerate(table.issuers):
            source = _source(policy, number, issuer, allow_http=self._allow_http)
            old = self._rings.get(issuer.issuer)
            rings[issuer.issuer] = old if old and old.source == source else _ring(policy, number, source)
        return KeyRings(rings, allow_http=self._allow_http, context=self._context)

    def get(self, issuer: str) -> KeyRing | None:
        """Return the ring of an issuer."""
        return self._rings.get(issuer)

    def __iter__(self) -> Iterator[KeyRing]:
        return iter(self._rings.values())

    def due(self, now: int) -> list[str]:
        """Return the issuers to refresh now; a face's ticker calls this every few seconds, and first at start.

        Arguments:
            now: microseconds since the epoch.
        """
        return [issuer for issuer, ring in self._rings.items() if ring.due(now)]

    async def refresh(self, issuer: str, kid: str, now: int) -> Unavailable | None:
        """Answer the need `KeySet(issuer, kid)`: fetch the keys, unless that was just done or is under way.

        Arguments:
            issuer: of the policy.
            kid: the missing key id; it never chooses what is fetched.
            now: microseconds since the epoch.

        Returns:
            None once the ring is as fresh as it may be, or `Unavailable` if the fetch failed.
        """
        ring = self._rings.get(issuer)
        if ring is None:
            return Unavailable("this issuer is not in the policy any longer")
        flight = ring.flight
        if flight is None or flight.get_loop() is not asyncio.get_running_loop():
            if not ring.may_ask(now):
                return Unavailable(ring.failure) if ring.failure else None
            ring.asked_at = now
            flight = ring.flight = asyncio.create_task(self._fetch(ring, now))
        await asyncio.shield(flight)  # a caller that goes away must not end the fetch for the others
        return Unavailable(ring.failure) if ring.failure else None

    async def _fetch(self, ring: KeyRing, now: int) -> None:
        try:
            if ring.source.file:
                document = await asyncio.to_thread(fetch.read, Path(ring.source.file))
            else:
                if self._context is None:
                    self._context = await asyncio.to_thread(ssl.create_default_context)
                document = await fetch.get(ring.source.url, self._context)
            ring.accept(document, now)
        except (Malformed, fetch.Failed) as problem:
            ring.failure = str(problem)
        finally:
            ring.flight = None


def _source(policy: Policy, number: int, issuer: Issuer, *, allow_http: bool) -> Source:
    """Turn an issuer's table into its source, refusing whatever is neither https nor a plain path."""
    name = issuer.issuer
    if issuer.jwks is None:
        return Source(name, secret=issuer.secret)
    refresh, stale = int(issuer.refresh * _SECOND), int(issuer.max_stale * _SECOND)
    if ":" not in issuer.jwks:
        return Source(name, file=os.path.join(policy.folder, issuer.jwks), refresh=refresh, max_stale=stale)
    if not _is_fetchable(issuer.jwks, allow_http=allow_http):
        raise RuleError(
            policy.rule(f"authentication.issuers.{number}.jwks"),
            "keys come over https, without a user name in the URL, or from a file",
            "write the `jwks_uri` of the issuer's discovery document, or a path",
        )
    return Source(name, url=issuer.jwks, refresh=refresh, max_stale=stale)


def _is_fetchable(text: str, *, allow_http: bool) -> bool:
    try:
        url = urlsplit(text)
        plain = re.fullmatch(r"[!-~]+", text) is not None and url.port != 0
    except ValueError:  # brackets that do not match, a port beyond 65535
        return False
    secure = url.scheme == "https" or (allow_http and url.scheme == "http" and fetch.is_loopback(url.hostname))
    return plain and secure and bool(url.hostname) and "@" not in url.netloc


def _ring(policy: Policy, number: int, source: Source) -> KeyRing:
    table = f"authentication.issuers.{number}"
    if source.secret is not None:
        try:
            return KeyRing(source, (secret(source.secret.encode()),))
        except Unusable as problem:
            remedy = "make one with `openssl rand -base64 48` and give it to the issuer as well"
            raise RuleError(policy.rule(f"{table}.secret"), str(problem), remedy) from None
    ring = KeyRing(source)
    if source.file:
        try:
            ring.accept(fetch.read(Path(source.file)), 0)
        except (Malformed, fetch.Failed) as problem:
            remedy = "save the issuer's key set (its `jwks_uri`) there"
            raise RuleError(policy.rule(f"{table}.jwks"), str(problem), remedy) from None
    return ring


def _dev_ring(policy: Policy, dev: DevKeys | None) -> KeyRing:
    if dev is None:
        rule = policy.rule("authentication.issuer")
        raise RuleError(rule, "the developer keys were not opened", "restart to change to developer keys")
    return KeyRing(Source(DEV_ISSUER), parse(dev.jwks())[0])
