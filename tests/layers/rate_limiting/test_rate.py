from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.layers.rate_limiting.rate import CALENDAR, PERIODS, SECONDS, SUBJECTS, Rate, RateError, parse


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("600/minute per client", Rate(600, every=1, period="minute", subject="client")),
        ("60/minute per address", Rate(60, every=1, period="minute", subject="address")),
        ("1000/minute burst 2000", Rate(1000, every=1, period="minute", burst=2000)),
        ("10/second per user", Rate(10, every=1, period="second", subject="user")),
        ("5/m", Rate(5, every=1, period="minute")),
        ("1000/s burst 2000", Rate(1000, every=1, period="second", burst=2000)),
        ("10 per 5 minutes", Rate(10, every=5, period="minute")),
        ("10 per 5 minutes per user", Rate(10, every=5, period="minute", subject="user")),
        ("10 requests per hour", Rate(10, every=1, period="hour")),
        ("10requests/5m", Rate(10, every=5, period="minute")),
        (" 7 / 2 H  per Key ", Rate(7, every=2, period="hour", subject="key")),
        ("10/day per tenant", Rate(10, every=1, period="day", subject="tenant")),
        ("3/d", Rate(3, every=1, period="day")),
        ("1000/month per global", Rate(1000, every=1, period="month", subject="global")),
        ("9/second burst 20 per route", Rate(9, every=1, period="second", subject="route", burst=20)),
        ("5 concurrent-requests per user", Rate(5, "concurrent-requests", subject="user")),
        ("5 concurrent", Rate(5, "concurrent-requests")),
    ],
)
def test_spellings(text: str, rate: Rate) -> None:
    """API-05: the canonical form and the spellings that people bring are read alike."""
    assert parse(text) == (rate,)


def test_joined() -> None:
    """API-05: several rates stand in one text, joined by `;`."""
    assert parse("10/second; 1000/day") == (
        Rate(10, every=1, period="second"),
        Rate(1000, every=1, period="day"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("60/minute per ip", "did you mean `address`"),
        ("60 per ip", "did you mean `per address`"),
        ("5 concurrent-requests per ip", "did you mean `address`"),
        ("60/minute per usr", "did you mean `user`"),
        ("60/minute per endpoint", "did you mean `route`"),
        ("60/minute per banana", "known are client"),
        ("60/mimute", "did you mean `minute`"),
        ("60/mo", "known are second"),
        ("60/week", "write `7 days`"),
        ("60", "names no period"),
        ("60 per user", "names no period"),
        ("1000 content-bytes/second", "`max_body`"),
        ("60 request-units/minute", "cannot be counted"),
        ("0/minute", "from 1 to"),
        ("10/0 minutes", "from 1 to"),
        ("10/minute burst 0", "from 1 to"),
        (f"{'9' * 5000}/minute", "from 1 to"),
        ("-1/minute", "is not a rate"),
        ("1.5/minute", "is not a rate"),
        ("", "is not a rate"),
        ("5/minute;", "is not a rate"),
        ("10/minute burst 5 burst 6", "one `burst"),
        ("10/minute per user per client", "one `per subject`"),
        ("10/day burst 20", "without burst"),
        ("5 concurrent-requests/minute", "neither period nor burst"),
        ("5 concurrent-requests burst 6", "neither period nor burst"),
        ("2000000/second", "a microsecond"),
        ("1000/minute; 100/hour", "less in a longer window"),
        ("60/minute; 30/minute", "the same window"),
    ],
)
def test_what_is_not_a_rate(text: str, message: str) -> None:
    """API-05, API-06: what is not understood is refused, with what to write instead."""
    with pytest.raises(RateError) as caught:
        parse(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_growth_is_a_matter_of_one_subject() -> None:
    """Defence 2.2: quotas may differ between subjects as they like."""
    assert len(parse("1000/minute per tenant; 100/hour per user; 10/second per user")) == 3


subjects = st.sampled_from(("", *SUBJECTS))
amounts, many = st.integers(1, 10**12), st.integers(1, 1000)
rolling = st.sampled_from([period for period in PERIODS if period not in CALENDAR])
nothing, requests = st.just(0), st.just("requests")
rates = st.one_of(
    st.tuples(amounts, st.just("concurrent-requests"), nothing, st.just(""), subjects, nothing),
    st.tuples(st.integers(1, 10**6), requests, many, rolling, subjects, st.integers(0, 10**12)),
    st.tuples(amounts, requests, many, st.sampled_from(sorted(CALENDAR)), subjects, nothing),
).map(lambda parts: Rate(*parts))


@given(rates)
def test_printed_form_is_read_back(rate: Rate) -> None:
    """API-05: whatever prints a limit prints the canonical form, and it means the same."""
    assert parse(str(rate)) == (rate,)


@given(st.text(alphabet="0123456789/ perbustmindayconc-;", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """API-05: no text makes the parser fail in another way."""
    try:
        found = parse(text)
    except RateError:
        return
    assert all(rate.amount > 0 and (rate.seconds > 0) == bool(rate.period) for rate in found)


def test_a_month_is_never_announced_too_short() -> None:
    """Defence 2.2: windows have a length in seconds."""
    assert Rate(1, every=2, period="month").seconds == 2 * SECONDS["month"] == 62 * 86_400
