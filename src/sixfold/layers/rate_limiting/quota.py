"""Quotas: so many per day or month, in fixed calendar windows of UTC.

That is how plans are sold and understood; the double dose around midnight is part of the bargain.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Literal

from sixfold.layers.rate_limiting.store import Outcome

_SECOND: Final = 1_000_000
_DAY: Final = 86_400 * _SECOND


class Quota:
    """A fixed window. The state of a key is (end of the window, used).

    Arguments:
        quota: requests per window.
        count, period: the window; several days or months count from the epoch, so that all nodes agree.
    """

    __slots__ = ("count", "period", "quota")

    kind: Final = "quota"

    def __init__(self, quota: int, count: int, period: Literal["day", "month"]) -> None:
        self.quota = quota
        self.count = count
        self.period = period

    def charge(self, state: tuple[int, int] | None, now: int, cost: int) -> tuple[tuple[int, int] | None, Outcome]:
        """Return the state after a charge and its outcome; a refused charge leaves the state as it was.

        Arguments:
            state: end of the window in microseconds since the epoch and what was used, or None for a new key.
            now: microseconds since the epoch.
            cost: requests; 0 looks without charging.
        """
        end, used = state if state is not None and now < state[0] else (self.end(now), 0)
        left = self.quota - used - cost
        if left < 0:
            return state, (end - now, self.quota - used, end - now)
        return (end, used + cost), (0, left, end - now)

    def until(self, state: tuple[int, int]) -> int:
        """Return when the state says no more than a new key would."""
        return state[0]

    def end(self, now: int) -> int:
        """Return the end of the window that holds `now`, in microseconds since the epoch."""
        if self.period == "day":
            window = self.count * _DAY
            return now - now % window + window
        day = datetime.fromtimestamp(now // _SECOND, UTC)
        months = (day.year - 1970) * 12 + day.month - 1
        year, month = divmod(months - months % self.count + self.count, 12)
        return int(datetime(1970 + year, month + 1, 1, tzinfo=UTC).timestamp()) * _SECOND
