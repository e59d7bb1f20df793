"""How rate limiting says no: 429 with `Retry-After`, never 403 and never 503 for a caller's limit (UX-10)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from sixfold.decision import Refusal
from sixfold.layers.rate_limiting.dialects import seconds
from sixfold.layers.rate_limiting.plan import Item, Plan
from sixfold.layers.rate_limiting.rate import Rate, Subject
from sixfold.layers.rate_limiting.store import Outcome
from sixfold.request import Pair

_SECOND: Final = 1_000_000
_CODES: Final = {"rate": "rate-exceeded", "quota": "quota-exceeded", "concurrency": "concurrency-exceeded"}
_REMEDIES: Final = {
    "rate": "call less often, give this caller a tier, or raise the rate or its burst",
    "quota": "wait for the next period, give this caller a tier, or raise the quota",
    "concurrency": "run fewer requests at once, or raise the limit",
}
_BUCKET: Final = {
    "client": "for each client", "user": "for each user", "tenant": "for each tenant", "key": "for each key",
    "address": "for each address", "global": "for all callers together",
}  # fmt: skip
_STORE_RETRY: Final = 5  # seconds; stores come back fast or not soon, and this is no moment for a rush


def exceeded(plan: Plan, outcomes: Sequence[Outcome], now: int) -> Refusal:
    """Return the refusal for outcomes of which at least one did not pass.

    An enforced limit speaks before one in shadow mode; of several, the one that takes longest.

    Arguments:
        plan: the limits.
        outcomes: one per limit.
        now: microseconds since the epoch.
    """
    failed = [place for place, outcome in enumerate(outcomes) if outcome[0]]
    standing = [place for place in failed if plan.items[place].mode == "enforce"] or failed
    worst = max(standing, key=lambda place: outcomes[place][0])
    item = plan.items[worst]
    wait = retry_after(outcomes[worst][0], now)
    kind = item.bound.meter.kind
    allowed = words(item.bound.rate, item.subject)
    return Refusal(
        _CODES[kind],
        item.bound.rule,
        reason=f"limit `{item.name}` (`{item.bound.rate}`) is used up",
        remedy=_REMEDIES[kind],
        detail=f"{allowed}; try again in {wait} second{'s' if wait > 1 else ''}",
        headers=_headers(plan, outcomes, wait, now),
        members={"violated-policies": [plan.items[place].name for place in standing]},
        mode=item.mode,
    )


def unavailable(item: Item, reason: str) -> Refusal:
    """Return the refusal of a limit with `on_store_failure = "deny"` while its store is out of reach
    (UX-03).
    """
    return Refusal(
        "limits-unavailable",
        item.bound.rule,
        reason=f"limit `{item.name}` is closed while the store is out of reach: {reason}",
        remedy='bring the store back; `on_store_failure = "local"` would count in this process meanwhile',
        headers=((b"retry-after", b"%d" % _STORE_RETRY),),
        mode=item.mode,
    )


def retry_after(wait: int, now: int) -> int:
    """Return whole seconds, rounded up, at least 1.

    Longer waits vary upwards by up to a tenth, at most half a minute: callers that were refused together
    would otherwise come back together. The microseconds of the clock are chance enough.
    """
    whole = seconds(wait)
    return whole + now % (min(whole // 10, 30) + 1)


@lru_cache(maxsize=4096)
def words(rate: Rate, subject: Subject) -> str:
    """Return a limit in public words."""
    if not rate.period:
        return f"{_many(rate.amount, 'request')} at once {_BUCKET[subject]}"
    window = rate.period if rate.every == 1 else f"{rate.every} {rate.period}s"
    return f"{_many(rate.amount, 'request')} per {window} {_BUCKET[subject]}"


def _many(amount: int, noun: str) -> str:
    return f"{amount} {noun}" if amount == 1 else f"{amount} {noun}s"


def _headers(plan: Plan, outcomes: Sequence[Outcome], wait: int, now: int) -> tuple[Pair, ...]:
    """Return `Retry-After` and the limits; no window is told to end later than that."""
    end = wait * _SECOND
    headers: list[Pair] = [(b"retry-after", b"%d" % wait)]
    plan.write([(refused, left, min(reset, end)) for refused, left, reset in outcomes], now, headers)
    return tuple(headers)
