"""How one route changes an operation. What a route does not say stays as it was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from sixfold.decision import LayerName, Mode, Rule
from sixfold.policy.document import Limit, LimitValue, Requirement, Route, RouteModes
from sixfold.policy.model import Operation

_LAYERS: Final[tuple[LayerName, ...]] = ("rate_limiting", "authentication", "authorization", "validation")
_PLAIN: Final = ("cost", "max_age", "max_body", "timeout", "upstream", "request_headers", "response_headers")


def refine(operation: Operation, route: Route, rule: Rule) -> Operation:
    """Return the operation as a route wants it.

    A route that says who may call replaces the conditions as well: they belong to that answer. One that only
    adds `limit` or `when` leaves the answer alone.

    Arguments:
        operation: as it was.
        route: what changes.
        rule: where the route stands.
    """
    said = route.model_fields_set
    changes: dict[str, Any] = {key: getattr(route, key) for key in _PLAIN if key in said}
    access = access_of(route)
    if access is not None:
        changes.update(access=access[0], require=access[1], when=tuple(route.when), rule=rule)
    elif "when" in said:
        changes.update(when=tuple(route.when), rule=rule)
    if route.limit is not None:
        changes.update(limits=limits_of(route.limit), limit_rule=rule)
    if route.acr is not None:
        changes["acr"] = (route.acr,) if isinstance(route.acr, str) else tuple(route.acr)
    if route.mode is not None:
        changes["modes"] = {**operation.modes, **modes_of(route.mode)}
    if route.content_types is not None:
        changes["content_types"] = tuple(kind.lower() for kind in route.content_types)
    return replace(operation, **changes) if changes else operation


def access_of(route: Route) -> tuple[str, tuple[frozenset[str], ...]] | None:
    """Return access and alternatives, or None if the route says nothing about who may call."""
    for word, value in (
        ("public", route.public),
        ("authenticated", route.authenticated),
        ("deny", route.deny),
    ):
        if value:
            return word, ()
    return None if route.require is None else ("require", alternatives(route.require))


def alternatives(require: str | list[str] | Requirement) -> tuple[frozenset[str], ...]:
    """Return a requirement as alternatives, each a set of names that must all be granted.

    One name, or a list of which all are needed; `{ all, any }`: all of the one and at least one of the other.
    """
    if isinstance(require, str):
        return (frozenset((require,)),)
    if isinstance(require, list):
        return (frozenset(require),)
    every = frozenset(require.all)
    return tuple(every | {name} for name in dict.fromkeys(require.any)) if require.any else (every,)


def limits_of(value: LimitValue | list[LimitValue]) -> tuple[Limit, ...]:
    """Return limits in their long form; the text of a rate belongs to the rate limiting layer."""
    values = value if isinstance(value, list) else [value]
    return tuple(item if isinstance(item, Limit) else Limit(rate=item) for item in values)


def modes_of(mode: Mode | RouteModes) -> dict[LayerName, Mode]:
    """Return the modes that a route sets, by layer; one word stands for every layer that a route can name."""
    if isinstance(mode, str):
        return dict.fromkeys(_LAYERS, mode)
    return {layer: chosen for layer in _LAYERS if (chosen := getattr(mode, layer)) is not None}
