"""Counters in the memory of one process."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush, heapreplace
from threading import Lock
from typing import Any, Final

from sixfold.layers.rate_limiting.store import Charge, Meter, Outcome

_STEPS: Final = 16


class MemoryStore:
    """Implements rate limiting's `LimitStore` for one process; answers at once.

    Arguments:
        max_keys: buckets kept at most. A bucket that says no more than a new one would is always forgotten
            first; if all of them still count, about the one that would be idle soonest.

    Cost: O(1) per charge, O(log n) for a bucket that is new. Places held by running requests stand beside
    that bound: there are as many as requests are open.
    """

    immediate: Final = True

    def __init__(self, max_keys: int = 100_000) -> None:
        self._max_keys = max_keys
        self._roomy = max_keys // 2
        self._states: dict[str, Any] = {}
        # One entry per bucket, by the time it was idle when last looked at. That time only grows, so an entry
        # is at most too early, and putting right what is outdated at the top finds the true first.
        self._idle: list[tuple[int, str, Meter]] = []
        # Threads of a WSGI server share the store; read and write of two of them must not interleave.
        self._lock = Lock()

    def spend(self, charges: Sequence[Charge], now: int) -> Sequence[Outcome]:
        """Charge all, or, if a binding one does not pass, nothing at all."""
        with self._lock:
            idle = self._idle
            if len(idle) > self._roomy and idle[0][0] <= now:
                self._tidy(now)
            states = self._states
            fresh: dict[str, Any] = {}
            outcomes: list[Outcome] = []
            known = True
            for key, meter, cost, binding in charges:
                state = states.get(key)
                if state is None:
                    known = False
                fresh[key], outcome = meter.charge(state, now, cost)
                if outcome[0] and binding:
                    return self._refused(charges, now)
                outcomes.append(outcome)
            if known:
                states.update(fresh)
            else:
                self._keep(charges, fresh, now)
            return outcomes

    def peek(self, charges: Sequence[Charge], now: int) -> Sequence[Outcome]:
        """Return what `spend` would answer, without charging."""
        with self._lock:
            return [meter.charge(self._states.get(key), now, cost)[1] for key, meter, cost, _ in charges]

    def record(self, charges: Sequence[Charge], now: int) -> None:
        """Charge each bucket that still has room; nobody waits for the outcome."""
        for charge in charges:
            self.spend((charge,), now)

    def release(self, charges: Sequence[Charge]) -> None:
        """Give back places of concurrency limits."""
        with self._lock:
            for key, _, cost, _ in charges:
                held = self._states.get(key, 0) - cost
                if held > 0:
                    self._states[key] = held
                else:
                    self._states.pop(key, None)

    def __len__(self) -> int:
        """Return the number of buckets, places of running requests included."""
        return len(self._states)

    def _refused(self, charges: Sequence[Charge], now: int) -> Sequence[Outcome]:
        """Return the outcomes of a refused request; what would have passed tells what is left uncharged."""
        outcomes: list[Outcome] = []
        for key, meter, cost, _ in charges:
            outcome: Outcome = meter.charge(self._states.get(key), now, cost)[1]
            outcomes.append(outcome if outcome[0] else meter.charge(self._states.get(key), now, 0)[1])
        return outcomes

    def _keep(self, charges: Sequence[Charge], fresh: dict[str, Any], now: int) -> None:
        """Commit the states of a request, of which at least one is of a new bucket."""
        for key, meter, _, _ in charges:
            state = fresh[key]
            if key not in self._states:
                until = meter.until(state)
                if until is not None:
                    if len(self._idle) >= self._max_keys:
                        self._evict(now)
                    heappush(self._idle, (until, key, meter))
            self._states[key] = state

    def _tidy(self, now: int) -> None:
        """Forget one idle bucket, or put one outdated entry right: small steps keep `_evict` short."""
        _, key, meter = self._idle[0]
        until = meter.until(self._states[key])
        if until is None or until > now:
            heapreplace(self._idle, (until or 0, key, meter))
        else:
            heappop(self._idle)
            del self._states[key]

    def _evict(self, now: int) -> None:
        """Forget one bucket: an idle one if there is any, else nearly the one that would be idle soonest.

        Once the top of the heap lies in the future, no bucket is idle, and a few steps towards the soonest do;
        all of them could take as many steps as there are buckets.
        """
        steps = _STEPS
        while True:
            seen, key, meter = self._idle[0]
            until = meter.until(self._states[key])
            if until is None or until <= seen or (seen > now and steps <= 0):
                heappop(self._idle)
                del self._states[key]
                return
            heapreplace(self._idle, (until, key, meter))
            steps -= 1
