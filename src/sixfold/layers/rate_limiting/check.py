"""Rate limiting's verbs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sixfold.decision import Refusal
from sixfold.identity import Identity
from sixfold.layers.rate_limiting.address import grouping
from sixfold.layers.rate_limiting.plan import Item, Plan, subjects_of
from sixfold.layers.rate_limiting.refusals import exceeded, unavailable
from sixfold.layers.rate_limiting.rules import compile_rules
from sixfold.layers.rate_limiting.store import Charge, LimitStore, Outcome
from sixfold.needs import Counters, Need, Unavailable
from sixfold.policy.model import Operation, Policy
from sixfold.request import Pair, Request

_ROOM: Final = "rate_limiting"


class Held(NamedTuple):
    """Places of concurrency limits, and the store that holds them."""

    store: LimitStore
    charges: tuple[Charge, ...]


class Ledger:
    """What was charged for one request.

    Arguments:
        plan: the limits that applied.
        results: one outcome per limit; empty while `need` is open.
        need: the question to a store that does not answer at once; its answer goes to `RateLimiting.settle`.

    Attributes:
        refusal: of a limit that is exceeded, or None.
        held: what `RateLimiting.release` gives back, or None.
    """

    __slots__ = ("held", "need", "plan", "refusal", "results")

    def __init__(self, plan: Plan, results: Sequence[Outcome] = (), need: Need | None = None) -> None:
        self.plan = plan
        self.results = results
        self.need = need
        self.refusal: Refusal | None = None
        self.held: Held | None = None


class _Caller:
    """What is derived once per credential: its buckets, its tier, and its charges per operation."""

    __slots__ = ("charges", "subjects", "tier")

    def __init__(self, subjects: dict[str, str], tier: str) -> None:
        self.subjects = subjects
        self.tier = tier
        self.charges: dict[int, tuple[Plan, tuple[Charge, ...] | None]] = {}


class RateLimiting:
    """How often.

    Arguments:
        policy: the compiled policy.
        store: where counters live.
        local: counters of this process, for limits that go on without the store.

    Raises:
        ValueError: a limit that cannot be read or cannot work; the text starts with file and line.
    """

    def __init__(self, policy: Policy, store: LimitStore, local: LimitStore | None = None) -> None:
        if local is None:
            if not store.immediate:
                raise TypeError("a store that can fail needs a local one beside it")
            local = store
        table = policy.document.rate_limiting
        self._rules = rules = compile_rules(policy)
        self._store = store
        self._local = local
        self._immediate = store.immediate
        self._group = grouping(table.ipv4_prefix, table.ipv6_prefix)
        self._doors = rules.doors
        self._anonymous = rules.anonymous
        self._known = rules.known

    def admit(self, request: Request, operation: Operation) -> Refusal | None:
        """Refuse an address whose anonymous limit is used up, before any signature is computed.

        Charges nothing: most callers turn out to be known, and spend their own limits.

        Returns:
            429 `rate-exceeded` or `quota-exceeded`.
        """
        plan = self._doors[operation.index]
        if not plan.items:
            return None
        outcomes = self._store.peek(plan.charges(self._subjects(request)), request.now)
        for outcome in outcomes:
            if outcome[0]:
                return exceeded(plan, outcomes, request.now)
        return None

    def blame(self, request: Request) -> None:
        """Charge a bad credential to the address it came from, never to somebody's account (defence 2.3)."""
        plan = self._rules.blame
        if plan.items:
            self._store.record(plan.charges(self._subjects(request)), request.now)

    def spend(self, request: Request, operation: Operation, identity: Identity) -> Ledger:
        """Charge all limits that apply to this caller on this operation, or none if one of them is exceeded.

        Returns:
            a Ledger, with its `need` open if the store does not answer at once.
        """
        if identity.scheme:
            caller = identity.memo.get(_ROOM)
            if caller is None:
                caller = identity.memo[_ROOM] = _Caller(subjects_of(identity), self._rules.tier(identity))
            found = caller.charges.get(operation.index)
            if found is None:
                found = self._open(caller, operation.index)
            plan, charges = found
            if charges is None:
                charges = plan.charges({**caller.subjects, **self._subjects(request)})
        else:
            plan = self._anonymous[operation.index]
            charges = plan.charges(self._subjects(request)) if plan.items else ()
        if not charges:
            return Ledger(plan)
        if self._immediate:
            return _settled(plan, charges, self._store, request.now)
        return Ledger(plan, need=Counters(charges, request.now))

    def settle(self, ledger: Ledger, answer: Any) -> Ledger:
        """Return the Ledger once the store has answered; without an answer each limit has its stance.

        Arguments:
            ledger: with its need open.
            answer: what `LimitStore.spend` returns, or `Unavailable`.

        Returns:
            a Ledger that refuses with 503 `limits-unavailable` where a limit says `deny`.
        """
        need = ledger.need
        if not isinstance(need, Counters):
            raise TypeError("only a ledger with an open need can be settled")
        if isinstance(answer, Unavailable):
            return self._without_store(ledger.plan, need, answer)
        return _concluded(Ledger(ledger.plan, answer), need.charges, self._store, need.now)

    def headers(self, ledger: Ledger, request: Request, headers: list[Pair]) -> None:
        """Append what the client is told of its limits, in the policy's dialect."""
        if ledger.results:
            ledger.plan.write(ledger.results, request.now, headers)

    def lines(self, ledger: Ledger, request: Request) -> bytes:
        """Return the same as header lines."""
        if not ledger.results:
            return b""
        headers: list[Pair] = []
        ledger.plan.write(ledger.results, request.now, headers)
        return b"".join([b"%b: %b\r\n" % pair for pair in headers])

    def release(self, ledger: Ledger) -> None:
        """Give back the places that a request held; more than once does no harm."""
        held = ledger.held
        if held is not None:
            ledger.held = None
            held.store.release(held.charges)

    def _subjects(self, request: Request) -> dict[str, str]:
        return {"address": self._group(request.address), "global": ""}

    def _open(self, caller: _Caller, index: int) -> tuple[Plan, tuple[Charge, ...] | None]:
        """Keep a caller's plan for an operation, and its charges if they are the same for every request."""
        plan = self._known[index][caller.tier]
        found = caller.charges[index] = (plan, None if plan.by_address else plan.charges(caller.subjects))
        return found

    def _without_store(self, plan: Plan, need: Counters, answer: Unavailable) -> Ledger:
        denying = sorted((item for item in plan.items if item.bound.stance == "deny"), key=_enforced, reverse=True)
        refusal = unavailable(denying[0], answer.reason) if denying else None
        if refusal is not None and refusal.mode == "enforce":
            ledger = Ledger(plan)
            ledger.refusal = refusal
            return ledger
        pairs = zip(plan.items, need.charges, strict=True)
        charges = tuple(charge for item, charge in pairs if item.bound.stance == "local")
        ledger = _settled(plan.local, charges, self._local, need.now)
        if ledger.refusal is None:
            ledger.refusal = refusal
        return ledger


def _enforced(item: Item) -> bool:
    return item.mode == "enforce"


def _settled(plan: Plan, charges: tuple[Charge, ...], store: LimitStore, now: int) -> Ledger:
    """Charge a store that answers at once."""
    ledger = Ledger(plan, store.spend(charges, now))
    for outcome in ledger.results:
        if outcome[0]:
            return _concluded(ledger, charges, store, now)
    return _concluded(ledger, charges, store, now) if plan.holds else ledger


def _concluded(ledger: Ledger, charges: tuple[Charge, ...], store: LimitStore, now: int) -> Ledger:
    """Fill in the refusal and the places held, from the outcomes."""
    plan, outcomes = ledger.plan, ledger.results
    if any(outcome[0] for outcome in outcomes):
        ledger.refusal = exceeded(plan, outcomes, now)
    if ledger.refusal is None or ledger.refusal.mode != "enforce":
        held = tuple([charges[place] for place in plan.holds if not outcomes[place][0]])
        ledger.held = Held(store, held) if held else None
    return ledger
