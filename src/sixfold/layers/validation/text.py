"""Text turned into the type a schema wants, by one spelling per value. Nothing is guessed: `1` is no boolean.

Numbers are written as in JSON (RFC 8259 section 6).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from sixfold.layers.validation.strict_json import MAX_DIGITS, MAX_EXPONENT

_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,19})", re.ASCII)
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]{1,3}))?", re.ASCII)
_BOOLEANS: Final = {"true": True, "false": False}
_FAILED: Final = object()

Reader = Callable[[str], tuple[Any, ...]]


def reader(types: frozenset[str]) -> Reader:
    """Return what reads a text as one of the types.

    Returns:
        a function from text to the values it can stand for, the narrowest first; () if none.
    """
    names = types - {"integer"} if "number" in types else types  # a number reads integers as integers
    reads = [_READS[name] for name in ("null", "boolean", "integer", "number", "string") if name in names]
    if len(reads) == 1:
        return _single(reads[0])
    return lambda text: tuple(value for read in reads if (value := read(text)) is not _FAILED)


def _single(read: Callable[[str], Any]) -> Reader:
    if read is _string:
        return lambda text: (text,)

    def single(text: str) -> tuple[Any, ...]:
        value = read(text)
        return () if value is _FAILED else (value,)

    return single


def _null(text: str) -> Any:
    return None if text == "null" else _FAILED


def _boolean(text: str) -> Any:
    return _BOOLEANS.get(text, _FAILED)


def _integer(text: str) -> Any:
    if _INTEGER.fullmatch(text) is None:
        return _FAILED
    value = int(text)
    return value if -(2**63) <= value < 2**64 else _FAILED


def _number(text: str) -> Any:
    match = _NUMBER.fullmatch(text)
    if match is None:
        return _FAILED
    whole, fraction, exponent = match.groups()
    if fraction is None and exponent is None:
        return _integer(text)
    if len(whole) + len(fraction or "") > MAX_DIGITS or abs(int(exponent or 0)) > MAX_EXPONENT:
        return _FAILED
    value = float(text)
    return value if abs(value) != float("inf") else _FAILED


def _string(text: str) -> Any:
    return text


_READS: Final[dict[str, Callable[[str], Any]]] = {
    "null": _null, "boolean": _boolean, "integer": _integer, "number": _number, "string": _string,
}  # fmt: skip
