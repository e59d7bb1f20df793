"""What rate limiting compiles from `[rate_limiting]` and the limits of routes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sixfold.decision import Mode, Rule
from sixfold.identity import Identity
from sixfold.layers.rate_limiting.concurrency import Concurrency
from sixfold.layers.rate_limiting.gcra import Gcra
from sixfold.layers.rate_limiting.plan import Bound, Item, Plan, decide
from sixfold.layers.rate_limiting.quota import Quota
from sixfold.layers.rate_limiting.rate import Rate, RateError, parse
from sixfold.layers.rate_limiting.store import Meter
from sixfold.layers.rate_limiting.tiers import tier_of
from sixfold.policy.document import Limit, LimitValue
from sixfold.policy.model import Operation, Policy, weaker


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The compiled table. Plans stand in tuples by `operation.index`.

    Arguments:
        doors: the anonymous limits alone, looked at before a credential is.
        blame: the anonymous limits alone, charged for a bad credential.
        anonymous: all that an unknown caller spends.
        known: all that a known caller spends, by tier ("" is the default).
        tier: names the tier of a caller.
    """

    doors: tuple[Plan, ...]
    blame: Plan
    anonymous: tuple[Plan, ...]
    known: tuple[dict[str, Plan], ...]
    tier: Callable[[Identity], str]


def compile_rules(policy: Policy) -> Rules:
    """Compile the policy's limits.

    Raises:
        ValueError: a limit that cannot be read or cannot work; the text starts with file and line.
    """
    return _Compiler(policy).rules()


def meter(rate: Rate) -> Meter:
    """Return the algorithm of a rate."""
    if rate.unit == "concurrent-requests":
        return Concurrency(rate.amount)
    if rate.period == "day" or rate.period == "month":
        return Quota(rate.amount, rate.every, rate.period)
    return Gcra(rate.amount, rate.seconds, rate.burst or rate.amount)


