"""The route table: what the application has, what its endpoints say, what the file adds, as one Policy.

Framework-free. A face hands in the routes it found, in the order in which its router tries them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Final

from sixfold.decision import Rule
from sixfold.middleware.marks import SILENT, Words
from sixfold.middleware.overlap import Shape, clashes, clashes_bare, neighbours
from sixfold.policy import Loaded, Operation, Policy, PolicyError, Problem, compile_policy, match
from sixfold.policy.document import HeaderEdits

_NOWHERE: Final = Rule("")
Key = tuple[str, str]  # method and shape of the path


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One method of one route of the application.

    Arguments:
        method: upper case.
        shape: the path, as template and as the application's router reads it.
        origin: the path as OpenAPI writes it.
        words: what its marks say.
        file, line: of the endpoint.
        endpoint: its name, for messages.
        identity: it asks for the `Identity` of its caller, so there must be one.
        response_headers: what its answers carry.
    """

    method: str
    shape: Shape
    origin: str = ""
    words: Words = SILENT
    file: str = ""
    line: int = 0
    endpoint: str = ""
    identity: bool = False
    response_headers: HeaderEdits | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def path(self) -> str:
        """The template."""
        return self.shape.template

    @property
    def key(self) -> Key:
        """What tells it from other operations of the policy."""
        return self.method, match.shape(self.path)

    @property
    def rule(self) -> Rule:
        """Where the endpoint stands."""
        return Rule(str(self), shown(self.file), self.line)


def build(loaded: Loaded, found: Iterable[Found]) -> Policy:
    """Return the policy of an application: its routes, refined by `[[routes]]` of the file.

    An OpenAPI document that the file names adds contracts to the routes it describes, and `security` to those that
    no mark rules; it adds no routes.

    Arguments:
        loaded: the file.
        found: every route, in the order in which the router tries them.

    Raises:
        PolicyError: see `compile_policy`; also routes that hide one another although they are ruled differently,
            a path that no canonical request can have, `Identity` where nobody need be known.
    """
    routes = _served(found)
    flaws = [_problem(one, wrong) for one in routes if (wrong := match.flaw(one.path, wildcard=True))]
    if flaws:
        raise PolicyError(*flaws)
    policy = _compiled(loaded, routes, [])
    ruled = {(one.method, match.shape(one.path)): one for one in policy.operations}
    problems = [*_hidden(routes, ruled), *_unknown_identities(routes, ruled)]
    if problems:
        raise PolicyError(*problems)
    closed = _closed(routes, ruled)
    return _compiled(loaded, routes, closed) if closed else policy


def shown(file: str) -> str:
    """Return a file name as people read it: relative to the working directory if it lies below."""
    try:
        return str(Path(file).relative_to(Path.cwd())) if file else ""
    except ValueError:
        return file


def _served(found: Iterable[Found]) -> list[Found]:
    """Return the routes that can be called: of two with the same method and shape the first one counts."""
    routes: dict[Key, Found] = {}
    problems = []
    for route in found:
        first = routes.setdefault(route.key, route)
        if first.words != route.words:
            place = f"`{first.endpoint}` ({shown(first.file)}:{first.line})"
            problems.append(_problem(route, f"stands twice; {place} answers, and the two are not ruled alike"))
    if problems:
        raise PolicyError(*problems)
    return list(routes.values())


def _problem(route: Found, text: str) -> Problem:
    return Problem(text, str(route), shown(route.file), route.line)


def _unknown_identities(routes: list[Found], ruled: dict[Key, Operation]) -> Iterator[Problem]:
    for route in routes:
        if route.identity and ruled[route.key].access == "public":
            text = "is public, so nobody need be signed in, yet it asks for an `Identity`; write `OptionalIdentity`"
            yield _problem(route, text)


# ---------------------------------------------------------------------- routes that hide one another


def _hidden(routes: list[Found], ruled: dict[Key, Operation]) -> Iterator[Problem]:
    """Yield each route whose rule would judge calls of another endpoint, though that one is ruled differently."""
    for one, other in _unlike(routes, ruled):
        for judge, called, earlier in ((other, one, True), (one, other, False)):
            if not _harmless(ruled[called.key]) and clashes(judge.shape, called.shape, earlier=earlier):
                place = f"{called.path} ({shown(called.file)}:{called.line})"
                text = f"would judge calls that reach {place}; declare the more specific one first, or rule them alike"
                yield _problem(judge, text)
                break


