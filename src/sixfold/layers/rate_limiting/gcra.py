"""GCRA, the generic cell rate algorithm: one timestamp per key, exact, and it knows the waiting time.

T = window / quota, B = T x burst, cost n:  new = max(now, tat) + n x T
new - now > B:  refused, wait new - now - B, state unchanged
otherwise:      tat = new, remaining = (B - (new - now)) // T
"""

from __future__ import annotations

from typing import Final

from sixfold.layers.rate_limiting.store import Outcome

_SECOND: Final = 1_000_000


class Gcra:
    """A rolling rate. The state of a key is its TAT, the theoretical arrival time of the next request.

    Arguments:
        quota: requests per window.
        window: seconds.
        burst: requests that may come at once.

    The interval is rounded up to whole microseconds, so that the rate is never exceeded; it is kept to within
    one percent up to 10,000 requests a second.
    """

    __slots__ = ("burst", "interval", "tolerance")

    kind: Final = "rate"

    def __init__(self, quota: int, window: int, burst: int) -> None:
        self.burst = burst
        self.interval = -(-window * _SECOND // quota)
        self.tolerance = self.interval * burst

    def charge(self, state: int | None, now: int, cost: int) -> tuple[int | None, Outcome]:
        """Return the state after a charge and its outcome; a refused charge leaves the state as it was.

        Arguments:
            state: the TAT, or None for a new key.
            now: microseconds since the epoch.
            cost: requests; 0 looks without charging.
        """
        start = now if state is None or state < now else state
        new = start + cost * self.interval
        ahead = new - now
        spare = self.tolerance - ahead
        if spare < 0:
            return state, (-spare, max(0, (self.tolerance - start + now) // self.interval), -spare)
        return new, (0, spare // self.interval, ahead)

    def until(self, state: int) -> int:
        """Return when the state says no more than a new key would."""
        return state
