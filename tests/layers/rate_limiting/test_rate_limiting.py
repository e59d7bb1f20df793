from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from sixfold.identity import ANONYMOUS, Identity
from sixfold.needs import Counters, Unavailable
from sixfold.store.memory import MemoryStore

Bench = Callable[..., Any]
MINUTE = 60_000_000


def count(bench: Any, identity: Identity, tries: int = 50, **where: Any) -> int:
    return sum(bench.passes(identity, **where) for _ in range(tries))


# ---------------------------------------------------------------------- who spends what


def test_known_callers_spend_the_default(bench: Bench) -> None:
    """M7: a maximum in a window, then 429; after the waiting time the next call passes."""
    b = bench({"default": "10/minute"})
    assert count(b, b.alice) == 10
    refusal = b.spend(b.alice).refusal
    assert (refusal.status, refusal.code, refusal.mode) == (429, "rate-exceeded", "enforce")
    assert dict(refusal.headers)[b"retry-after"] == b"6"
    b.now += 6_000_000
    assert b.passes(b.alice)


def test_anonymous_callers_spend_by_address(bench: Bench) -> None:
    """M7, API-06: nobody in particular is an address."""
    b = bench({"default": "10/minute", "anonymous": "3/minute per address"})
    assert count(b, ANONYMOUS) == 3
    assert count(b, ANONYMOUS, address="192.0.2.2") == 3
    assert count(b, ANONYMOUS, address="::ffff:192.0.2.2") == 0
    assert count(b, b.alice) == 10
    assert not ANONYMOUS.memo


def test_a_limit_of_the_route_comes_on_top(bench: Bench) -> None:
    """API-06: the lowest of all limits wins, and other operations do not suffer."""
    b = bench({"default": "10/minute"}, {"limits": ["4/second per user"]}, {})
    assert count(b, b.alice) == 4
    assert count(b, b.alice, operation=1) == 6


def test_a_refused_call_costs_nothing(bench: Bench) -> None:
    """Defence 2.4, 5 (Tyk 1876): evaluate all, commit only if all pass."""
    b = bench({"default": "10/minute"}, {"limits": ["2/hour"]}, {})
    assert count(b, b.alice, operation=0, tries=500) == 2
    assert count(b, b.alice, operation=1) == 8


SUBJECTS = [
    ("client", Identity("bob", issuer="i", client_id="app"), True),
    ("client", Identity("bob", issuer="i", client_id="other"), False),
    ("client", Identity("bob", issuer="j", client_id="app"), False),
    ("key", Identity("bob", issuer="i", client_id="app"), True),
    ("user", Identity("bob", issuer="i", client_id="app"), False),
    ("user", Identity("ann", issuer="i", client_id="other"), True),
    ("user", Identity("ann", issuer="j", client_id="app"), False),
    ("tenant", Identity("bob", issuer="i", client_id="x", tenant="t"), True),
    ("tenant", Identity("ann", issuer="i", client_id="app"), False),
    ("address", Identity("bob", issuer="j"), True),
    ("route", Identity("bob", issuer="j"), True),
    ("global", Identity("bob", issuer="j"), True),
    ("", Identity("bob", issuer="i", client_id="app"), True),
    ("", Identity("ann", issuer="i", client_id="x"), False),
]


@pytest.mark.parametrize(("subject", "other", "same"), SUBJECTS)
def test_subjects(bench: Bench, subject: str, other: Identity, same: bool) -> None:
    """API-06, RS-22: `per subject` says who shares a bucket; a user is issuer and subject."""
    ann = Identity("ann", issuer="i", client_id="app", tenant="t")
    b = bench({"default": f"1/minute per {subject}" if subject else "1/minute"})
    assert b.passes(ann)
    fresh = Identity(other.subject, issuer=other.issuer, client_id=other.client_id, tenant=other.tenant)
    assert b.passes(fresh) is not same


def test_a_token_without_client_falls_back_to_its_user(bench: Bench) -> None:
    """API-06: two users whose tokens name no client do not share a bucket."""
    b = bench({"default": "1/minute per client"})
    assert b.passes(Identity("ann", issuer="i"))
    assert b.passes(Identity("bob", issuer="i"))
    assert not b.passes(Identity("ann", issuer="i"))


def test_per_route_and_global(bench: Bench) -> None:
    """API-06: `route` is one bucket for each operation, `global` one for all."""
    b = bench({"default": "2/minute per route"}, {}, {})
    assert [count(b, b.alice, operation=index) for index in (0, 1)] == [2, 2]
    b = bench({"default": "2/minute per global"}, {}, {})
    assert [count(b, b.alice, operation=index) for index in (0, 1)] == [2, 0]


