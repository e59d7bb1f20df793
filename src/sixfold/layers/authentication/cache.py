"""A bounded map that forgets what was not used for long, at the cost of one look-up per hit."""

from __future__ import annotations

from typing import Generic, TypeVar

V = TypeVar("V")


class Cache(Generic[V]):
    """Two generations: what is used moves into the young one; when that is full, it becomes the old one.

    Nothing is ordered or counted per hit, and memory is bounded whatever callers send.

    Arguments:
        size: most entries kept, 0 for none.
    """

    __slots__ = ("_half", "_old", "_young")

    def __init__(self, size: int) -> None:
        self._half = (size + 1) // 2
        self._young: dict[bytes, V] = {}
        self._old: dict[bytes, V] = {}

    def get(self, key: bytes) -> V | None:
        """Return a value, or None."""
        value = self._young.get(key)
        if value is None and key in self._old:
            value = self._old.pop(key)
            self.put(key, value)
        return value

    def put(self, key: bytes, value: V) -> None:
        """Keep a value."""
        if self._half == 0:
            return
        if len(self._young) >= self._half:
            self._old = self._young
            self._young = {}
        self._young[key] = value

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
