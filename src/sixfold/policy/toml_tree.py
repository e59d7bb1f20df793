"""TOML with lines. `tomllib` says what a file means; the scanner below only says where each key stands.

The scanner reads a text that `tomllib` has accepted already, so it never has to doubt the grammar (TOML 1.0).
"""

from __future__ import annotations

import re
import tomllib
from typing import Final

from sixfold.policy.tree import Path, Tree, Unreadable

_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY: Final = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_DOT: Final = re.compile(r"[ \t]*\.[ \t]*")
_EQUALS: Final = re.compile(r"[ \t]*=[ \t]*")
_STRING: Final = re.compile(
    r"""
      \"{3} (?: [^"\\] | \\. | "(?!"") )* "{3,5}
    | '{3} (?: [^'] | '(?!'') )* '{3,5}
    | " (?: [^"\\\n] | \\. )* "
    | ' [^'\n]* '
    """,
    re.DOTALL | re.VERBOSE,
)
_SCALAR: Final = re.compile(r"[^,\[\]{}#\n]+")
_AT: Final = re.compile(r"\(at line (\d+), column \d+\)")


def read(text: str) -> Tree:
    """Return the document and the line of every key and list item in it.

    Raises:
        Unreadable: not TOML.
    """
    try:
        value = tomllib.loads(text)
        return Tree(value, _Scanner(text).run())
    except tomllib.TOMLDecodeError as problem:
        raise Unreadable(*_without_place(str(problem), text)) from None
    except RecursionError:
        raise Unreadable("nested too deeply") from None


def _without_place(message: str, text: str) -> tuple[str, int]:
    at = _AT.search(message)
    line = int(at[1]) if at else text.count("\n") + 1
    # The message may quote a key of the file, never a value; its first word is lowered to our style.
    words = message[: at.start()].strip() if at else message.partition(" (at end")[0]
    return f"not TOML: {words[:1].lower()}{words[1:]}", line


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text.replace("\r\n", "\n")
        self.at = 0
        self.lines: dict[Path, int] = {}
        self.line = 1
        self.counted = 0  # characters whose line ends are in `line` already
        self.items: dict[Path, int] = {}  # arrays of tables: how many elements so far

    def run(self) -> dict[Path, int]:
        table: Path = ()
        self._skip(_BLANK)
        while self.at < len(self.text):
            table = self._header() if self.text[self.at] == "[" else self._pair(table)
            self._skip(_BLANK)
        return self.lines

    def _header(self) -> Path:
        line = self._line()
        array = self.text.startswith("[[", self.at)
        self.at += 2 if array else 1
        self._skip(_BLANK)
        key = self._key()
        self._skip(_BLANK)
        self.at += 2 if array else 1
        path = self._inside((), key[:-1], line) + key[-1:]
        self.lines.setdefault(path, line)
        if array:
            index = self.items.get(path, 0)
            self.items[path] = index + 1
            path = (*path, str(index))
            self.lines[path] = line
        elif path in self.items:
            path = self._last(path)
        return path

    def _pair(self, table: Path) -> Path:
        """Read `key = value` and return the table, which does not change."""
        line = self._line()
        key = self._key()
        self._skip(_EQUALS)
        path = self._inside(table, key[:-1], line) + key[-1:]
        self.lines[path] = line
        self._value(path)
        return table

    def _value(self, path: Path) -> None:
        opening = self.text[self.at]
        if opening == "[":
            self._array(path)
        elif opening == "{":
            self._inline_table(path)
        elif opening in "\"'":
            self._skip(_STRING)
        else:
            self._skip(_SCALAR)

    def _array(self, path: Path) -> None:
        index = 0
        self.at += 1
        self._skip(_BLANK)
        while self.text[self.at] != "]":
            here = (*path, str(index))
            self.lines[here] = self._line()
            self._value(here)
            index += 1
            self._comma()
        self.at += 1

    def _inline_table(self, path: Path) -> None:
        self.at += 1
        self._skip(_BLANK)
        while self.text[self.at] != "}":
            self._pair(path)
            self._comma()
        self.at += 1

    def _comma(self) -> None:
        self._skip(_BLANK)
        if self.text[self.at] == ",":
            self.at += 1
            self._skip(_BLANK)

    def _key(self) -> Path:
        parts = [self._part()]
        while (dot := _DOT.match(self.text, self.at)) is not None:
            self.at = dot.end()
            parts.append(self._part())
        return tuple(parts)

    def _part(self) -> str:
        match = _KEY.match(self.text, self.at)
        if match is None:  # cannot happen after tomllib has read the text
            raise Unreadable("not TOML: a key was expected", self._line())
        self.at = match.end()
        if match[0][0] == '"':
            return next(iter(tomllib.loads(f"{match[0]} = 0")))
        return match[0].strip("'") if match[0][0] == "'" else match[0]

    def _inside(self, path: Path, keys: Path, line: int) -> Path:
        """Walk from a path down the keys, into the last element of each array of tables."""
        for key in keys:
            path = (*path, key)
            self.lines.setdefault(path, line)
            path = self._last(path)
        return path

    def _last(self, path: Path) -> Path:
        count = self.items.get(path)
        return path if count is None else (*path, str(count - 1))

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self.text, self.at)
        if match is not None:
            self.at = match.end()

    def _line(self) -> int:
        self.line += self.text.count("\n", self.counted, self.at)
        self.counted = self.at
        return self.line
