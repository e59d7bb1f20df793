"""Marks: what an endpoint says about itself. A mark only notes something down; the route table is read at start.

Never a wrapper (UX-05): the marked function stays the function it was, so neither its order nor its signature matters.
"""

from __future__ import annotations

import gc
import inspect
import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final, Literal, NamedTuple, TypeVar

from sixfold.decision import Mode
from sixfold.layers.rate_limiting.rate import parse as parse_rate
from sixfold.policy.document import Limit, Requirement
from sixfold.policy.refine import alternatives

Access = Literal["", "public", "authenticated", "require"]
Endpoint = TypeVar("Endpoint")
ATTRIBUTE: Final = "__sixfold__"


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


def lost(seen: Iterable[Said], endpoints: Callable[[], Iterator[object]]) -> list[object]:
    """Return the marked objects that no route calls: somebody wrapped them without telling (UX-05).

    Arguments:
        seen: marks of the application's own routes.
        endpoints: those of every route in this process; asked only if a mark is missing, since another application
            or a router that is left out today may own it.
    """
    missing = _missing({said.number for said in seen})
    if not missing:
        return []
    del missing
    gc.collect()  # what was thrown away owns no marks
    numbers = {said.number for said in seen} | {said.number for end in endpoints() for said in said_by(end)}
    return _missing(numbers)


def _missing(numbers: set[int]) -> list[object]:
    return [target for ref, said in _noted if said.number not in numbers and (target := ref()) is not None]


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
