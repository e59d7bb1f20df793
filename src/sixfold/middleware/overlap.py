"""Paths on which the policy would judge by one route although the application calls another.

The application's router takes the first route that fits. The policy's takes the most specific template, and a template
can fit more than its route: `{id:int}` becomes `{id}`, and a mount's `/files/**` means `/files` as well. Where the two
disagree a caller would be judged by the rule of an endpoint that is never called, so every such pair must be found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain, combinations, product
from typing import Final, NamedTuple

from sixfold.policy import match

ANY: Final = "[^/]+"  # what a parameter of a template stands for
_SAMPLES: Final = ("1", "a", "1.5", "-1", "a-1", "00000000-0000-4000-8000-000000000000")


class Segment(NamedTuple):
    """One segment of a path.

    Arguments:
        text: if it is fixed, else "".
        route: what the application's router lets pass here; None if fixed.
        template: what the template of the policy lets pass here; None if fixed.
    """

    text: str
    route: re.Pattern[str] | None = None
    template: re.Pattern[str] | None = None

    @property
    def loose(self) -> bool:
        """Whether the template lets more pass than the route."""
        return self.route is not None and self.template is not None and self.route.pattern != self.template.pattern


class Shape(NamedTuple):
    """A path as two routers read it.

    Arguments:
        template: of the policy.
        segments: without the rest.
        rest: it ends in `/**`; the route itself needs the slash before the rest.
        cut: the route goes on after what can hold slashes, so its template lets more pass.
        rank: see `shape`.
    """

    template: str
    segments: tuple[Segment, ...]
    rest: bool = False
    cut: bool = False
    rank: tuple[int, ...] = ()


Numbered = tuple[int, Shape]


def shape(template: str, segments: tuple[Segment, ...], *, rest: bool = False, cut: bool = False) -> Shape:
    """Return a Shape with its rank: how specific it is for the policy's router, which takes the highest that fits."""
    weight = match.weight(template)
    return Shape(template, segments, rest, cut, weight if rest else (*weight, 4))


def clashes(judge: Shape, called: Shape, *, earlier: bool) -> bool:
    """Return whether the policy may judge by one route where the application calls the other.

    Arguments:
        judge: whose template fits.
        called: the route that the application calls.
        earlier: the application tries `called` first.
    """
    if not _judged_first(judge, called) or not _fits_lengths(judge, called):
        return False
    pairs = [*_pairs(judge, called)]
    if not all(_meet(mine, theirs) for mine, theirs in pairs):
        return False
    if earlier:
        return True
    return (judge.cut and _longer(judge, called)) or any(_differ(mine, theirs) for mine, theirs in pairs)


def neighbours(routes: Sequence[Numbered], depth: int = 0) -> Iterator[tuple[int, int]]:
    """Yield the numbers of all pairs that some path might fit, the lower first: those whose fixed text agrees.

    A table of a thousand routes has half a million pairs, most of which differ in their first segments.
    """
    fixed: dict[str, list[Numbered]] = {}
    open_: list[Numbered] = []
    ended: list[Numbered] = []
    for route in routes:
        segments = route[1].segments
        if len(segments) <= depth:
            ended.append(route)
        elif segments[depth].route is None:
            fixed.setdefault(segments[depth].text, []).append(route)
        else:
            open_.append(route)
    for group in (*fixed.values(), open_):
        if len(group) > 1:
            yield from neighbours(group, depth + 1)
    texts = [route for group in fixed.values() for route in group]
    mixed = chain(product(open_, texts), product(ended, [*open_, *texts]), combinations(ended, 2))
    yield from ((min(one, other), max(one, other)) for (one, _), (other, _) in mixed)


def clashes_bare(judge: Shape, called: Shape) -> bool:
    """Return whether the two disagree on the path of `/files/**` without any rest: `/files`."""
    if not judge.rest:
        return False
    if judge.rank <= called.rank or len(called.segments) + called.rest > len(judge.segments) or not judge.segments:
        return False
    if not called.rest and len(called.segments) < len(judge.segments):
        return False
    return all(_meet(mine, theirs) for mine, theirs in _pairs(judge, called))


def _judged_first(judge: Shape, called: Shape) -> bool:
    if judge.rank == called.rank:  # the order then depends on details; it may be either
        return match.shape(judge.template) != match.shape(called.template)
    return judge.rank > called.rank


def _fits_lengths(judge: Shape, called: Shape) -> bool:
    """Return whether a path can have a length that fits both; the bare prefix of `/**` is `clashes_bare`'s."""
    if judge.rest and called.rest:
        return True
    if judge.rest:
        return len(called.segments) > len(judge.segments)
    if called.rest:
        return len(judge.segments) > len(called.segments)
    return len(judge.segments) == len(called.segments)


def _longer(judge: Shape, called: Shape) -> bool:
    return called.rest or len(called.segments) > len(judge.segments)


def _pairs(judge: Shape, called: Shape) -> Iterator[tuple[Segment, Segment | None]]:
    """Yield the segments side by side; None where `called` takes whatever comes."""
    for index, mine in enumerate(judge.segments):
        yield mine, called.segments[index] if index < len(called.segments) else None


def _meet(judge: Segment, called: Segment | None) -> bool:
    """Return whether something passes the one's template and the other's route."""
    if called is None:
        return True
    if judge.template is None:
        return judge.text == called.text if called.route is None else _passes(called.route, judge.text)
    if called.route is None:
        return _passes(judge.template, called.text)
    return judge.template.pattern == ANY or bool(_common(judge.template, called.route))


def _differ(judge: Segment, called: Segment | None) -> bool:
    """Return whether something passes the one's template and the other's route, but not the one's route."""
    if not judge.loose:
        return False
    assert judge.route is not None and judge.template is not None  # noqa: S101, PT018 (loose says so)
    if called is None:
        return True
    if called.route is None:
        return _passes(judge.template, called.text) and not _passes(judge.route, called.text)
    if called.route.pattern == judge.route.pattern:
        return False
    return any(not _passes(judge.route, sample) for sample in _common(judge.template, called.route))


def _common(template: re.Pattern[str], route: re.Pattern[str]) -> list[str]:
    """Return samples that pass both. A route that fits no sample is not understood, so anything may pass it."""
    known = [sample for sample in _samples(template, route) if _passes(route, sample)]
    return [sample for sample in known if _passes(template, sample)] if known else [""]


def _samples(*patterns: re.Pattern[str]) -> Iterator[str]:
    """Yield samples, also with the fixed text that the patterns begin and end with."""
    fixed = {text for pattern in patterns for text in re.findall(r"[A-Za-z0-9_]+", pattern.pattern)} | {""}
    for sample in _SAMPLES:
        for before in fixed:
            for after in fixed:
                yield f"{before}{sample}{after}"


def _passes(pattern: re.Pattern[str], text: str) -> bool:
    return pattern.fullmatch(text) is not None