def test_a_known_caller_by_address_is_looked_up_anew(bench: Bench) -> None:
    """API-06: what is kept with a credential never holds its address."""
    b = bench({"default": "1/minute per address"})
    assert b.passes(b.alice)
    assert b.passes(b.alice, address="192.0.2.2")
    assert not b.passes(b.alice)


def test_cost_weighs_rates_not_places(bench: Bench) -> None:
    """API-06: `cost` weighs a call; a place is a place."""
    b = bench({"default": "10/minute"}, {"cost": 5, "limits": ["3 concurrent-requests", "100/day"]}, {})
    ledger = b.spend(b.alice)
    assert [outcome[1] for outcome in ledger.results] == [5, 2, 95]
    assert count(b, b.alice, operation=1) == 5


# ---------------------------------------------------------------------- before and after authentication


def test_admit_looks_and_charges_nothing(bench: Bench) -> None:
    """Defence 2.3: an address whose limit is used up is refused before its credential is looked at."""
    b = bench({"anonymous": "2/minute"}, {"cost": 2})
    assert all(b.admit() is None for _ in range(100))
    b.layer.blame(b.request())
    b.layer.blame(b.request())
    refusal = b.admit()
    assert (refusal.status, dict(refusal.headers)[b"retry-after"]) == (429, b"30")
    assert b.admit(address="192.0.2.2") is None


def test_blame_touches_no_account(bench: Bench) -> None:
    """Defence 2.3: failed authentication is charged to the address, so nobody can lock out others."""
    b = bench({"default": "2/minute", "anonymous": "2/minute"})
    for _ in range(100):
        b.layer.blame(b.request())
    assert count(b, b.alice) == 2


def test_without_limits_nothing_is_charged(bench: Bench) -> None:
    """Design: what the policy does not say is not there."""
    b = bench({})
    b.layer.blame(b.request())
    assert b.admit() is None
    assert count(b, ANONYMOUS) == count(b, b.alice) == 50
    assert b.headers(b.spend(b.alice)) == {}
    assert len(b.store) == 0


# ---------------------------------------------------------------------- the refusal


def test_the_refusal_tells_who_refused_and_when_to_return(bench: Bench) -> None:
    """M7, M10, UX-10: 429, problem type, violated policies, Retry-After, RateLimit; file and line."""
    b = bench({"default": "10/minute"}, {"limits": [{"rate": "1/hour per user", "name": "exports"}]})
    b.spend(b.alice)
    refusal = b.spend(b.alice).refusal
    problem = orjson.loads(refusal.problem())
    assert problem["type"].endswith("#quota-exceeded")
    assert problem["violated-policies"] == ["exports"]
    assert problem["detail"].startswith("1 request per hour for each user; try again in")
    headers = dict(refusal.headers)
    assert 3600 <= int(headers[b"retry-after"]) <= 3630
    assert headers[b"ratelimit-policy"] == b'"default";q=10;w=60, "exports";q=1;w=3600'
    assert headers[b"ratelimit"].startswith(b'"default";r=9;t=6, "exports";r=0;t=')
    assert (refusal.rule.file, refusal.rule.line) == ("sixfold.toml", 20)
    assert "`1/hour per user`" in refusal.reason
    assert refusal.remedy
    assert "alice" not in repr(refusal)


def test_no_window_ends_after_retry_after(bench: Bench) -> None:
    """Defence 2.3: Retry-After does not point before the end of a window that the same answer tells."""
    b = bench({"default": "100/hour; 2/second; 1000/day"})
    for _ in range(2):
        b.spend(b.alice)
    headers = dict(b.spend(b.alice).refusal.headers)
    ends = [int(item.split(b"t=")[1]) for item in headers[b"ratelimit"].split(b", ")]
    assert all(1 <= end <= int(headers[b"retry-after"]) for end in ends)


@pytest.mark.parametrize("micros", range(0, 1000, 37))
def test_jitter_only_delays(bench: Bench, micros: int) -> None:
    """M7: Retry-After is rounded up and may be later, never earlier, than the call passes."""
    b = bench({"default": "1/hour"})
    b.now += micros
    b.spend(b.alice)
    after = int(dict(b.spend(b.alice).refusal.headers)[b"retry-after"])
    b.now += after * 1_000_000
    assert b.passes(b.alice)
    assert after <= 3630


