"""One issuer's keys (RFC 7517 section 5): read on the hot path, replaced behind it.

A ring keeps the last good keys while its issuer is down (JWKS-03), and says when its issuer may be asked again: once
per interval, however many unknown key ids arrive (JWKS-02).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, NamedTuple

import orjson

from sixfold.layers.authentication.compact import Malformed, read_object
from sixfold.layers.authentication.jwk import Key, Unusable, Verify, load

FOREVER: Final = 2**63 - 1
COOLDOWN: Final = 30_000_000  # microseconds between two questions to an issuer whose keys we have
IMPATIENCE: Final = 5_000_000  # the same while we have no usable key at all


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
