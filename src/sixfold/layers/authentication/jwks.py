"""The key rings of all issuers, and how they are filled: by one fetch at a time each (JWKS-01, JWKS-04)."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sixfold.layers.authentication import fetch
from sixfold.layers.authentication.compact import Malformed
from sixfold.layers.authentication.dev import DevKeys
from sixfold.layers.authentication.jwk import Unusable, secret
from sixfold.layers.authentication.key_ring import KeyRing, Source, parse
from sixfold.layers.authentication.rules import DEV_ISSUER, RuleError
from sixfold.needs import Unavailable
from sixfold.policy.document import Issuer
from sixfold.policy.model import Policy

_SECOND: Final = 1_000_000


class KeyRings:
    """The rings of all issuers of a policy. A reload makes new ones; those of an unchanged URL are shared.

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
        """Return the rings of another policy, sharing those of the same URL or secret. `self` goes on unchanged.

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
            # A file is read again: whoever took a key out of it and reloads must not wait for the next refresh.
            same = old is not None and old.source == source and not source.file
            rings[issuer.issuer] = old if old and same else _ring(policy, number, source)
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
