"""A plan: all limits that one kind of caller meets on one operation, compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from sixfold.decision import Mode, Rule
from sixfold.identity import Identity
from sixfold.layers.rate_limiting.dialects import Shown, writer
from sixfold.layers.rate_limiting.rate import Rate, Subject
from sixfold.layers.rate_limiting.store import Charge, Meter

Stance = Literal["local", "deny", "allow"]
_CALLER: Final = frozenset(("", "client", "user", "tenant", "key"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One limit of the policy.

    Arguments:
        name: as the client reads it.
        scope: where it stands; part of the bucket's key.
        stance: what happens while a store is out of reach.
    """

    name: str
    scope: str
    rate: Rate
    meter: Meter
    rule: Rule
    mode: Mode
    stance: Stance


class Item(NamedTuple):
    """A limit on one operation.

    Arguments:
        subject: whose bucket, decided.
        cost: of one request.
        mode: effective; never "off".
        name: unique in its plan.
        prefix: of the bucket's key.
    """

    bound: Bound
    subject: Subject
    cost: int
    mode: Mode
    name: str
    prefix: str

    def charge(self, subjects: Mapping[str, str]) -> Charge:
        """Return the charge for a caller."""
        return Charge(self.prefix + subjects[self.subject], self.bound.meter, self.cost, self.mode == "enforce")


class Plan:
    """Limits that are spent together.

    Arguments:
        items: in the order in which they are told.
        dialect: of the headers.
    """

    __slots__ = ("by_address", "dialect", "holds", "items", "local", "write")

    def __init__(self, items: tuple[Item, ...], dialect: str) -> None:
        self.items = items
        self.dialect = dialect
        self.by_address = any(item.subject == "address" for item in items)
        self.holds = tuple(place for place, item in enumerate(items) if item.bound.meter.kind == "concurrency")
        # A limit in shadow mode does not bind, so a client should not pace itself by it.
        enforced = [place for place, item in enumerate(items) if item.mode == "enforce"]
        self.write = writer(dialect, [Shown(place, items[place].name, items[place].bound.rate) for place in enforced])
        fallback = tuple(item for item in items if item.bound.stance == "local")
        self.local: Plan = self if len(fallback) == len(items) else Plan(fallback, dialect)

    def charges(self, subjects: Mapping[str, str]) -> tuple[Charge, ...]:
        """Return the charges for a caller.

        Arguments:
            subjects: name of the bucket for each subject that the plan knows.
        """
        return tuple([item.charge(subjects) for item in self.items])


def decide(subject: Subject, *, known: bool) -> Subject:
    """Return whose bucket counts: without a word the client's. Nobody in particular is an address."""
    if subject in _CALLER:
        return (subject or "client") if known else "address"
    return subject


def subjects_of(identity: Identity) -> dict[str, str]:
    """Return the buckets of a known caller.

    A token without client falls back to its user, a user without tenant stands alone. Names carry the issuer:
    two issuers may use the same name for different people (RS-22).
    """
    user = f"u\x1f{identity.key}"
    client = f"c\x1f{identity.issuer}\x1f{identity.client_id}" if identity.client_id else user
    tenant = f"t\x1f{identity.issuer}\x1f{identity.tenant}" if identity.tenant else user
    return {"user": user, "client": client, "key": client, "tenant": tenant, "global": ""}
