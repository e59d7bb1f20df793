"""How limits are told to the client: one writer per dialect, compiled per set of limits.

`draft-8` is the item syntax of drafts 8 to 11 of draft-ietf-httpapi-ratelimit-headers: Structured Fields
(RFC 9651). The older dialects have room for one limit only: the one with the least left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from sixfold.layers.rate_limiting.rate import Rate
from sixfold.layers.rate_limiting.store import Outcome
from sixfold.request import Pair

Writer = Callable[[Sequence[Outcome], int, list[Pair]], None]
"""Appends the headers for outcomes (one per item of the plan) at a time (microseconds since the epoch)."""

_SECOND: Final = 1_000_000


class Shown(NamedTuple):
    """A limit that the client is told about.

    Arguments:
        place: of its outcome among all outcomes of the plan.
        name: of the policy item.
    """

    place: int
    name: str
    rate: Rate


def writer(dialect: str, shown: Sequence[Shown]) -> Writer:
    """Return the writer of a dialect, named as in `[rate_limiting] headers`, for these limits."""
    if dialect == "none" or not shown:
        return _nothing
    if dialect == "draft-8":
        return _draft_8(shown)
    timed = [item for item in shown if item.rate.period]
    return _single(dialect, timed) if timed else _nothing


def seconds(wait: int) -> int:
    """Return microseconds as whole seconds, rounded up, at least 1."""
    return -(-wait // _SECOND) or 1


def _nothing(outcomes: Sequence[Outcome], now: int, headers: list[Pair]) -> None:
    return


def _draft_8(shown: Sequence[Shown]) -> Writer:
    policy = (b"ratelimit-policy", ", ".join(_policy_item(item) for item in shown).encode())
    items = (f"{_string(item.name).replace('%', '%%')};r=%d{';t=%d' if item.rate.period else ''}" for item in shown)
    template = ", ".join(items).encode()
    if len(shown) == 1 and shown[0].rate.period:
        only = shown[0].place

        def write_one(outcomes: Sequence[Outcome], now: int, headers: list[Pair]) -> None:
            _, remaining, reset = outcomes[only]
            headers.append(policy)
            headers.append((b"ratelimit", template % (remaining, -(-reset // _SECOND) or 1)))

        return write_one
    places = [(item.place, bool(item.rate.period)) for item in shown]

    def write(outcomes: Sequence[Outcome], now: int, headers: list[Pair]) -> None:
        values: list[int] = []
        for place, timed in places:
            _, remaining, reset = outcomes[place]
            values.append(remaining)
            if timed:
                values.append(-(-reset // _SECOND) or 1)
        headers.append(policy)
        headers.append((b"ratelimit", template % tuple(values)))

    return write


def _policy_item(item: Shown) -> str:
    rate = item.rate
    if not rate.period:
        return f'{_string(item.name)};q={rate.amount};qu="{rate.unit}"'
    return f"{_string(item.name)};q={rate.amount};w={rate.seconds}"


def _string(text: str) -> str:
    """Serialise a String (RFC 9651 section 4.1.6)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _single(dialect: str, timed: Sequence[Shown]) -> Writer:
    policy = (
        b"ratelimit-policy",
        ", ".join(f"{item.rate.amount};w={item.rate.seconds}" for item in timed).encode(),
    )
    amounts = [(item.place, b"%d" % item.rate.amount) for item in timed]
    add = _SINGLE[dialect]

    def write(outcomes: Sequence[Outcome], now: int, headers: list[Pair]) -> None:
        left = [(outcomes[place][1], -outcomes[place][2], amount) for place, amount in amounts]
        remaining, reset, amount = min(left)
        add(headers, policy, amount, b"%d" % remaining, -reset, now)

    return write


def _draft_7(headers: list[Pair], policy: Pair, amount: bytes, remaining: bytes, reset: int, now: int) -> None:
    headers.append(policy)
    headers.append((b"ratelimit", b"limit=%b, remaining=%b, reset=%d" % (amount, remaining, seconds(reset))))


def _draft_6(headers: list[Pair], policy: Pair, amount: bytes, remaining: bytes, reset: int, now: int) -> None:
    headers.append(policy)
    headers.append((b"ratelimit-limit", amount))
    headers.append((b"ratelimit-remaining", remaining))
    headers.append((b"ratelimit-reset", b"%d" % seconds(reset)))


def _x_ratelimit(headers: list[Pair], policy: Pair, amount: bytes, remaining: bytes, reset: int, now: int) -> None:
    headers.append((b"x-ratelimit-limit", amount))
    headers.append((b"x-ratelimit-remaining", remaining))
    headers.append((b"x-ratelimit-reset", b"%d" % seconds(now + reset)))


_SINGLE: Final = {"draft-7": _draft_7, "draft-6": _draft_6, "x-ratelimit": _x_ratelimit}
