from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.layers.rate_limiting.quota import Quota


def at(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("count", "period", "now", "end"),
    [
        (1, "day", at(2026, 11, 24, 10), at(2026, 11, 25)),
        (1, "day", at(2026, 11, 24), at(2026, 11, 25)),
        (1, "month", at(2026, 11, 24, 10), at(2026, 12, 1)),
        (1, "month", at(2026, 12, 31, 23, 59, 59), at(2027, 1, 1)),
        (1, "month", at(2028, 2, 29), at(2028, 3, 1)),
        (3, "month", at(2026, 11, 24), at(2027, 1, 1)),
        (2, "day", at(1970, 1, 2), at(1970, 1, 3)),
    ],
)
def test_windows_follow_the_calendar(count: int, period: str, now: int, end: int) -> None:
    """M7, defence 2.1: daily and monthly quotas are fixed windows in UTC."""
    assert Quota(10, count, period).end(now) == end  # type: ignore[arg-type]


def test_a_quota_is_whole_again_in_the_next_window() -> None:
    """M7: used up until midnight, and exactly until then."""
    quota = Quota(2, 1, "day")
    now = at(2026, 11, 24, 10)
    state, outcome = quota.charge(None, now, 1)
    assert outcome == (0, 1, 14 * 3600 * 1_000_000)
    state, outcome = quota.charge(state, now, 1)
    assert outcome[:2] == (0, 0)
    refused, (wait, left, reset) = quota.charge(state, now, 1)
    assert refused == state
    assert (left, reset) == (0, wait)
    assert quota.charge(state, now + wait - 1, 1)[1][0] == 1
    assert quota.charge(state, now + wait, 1)[1][:2] == (0, 1)


@given(st.integers(1, 20), st.lists(st.tuples(st.integers(0, 10**11), st.integers(0, 4)), max_size=40))
def test_no_window_gives_more_than_the_quota(amount: int, moves: list[tuple[int, int]]) -> None:
    """M7: what passes in one calendar day is at most the quota."""
    quota = Quota(amount, 1, "day")
    state, now = None, at(2026, 11, 24)
    used: dict[int, int] = {}
    for pause, cost in moves:
        now += pause
        state, outcome = quota.charge(state, now, cost)
        if not outcome[0]:
            used[quota.end(now)] = used.get(quota.end(now), 0) + cost
            assert outcome[1] == amount - used[quota.end(now)]
    assert all(count <= amount for count in used.values())
