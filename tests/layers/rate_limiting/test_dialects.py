from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sixfold.identity import ANONYMOUS
from sixfold.layers.rate_limiting.dialects import Shown, writer
from sixfold.layers.rate_limiting.rate import Rate

Bench = Callable[..., Any]
MINUTELY = Rate(100, every=1, period="minute")
DAILY = Rate(1000, every=1, period="day")
AT_ONCE = Rate(5, "concurrent-requests")
NOW = 1_795_514_400_000_000

HEADERS = [
    (
        "draft-8",
        {
            "ratelimit-policy": '"burst";q=100;w=60, "daily";q=1000;w=86400, "open";q=5;qu="concurrent-requests"',
            "ratelimit": '"burst";r=50;t=30, "daily";r=70;t=51, "open";r=4',
        },
    ),
    (
        "draft-7",
        {"ratelimit-policy": "100;w=60, 1000;w=86400", "ratelimit": "limit=100, remaining=50, reset=30"},
    ),
    (
        "draft-6",
        {
            "ratelimit-policy": "100;w=60, 1000;w=86400",
            "ratelimit-limit": "100",
            "ratelimit-remaining": "50",
            "ratelimit-reset": "30",
        },
    ),
    (
        "x-ratelimit",
        {"x-ratelimit-limit": "100", "x-ratelimit-remaining": "50", "x-ratelimit-reset": "1795514430"},
    ),
    ("none", {}),
]


def written(dialect: str, shown: list[Shown], outcomes: list[tuple[int, int, int]]) -> dict[str, str]:
    headers: list[tuple[bytes, bytes]] = []
    writer(dialect, shown)(outcomes, NOW, headers)
    return {name.decode(): value.decode() for name, value in headers}


@pytest.mark.parametrize(("dialect", "expected"), HEADERS)
def test_fields_exactly(dialect: str, expected: dict[str, str]) -> None:
    """M7, defence 2.3: each dialect, byte for byte; seconds are rounded up."""
    shown = [Shown(0, "burst", MINUTELY), Shown(1, "daily", DAILY), Shown(2, "open", AT_ONCE)]
    assert written(dialect, shown, [(0, 50, 29_000_001), (0, 70, 50_500_000), (0, 4, 0)]) == expected


def test_one_limit_alone() -> None:
    """M7: the common case of one limit; a window that is whole already still lasts a second."""
    assert written("draft-8", [Shown(1, "d", MINUTELY)], [(0, 1, 1), (0, 100, 0)])["ratelimit"] == '"d";r=100;t=1'
    assert written("draft-8", [Shown(0, "c", AT_ONCE)], [(0, 1, 0)])["ratelimit"] == '"c";r=1'
    assert written("draft-7", [Shown(0, "c", AT_ONCE)], [(0, 1, 0)]) == {}


def test_names_are_escaped() -> None:
    """Defence 2.3, RFC 9651 section 3.3.3: names are Strings, whatever stands in them."""
    shown = [Shown(0, 'a"b\\c%d', MINUTELY)]
    assert written("draft-8", shown, [(0, 1, 1)]) == {
        "ratelimit-policy": '"a\\"b\\\\c%d";q=100;w=60',
        "ratelimit": '"a\\"b\\\\c%d";r=1;t=1',
    }


@pytest.mark.parametrize("dialect", ["draft-8", "draft-7", "draft-6", "x-ratelimit", "none"])
def test_the_policy_chooses(bench: Bench, dialect: str) -> None:
    """M7: `headers` in the policy names the dialect, for refusals too."""
    b = bench({"default": "1/minute", "anonymous": "1/hour", "headers": dialect})
    ledger = b.spend(b.alice)
    refusal = b.spend(b.alice).refusal
    assert set(b.headers(ledger)) == {name.decode() for name, _ in refusal.headers} - {"retry-after"}
    assert (b.headers(b.spend(ANONYMOUS)) == {}) == (dialect == "none")


def test_names_differ_in_one_list(bench: Bench) -> None:
    """Defence 2.3: one item per policy, and a name means one of them."""
    b = bench({"default": "10/second; 100/day"}, {"limits": ["5/second", "50/minute; 9 concurrent-requests"]})
    assert b.headers(b.spend(b.alice))["ratelimit-policy"].split(", ") == [
        '"default-second";q=10;w=1',
        '"default-day";q=100;w=86400',
        '"route";q=5;w=1',
        '"route-minute";q=50;w=60',
        '"route-concurrent";q=9;qu="concurrent-requests"',
    ]
    b = bench({}, {"limits": ["5/second", "50/minute", "500/hour"]})
    names = [item.partition(";")[0] for item in b.headers(b.spend(b.alice))["ratelimit-policy"].split(", ")]
    assert names == ['"route"', '"route-2"', '"route-3"']
