"""Lists the routes of a Starlette or FastAPI application. What it does not know, it refuses (UX-06).

Since FastAPI 0.137 `include_router` keeps a tree; `fastapi.routing.iter_route_contexts` walks it. Mounted applications
are read like the application itself; one that has no routes of its own stands as one `/**`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from starlette.convertors import CONVERTOR_TYPES
from starlette.routing import Host, Mount, Route, WebSocketRoute

from sixfold.middleware.marks import Said, Words, combine, place, said_by
from sixfold.middleware.overlap import ANY, Segment, Shape, shape
from sixfold.middleware.table import Found, shown
from sixfold.policy import PolicyError, Problem
from sixfold.policy.match import METHODS

_PARAMETER: Final = re.compile(r"\{([a-zA-Z_][a-zA-Z0-9_]*)(?::([a-zA-Z_][a-zA-Z0-9_]*))?\}")
Marks = Callable[[Any], tuple[list[Words], bool]]


def no_marks(route: Any) -> tuple[list[Words], bool]:
    """Return the marks that the dependencies of a route carry; Starlette has no dependencies."""
    return [], False


class Discovery:
    """What an application has.

    Arguments:
        app: the application.
        dependencies: returns the marks among a route's dependencies, and whether it asks for an `Identity`.

    Attributes:
        found: every route, in the order in which the router tries them.
        said: the marks that were met.
        endpoints: functions, classes, their methods, mounted applications.
        applications: those with an OpenAPI document, and the prefix they are mounted under.
    """

    def __init__(self, app: Any, dependencies: Marks = no_marks) -> None:
        self._dependencies = dependencies
        self._problems: list[Problem] = []
        self.said: list[Said] = []
        self.found: list[Found] = []
        self.endpoints: list[object] = []
        self.applications: list[tuple[Any, str]] = [(app, "")]
        self._walk(app.routes, "")
        if self._problems:
            raise PolicyError(*self._problems)

    def _walk(self, routes: list[Any], prefix: str) -> None:
        for route in contexts(routes):
            original = getattr(route, "original_route", route)
            if isinstance(original, Mount):
                self._mount(route, original, prefix)
            elif isinstance(original, Host):
                self._walk(original.routes, prefix)
            elif isinstance(original, WebSocketRoute):
                self._add(route, prefix, ("GET",), route.endpoint)
            elif isinstance(original, Route):
                self._route(route, prefix)
            elif hasattr(original, "routes"):  # FastAPI's groups of static front ends
                self._frontends(route, original, prefix)
            else:
                kind = type(original).__name__
                self._problems.append(Problem(f"a route of kind `{kind}` cannot be read; rule it in a mount", prefix))

    def _route(self, route: Any, prefix: str) -> None:
        endpoint = route.endpoint
        bare = endpoint
        while isinstance(bare, partial):
            bare = bare.func
        if not isinstance(bare, type):
            self._add(route, prefix, _methods(route.methods), endpoint)
            return
        for method in _methods(route.methods):  # a class with one method per verb
            verb = getattr(bare, method.lower(), None)
            if verb is not None:
                self._add(route, prefix, (method,), bare, verb)

    def _mount(self, route: Any, original: Mount, prefix: str) -> None:
        path = prefix + route.path
        app = original.app
        inner = getattr(original, "_base_app", app)
        said = said_by(inner)
        if original.routes:
            if said:
                problem = "a mark on an application with routes of its own would rule none of them; mark its endpoints"
                self._problems.append(Problem(problem, path))
            self.said += said
            if hasattr(inner, "openapi"):
                self.applications.append((inner, path))
            self._walk(original.routes, path)
            return
        self._record(path + "/{rest:path}", METHODS, said, [], inner, inner, identity=False)

    def _frontends(self, route: Any, original: Any, prefix: str) -> None:
        words, identity = self._dependencies(route)
        for one in original.routes:
            path = prefix + getattr(route, "frontend_prefix", "") + one.path.rstrip("/") + "/{rest:path}"
            self._record(path, ("GET",), (), words, one, one, identity=identity)

    def _add(self, route: Any, prefix: str, methods: tuple[str, ...], endpoint: Any, verb: Any = None) -> None:
        words, identity = self._dependencies(route)
        said = (*said_by(endpoint), *(said_by(verb) if verb is not None else ()))
        where = endpoint if verb is None else verb
        self._record(prefix + route.path, methods, said, words, endpoint, where, identity=identity)

    def _record(
        self,
        path: str,
        methods: tuple[str, ...],
        said: tuple[Said, ...],
        words: list[Words],
        endpoint: Any,
        where: Any,
        *,
        identity: bool,
    ) -> None:
        self.said += said
        self.endpoints += [endpoint, where]
        template = shape_of(path or "/")
        file, line = place(where)
        try:
            together = combine([*words, *(one.words for one in said)])
        except ValueError as problem:
            self._problems.append(Problem(str(problem), template.template, shown(file), line))
            return
        name = getattr(endpoint, "__qualname__", type(endpoint).__qualname__)
        origin = _PARAMETER.sub(r"{\1}", path)
        self.found += [
            Found(
                method=method, shape=template, origin=origin, words=together, file=file, line=line,
                endpoint=name, identity=identity,
            )
            for method in methods
        ]  # fmt: skip


def contexts(routes: list[Any]) -> Iterator[Any]:
    """Yield every route with its effective path; one function lists routes, here as everywhere."""
    fastapi = sys.modules.get("fastapi.routing")  # an application of FastAPI's has imported it
    walk = getattr(fastapi, "iter_route_contexts", None)
    yield from routes if walk is None else walk(routes)


def _methods(methods: Any) -> tuple[str, ...]:
    """Return the methods of a route that a request can have; GET answers HEAD as well, so HEAD need not stand twice."""
    chosen = tuple(one for one in METHODS if methods is None or one in methods)
    return tuple(one for one in chosen if one != "HEAD" or "GET" not in chosen)


def shape_of(path: str) -> Shape:
    """Return a path of Starlette's as a template of ours, with what each of the two routers lets pass.

    A parameter that can hold slashes takes the rest of the path: what follows it is left to the application.
    """
    parts = path.split("/")[1:]
    names: list[str] = []
    segments: list[Segment] = []
    for index, text in enumerate(parts):
        pieces = _PARAMETER.split(text)
        literal, patterns = pieces[0::3], [CONVERTOR_TYPES[kind or "str"].regex for kind in pieces[2::3]]
        if any(re.fullmatch(pattern, "a/b") for pattern in patterns):
            cut = index < len(parts) - 1 or literal != ["", ""]
            return shape("/" + "/".join([*names, "**"]), tuple(segments), rest=True, cut=cut)
        names.append(_PARAMETER.sub(r"{\1}", text))
        segments.append(_segment(text, literal, patterns))
    return shape("/" + "/".join(names), tuple(segments))


def _segment(text: str, literal: list[str], patterns: list[str]) -> Segment:
    if not patterns:
        return Segment(text)
    route, template = (
        "".join(re.escape(fixed) + pattern for fixed, pattern in zip(literal, [*between, ""], strict=True))
        for between in ([one if one == ANY else f"(?:{one})" for one in patterns], [ANY] * len(patterns))
    )
    return Segment("", re.compile(route), re.compile(template))
