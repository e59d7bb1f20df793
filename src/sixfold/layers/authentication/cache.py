"""Credentials that were verified before: bounded, keyed by the whole of it, checked again at each hit."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from sixfold.identity import Identity


class Source(Protocol):
    """What vouches for a credential: the key ring of an issuer, or the store of API keys.

    `generation` changes whenever something was withdrawn; from `usable_until` (microseconds since the epoch)
    on nothing counts.
    """

    @property
    def generation(self) -> int: ...

    @property
    def usable_until(self) -> int: ...


class Entry(NamedTuple):
    """A caller, and what a hit must check again."""

    identity: Identity
    until: int
    source: Source
    generation: int


class Cache:
    """Verified credentials, in two halves: what is used moves into the young one; when full, that turns old.

    So nothing is ordered or counted per hit, and memory is bounded whatever callers send. Only verified
    credentials get in.

    Arguments:
        size: most entries kept, 0 for none.
    """

    __slots__ = ("_half", "_old", "_young")

    def __init__(self, size: int) -> None:
        self._half = (size + 1) // 2
        self._young: dict[bytes, Entry] = {}
        self._old: dict[bytes, Entry] = {}

    def get(self, credential: bytes, now: int) -> Identity | None:
        """Return the caller, or None if the credential is not known or must be verified again.

        Arguments:
            credential: the whole header value.
            now: microseconds since the epoch.
        """
        entry = self._young.get(credential)
        if entry is None:
            entry = self._old.pop(credential, None)
            if entry is None:
                return None
            self._keep(credential, entry)
        identity, until, source, generation = entry
        if now >= until or generation != source.generation or now >= source.usable_until:
            return None
        return identity

    def put(self, credential: bytes, identity: Identity, until: int, source: Source) -> None:
        """Keep a caller.

        Arguments:
            credential: the whole header value.
            identity: who it is.
            until: microseconds since the epoch.
            source: what vouches for it, in its present generation.
        """
        if self._half:
            self._keep(credential, Entry(identity, until, source, source.generation))

    def _keep(self, credential: bytes, entry: Entry) -> None:
        if len(self._young) >= self._half:
            self._old = self._young
            self._young = {}
        self._young[credential] = entry

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