class _Compiler:
    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.table = policy.document.rate_limiting
        self.plans: dict[tuple[Item, ...], Plan] = {}

    def rules(self) -> Rules:
        if self.table.store != "memory":
            where = self.policy.rule("rate_limiting.store")
            raise ValueError(f'{where}: this version counts in memory only; write store = "memory"')
        operations = self.policy.operations
        anonymous = self.anonymous()
        default = self.bounds("default", self.table.default)
        tiers = {name: self.bounds(f"tiers.{name}", rate, name) for name, rate in self.table.tiers.items()}
        rates = {name: [bound.rate for bound in bounds] for name, bounds in tiers.items()}
        routes = [self.route_bounds(operation) for operation in operations]
        callers = {"": default, **tiers}
        entry = tuple(bound for bound in anonymous if bound.meter.kind != "concurrency")
        return Rules(
            doors=tuple([self.plan(entry, operation, known=False, free=True) for operation in operations]),
            blame=self.plan(entry, None, known=False),
            anonymous=tuple([
                self.plan(anonymous + own, operation, known=False)
                for operation, own in zip(operations, routes, strict=True)
            ]),
            known=tuple([
                {tier: self.plan(bounds + own, operation, known=True) for tier, bounds in callers.items()}
                for operation, own in zip(operations, routes, strict=True)
            ]),
            tier=tier_of(self.policy, rates),
        )  # fmt: skip

    # ------------------------------------------------------------------ bounds

    def bounds(self, key: str, value: LimitValue | None, name: str = "") -> tuple[Bound, ...]:
        """Return the limits of a key of the table."""
        if value is None:
            return ()
        limit = Limit(rate=value) if isinstance(value, str) else value
        found = self.read(limit, key, name or key, self.policy.rule(f"rate_limiting.{key}"))
        check_twice(found)
        for operation in self.policy.operations:
            if key != "anonymous" or self.open_to_anybody(operation):
                check_cost(found, operation)
        return found

    def anonymous(self) -> tuple[Bound, ...]:
        """Return the limits of anonymous callers, who have an address and nothing else."""
        found = self.bounds("anonymous", self.table.anonymous)
        for bound in found:
            if bound.rate.subject not in ("", "address", "global"):
                raise ValueError(
                    f"{bound.rule}: `per {bound.rate.subject}` does not fit anonymous callers; "
                    "write `per address` or `per global`"
                )
        return found

    def open_to_anybody(self, operation: Operation) -> bool:
        mode = self.policy.document.authentication.mode
        mode = weaker(mode, operation.modes.get("authentication", "enforce"))
        return operation.access == "public" or mode != "enforce"

    def route_bounds(self, operation: Operation) -> tuple[Bound, ...]:
        """Return the limits of one operation."""
        scope = f"{operation.method} {operation.path}"
        found: list[Bound] = []
        for limit in operation.limits:
            found += self.read(limit, scope, "route", operation.limit_rule or operation.rule)
        check_twice(found)
        check_cost(found, operation)
        return tuple(found)

    def read(self, limit: Limit, scope: str, name: str, rule: Rule) -> tuple[Bound, ...]:
        name = limit.name or name
        if not (name.isascii() and name.isprintable()):
            raise ValueError(f"{rule}: the name of a limit stands in a header: ASCII without control characters only")
        try:
            rates = parse(limit.rate)
        except RateError as problem:
            raise ValueError(f"{rule}: {problem}") from None
        return tuple([
            Bound(
                name=name if len(rates) == 1 else f"{name}-{rate.period or 'concurrent'}",
                scope=scope, rate=rate, meter=meter(rate), rule=rule, mode=limit.mode,
                stance=limit.on_store_failure,
            )
            for rate in rates
        ])  # fmt: skip

    # ------------------------------------------------------------------ plans

    def plan(self, bounds: Iterable[Bound], operation: Operation | None, *, known: bool, free: bool = False) -> Plan:
        """Return the plan of these limits; operations with the same limits share one.

        Arguments:
            bounds: the limits.
            operation: None where no operation is known: costs 1.
            known: whether the caller is.
            free: costs 1 whatever the operation costs (a look, not a charge).
        """
        mode: Mode = self.table.mode
        if operation is not None:
            mode = weaker(mode, operation.modes.get("rate_limiting", "enforce"))
        items: list[Item] = []
        for bound in bounds:
            effective = weaker(mode, bound.mode)
            if effective != "off":
                cost = 1 if free or operation is None or bound.meter.kind == "concurrency" else operation.cost
                items.append(item(bound, operation, cost, effective, known=known, taken=[made.name for made in items]))
        key = tuple(items)
        found = self.plans.get(key)
        if found is None:
            found = self.plans[key] = Plan(key, self.table.headers)
        return found


def item(
    bound: Bound, operation: Operation | None, cost: int, mode: Mode, *, known: bool, taken: Sequence[str]
) -> Item:
    """Return a limit as it applies to one operation."""
    subject = decide(bound.rate.subject, known=known)
    prefix = f"{bound.scope}\x1f{bound.rate}\x1f{subject}\x1f"
    if subject == "route" and operation is not None:
        prefix += f"{operation.method} {operation.path}"
        subject = "global"
    name, number = bound.name, 2
    while name in taken:
        name, number = f"{bound.name}-{number}", number + 1
    return Item(bound, subject, cost, mode, name, prefix)


def check_twice(bounds: Iterable[Bound]) -> None:
    """Refuse a limit that stands twice in one place: both would be one bucket, given back twice."""
    seen = set()
    for bound in bounds:
        if bound.rate in seen:
            raise ValueError(f"{bound.rule}: `{bound.rate}` stands there twice; keep one")
        seen.add(bound.rate)


def check_cost(bounds: Iterable[Bound], operation: Operation) -> None:
    """Refuse a limit that the cost of one request can never meet."""
    for bound in bounds:
        rate = bound.rate
        if rate.period and operation.cost > (rate.burst or rate.amount):
            raise ValueError(
                f"{bound.rule}: `{rate}` lets {rate.burst or rate.amount} through at once, but one "
                f"`{operation.method} {operation.path}` costs {operation.cost}; raise `burst` or lower `cost`"
            )
