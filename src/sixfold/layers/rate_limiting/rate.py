"""The grammar of a rate: `"600/minute per client"`, `"1000/minute burst 2000"`, `"5 concurrent-requests"`.

    rate   = amount [ "/" [count] period ] [ "per" subject ] [ "burst" integer ]
    amount = integer [ "requests" | "concurrent-requests" ]
    period = "second" | "minute" | "hour" | "day" | "month"

Other spellings that people bring are read too (`"5/m"`, `"10 per 5 minutes"`, several joined by `;`);
`str(rate)` is the one form that is printed.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from itertools import pairwise
from typing import Final, Literal, NamedTuple

Unit = Literal["requests", "concurrent-requests"]
Subject = Literal["", "client", "user", "tenant", "address", "key", "route", "global"]
Period = Literal["", "second", "minute", "hour", "day", "month"]

SUBJECTS: Final = ("client", "user", "tenant", "address", "key", "route", "global")
PERIODS: Final = ("second", "minute", "hour", "day", "month")
# A month counts 31 days wherever it must be compared or announced in seconds: never shorter than the real
# one.
SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "month": 31 * 86_400}
CALENDAR: Final = frozenset(("day", "month"))
MAX_AMOUNT: Final = 10**12
MAX_COUNT: Final = 1000

_PERIOD_WORDS: Final[dict[str, Period]] = {
    "s": "second", "sec": "second", "m": "minute", "min": "minute", "h": "hour", "hr": "hour", "d": "day",
    **{period: period for period in PERIODS},
    **{f"{period}s": period for period in PERIODS},
}  # fmt: skip
_UNIT_WORDS: Final[dict[str, Unit]] = {
    "": "requests", "request": "requests", "requests": "requests",
    "concurrent": "concurrent-requests", "concurrent-request": "concurrent-requests",
    "concurrent-requests": "concurrent-requests",
}  # fmt: skip
_MEANT: Final = {
    "ip": "address", "ips": "address", "host": "address", "source": "address",
    "account": "user", "subject": "user", "sub": "user",
    "caller": "client", "app": "client", "application": "client",
    "org": "tenant", "organisation": "tenant", "organization": "tenant", "apikey": "key", "api-key": "key",
    "endpoint": "route", "operation": "route", "path": "route", "all": "global", "everyone": "global",
}  # fmt: skip
_EXAMPLES: Final = (
    '"600/minute per client", "10/5 minutes", "1000/second burst 2000" or "5 concurrent-requests per user"'
)
_RATE: Final = re.compile(
    r"""(?P<amount>\d+) (?:\s*(?P<unit>[a-z][a-z-]*(?<!\bper)))?
        (?:\s*(?:/|\bper\b)\s*(?:(?P<count>\d+)\s*)?(?P<period>(?!client\b|user\b|tenant\b|address\b|key\b|route\b|global\b)[a-z]+))?
        (?P<rest>(?:\s+(?:per|burst)\s+[a-z0-9-]+)*)""",
    re.ASCII | re.VERBOSE,
)


class RateError(ValueError):
    """A text that is no rate; the message says what to write."""


class Rate(NamedTuple):
    """One limit as written.

    Arguments:
        amount: how many, per window (or at once).
        unit: what is counted.
        every, period: the window: so many periods; 0 and "" for `concurrent-requests`. Seconds, minutes and
            hours roll; days and months are calendar windows in UTC.
        subject: whose bucket; "" leaves it to the caller: client if known, address if not.
        burst: how many may come at once; 0 is the same as `amount`.
    """

    amount: int
    unit: Unit = "requests"
    every: int = 0
    period: Period = ""
    subject: Subject = ""
    burst: int = 0

    @property
    def seconds(self) -> int:
        """The window in seconds; 0 for `concurrent-requests`."""
        return self.every * SECONDS[self.period] if self.period else 0

    @property
    def calendar(self) -> bool:
        """Whether this is a quota: a fixed window of days or months."""
        return self.period in CALENDAR

    def __str__(self) -> str:
        if self.period:
            text = f"{self.amount}/{self.period}" if self.every == 1 else f"{self.amount}/{self.every} {self.period}"
        else:
            text = f"{self.amount} {self.unit}"
        if self.subject:
            text += f" per {self.subject}"
        return f"{text} burst {self.burst}" if self.burst else text


def parse(text: str) -> tuple[Rate, ...]:
    """Read one limit, or several joined by `;`.

    Raises:
        RateError: what is wrong and what to write.
    """
    rates = tuple(_one(part) for part in text.split(";"))
    _check_growth(rates)
    return rates


def _one(text: str) -> Rate:
    plain = " ".join(text.lower().split())
    match = _RATE.fullmatch(plain)
    if match is None:
        raise RateError(f"`{plain}` is not a rate; write {_EXAMPLES}")
    unit = _unit(match["unit"] or "", plain)
    subject, burst = _rest(match["rest"].split(), plain)
    amount = _integer(match["amount"], "the amount", MAX_AMOUNT)
    if unit == "concurrent-requests":
        if match["period"] and match["period"] not in _PERIOD_WORDS:
            subject = _subject(match["period"], plain)  # `5 concurrent-requests per ip` reads like a period
        if match["period"] or burst:
            raise RateError(f"`{plain}`: concurrent requests have neither period nor burst; write `{amount} {unit}`")
        return Rate(amount, unit, subject=subject)
    if match["period"] is None:
        raise RateError(f"`{plain}` names no period; write `{amount}/minute`, or `{amount} concurrent-requests`")
    count = _integer(match["count"] or "1", "the number of periods", MAX_COUNT)
    rate = Rate(amount, unit, count, _period(match["period"], plain), subject, burst)
    _check_pace(rate)
    return rate


def _integer(text: str, what: str, largest: int) -> int:
    value = int(text) if len(text) < 20 else largest + 1
    if not 0 < value <= largest:
        raise RateError(f"{what} must be from 1 to {largest}")
    return value


def _unit(word: str, text: str) -> Unit:
    if word == "content-bytes":
        raise RateError(f"`{text}`: `content-bytes` cannot be limited yet; limit requests, or their size by `max_body`")
    unit = _UNIT_WORDS.get(word)
    if unit is None:
        raise RateError(f"`{text}`: `{word}` cannot be counted{_hint(word, _UNIT_WORDS)}; write {_EXAMPLES}")
    return unit


def _period(word: str, text: str) -> Period:
    period = _PERIOD_WORDS.get(word)
    if period is not None:
        return period
    if word in _MEANT:
        raise RateError(f"`{text}` names no period, and `per {word}` is no subject: did you mean `per {_MEANT[word]}`?")
    wide = "; write `7 days`" if word in ("week", "weeks", "w") else _hint(word, _PERIOD_WORDS)
    raise RateError(f"`{text}`: `{word}` is not a period{wide}; known are {', '.join(PERIODS)}")


def _rest(words: list[str], text: str) -> tuple[Subject, int]:
    """Read `per subject` and `burst n`, in either order, each at most once."""
    subject: Subject = ""
    burst = 0
    for keyword, word in zip(words[::2], words[1::2], strict=True):
        if keyword == "per" and not subject:
            subject = _subject(word, text)
        elif keyword == "burst" and not burst and word.isdecimal():
            burst = _integer(word, "the burst", MAX_AMOUNT)
        else:
            raise RateError(f"`{text}`: one `per subject` and one `burst number` may follow; write {_EXAMPLES}")
    return subject, burst


def _subject(word: str, text: str) -> Subject:
    if word in SUBJECTS:
        return word  # type: ignore[return-value]
    meant = _MEANT.get(word)
    hint = f"; did you mean `{meant}`?" if meant else _hint(word, SUBJECTS)
    raise RateError(f"`{text}`: `per {word}` is not known{hint}; known are {', '.join(SUBJECTS)}")


def _hint(word: str, known: object) -> str:
    close = get_close_matches(word, [name for name in known if name], n=1)  # type: ignore[attr-defined]
    return f"; did you mean `{close[0]}`?" if close else ""


def _check_pace(rate: Rate) -> None:
    """Refuse what the arithmetic in whole microseconds cannot keep, and a burst where none can be."""
    if rate.calendar:
        if rate.burst:
            raise RateError(f"`{rate}`: a {rate.period} is a fixed window without burst; the amount is all there is")
    elif rate.amount > rate.seconds * 1_000_000:
        raise RateError(f"`{rate}`: more than one request a microsecond is no limit")


def _check_growth(rates: tuple[Rate, ...]) -> None:
    """For one subject, quotas must not fall as periods grow: `1000/minute; 100/hour` is surely a slip."""
    windows = sorted((rate for rate in rates if rate.period), key=lambda rate: (rate.subject, rate.seconds))
    for shorter, longer in pairwise(windows):
        if shorter.subject != longer.subject:
            continue
        if shorter.seconds == longer.seconds:
            raise RateError(f"`{shorter}` and `{longer}` limit the same window; keep one")
        if shorter.amount > longer.amount:
            raise RateError(f"`{longer}` allows less in a longer window than `{shorter}`; one of them is a slip")
