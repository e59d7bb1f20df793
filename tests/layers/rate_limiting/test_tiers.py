from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sixfold.identity import Identity

Bench = Callable[..., Any]
TABLE = {"default": "2/minute", "tiers": {"pro": "20/minute", "free": "5/minute; 7/hour"}}


def allowed(bench: Bench, table: dict[str, Any], **who: Any) -> int:
    b = bench({**TABLE, **table})
    caller = Identity("ann", issuer="i", client_id=who.pop("client_id", "app"), **who)
    return sum(b.passes(caller) for _ in range(50))


@pytest.mark.parametrize(
    ("table", "who", "count"),
    [
        ({}, {}, 2),
        ({}, {"roles": frozenset({"free"})}, 5),
        ({}, {"roles": frozenset({"free", "pro", "viewer"})}, 20),
        ({"tier": "role"}, {"roles": frozenset({"pro"})}, 20),
        ({"tier": "role"}, {"claims": {"plan": "pro"}}, 2),
        ({"tier": "claim:plan"}, {"claims": {"plan": "pro"}}, 20),
        ({"tier": "claim:plan"}, {"claims": {"plan": ["free", "pro", 3]}}, 20),
        ({"tier": "claim:org.plan"}, {"claims": {"org": {"plan": "free"}}}, 5),
        ({"tier": "claim:https://x.example/plan"}, {"claims": {"https://x.example/plan": "free"}}, 5),
        ({"tier": "claim:org.plan"}, {"claims": {"org": "pro"}}, 2),
        ({"tier": "claim:plan"}, {"claims": {"plan": "gold"}, "roles": frozenset({"pro"})}, 2),
        ({"tier": "claim:plan"}, {"claims": {"plan": {"pro": 1}}}, 2),
        ({"tier": "client", "clients": {"app": "pro"}}, {}, 20),
        ({"tier": "client", "clients": {"app": "pro"}}, {"client_id": "x", "roles": frozenset({"pro"})}, 2),
        ({"clients": {"app": "free"}}, {"roles": frozenset({"pro"})}, 5),
    ],
)
def test_tiers(bench: Bench, table: dict[str, Any], who: dict[str, Any], count: int) -> None:
    """M8: a tier by role, claim or client replaces the default; a client's own row comes first."""
    assert allowed(bench, table, **who) == count


def test_a_tier_keeps_the_limits_of_the_route(bench: Bench) -> None:
    """M8: a tier replaces the default, and nothing else; its name is told."""
    b = bench(TABLE, {"limits": ["3/minute"]})
    caller = Identity("ann", roles=frozenset({"pro"}))
    assert b.headers(b.spend(caller))["ratelimit-policy"] == '"pro";q=20;w=60, "route";q=3;w=60'
    assert sum(b.passes(caller) for _ in range(50)) == 2
