"""A parsed document together with the lines its parts stand on. What TOML, YAML and JSON readers return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

Path = tuple[str, ...]

MAX_DEPTH: Final = 100


class Tree(NamedTuple):
    """A document.

    Arguments:
        value: dicts with text keys, lists, and scalars.
        lines: path of keys and list indices to line, counted from 1; readers may stop at some depth.
    """

    value: Any
    lines: Mapping[Path, int]

    def line(self, path: Path) -> int:
        """Return the line of a path, or of the nearest part above it that has one; 0 if none has."""
        while path:
            if found := self.lines.get(path):
                return found
            path = path[:-1]
        return self.lines.get((), 0)


class Unreadable(ValueError):
    """A text that is not the document it should be.

    Arguments:
        line: counted from 1, 0 if unknown.
    """

    def __init__(self, text: str, line: int = 0) -> None:
        super().__init__(text)
        self.text = text
        self.line = line
