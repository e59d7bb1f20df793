"""Concurrency: so many requests at once."""

from __future__ import annotations

from typing import Final

from sixfold.layers.rate_limiting.store import Outcome

# Nobody knows when a running request ends; a client that asks again after a second does no harm.
_WAIT: Final = 1_000_000


class Concurrency:
    """A gauge of what is in flight. The state of a key is how many requests hold a place.

    Arguments:
        most: requests at once.
    """

    __slots__ = ("most",)

    kind: Final = "concurrency"

    def __init__(self, most: int) -> None:
        self.most = most

    def charge(self, state: int | None, now: int, cost: int) -> tuple[int | None, Outcome]:
        """Return the state after taking `cost` places (0 looks only) and the outcome."""
        used = (state or 0) + cost
        if used > self.most:
            return state, (_WAIT, max(0, self.most - used + cost), _WAIT)
        return used, (0, self.most - used, 0)

    def until(self, state: int) -> None:
        """Return None: a place is held until it is given back, however long that takes."""
        return
