"""Marks: what an endpoint says about itself. A mark only notes something down; the route table is read at start.

Never a wrapper (UX-05): the marked function stays the function it was, so neither its order nor its signature matters.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Iterable
from functools import partial
from typing import Any, Final, Literal, NamedTuple, TypeVar

from sixfold.decision import Mode
from sixfold.layers.rate_limiting.rate import parse as parse_rate
from sixfold.policy.document import Limit, Requirement
from sixfold.policy.refine import alternatives

Access = Literal["", "public", "authenticated", "require"]
Endpoint = TypeVar("Endpoint")
ATTRIBUTE: Final = "__sixfold__"
_DEPTH: Final = 5  # wrappers around one another, as far as they are looked through


class Words(NamedTuple):
    """What one mark says, or all marks of an endpoint together.

    Arguments:
        access: "" says nothing about who may call.
        require: alternatives, each a set of names that must all be granted.
        when: conditions that must all hold.
        limits: of this endpoint only.
        cost: of one call, 0 for not said.
    """

    access: Access = ""
    require: tuple[frozenset[str], ...] = ()
    when: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    cost: int = 0

    @property
    def scopes(self) -> tuple[str, ...]:
        """Every name that is mentioned, sorted; for OpenAPI."""
        return tuple(sorted(frozenset().union(*self.require)))


SILENT: Final = Words()


class Said(NamedTuple):
    """One use of a mark on one object."""

    words: Words
    number: int


class Mark:
    """A mark, used as a decorator above or below the route's own."""

    words: Words

    def __call__(self, endpoint: Endpoint) -> Endpoint:
        """Note the mark on an endpoint (function, class or ASGI application) and return it untouched.

        Raises:
            TypeError: an object that cannot carry a mark.
        """
        note(endpoint, self.words)
        return endpoint


def required(names: tuple[str, ...], any_of: str | Iterable[str], when: str | Iterable[str]) -> Words:
    """Return what `require(...)` says; without any name: a signed-in caller.

    Raises:
        TypeError: a name that is no text, or empty.
    """
    either = _texts(any_of)
    for name in (*names, *either):
        if not isinstance(name, str) or not name:
            raise TypeError('`require` takes names of scopes, permissions or `@roles`: require("orders:read")')
    if not names and not either:
        return Words(access="authenticated", when=_texts(when))
    found = alternatives(Requirement(all=list(names), any=list(either)))
    return Words(access="require", require=found, when=_texts(when))


def limited(rate: str, per: str, cost: int, mode: Mode, name: str | None, on_store_failure: Any) -> Words:
    """Return what `limit(...)` says. The rate is read here, so that a wrong one fails where it stands.

    Raises:
        ValueError: a text that is no rate, with what to write instead.
    """
    if not isinstance(per, str):
        raise TypeError('`per` names a subject: "client", "user", "tenant", "address", "key", "route" or "global"')
    if per:
        rate = "; ".join(f"{part.strip()} per {per}" for part in rate.split(";"))
    text = "; ".join(map(str, parse_rate(rate)))
    return Words(limits=(Limit(rate=text, mode=mode, name=name, on_store_failure=on_store_failure),), cost=cost)


def combine(marks: Iterable[Words]) -> Words:
    """Return what several marks say together: every requirement holds, every limit counts.

    Raises:
        ValueError: `public` beside a requirement.
    """
    whole = SILENT
    for words in marks:
        whole = _both(whole, words)
    return whole


def _both(one: Words, other: Words) -> Words:
    kinds = {one.access, other.access} - {""}
    if "public" in kinds and len(kinds) > 1:
        raise ValueError("`public` and `require` contradict each other; keep one")
    access: Access = "require" if "require" in kinds else next(iter(kinds), "")
    require = one.require or other.require
    if one.require and other.require:
        require = tuple(dict.fromkeys(mine | theirs for mine in one.require for theirs in other.require))
    return Words(
        access=access, require=require, when=(*one.when, *other.when), limits=(*one.limits, *other.limits),
        cost=other.cost or one.cost,
    )  # fmt: skip


# ---------------------------------------------------------------------- who carries which mark

_noted: list[tuple[weakref.ref[Any], Said]] = []


def note(endpoint: object, words: Words) -> None:
    """Write a mark down on an object and in the list of all marks.

    Raises:
        TypeError: an object that cannot carry it.
    """
    target = getattr(endpoint, "__func__", endpoint)
    said = Said(words, len(_noted))
    try:
        setattr(target, ATTRIBUTE, (*_own(target), said))
        _noted.append((weakref.ref(target), said))
    except (AttributeError, TypeError):
        raise TypeError("a mark stands on a function, a class or an application of your own") from None


def said_by(endpoint: object) -> tuple[Said, ...]:
    """Return the marks an endpoint carries; a wrapper made by `functools.wraps` carries those of what it wraps."""
    while isinstance(endpoint, partial):
        endpoint = endpoint.func
    found = getattr(endpoint, ATTRIBUTE, ())
    return found if isinstance(found, tuple) else ()


def _own(target: object) -> tuple[Said, ...]:
    return said_by(target)


def lost(seen: Iterable[Said], endpoints: Iterable[object]) -> list[object]:
    """Return the marked objects that stand apart from the routes they were meant for (UX-05).

    A decorator of somebody else's came between, and did not tell (`functools.wraps`): the endpoint calls what was
    marked, or what was marked calls the endpoint. A marked function that has nothing to do with these endpoints is
    not ours to judge: its router may be left out today, or belong to another application.

    Arguments:
        seen: marks that the routes carry.
        endpoints: of these routes.
    """
    numbers = {said.number for said in seen}
    missing = {
        id(target): target for ref, said in _noted if said.number not in numbers and (target := ref()) is not None
    }
    if not missing:
        return []
    ends = {id(endpoint): endpoint for endpoint in endpoints}
    inside = {key for endpoint in ends.values() for key in _reach(endpoint)}
    return [target for key, target in missing.items() if key in inside or not ends.keys().isdisjoint(_reach(target))]


def _reach(start: object) -> dict[int, object]:
    """Return what a callable holds on to, directly or through others, so that it may call it."""
    found: dict[int, object] = {}
    layer = [start]
    for _ in range(_DEPTH):
        layer = [one for outer in layer for one in _held(outer) if id(one) not in found]
        found.update((id(one), one) for one in layer)
    return found


def _held(thing: object) -> list[object]:
    held: list[object] = [getattr(thing, name, None) for name in ("__wrapped__", "__func__", "__self__", "func")]
    for cell in getattr(thing, "__closure__", None) or ():
        try:
            held.append(cell.cell_contents)
        except ValueError:  # not filled yet
            continue
    if not inspect.isclass(thing):
        held += list(getattr(thing, "__dict__", {}).values())
    return [one for one in held if callable(one)]


def place(endpoint: object) -> tuple[str, int]:
    """Return file and line of an endpoint's definition, or ("", 0)."""
    while isinstance(endpoint, partial):
        endpoint = endpoint.func
    target: Any = inspect.unwrap(endpoint) if callable(endpoint) else endpoint
    target = getattr(target, "__func__", target)
    code = getattr(target, "__code__", None)
    if code is not None:
        return code.co_filename, code.co_firstlineno
    if not inspect.isclass(target):
        target = type(target)
    try:
        return inspect.getsourcefile(target) or "", inspect.getsourcelines(target)[1]
    except (OSError, TypeError):
        return "", 0


def _texts(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
