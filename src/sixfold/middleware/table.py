"""The route table: what the application has, what its endpoints say, what the file adds, as one Policy.

Framework-free. A face hands in the routes it found, in the order in which its router tries them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sixfold.decision import Rule
from sixfold.middleware.marks import SILENT, Words
from sixfold.policy import Loaded, Operation, Policy, PolicyError, Problem, compile_policy, match
from sixfold.policy.document import HeaderEdits

Segment = str | re.Pattern[str] | None
_SAMPLES: Final = ("1", "a", "1.5", "00000000-0000-4000-8000-000000000000", "a-1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One method of one route of the application.

    Arguments:
        method: upper case.
        path: template; a final `/**` takes any rest.
        segments: of the path, to find routes that hide one another: text, the pattern of a parameter, or None
            for `**`.
        origin: the path as OpenAPI writes it, if that differs.
        words: what its marks say.
        file, line: of the endpoint.
        endpoint: its name, for messages.
        identity: it asks for the `Identity` of its caller, so there must be one.
        response_headers: what its answers carry.
    """

    method: str
    path: str
    segments: tuple[Segment, ...]
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
        PolicyError: see `compile_policy`; also a route that another one hides although they are ruled differently,
            a path that no canonical request can have, `Identity` where nobody need be known.
    """
    routes = _served(found)
    problems = [*_flaws(routes), *_hidden(routes)]
    if problems:
        raise PolicyError(*problems)
    policy = compile_policy(loaded, describe=lambda described: _operations(routes, described))
    nobody = _unknown_identities(routes, policy)
    if nobody:
        raise PolicyError(*nobody)
    return replace(policy, version=_version(policy))


def shown(file: str) -> str:
    """Return a file name as people read it: relative to the working directory if it lies below."""
    try:
        return str(Path(file).relative_to(Path.cwd())) if file else ""
    except ValueError:
        return file


def _served(found: Iterable[Found]) -> list[Found]:
    """Return the routes that can be called: of two with the same method and shape the first one counts."""
    routes: dict[tuple[str, str], Found] = {}
    problems = []
    for route in found:
        first = routes.setdefault((route.method, match.shape(route.path)), route)
        if first.words != route.words:
            problems.append(_problem(route, f"stands twice; `{first.endpoint}` ({first.rule.file}:{first.line}) "
            "answers, and the two are not ruled alike"))  # fmt: skip
    if problems:
        raise PolicyError(*problems)
    return list(routes.values())


def _flaws(routes: list[Found]) -> Iterator[Problem]:
    for route in routes:
        if wrong := match.flaw(route.path, wildcard=True):
            yield _problem(route, wrong)


def _problem(route: Found, text: str) -> Problem:
    return Problem(text, str(route), shown(route.file), route.line)


# ---------------------------------------------------------------------- routes that hide one another


def _hidden(routes: list[Found]) -> Iterator[Problem]:
    """Yield pairs where the application would call one endpoint and the policy would rule by another.

    The application's router takes the first route that fits, ours the most specific one. Where they differ, the
    caller would be judged by the rule of an endpoint that is never called.
    """
    for index, later in enumerate(routes):
        weight = match.weight(later.path)
        for earlier in routes[:index]:
            if earlier.method != later.method or earlier.words == later.words:
                continue
            if match.weight(earlier.path) < weight and _overlap(earlier.segments, later.segments):
                place = f"{earlier.path} ({shown(earlier.file)}:{earlier.line})"
                text = f"is hidden by {place}, which comes first and is ruled differently; declare this one before it"
                yield _problem(later, text)
                break


def _overlap(one: tuple[Segment, ...], other: tuple[Segment, ...]) -> bool:
    """Return whether some path fits both."""
    for mine, theirs in zip(one, other, strict=False):
        if mine is None or theirs is None:
            return True
        if not _meet(mine, theirs):
            return False
    shorter, longer = sorted((one, other), key=len)
    return len(one) == len(other) or longer[len(shorter)] is None


def _meet(one: str | re.Pattern[str], other: str | re.Pattern[str]) -> bool:
    if isinstance(one, str):
        return one == other if isinstance(other, str) else other.fullmatch(one) is not None
    if isinstance(other, str):
        return one.fullmatch(other) is not None
    if one.pattern == other.pattern:
        return True
    mine = [sample for sample in _SAMPLES if one.fullmatch(sample)]
    theirs = [sample for sample in _SAMPLES if other.fullmatch(sample)]
    # A pattern that fits no sample is not understood, so it may fit anything.
    return not mine or not theirs or bool(set(mine) & set(theirs))


# ---------------------------------------------------------------------- operations


def _operations(routes: list[Found], described: list[Operation]) -> list[Operation]:
    documents = {(one.method, match.shape(one.path)): one for one in described}
    return [_operation(route, documents.get((route.method, match.shape(route.path)))) for route in routes]


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


def _unknown_identities(routes: list[Found], policy: Policy) -> list[Problem]:
    public = {(one.method, one.path) for one in policy.operations if one.access == "public"}
    text = "is public, so nobody need be signed in, yet it asks for an `Identity`; write `OptionalIdentity`"
    return [_problem(one, text) for one in routes if one.identity and (one.method, one.path) in public]


def _version(policy: Policy) -> str:
    """Return the hash of everything that decides: the file's own, and what the marks say."""
    digest = hashlib.sha256(policy.version.encode())
    for one in policy.operations:
        require = [sorted(names) for names in one.require]
        said = (one.method, one.path, one.access, require, one.when, [repr(limit) for limit in one.limits], one.cost)
        digest.update(repr(said).encode())
    return digest.hexdigest()[:12]
