"""Strict JSON: a text that every parser reads alike, or a flaw. RFC 8259, RFC 7493 (I-JSON).

orjson alone keeps the last of two equal names, turns long integers into floats and knows no limits. So its
value is written again, and cheap sufficient tests compare the two texts; only a text that they cannot clear
is looked at closely.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

import orjson

Path = tuple[str | int, ...]

SAFE_INTEGER: Final = 2**53  # beyond it a double cannot tell neighbours apart (RFC 8259 section 6)
MAX_LARGE: Final = 1000  # integers beyond that of one input; to ask the schema costs microseconds for each
MAX_DEPTH: Final = 254  # orjson writes no deeper
MAX_DIGITS: Final = 32  # of a number with fraction or exponent; a double holds 17
MAX_EXPONENT: Final = 324  # of the smallest double
_BROKEN: Final = "one JSON text in UTF-8, without byte order mark, NaN or Infinity"

# The shape of a text answers three questions at once: digits look alike, so do the signs of an exponent and brackets.
_SHAPE: Final = bytes.maketrans(b"123456789E{", b"000000000e[")
_SIGNS: Final = b"+-"  # left out of the shape
_APART: Final = bytes.maketrans(b",:[]{}E", b"      e")
_LONG: Final = b"0" * 16  # no shorter run of digits leaves the safe range
_EXPONENT: Final = b"e000"  # no shorter one is beyond a double
_NUMBER: Final = re.compile(rb"-?([0-9]+)(?:\.([0-9]+))?(?:e([+-]?[0-9]+))?")
_BOXES: Final = (dict, list)


class Limits(NamedTuple):
    """How large a text may be: levels, members of one object, items of one array, bytes of one string."""

    depth: int
    members: int
    items: int
    string: int

    @property
    def harmless(self) -> int:
        """Bytes of a text too short to break a limit: a member has 5 (`"":0,`) or more, an item 2 (`0,`)."""
        return min(5 * self.members, 2 * self.items, self.string)


class Flaw(NamedTuple):
    """Why a text is refused.

    Arguments:
        expected: in words, for the caller.
        found: what stands there instead, never the value.
        limit: the key of `[validation]` that says so, or "" for a rule of the format.
    """

    expected: str
    found: str = ""
    limit: str = ""


class Parsed(NamedTuple):
    """A text that can be read in one way only.

    Arguments:
        value: what it says.
        canonical: the same, written again: no blanks, names and numbers in one spelling.
        large: places of integers beyond `SAFE_INTEGER`; a schema has to allow each.
    """

    value: Any
    canonical: bytes
    large: tuple[Path, ...]


class Parser:
    """Parses within limits.

    Arguments:
        limits: of depth, members, items, strings.
    """

    __slots__ = ("_depth", "_harmless", "_limits")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._depth = min(limits.depth, MAX_DEPTH)
        self._harmless = limits.harmless

    def __call__(self, raw: bytes) -> Parsed | Flaw:
        """Return value and canonical text, or what is wrong with it."""
        try:
            value = orjson.loads(raw)
            shape = raw.translate(_SHAPE, _SIGNS)
            if shape.count(b"[") > self._depth or len(raw) > self._harmless:
                flaw = _size(raw, value, self._limits, self._depth)
                if flaw is not None:
                    return flaw
            canonical = orjson.dumps(value)
            changed = raw != canonical
            if changed and _repeats_a_name(raw, canonical):
                return Flaw("every name once in an object", "a repeated name")
            if _LONG in shape or (changed and _EXPONENT in shape):
                numbers = _numbers(outside(raw), value)
                return numbers if isinstance(numbers, Flaw) else Parsed(value, canonical, numbers)
        except orjson.JSONDecodeError:
            return Flaw(_BROKEN, "something else")
        except (RecursionError, MemoryError):
            return Flaw("a text that can be parsed with little memory")
        return Parsed(value, canonical, ())


def outside(raw: bytes) -> bytes:
    """Return what stands outside the strings of a well-formed text: brackets, colons, numbers, literals."""
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")  # now every quotation mark opens or closes
    return b"".join(raw.split(b'"')[::2])


def _repeats_a_name(raw: bytes, canonical: bytes) -> bool:
    r"""Return whether a name stands twice in an object, however it is spelled.

    The value has a member per *different* name, so where one was dropped the canonical text has fewer colons.
    Colons in strings are equally many in both, if those that were escaped are counted; `\\u003a` is counted
    though it is none, which can only ask for the closer look.
    """
    colons = raw.count(b":")
    if b"\\u003" in raw:
        colons += raw.count(b"\\u003a") + raw.count(b"\\u003A")
    return colons != canonical.count(b":") and outside(raw).count(b":") != outside(canonical).count(b":")


def _numbers(bare: bytes, value: Any) -> tuple[Path, ...] | Flaw:
    """Look closely at the numbers of a text: return where large integers stand, or what is wrong."""
    shape = bare.translate(_SHAPE, _SIGNS)
    if _LONG not in shape and _EXPONENT not in shape:
        return ()  # it was in a string
    odd = [token for token in bare.translate(_APART).split() if _is_odd(token)]
    for token in odd:
        if flaw := _number(token):
            return flaw
    if any(map(bytes.isdigit, (token.lstrip(b"-") for token in odd))):
        return tuple(islice(large_integers(value), MAX_LARGE + 1))
    return ()


def _is_odd(token: bytes) -> bool:
    """Return whether a number may be beyond a limit: a long integer, a very long fraction, a long exponent."""
    if b"e" in token and token[-3:].isdigit():
        return True
    return len(token) >= len(_LONG) and (b"." not in token or len(token) > MAX_DIGITS)


def _number(token: bytes) -> Flaw | None:
    match = _NUMBER.fullmatch(token)
    if match is None:
        return None  # not a number
    whole, fraction, exponent = match.groups()
    if fraction is None and exponent is None:
        if len(whole) > 20 or not -(2**63) <= int(token) < 2**64:
            return Flaw("integers of at most 64 bits", "a longer integer")
    elif len(whole) + len(fraction or b"") > MAX_DIGITS:
        return Flaw(f"numbers of at most {MAX_DIGITS} digits", "a longer number")
    elif exponent is not None and (len(exponent) > 4 or abs(int(exponent)) > MAX_EXPONENT):
        return Flaw(f"exponents of at most {MAX_EXPONENT}", "a larger exponent")
    return None


def _size(raw: bytes, value: Any, limits: Limits, max_depth: int) -> Flaw | None:
    """Measure level by level, without recursion."""
    level = [value] if type(value) in _BOXES else []
    depth = 0
    while level:
        depth += 1
        if depth > max_depth:
            return Flaw(f"at most {max_depth} levels", "more levels", "max_depth")
        below: list[Any] = []
        for box in level:
            if type(box) is dict:
                if len(box) > limits.members:
                    return Flaw(f"at most {limits.members} members in an object", "more members", "max_members")
                below.extend(inner for inner in box.values() if type(inner) in _BOXES)
            else:
                if len(box) > limits.items:
                    return Flaw(f"at most {limits.items} items in an array", "more items", "max_items")
                below.extend(inner for inner in box if type(inner) in _BOXES)
        level = below
    if len(raw) > limits.string and _longest(raw) > limits.string:
        return Flaw(f"strings of at most {limits.string} bytes", "a longer string", "max_string")
    return None


def _longest(raw: bytes) -> int:
    """Return the length of the longest string as it is written, in bytes."""
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"..").replace(b'\\"', b"..")
    return max(map(len, raw.split(b'"')[1::2]), default=0)


def large_integers(value: Any) -> Iterator[Path]:
    """Yield where integers beyond the safe range stand in a value."""
    if type(value) not in _BOXES:
        if _is_large(value):
            yield ()
        return
    stack: list[tuple[Path, Any]] = [((), value)]
    while stack:
        path, box = stack.pop()
        for key, inner in box.items() if type(box) is dict else enumerate(box):
            if type(inner) in _BOXES:
                stack.append(((*path, key), inner))
            elif _is_large(inner):
                yield (*path, key)


def _is_large(value: Any) -> bool:
    return type(value) is int and not -SAFE_INTEGER <= value <= SAFE_INTEGER
