"""YAML with lines, read by the core schema of YAML 1.2: `no` is text, `on` is a key, nothing is a date.

Nodes come from PyYAML's composer and are turned into values here, so no tag can construct anything.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

import yaml

from sixfold.policy.tree import MAX_DEPTH, Path, Tree, Unreadable

_BASE: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# An alias counts as often as it is used, so a small text cannot grow without end (no billion laughs).
_GROWTH: Final = 10
_ALWAYS: Final = 10_000
_TAG: Final = "tag:yaml.org,2002:"


class _Loader(_BASE):  # type: ignore[misc]
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own way)


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+0123456789."),
    ),
):
    _Loader.add_implicit_resolver(_TAG + _tag, re.compile(f"^(?:{_pattern})$"), _first)


def read(text: str | bytes, depth: int = MAX_DEPTH) -> Tree:
    """Return the document and the lines of its keys and items.

    Arguments:
        text: one document.
        depth: lines are kept for paths up to this length.

    Raises:
        Unreadable: not YAML, a duplicate key, a tag that means code, an anchor inside itself.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        builder = _Builder(depth, _ALWAYS + _GROWTH * len(text))
        return Tree(None if node is None else builder.value(node, (), 0), builder.lines)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        raise Unreadable(f"not YAML: {problem.problem or problem.context}", mark.line + 1 if mark else 0) from None
    except yaml.YAMLError:
        raise Unreadable("not YAML: a character that YAML does not allow") from None
    finally:
        loader.dispose()


class _Builder:
    def __init__(self, depth: int, budget: int) -> None:
        self.depth = depth
        self.budget = budget  # nodes
        self.lines: dict[Path, int] = {}

    def value(self, node: Any, path: Path, level: int) -> Any:
        self.budget -= 1
        line = node.start_mark.line + 1
        if level > MAX_DEPTH or self.budget < 0:
            raise Unreadable("nested too deeply, or an alias inside itself", line)
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node, line)
        if node.tag not in (_TAG + "map", _TAG + "seq"):
            raise Unreadable("a tag that is not understood", line)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, level)
        return [self._below(item, path, str(i), item, level) for i, item in enumerate(node.value)]

    def _mapping(self, node: Any, path: Path, level: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, item in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise Unreadable("a key that is not text", line)
            name = key.value
            if name == "<<":
                raise Unreadable("`<<` merges are not part of YAML 1.2; write the keys out", line)
            if name in result:
                raise Unreadable("the same key twice in one table", line)
            result[name] = self._below(item, path, name, key, level)
        return result

    def _below(self, node: Any, path: Path, name: str, mark: Any, level: int) -> Any:
        if level < self.depth:
            path = (*path, name)
            self.lines[path] = mark.start_mark.line + 1
        return self.value(node, path, level + 1)


def _scalar(node: Any, line: int) -> Any:
    kind = node.tag.removeprefix(_TAG)
    text: str = node.value
    if kind == "str" or kind == "timestamp":
        return text
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    try:
        if kind == "int":
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        if kind == "float":
            return _float(text)
    except ValueError:
        raise Unreadable("a number that cannot be read", line) from None
    raise Unreadable("a tag that is not understood", line)


def _float(text: str) -> float:
    value = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    if not math.isfinite(value):
        raise ValueError
    return value