def test_quota_and_concurrency_have_their_own_codes(bench: Bench) -> None:
    """UX-10: whatever the limit, it is 429, never 403 or 503."""
    b = bench({}, {"limits": ["1/day"]}, {"limits": ["1 concurrent-requests"]})
    for operation, code in enumerate(("quota-exceeded", "concurrency-exceeded")):
        assert b.passes(b.alice, operation)
        refusal = b.spend(b.alice, operation).refusal
        assert (refusal.code, refusal.status) == (code, 429)
        assert int(dict(refusal.headers)[b"retry-after"]) >= 1


# ---------------------------------------------------------------------- concurrency


def test_places_are_given_back(bench: Bench) -> None:
    """M7: so many at once; given back once, however often it is said."""
    b = bench({"default": "3 concurrent-requests per user"})
    ledgers = [b.spend(b.alice) for _ in range(3)]
    assert not b.passes(b.alice)
    b.layer.release(ledgers[0])
    b.layer.release(ledgers[0])
    assert b.passes(b.alice)
    assert not b.passes(b.alice)
    for ledger in ledgers:
        b.layer.release(ledger)
    assert count(b, b.alice) == 2


def test_a_refused_request_holds_no_place(bench: Bench) -> None:
    """Defence 2.4: nothing is committed for a refused call, places included."""
    b = bench({"default": "1/minute; 5 concurrent-requests"})
    first = b.spend(b.alice)
    for _ in range(10):
        ledger = b.spend(b.alice)
        assert ledger.held is None
    b.layer.release(first)
    assert len(b.store) == 1  # the rate alone


# ---------------------------------------------------------------------- modes


@pytest.mark.parametrize(
    ("table", "operation", "mode"),
    [
        ({"mode": "shadow"}, {}, "shadow"),
        ({}, {"modes": {"rate_limiting": "shadow"}}, "shadow"),
        ({"default": {"rate": "1/minute", "mode": "shadow"}}, {}, "shadow"),
        ({}, {}, "enforce"),
    ],
)
def test_the_weakest_mode_counts(bench: Bench, table: dict[str, Any], operation: dict[str, Any], mode: str) -> None:
    """M10: a limit can be watched before it counts; per table, route and limit."""
    b = bench({"default": "1/minute", **table}, operation)
    assert b.passes(b.alice)
    assert b.spend(b.alice).refusal.mode == mode
    assert (b.headers(b.spend(b.alice)) != {}) == (mode == "enforce")


@pytest.mark.parametrize(
    ("table", "operation"),
    [
        ({"mode": "off"}, {}),
        ({}, {"modes": {"rate_limiting": "off"}}),
        ({"default": {"rate": "1/minute", "mode": "off"}}, {}),
    ],
)
def test_off_is_not_there(bench: Bench, table: dict[str, Any], operation: dict[str, Any]) -> None:
    """Design: mode off compiles nothing."""
    b = bench({"default": "1/minute", **table}, operation)
    assert count(b, b.alice) == 50
    assert len(b.store) == 0


def test_a_shadow_limit_stops_no_other_charge(bench: Bench) -> None:
    """M10: what shadow would refuse is told, and the enforced limits count on as if it were not there."""
    b = bench({"default": "10/minute"}, {"limits": [{"rate": "2/minute", "mode": "shadow"}]})
    modes = [refusal.mode if (refusal := b.spend(b.alice).refusal) else "" for _ in range(12)]
    assert modes == [""] * 2 + ["shadow"] * 8 + ["enforce"] * 2


# ---------------------------------------------------------------------- errors at load


@pytest.mark.parametrize(
    ("table", "operations", "message"),
    [
        (
            {"store": "redis://localhost"},
            [{}],
            "sixfold.toml:11 rate_limiting.store: this version counts in memory",
        ),
        ({"default": "60/mimute"}, [{}], "sixfold.toml:12 rate_limiting.default: `60/mimute`"),
        ({}, [{"limits": ["60/minute per ip"]}], "sixfold.toml:20 [[routes]] 0: `60/minute per ip`"),
        ({"default": "5/second"}, [{}, {"cost": 6}], "`GET /op1` costs 6"),
        ({"tiers": {"free": "5/second"}}, [{"cost": 6}], "costs 6"),
        ({}, [{"cost": 6, "limits": ["5/day"]}], "costs 6"),
        ({"anonymous": "5/second per user"}, [{}], "`per user` does not fit anonymous callers"),
        ({"anonymous": "5/second per route"}, [{}], "write `per address`"),
        ({"anonymous": "5/second"}, [{"cost": 6, "access": "public"}], "costs 6"),
        ({"anonymous": "5/second"}, [{"cost": 6, "modes": {"authentication": "shadow"}}], "costs 6"),
        ({}, [{"limits": ["5 concurrent", "5 concurrent-requests"]}], "stands there twice"),
        ({"default": "5 concurrent; 5 concurrent"}, [{}], "stands there twice"),
        ({"default": {"rate": "5/second", "name": "naïve"}}, [{}], "ASCII"),
        ({"tiers": {"free": "5/second"}, "clients": {"app": "fre"}}, [{}], "did you mean `free`"),
        ({"tier": "plan"}, [{}], "claim:plan"),
        ({"tier": "claim:"}, [{}], "claim:plan"),
    ],
)
def test_what_cannot_work_is_refused_at_load(
    bench: Bench, table: dict[str, Any], operations: list[dict[str, Any]], message: str
) -> None:
    """Defence 2.2: compile-time checks name file and line."""
    with pytest.raises(ValueError) as caught:
        bench(table, *operations)
    assert message in str(caught.value)
    assert str(caught.value).startswith("sixfold.toml:")


