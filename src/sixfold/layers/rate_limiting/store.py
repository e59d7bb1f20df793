"""What rate limiting asks of a store; `sixfold.store` implements it.

The verbs suit one script per check: all charges of a request in one question, one outcome for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

Outcome = tuple[int, int, int]
"""What became of a charge: (wait, remaining, reset).

wait: 0 if allowed, else microseconds until the same charge would pass (never 0 then).
remaining: what is left after this check.
reset: microseconds until the quota is whole again; of a refused charge the same as wait.
"""


class Meter(Protocol):
    """The algorithm of one limit: pure arithmetic over the state of one key (`Gcra`, `Quota`,
    `Concurrency`).
    """

    @property
    def kind(self) -> Literal["rate", "quota", "concurrency"]:
        """Which algorithm; with the meter's numbers, all that a script elsewhere needs."""
        ...

    def charge(self, state: Any, now: int, cost: int) -> tuple[Any, Outcome]:
        """Return the state after a charge and the outcome. Refused: the state as it was. Cost 0: a look."""
        ...

    def until(self, state: Any) -> int | None:
        """Return when (microseconds) a key may be forgotten without loss; None while it is held."""
        ...


class Charge(NamedTuple):
    """One bucket to charge.

    Arguments:
        key: the bucket. Stable over reloads as long as the limit reads the same.
        meter: its algorithm.
        cost: requests.
        binding: False for a limit in shadow mode, whose refusal stops neither the request nor other charges.
    """

    key: str
    meter: Meter
    cost: int
    binding: bool


class LimitStore(Protocol):
    """Where counters live. Each verb is atomic: all charges of a request in one step (UX-14)."""

    @property
    def immediate(self) -> bool:
        """Whether `spend` answers without waiting. If not, the layer asks by a Need (`Counters`)."""
        ...

    def spend(self, charges: Sequence[Charge], now: int) -> Sequence[Outcome]:
        """Charge all, or, if a binding one does not pass, nothing at all. One outcome per charge, in order.

        Arguments:
            charges: of one request.
            now: microseconds since the epoch; a store with a clock of its own uses that.
        """
        ...

    def peek(self, charges: Sequence[Charge], now: int) -> Sequence[Outcome]:
        """Return what `spend` would answer, as far as known here, without charging or waiting."""
        ...

    def record(self, charges: Sequence[Charge], now: int) -> None:
        """Charge, but nobody waits for the outcome."""
        ...

    def release(self, charges: Sequence[Charge]) -> None:
        """Give back places of concurrency limits."""
        ...
