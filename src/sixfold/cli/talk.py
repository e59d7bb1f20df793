"""Results go to stdout, talk goes to stderr; no colour without a terminal, none with NO_COLOR (CLI-02)."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from typing import Any, Final, TextIO

FOUND: Final = 1
USAGE: Final = 2
INVALID: Final = 3
UNREACHABLE: Final = 4
BUG: Final = 70
INTERRUPTED: Final = 130


class Stop(Exception):
    """Ends a command with words and an exit code. The words say what happened, where, and the next command (CLI-06)."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def say(text: str) -> None:
    """Talk to the person."""
    _print(text, sys.stderr)


def show(text: str) -> None:
    """Print a result."""
    _print(text, sys.stdout)


def show_json(value: Any) -> None:
    """Print a result for a program (CLI-03)."""
    import orjson

    _print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode(), sys.stdout)


def _print(text: str, stream: TextIO) -> None:
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:  # `| head` has seen enough; a server goes on serving, a check keeps its exit code
        mute(stream)


def mute(stream: TextIO) -> None:
    """Let what is still written to a closed pipe go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def paint(text: str, colour: str, *, stream: TextIO | None = None) -> str:
    """Colour a word if a terminal reads it."""
    stream = stream or sys.stdout
    if stream is None or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return text
    code = {"red": 31, "green": 32, "yellow": 33}[colour]
    return f"\x1b[{code}m{text}\x1b[0m"


def printable(text: str) -> str:
    """Return a text that came from outside without what a terminal would obey."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def command_name() -> str:
    """Return how this program was called, so that a printed command works as printed (CLI-07)."""
    called = sys.argv[0]
    if os.environ.get("UV") and os.path.basename(os.environ.get("_", "")) == "uvx":
        return "uvx sixfold"
    if os.path.basename(called) == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m sixfold"
    if "/" not in called or shutil.which("sixfold") == os.path.abspath(called):
        return "sixfold"
    return shlex.quote(called)


def columns(rows: Sequence[tuple[str, ...]], *, indent: str = "") -> str:
    """Return rows as aligned columns; the last column is free."""
    if not rows:
        return ""
    rows = [tuple(map(printable, row)) for row in rows]
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]) - 1)]
    return "\n".join(
        (indent + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])).rstrip()
        for row in rows
    )


def counted(number: int, noun: str) -> str:
    """Return `1 operation`, `2 operations`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