def test_what_nobody_anonymous_may_call_may_cost_more(bench: Bench) -> None:
    """Defence 2.2: only operations that anonymous callers reach are weighed against their limit."""
    b = bench({"anonymous": "5/second"}, {"cost": 6, "access": "authenticated"})
    assert b.passes(b.alice)
    assert b.admit() is None


def test_a_burst_makes_room_for_a_cost(bench: Bench) -> None:
    """Defence 2.2: burst at least the largest single cost."""
    b = bench({"default": "5/second burst 6"}, {"cost": 6})
    assert b.passes(b.alice)


# ---------------------------------------------------------------------- stores that do not answer at once


class FarStore(MemoryStore):
    """Answers through a Need, like a store on the network."""

    immediate = False  # type: ignore[misc]


def far(bench: Bench, **limit: Any) -> Any:
    return bench({"default": {"rate": "2/minute", **limit}}, store=FarStore(), local=MemoryStore())


def test_a_far_store_is_asked_by_a_need(bench: Bench) -> None:
    """Design: a layer does no I/O; all charges of a request go in one question."""
    b = far(bench)
    outcomes = []
    for _ in range(3):
        ledger = b.spend(b.alice)
        assert ledger.refusal is None
        assert isinstance(ledger.need, Counters)
        settled = b.layer.settle(ledger, b.store.spend(ledger.need.charges, ledger.need.now))
        outcomes.append(settled.refusal.code if settled.refusal else "")
        assert b.headers(settled)["ratelimit"]
    assert outcomes == ["", "", "rate-exceeded"]


@pytest.mark.parametrize(
    ("stance", "codes"),
    [
        ("local", [None, None, "rate-exceeded"]),
        ("allow", [None, None, None]),
        ("deny", ["limits-unavailable"] * 3),
    ],
)
def test_a_store_out_of_reach(bench: Bench, stance: str, codes: list[str | None]) -> None:
    """UX-03, defence 2.6: per limit local, deny or allow; never a 500."""
    b = far(bench, on_store_failure=stance)
    found = []
    for _ in range(3):
        settled = b.layer.settle(b.spend(b.alice), Unavailable("no answer in 20 ms"))
        found.append(settled.refusal.code if settled.refusal else None)
        b.headers(settled)
    assert found == codes
    if stance == "deny":
        assert settled.refusal.status == 503
        assert int(dict(settled.refusal.headers)[b"retry-after"]) >= 1


def test_stances_are_each_limit_s_own(bench: Bench) -> None:
    """UX-03: one limit that allows does not open another one; places are held where they were taken."""
    limits = [{"rate": "1 concurrent-requests"}, {"rate": "1/day", "on_store_failure": "allow"}]
    b = bench({}, {"limits": limits}, store=FarStore(), local=MemoryStore())
    first, second = (b.layer.settle(b.spend(b.alice), Unavailable("gone")) for _ in range(2))
    assert first.refusal is None
    assert second.refusal.code == "concurrency-exceeded"
    b.layer.release(first)
    assert b.layer.settle(b.spend(b.alice), Unavailable("gone")).refusal is None


def test_a_far_store_needs_a_near_one(bench: Bench) -> None:
    """UX-03: there is no stance `local` without something local."""
    with pytest.raises(TypeError):
        bench({}, store=FarStore())


# ---------------------------------------------------------------------- threads


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Let threads take turns as often as they can, so that a step that is not atomic is found out."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("eager_threads")
def test_concurrent_callers_get_exactly_the_limit(bench: Bench) -> None:
    """UX-14: one atomic step per decision, so racing callers get no more than queued ones."""
    b = bench({"default": "500/hour"})
    passed: list[bool] = []

    def call() -> None:
        passed.extend(b.passes(b.alice) for _ in range(200))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) == 500
