from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.layers.rate_limiting.concurrency import Concurrency
from sixfold.layers.rate_limiting.gcra import Gcra
from sixfold.layers.rate_limiting.quota import Quota
from sixfold.layers.rate_limiting.store import Charge
from sixfold.store.memory import MemoryStore

NOW = 1_795_514_400_000_000
METERS: tuple[Any, ...] = (Gcra(10, 1, 10), Gcra(60, 60, 3), Quota(100, 1, "day"))


def charge(key: str, meter: Any = METERS[0], cost: int = 1, binding: bool = True) -> Charge:
    return Charge(key, meter, cost, binding)


def test_all_or_nothing() -> None:
    """UX-14: several charges are one step: what refuses leaves no trace in the others."""
    store = MemoryStore()
    wide, tight = charge("wide"), charge("tight", Gcra(1, 60, 1))
    store.spend((wide, tight), NOW)
    for _ in range(100):
        outcomes = store.spend((wide, tight), NOW)
        assert outcomes[0] == (0, 9, 100_000)  # what is left, uncharged
        assert outcomes[1][:2] == (60_000_000, 0)


def test_peek_leaves_no_trace() -> None:
    """Design: a look charges nothing and makes no bucket."""
    store = MemoryStore()
    assert store.peek([charge("a")], NOW)[0] == (0, 9, 100_000)
    assert len(store) == 0


def test_record_charges_each_on_its_own() -> None:
    """Design: a charge that nobody waits for is no question, so one full bucket saves no other."""
    store = MemoryStore()
    full = charge("full", Gcra(1, 60, 1))
    for _ in range(3):
        store.record([full, charge("other")], NOW)
    assert store.peek([charge("other", cost=0)], NOW)[0][1] == 7


def test_places_do_not_count_as_buckets_and_are_never_evicted() -> None:
    """Defence 2.1: a place is held as long as its request runs, however many buckets come and go."""
    store = MemoryStore(max_keys=2)
    place = charge("place", Concurrency(1))
    assert store.spend([place], NOW)[0][0] == 0
    for number in range(100):
        store.spend([charge(f"k{number}")], NOW)
    assert store.spend([place], NOW)[0][0] > 0
    store.release([place])
    store.release([place])
    assert store.spend([place], NOW)[0][0] == 0


moves = st.lists(
    st.tuples(
        st.integers(0, 5),  # which key
        st.sampled_from(range(len(METERS))),
        st.sampled_from([0, 50_000, 400_000, 1_100_000, 3_000_000]),  # pause in microseconds
    ),
    max_size=80,
)


@given(moves, st.integers(2, 4))
def test_memory_is_bounded_and_the_idle_go_first(steps: list[tuple[int, int, int]], most: int) -> None:
    """UX-13: never more than `max_keys` buckets, and the idle are forgotten before those that count."""
    store = MemoryStore(max_keys=most)
    now = NOW
    for number, kind, pause in steps:
        now += pause
        meter = METERS[kind]
        before = {key: until for until, key in counted(store)}
        store.spend([charge(f"{kind}:{number}", meter)], now)
        after = {key for _, key in counted(store)}
        assert len(store) <= most
        forgotten = before.keys() - after
        if any(before[key] > now for key in forgotten):
            kept = before.keys() & after
            assert all(before[key] > now for key in kept)
            assert len(before) == most


def counted(store: MemoryStore) -> list[tuple[int, str]]:
    return [(meter.until(store._states[key]), key) for _, key, meter in store._idle]


@given(moves)
def test_with_room_enough_nothing_that_counts_is_forgotten(steps: list[tuple[int, int, int]]) -> None:
    """UX-13: keeping house changes no decision."""
    store, plain = MemoryStore(max_keys=80), {}
    now = NOW
    for number, kind, pause in steps:
        now += pause
        key, meter = f"{kind}:{number}", METERS[kind]
        plain[key], outcome = meter.charge(plain.get(key), now, 1)
        assert store.spend([charge(key, meter)], now) == [outcome]
        assert len(store._idle) == len(store) == len({entry[1] for entry in store._idle})


def test_a_bucket_that_was_used_again_is_not_taken_for_idle() -> None:
    """UX-13: what counts is when a bucket was used last, not when it was new."""
    store = MemoryStore(max_keys=4)
    slow = [charge(f"slow{number}", Gcra(60, 60, 3)) for number in range(3)]
    for bucket in slow:
        store.spend([bucket], NOW)
    store.spend([charge("quick")], NOW + 950_000)
    for bucket in slow:
        store.spend([bucket], NOW + 960_000)
    store.spend([charge("new")], NOW + 1_300_000)
    assert {key for _, key in counted(store)} == {"slow0", "slow1", "slow2", "new"}


def test_the_house_is_kept_in_small_steps() -> None:
    """UX-13: a new bucket is cheap even when the store is full of buckets that were used again."""
    store = MemoryStore(max_keys=2000)
    slow = Gcra(60, 60, 60)
    looks = 0

    class Counting:
        kind = slow.kind
        charge = staticmethod(slow.charge)

        @staticmethod
        def until(state: int) -> int:
            nonlocal looks
            looks += 1
            return state

    most = 0
    for step in range(15_000):
        key = f"k{step % 2000}" if step < 12_000 else f"n{step}"
        before = looks
        store.spend([charge(key, Counting())], NOW + step * 300)
        most = max(most, looks - before)
    assert len(store) == 2000
    assert most < 40


@pytest.mark.parametrize("size", [0, 1])
def test_no_charges_no_outcomes(size: int) -> None:
    """Design: one outcome per charge, in order."""
    assert len(MemoryStore().spend([charge("a")] * size, NOW)) == size
