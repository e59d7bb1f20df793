from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sixfold.layers.rate_limiting.gcra import Gcra

START = 1_795_514_400_000_000
quotas = st.integers(1, 5000)
windows = st.integers(1, 3600)
bursts = st.integers(1, 50)
steps = st.lists(st.tuples(st.integers(0, 5_000_000), st.integers(1, 3)), max_size=60)


class Tokens:
    """The reference: a bucket of time that refills with time, written without a theoretical arrival time."""

    def __init__(self, interval: int, burst: int) -> None:
        self.interval = interval
        self.full = self.level = interval * burst
        self.seen = 0

    def take(self, now: int, cost: int) -> bool:
        self.level = min(self.full, self.level + now - self.seen)
        self.seen = now
        if self.level < cost * self.interval:
            return False
        self.level -= cost * self.interval
        return True


@given(quotas, windows, bursts, steps)
def test_agrees_with_the_reference(quota: int, window: int, burst: int, moves: list[tuple[int, int]]) -> None:
    """M7, defence 2.1: every decision and every remainder is that of a token bucket."""
    gcra = Gcra(quota, window, burst)
    tokens = Tokens(gcra.interval, burst)
    state, now = None, START
    for pause, cost in moves:
        now += pause
        state, (wait, remaining, _) = gcra.charge(state, now, cost)
        assert (wait == 0) == tokens.take(now, cost)
        assert remaining == tokens.level // gcra.interval


@given(quotas, windows, bursts, steps)
def test_no_window_holds_too_many(quota: int, window: int, burst: int, moves: list[tuple[int, int]]) -> None:
    """M7: in any stretch of time at most burst + rate x time pass."""
    gcra = Gcra(quota, window, burst)
    state, now = None, START
    accepted: list[tuple[int, int]] = []
    for pause, cost in moves:
        now += pause
        state, outcome = gcra.charge(state, now, cost)
        if not outcome[0]:
            accepted.append((now, cost))
    for first, (begin, _) in enumerate(accepted):
        total = 0
        for end, cost in accepted[first:]:
            total += cost
            assert total * window * 1_000_000 <= burst * gcra.interval * quota + (end - begin) * quota


@given(quotas, windows, bursts, steps, st.integers(1, 3))
def test_the_waiting_time_is_exact(
    quota: int, window: int, burst: int, moves: list[tuple[int, int]], cost: int
) -> None:
    """M7: waiting `retry_after` admits, one microsecond less does not."""
    gcra = Gcra(quota, window, max(burst, cost))
    state, now = None, START
    for pause, price in [*moves, *[(0, cost)] * 60]:
        now += pause
        before = state
        state, (wait, _, _) = gcra.charge(state, now, price)
        if wait and price <= gcra.burst:
            assert state == before
            assert gcra.charge(state, now + wait, price)[1][0] == 0
            assert gcra.charge(state, now + wait - 1, price)[1][0] == 1


def test_a_clock_that_steps_back_admits_nothing_extra() -> None:
    """Defence 2.1: time that goes backwards is taken as no time."""
    gcra = Gcra(10, 1, 10)
    state = None
    for _ in range(10):
        state, _ = gcra.charge(state, START, 1)
    state, (wait, remaining, _) = gcra.charge(state, START - 3_000_000, 1)
    assert wait == 3_100_000
    assert remaining == 0


def test_the_interval_is_rounded_up() -> None:
    """Defence 2.1: whole microseconds, and never a rate above what was written."""
    assert Gcra(3, 1, 3).interval == 333_334
    assert Gcra(600, 60, 600).interval == 100_000
