"""JSON with the lines of its outer keys, fast enough for an OpenAPI document of 13 MB.

The C scanner of the standard library reads values; only the outer levels, whose lines are wanted, are
walked here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final, NoReturn

from sixfold.policy.tree import Path, Tree, Unreadable

_SPACE: Final = re.compile(r"[ \t\r\n]*")


def read(text: str, depth: int = 3) -> Tree:
    """Return the document and the lines of its keys down to a depth.

    Raises:
        Unreadable: not JSON, a duplicate key, NaN or Infinity.
    """
    walker = _Walker(text, depth)
    try:
        value, end = walker.value(walker.blank(0), ())
    except json.JSONDecodeError as problem:
        raise Unreadable(f"not JSON: {problem.msg.lower()}", problem.lineno) from None
    except StopIteration as stop:
        raise Unreadable("not JSON: a value was expected", text.count("\n", 0, stop.value) + 1) from None
    except RecursionError:
        raise Unreadable("nested too deeply") from None
    if walker.blank(end) != len(text):
        raise Unreadable("not JSON: something follows the document", text.count("\n", 0, end) + 1)
    return Tree(value, walker.lines)


class _Walker:
    def __init__(self, text: str, depth: int) -> None:
        self.text = text
        self.depth = depth
        self.lines: dict[Path, int] = {}
        self.line = 1
        self.counted = 0
        decoder: Any = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
        self.scan: Callable[[str, int], tuple[Any, int]] = decoder.scan_once

    def value(self, at: int, path: Path) -> tuple[Any, int]:
        """Return the value that starts at a position, and the position after it."""
        if len(path) == self.depth or self.text[at : at + 1] != "{":
            return self.scan(self.text, at)
        result: dict[str, Any] = {}
        at = self.blank(at + 1)
        if self.text[at : at + 1] == "}":
            return result, at + 1
        while True:
            at = self._member(at, path, result)
            mark = self.text[at : at + 1]
            if mark == "}":
                return result, at + 1
            if mark != ",":
                raise json.JSONDecodeError("a comma or `}` was expected", self.text, at)
            at = self.blank(at + 1)

    def blank(self, at: int) -> int:
        match = _SPACE.match(self.text, at)
        return match.end() if match else at

    def _member(self, at: int, path: Path, result: dict[str, Any]) -> int:
        if self.text[at : at + 1] != '"':
            raise json.JSONDecodeError("a key in double quotes was expected", self.text, at)
        key, end = self.scan(self.text, at)
        if key in result:
            raise json.JSONDecodeError("the same key twice in one object", self.text, at)
        self.line += self.text.count("\n", self.counted, at)
        self.counted = at
        here = (*path, key)
        self.lines[here] = self.line
        end = self.blank(end)
        if self.text[end : end + 1] != ":":
            raise json.JSONDecodeError("`:` was expected", self.text, end)
        result[key], end = self.value(self.blank(end + 1), here)
        return self.blank(end)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise Unreadable("the same key twice in one object")
    return result


def _constant(_: str) -> NoReturn:
    raise Unreadable("not JSON: NaN and Infinity are not numbers")
