"""From pydantic's errors to one line per problem: what was found (its type), and what is allowed."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sixfold.policy import grammar
from sixfold.policy.errors import Problem, did_you_mean
from sixfold.policy.grammar import Options
from sixfold.policy.tree import Path

_ALLOWED: Final[Mapping[str, str]] = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "`true` or `false`",
    "bool_parsing": "`true` or `false`",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "literal_error": "{expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "text that matches `{pattern}`",
    "finite_number": "a finite number",
}
_KINDS: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (bool, "`true` or `false`"),
    (int, "a whole number"),
    (float, "a number"),
    (str, "text"),
    (list, "a list"),
    (dict, "a table"),
    ((datetime.date, datetime.time), "a date or time"),
)
_WORD: Final = re.compile(r"'([^']*)'")

Place = Callable[[Path], tuple[str, int]]


def problems(error: ValidationError, value: Any, place: Place, root: Options, prefix: str = "") -> list[Problem]:
    """Return what is wrong with a value that a model refused.

    Arguments:
        error: from pydantic.
        value: what was validated.
        place: gives file and line of a path.
        root: what the grammar allows at the top of `value`.
        prefix: stands before each key, to say which document is meant.
    """
    groups: dict[Path, list[tuple[Path, ErrorDetails]]] = {}
    for item in error.errors(include_url=False, include_input=False):
        path, union = _path(item, value)
        groups.setdefault(path if union is None else union, []).append((path, item))
    found = []
    for group in groups.values():
        # A union says what each of its branches wanted. A branch that got further is the one that was meant.
        deepest = max(len(path) for path, _ in group)
        branches: dict[Path, list[ErrorDetails]] = {}
        for path, item in group:
            if len(path) == deepest:
                branches.setdefault(path, []).append(item)
        for path, items in branches.items():
            text = _text(items, path, value, root)
            found.append(Problem(text, ".".join((prefix, *path) if prefix else path), *place(path)))
    return sorted(found, key=lambda problem: (problem.line, problem.key))


def _path(item: ErrorDetails, value: Any) -> tuple[Path, Path | None]:
    """Return the path in the document, without pydantic's branch names, and the path of the union or None."""
    path: Path = ()
    union: Path | None = None
    for part in item["loc"]:
        if _holds(value, part):
            value = value[part]
        elif item["type"] == "missing" and part == item["loc"][-1]:
            pass
        else:
            union = path if union is None else union
            continue
        path = (*path, str(part))
    return path, union


def _holds(value: Any, part: int | str) -> bool:
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def _text(items: list[ErrorDetails], path: Path, value: Any, root: Options) -> str:
    first = items[0]
    if first["type"] == "extra_forbidden":
        return "unknown key" + _hint(path, root)
    if first["type"] == "missing":
        return "required, but not there"
    if first["type"] == "value_error":
        return str(first.get("ctx", {}).get("error", first["msg"]))
    allowed = _either([_allowed(item) for item in items])
    found = _get(value, path)
    near = did_you_mean(found, _WORD.findall(allowed)) if isinstance(found, str) else ""
    return f"expected {_WORD.sub(_quoted, allowed)}, found {kind(found)}{near}"


def _either(words: list[str]) -> str:
    unique = list(dict.fromkeys(words))
    return ", ".join(unique[:-1]) + " or " + unique[-1] if len(unique) > 1 else unique[0]


def _allowed(item: ErrorDetails) -> str:
    shape = _ALLOWED.get(item["type"])
    return shape.format(**item.get("ctx", {})) if shape else item["msg"].lower()


def _quoted(match: re.Match[str]) -> str:
    return f'"{match[1]}"'


def _hint(path: Path, root: Options) -> str:
    here = root
    for key in path[:-1]:
        here = grammar.below(here, key)
    known = grammar.keys(here)
    tables = grammar.tables_with(path[-1])
    near = did_you_mean(path[-1], known)
    if not near and tables and len(path) <= 2:
        return f"; it belongs into `[{tables[0]}]`"
    return near or (f"; known here: {', '.join(f'`{key}`' for key in sorted(known))}" if known else "")


def _get(value: Any, path: Path) -> Any:
    for key in path:
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


def kind(value: Any) -> str:
    """Return what a value is, in words."""
    return next((name for types, name in _KINDS if isinstance(value, types)), "nothing")