def _unlike(routes: list[Found], ruled: dict[Key, Operation]) -> Iterator[tuple[Found, Found]]:
    """Yield pairs of one method that are not ruled alike, the earlier one first."""
    rulings = _rulings(routes, ruled)
    methods: dict[str, list[Found]] = {}
    for route in routes:
        methods.setdefault(route.method, []).append(route)
    for same in methods.values():
        for first, second in neighbours([(number, route.shape) for number, route in enumerate(same)]):
            one, other = same[first], same[second]
            if rulings[one.key] != rulings[other.key]:
                yield one, other


def _rulings(routes: list[Found], ruled: dict[Key, Operation]) -> dict[Key, int]:
    """Number what is said about operations, wherever it is said: those that are ruled alike get the same number."""
    kinds: list[Operation] = []
    numbers: dict[Key, int] = {}
    for route in routes:
        said = replace(
            ruled[route.key], method="", path="", rule=_NOWHERE, contract_rule=_NOWHERE, operation_id="", index=0
        )
        if said not in kinds:
            kinds.append(said)
        numbers[route.key] = kinds.index(said)
    return numbers


def _harmless(called: Operation) -> bool:
    """Return whether nobody gains by being judged by another rule: what anybody may call needs no guard."""
    return called.access == "public" and not called.limits and called.contract is None


def _closed(routes: list[Found], ruled: dict[Key, Operation]) -> list[Operation]:
    """Return operations for corners where templates say more than the routes they stand for; nobody may call them.

    `/files/**` means `/files` too, which the application may hand to another route; GET answers HEAD, which a
    framework may hand to another route.
    """
    rulings = _rulings(routes, ruled)
    closed: dict[Key, Operation] = {}
    for judge, called, corner in _corners(routes):
        key = (corner.method, match.shape(corner.path))
        alike = rulings[judge.key] == rulings[called.key] or _harmless(ruled[called.key])
        if not alike and key not in ruled:
            closed[key] = corner
    return list(closed.values())


def _corners(routes: list[Found]) -> Iterator[tuple[Found, Found, Operation]]:
    wide = [route for route in routes if route.shape.rest]
    for judge, called in product(wide, routes):
        if judge.method == called.method and clashes_bare(judge.shape, called.shape):
            yield judge, called, _denied(judge, judge.method, judge.path.removesuffix("/**"))
    gets = [route for route in routes if route.method == "GET"]
    heads = [route for route in routes if route.method == "HEAD"]
    for judge, called in product(gets, heads):
        if clashes(judge.shape, called.shape, earlier=True):
            yield judge, called, _denied(judge, "HEAD", judge.path)


def _denied(route: Found, method: str, path: str) -> Operation:
    rule = route.rule
    return Operation(index=0, method=method, path=path, rule=rule, contract_rule=rule, access="deny")


# ---------------------------------------------------------------------- operations


def _compiled(loaded: Loaded, routes: list[Found], closed: list[Operation]) -> Policy:
    policy = compile_policy(loaded, describe=lambda described: [*_operations(routes, described), *closed])
    return replace(policy, version=_version(policy))


def _operations(routes: list[Found], described: list[Operation]) -> Iterator[Operation]:
    documents = {(one.method, match.shape(one.path)): one for one in described}
    for route in routes:
        yield _operation(route, documents.get(route.key))


def _operation(route: Found, described: Operation | None) -> Operation:
    rule, words = route.rule, route.words
    base = described or Operation(index=0, method=route.method, path=route.path, rule=rule, contract_rule=rule)
    if words.access:
        base = replace(base, access=words.access, require=words.require, when=words.when, rule=rule)
    elif base.access == "default":
        base = replace(base, rule=rule)
    if route.response_headers is not None:
        base = replace(base, response_headers=route.response_headers)
    if words.limits:
        base = replace(base, limits=(*base.limits, *words.limits))
    return replace(base, cost=words.cost) if words.cost else base


def _version(policy: Policy) -> str:
    """Return the hash of everything that decides: the file's own, and what the marks say."""
    digest = hashlib.sha256(policy.version.encode())
    for one in policy.operations:
        require = [sorted(names) for names in one.require]
        limits = [repr(limit) for limit in one.limits]
        digest.update(repr((one.method, one.path, one.access, require, one.when, limits, one.cost)).encode())
    return digest.hexdigest()[:12]
