"""Integers beyond 2^53 need a schema that says so: a bound (`format: int64` is one), an enumeration.

Whether it does is asked of the schema itself: an integer larger than any machine's is put in the place, and a
schema that bounds the place objects to it. So references, compositions and alternatives need no second
interpreter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson
from jsonschema_rs import Draft202012Validator, ValidationError

from sixfold.layers.validation.strict_json import MAX_LARGE, Path

_HUGE: Final = 10**30
_BOUNDS: Final = frozenset(("maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "enum", "const"))
_COMPOSED: Final = frozenset(("anyOf", "oneOf"))


def unbounded(validator: Draft202012Validator | None, value: Any, large: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the places of large integers that no schema bounds.

    Arguments:
        value: the whole input.
        validator: that has accepted the value; None allows everything, so bounds nothing.
        large: places of the integers in question.
    """
    if validator is None or len(large) > MAX_LARGE:
        return large
    probe = orjson.loads(orjson.dumps(value))
    for path in large:
        probe = _replaced(probe, path)
    bounded = set(_objections(validator.iter_errors(probe)))
    return tuple(path for path in large if path not in bounded)


def _replaced(root: Any, path: Path) -> Any:
    """Put a huge integer of the same sign in a place; return the root, a new one for the path ()."""
    if not path:
        return _huge(root)
    box = root
    for step in path[:-1]:
        box = box[step]
    box[path[-1]] = _huge(box[path[-1]])
    return root


def _huge(value: int) -> int:
    return _HUGE if value > 0 else -_HUGE


def _objections(errors: Iterable[ValidationError]) -> Iterator[Path]:
    for error in errors:
        if error.kind.name in _BOUNDS:
            yield tuple(error.instance_path)
        elif error.kind.name in _COMPOSED:
            for branch in error.kind.value:
                yield from _objections(branch)
