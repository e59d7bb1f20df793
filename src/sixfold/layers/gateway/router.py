"""From a path to the operations that live there: one dictionary step per segment, however many operations there are.

A fixed segment beats a templated one, and a templated one beats a final `/**`; so the order of the policy never
matters. Some frameworks (Express) take another case or a final slash for the same path. So a path that is a ruled one
to them never falls to a wider template here: it is not served at all (PATH-02).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

_TEMPLATE: Final = re.compile(r"\{([^{}]+)\}")


class Node:
    """One segment of the tree."""

    __slots__ = ("alike", "bare", "exact", "methods", "names", "rest", "rest_names", "templated")

    def __init__(self) -> None:
        self.exact: dict[str, Node] = {}
        self.alike: dict[str, list[Node]] = {}  # the same in lower case
        self.templated: list[tuple[re.Pattern[str] | None, Node]] = []
        self.bare: Node | None = None  # the one below `{name}`, if that is the only template here
        self.methods: dict[str, Any] | None = None
        self.names: dict[str, tuple[str, ...]] = {}
        self.rest: dict[str, Any] | None = None
        self.rest_names: dict[str, tuple[str, ...]] = {}


class Router:
    """Finds the entry of a method and path.

    Arguments of `add`:
        method: upper case.
        template: `/orders/{id}`; a final `/**` takes any rest, also none.
        entry: what `find` returns.
    """

    def __init__(self) -> None:
        self._root = Node()
        self._static: dict[str, dict[str, Any]] = {}  # path without templates -> method -> entry

    def add(self, method: str, template: str, entry: Any) -> None:
        """Add an entry; an earlier one with the same method and shape stays."""
        segments = template.split("/")[1:]
        names = tuple(_TEMPLATE.findall(template))
        if not names and segments[-1] != "**":
            self._static.setdefault(template, {}).setdefault(method, entry)
        node = self._root
        for segment in segments:
            if segment == "**":
                node.rest = node.rest or {}
                node.rest.setdefault(method, entry)
                node.rest_names.setdefault(method, names)
                return
            node = _child(node, segment)
        node.methods = node.methods or {}
        node.methods.setdefault(method, entry)
        node.names.setdefault(method, names)

    def static(self, path: str) -> dict[str, Any] | None:
        """Return the entries by method of a path that is written without templates."""
        return self._static.get(path)

    def find(self, path: str, method: str) -> tuple[Any, dict[str, str]] | frozenset[str]:
        """Return entry and parameters; or the methods that this path does have (empty: no such path)."""
        segments = path.split("/")
        node, values = self._root, []
        for segment in segments[1:]:  # straight down, which is where nearly every request ends
            child = node.exact.get(segment)
            if child is None:
                if node.bare is None or not segment or (node.alike and segment.lower() in node.alike):
                    break
                child = node.bare
                values.append(segment)
            node = child
        else:
            if node.methods is not None and (entry := node.methods.get(method)) is not None:
                names = node.names[method]
                return entry, {names[0]: values[0]} if len(values) == 1 else dict(zip(names, values, strict=True))
        return self._search(segments, method)

    def _search(self, segments: list[str], method: str) -> tuple[Any, dict[str, str]] | frozenset[str]:
        """Look at every place that fits, the most specific first."""
        allowed: set[str] = set()
        for methods, names, values, disguised in _matches(self._root, segments, 1, ()):
            entry = methods.get(method)
            if entry is not None:
                return frozenset() if disguised else (entry, dict(zip(names[method], values, strict=True)))
            if not disguised:
                allowed.update(methods)
        return frozenset(allowed)


def _child(node: Node, segment: str) -> Node:
    if "{" not in segment:
        known = node.exact.get(segment)
        if known is None:
            known = node.exact[segment] = Node()
            node.alike.setdefault(segment.lower(), []).append(known)
        return known
    pattern = _compile(segment)
    for other, child in node.templated:
        if (other and other.pattern) == (pattern and pattern.pattern):
            return child
    child = Node()
    node.templated.append((pattern, child))
    # Templates with fixed text around them are narrower than a bare `{name}`, so they are asked first.
    node.templated.sort(key=lambda pair: -len(pair[0].pattern) if pair[0] else 0)
    node.bare = child if pattern is None and len(node.templated) == 1 else None
    return child


def _compile(segment: str) -> re.Pattern[str] | None:
    """Return None for a bare `{name}`, else a pattern with one group per name."""
    if _TEMPLATE.fullmatch(segment):
        return None
    parts = _TEMPLATE.split(segment)
    text = re.escape(parts[0])
    for after in parts[2:-1:2]:  # atomic: the first place that fits is the best one, so none is tried again
        text += f"(?>(.+?){re.escape(after)})"
    return re.compile(f"{text}(.+){re.escape(parts[-1])}")


def _matches(
    node: Node, segments: list[str], index: int, values: tuple[str, ...], disguised: bool = False
) -> Iterator[tuple[dict[str, Any], dict[str, tuple[str, ...]], tuple[str, ...], bool]]:
    """Yield (methods, names, values, disguised) of each place that fits, the most specific first.

    Arguments:
        disguised: it fits only for those to whom case and a final slash mean nothing.
    """
    if index == len(segments):
        if node.methods is not None:
            yield node.methods, node.names, values, disguised
        slashed = node.exact.get("")
        if slashed is not None and slashed.methods is not None:
            yield slashed.methods, slashed.names, values, True
    else:
        segment = segments[index]
        child = node.exact.get(segment)
        if child is not None:
            yield from _matches(child, segments, index + 1, values, disguised)
        for other in node.alike.get(segment.lower(), ()):
            if other is not child:
                yield from _matches(other, segments, index + 1, values, True)
        if segment:  # a template never stands for an empty segment
            for below, found, other_case in _templates(node, segment):
                yield from _matches(below, segments, index + 1, (*values, *found), disguised or other_case)
        elif node.methods is not None:
            yield node.methods, node.names, values, True
    if node.rest is not None:
        yield node.rest, node.rest_names, values, disguised


def _templates(node: Node, segment: str) -> Iterator[tuple[Node, tuple[str, ...], bool]]:
    """Yield (child, values, disguised) of each templated segment that fits."""
    for pattern, below in node.templated:
        if pattern is None:
            yield below, (segment,), False
        elif (match := pattern.fullmatch(segment)) is not None:
            yield below, match.groups(), False
        elif (match := re.fullmatch(pattern.pattern, segment, re.IGNORECASE)) is not None:
            yield below, match.groups(), True
