"""Results go to stdout, talk goes to stderr; no colour without a terminal, none with NO_COLOR (CLI-02)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, Final

FOUND: Final = 1
USAGE: Final = 2
INVALID: Final = 3
UNREACHABLE: Final = 4
INTERRUPTED: Final = 130


class Stop(Exception):
    """Ends a command with words and an exit code. The words say what happened, where, and the next command (CLI-06)."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def say(text: str) -> None:
    """Talk to the person."""
    print(text, file=sys.stderr, flush=True)


def show(text: str) -> None:
    """Print a result."""
    print(text, flush=True)


def show_json(value: Any) -> None:
    """Print a result for a program (CLI-03)."""
    import orjson

    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode(), flush=True)


def paint(text: str, colour: str, *, stream: Any = None) -> str:
    """Colour a word if a terminal reads it."""
    stream = stream or sys.stdout
    if os.environ.get("NO_COLOR") or not stream.isatty():
        return text
    code = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "dim": 2, "bold": 1}[colour]
    return f"\x1b[{code}m{text}\x1b[0m"


def command_name() -> str:
    """Return how this program was called, so that a printed command works as printed (CLI-07)."""
    if os.environ.get("UV") and "uvx" in os.environ.get("_", ""):
        return "uvx sixfold"
    name = os.path.basename(sys.argv[0])
    return f"{sys.executable} -m sixfold" if name == "__main__.py" else sys.argv[0] if "/" in sys.argv[0] else "sixfold"


def columns(rows: Sequence[tuple[str, ...]], *, indent: str = "") -> str:
    """Return rows as aligned columns; the last column is free."""
    if not rows:
        return ""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]) - 1)]
    return "\n".join(
        (indent + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])).rstrip()
        for row in rows
    )
