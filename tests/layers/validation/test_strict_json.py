"""Strict JSON against tables of our own, the standard library's parser, and generated nastiness (defence 3.1, 3.2)."""

from __future__ import annotations

import json
import random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixfold.layers.validation.strict_json import Flaw, Limits, Parsed, Parser, outside

parser = Parser(Limits(depth=32, members=1000, items=10_000, string=256 * 1024))

REFUSED = {
    # RFC 8259 grammar
    "nothing": b"",
    "only-blanks": b" \n",
    "two-values": b"1 2",
    "trailing-comma": b"[1,]",
    "leading-comma": b"[,1]",
    "trailing-comma-in-object": b'{"a":1,}',
    "no-colon": b'{"a" 1}',
    "no-value": b'{"a":}',
    "unquoted-name": b"{a:1}",
    "single-quotes": b"{'a':1}",
    "number-as-name": b"{1:1}",
    "comment": b"[1/*x*/]",
    "line-comment": b"[1] // x",
    "unclosed-array": b"[1",
    "unclosed-object": b'{"a":1',
    "unclosed-string": b'"a',
    "wrong-bracket": b"[1}",
    "extra-bracket": b"[1]]",
    "trailing-data": b'{"a":1} x',
    "trailing-nul": b'{"a":1}\x00',
    "capital-literal": b"True",
    "undefined": b"undefined",
    "form-feed": b"[\x0c1]",
    "no-break-space": b"[\xc2\xa01]",
    # numbers
    "nan": b"NaN",
    "infinity": b"Infinity",
    "minus-infinity": b"[-Infinity]",
    "leading-zero": b"01",
    "minus-leading-zero": b"-01",
    "plus": b"+1",
    "lonely-minus": b"-",
    "no-fraction": b"1.",
    "no-whole": b".5",
    "no-exponent": b"1e",
    "hexadecimal": b"0x10",
    "full-width-digit": "１".encode(),
    "overflow": b"1e400",
    "overflow-negative": b"-1E+400",
    "underflow": b"1e-400",
    "zero-with-huge-exponent": b"0e999999999",
    "exponent-of-many-digits": b"1e0000000001",
    "beyond-64-bits": b"18446744073709551616",
    "below-64-bits": b"-9223372036854775809",
    "23-digits": b"12345678901234567890123",
    "500-digits": b"[" + b"1" * 300 + b"]",
    "long-fraction": b"0." + b"1" * 40,
    "long-number-beside-a-string": b'{"a":"12345678901234567890123","b":12345678901234567890123}',
    # names
    "repeated-name": b'{"a":1,"a":2}',
    "repeated-name-same-value": b'{"a":1,"a":1}',
    "repeated-name-deep": b'{"a":[{"b":{"c":1,"c":2}}]}',
    "repeated-name-escaped": b'{"a":1,"\\u0061":2}',
    "repeated-name-escaped-solidus": b'{"/":1,"\\/":2}',
    "repeated-name-hidden-by-a-colon": b'{"a":1,"a":2,"b":"\\u003a"}',
    "repeated-name-hidden-by-a-colon-2": b'{"a":1,"a":2,"b":"\\u003A"}',
    "repeated-name-hidden-by-a-number": b'{"a":1,"a":1E5}',
    "repeated-empty-name": b'{"":1,"":2}',
    "repeated-proto": b'{"__proto__":1,"__proto__":2}',
    # strings and encoding
    "bom": b'\xef\xbb\xbf{"a":1}',
    "utf-16": '{"a":1}'.encode("utf-16-le"),
    "latin-1": b'"\xe9"',
    "over-long": b'"\xc0\xaf"',
    "surrogate-in-utf-8": b'"\xed\xa0\x80"',
    "lone-surrogate": b'"\\ud800"',
    "swapped-surrogates": b'"\\udc00\\ud800"',
    "raw-control": b'"\x01"',
    "raw-newline": b'"a\nb"',
    "raw-tab": b'"\t"',
    "bad-escape": b'"\\x41"',
    "short-escape": b'"\\u12"',
    "lonely-backslash": b'"\\"',
    # size
    "depth-33-arrays": b"[" * 33 + b"]" * 33,
    "depth-33-objects": b'{"a":' * 33 + b"1" + b"}" * 33,
    "depth-33-mixed": b'[{"a":' * 16 + b"[]" + b"}]" * 16,
    "depth-100000": b"[" * 100_000,
    "depth-100000-closed": b"[" * 100_000 + b"]" * 100_000,
    "members-1001": b"{" + b",".join(b'"%d":0' % number for number in range(1001)) + b"}",
    "items-10001": b"[" + b",".join([b"0"] * 10_001) + b"]",
    "string-too-long": b'"' + b"a" * (256 * 1024 + 1) + b'"',
    "name-too-long": b'{"' + b"a" * (256 * 1024 + 1) + b'":1}',
    "escaped-string-too-long": b'"' + b'\\"' * (128 * 1024 + 1) + b'"',
}

ACCEPTED = {
    "string": (b'"a"', b'"a"'),
    "empty-string": (b'""', b'""'),
    "zero": (b"0", b"0"),
    "minus-zero": (b"-0", b"0"),
    "minus-zero-float": (b"-0.0", b"-0.0"),
    "one-point-zero": (b"1.0", b"1.0"),
    "exponent": (b"1E5", b"100000.0"),
    "small-exponent": (b"1e-7", b"1e-7"),
    "seventeen-digits": (b"0.10000000000000001", b"0.1"),
    "32-digits": (b"19." + b"0" * 30, b"19.0"),
    "unsigned-64": (b"18446744073709551615", b"18446744073709551615"),
    "signed-64": (b"-9223372036854775808", b"-9223372036854775808"),
    "long-digits-in-a-string": (b'"12345678901234567890123"', b'"12345678901234567890123"'),
    "exponent-in-a-string": (b'[ "0e999999999" ]', b'["0e999999999"]'),
    "literals": (b"[true, false, null]", b"[true,false,null]"),
    "blanks": (b' {\r\n\t"a" : 1 } \n', b'{"a":1}'),
    "escapes": (b'"\\u0061\\/\\u00e9\\ud83d\\ude00"', '"a/é😀"'.encode()),
    "escaped-nul": (b'"\\u0000"', b'"\\u0000"'),
    "escaped-backslash-and-quote": (b'["\\\\", "\\\\\\"", ":"]', b'["\\\\","\\\\\\"",":"]'),
    "escaped-backslash-before-u003a": (b'{"a": "\\\\u003a", "b": 1}', b'{"a":"\\\\u003a","b":1}'),
    "colon-in-strings": (b'{"a:b": ":::", "c": "\\u003a"}', b'{"a:b":":::","c":":"}'),
    "brackets-in-strings": (b'"' + b"[" * 100 + b'"', b'"' + b"[" * 100 + b'"'),
    "names-that-look-alike": ('{"a":1,"A":2,"а":3}'.encode(), '{"a":1,"A":2,"а":3}'.encode()),
    "same-name-in-two-objects": (b'[{"a":1},{"a":2}]', b'[{"a":1},{"a":2}]'),
    "depth-32": (b"[" * 32 + b"]" * 32, b"[" * 32 + b"]" * 32),
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED.keys())
def test_refused(raw: bytes) -> None:
    """JSON-01: what two parsers could read differently, or one not at all, is refused."""
    assert isinstance(parser(raw), Flaw)


@pytest.mark.parametrize(("raw", "canonical"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted(raw: bytes, canonical: bytes) -> None:
    """JSON-02: what every parser reads alike is accepted and written in its canonical form."""
    parsed = parser(raw)
    assert isinstance(parsed, Parsed), parsed
    assert parsed.canonical == canonical
    assert parsed.value == json.loads(raw)


@pytest.mark.parametrize(
    ("limits", "raw", "key"),
    [
        (Limits(2, 9, 9, 99), b"[[[]]]", "max_depth"),
        (Limits(9, 2, 9, 99), b'{"a":1,"b":2,"c":3}', "max_members"),
        (Limits(9, 9, 2, 99), b"[1,2,3]", "max_items"),
        (Limits(9, 9, 2, 99), b'{"a":[[1,2,3]]}', "max_items"),
        (Limits(9, 9, 9, 2), b'"abc"', "max_string"),
        (Limits(9, 9, 9, 2), b'{"abc":1}', "max_string"),
        (Limits(9, 9, 9, 2), '["é", "éé"]'.encode(), "max_string"),
    ],
)
def test_limits(limits: Limits, raw: bytes, key: str) -> None:
    """JSON-03: each limit refuses what is one beyond it, and names its key."""
    flaw = Parser(limits)(raw)
    assert isinstance(flaw, Flaw)
    assert flaw.limit == key
    roomy = limits._replace(**{key.removeprefix("max_"): getattr(limits, key.removeprefix("max_")) + 2})
    assert isinstance(Parser(roomy)(raw), Parsed)


@pytest.mark.parametrize(
    ("raw", "places"),
    [
        (b"9007199254740992", ()),
        (b"-9007199254740992", ()),
        (b"9007199254740993", ((),)),
        (b'{"a":[1,9007199254740993,"9007199254740993"]}', (("a", 1),)),
        (b'[{"a":-9007199254740993},9007199254740994]', ((1,), (0, "a"))),
        (b"9007199254740993.0", ()),
        (b"[true, 0.12345678901234567, -9007199254740993]", ((2,),)),
        (b'[false, 1e5, "9007199254740993"]', ()),
    ],
)
def test_large_integers(raw: bytes, places: tuple[Any, ...]) -> None:
    """JSON-04: integers beyond 2^53 are told with their places."""
    parsed = parser(raw)
    assert isinstance(parsed, Parsed)
    assert parsed.large == places


# Names and strings that attack the cheap tests: colons, quotes, backslashes, escapes of them.
texts = st.text(alphabet=st.sampled_from(list('ab:"\\{}[],/ue0é😀\n 3A')), max_size=6)
numbers = st.one_of(
    st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False), st.integers(-9, 9)
)
values = st.recursive(
    st.one_of(texts, numbers, st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=20,
)


class Writer:
    """Writes a value as JSON in a random spelling; may say a name again in one object."""

    def __init__(self, seed: int, repeat: bool) -> None:
        self.random = random.Random(seed)
        self.repeat = repeat
        self.repeated = False

    def blank(self) -> str:
        return self.random.choice(["", "", " ", "\n", "\t ", "\r\n"])

    def string(self, text: str) -> str:
        return '"' + "".join(self.character(character) for character in text) + '"'

    def character(self, character: str) -> str:
        if character in '"\\\n' or self.random.random() < 0.3:
            units = character.encode("utf-16-be")
            escaped = "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))
            short = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "/": "\\/"}.get(character)
            upper = "".join("\\u" + part.upper() for part in escaped.split("\\u")[1:])
            return self.random.choice([escaped, upper, short or escaped])
        return character

    def write(self, value: Any) -> str:
        if isinstance(value, dict):
            members = [(name, self.write(inner)) for name, inner in value.items()]
            if self.repeat and members and self.random.random() < 0.5:
                self.repeated = True
                name, inner = self.random.choice(members)
                members.insert(self.random.randrange(len(members) + 1), (name, self.random.choice([inner, "0", '":"'])))
            inside = (self.string(name) + self.blank() + ":" + self.blank() + inner for name, inner in members)
            return "{" + self.blank() + (self.blank() + "," + self.blank()).join(inside) + self.blank() + "}"
        if isinstance(value, list):
            return "[" + (self.blank() + "," + self.blank()).join(map(self.write, value)) + self.blank() + "]"
        if isinstance(value, str):
            return self.string(value)
        return json.dumps(value)


def has_repeated_name(raw: str) -> bool:
    """Ask the standard library, whose hook sees every member."""
    seen = []

    def hook(members: list[tuple[str, Any]]) -> dict[str, Any]:
        seen.append(len(dict(members)) != len(members))
        return dict(members)

    json.loads(raw, object_pairs_hook=hook)
    return any(seen)


@settings(max_examples=300, deadline=None)
@given(values, st.integers(0, 2**32), st.booleans())
def test_agrees_with_the_standard_library(value: Any, seed: int, repeat: bool) -> None:
    """JSON-05: in any spelling, a text is refused exactly if a name is repeated, and the value is the same."""
    writer = Writer(seed, repeat)
    raw = writer.write(value)
    parsed = parser(raw.encode())
    assert has_repeated_name(raw) == writer.repeated
    assert isinstance(parsed, Flaw) == writer.repeated, raw
    if isinstance(parsed, Parsed):
        assert parsed.value == value == orjson.loads(parsed.canonical)
        assert parser(parsed.canonical) == parsed


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='{}[]:,"\\ue0aA19.-+E tn', max_size=24), st.integers(0, 3))
def test_accepts_nothing_that_the_standard_library_refuses(text: str, wrap: int) -> None:
    """JSON-06: whatever passes is JSON for another parser too, with the same meaning."""
    raw = [text, f'{{"a":{text}}}', f"[{text}]", f'"{text}"'][wrap]
    parsed = parser(raw.encode())
    if isinstance(parsed, Parsed):
        assert json.loads(raw) == parsed.value
        assert not has_repeated_name(raw)


@settings(max_examples=150, deadline=None)
@given(values, st.integers(0, 2**32))
def test_outside_strings(value: Any, seed: int) -> None:
    """JSON-07: what stands outside the strings is told apart whatever is in them."""
    raw = Writer(seed, repeat=False).write(value)
    in_string, escaped, expected = False, False, []
    for character in raw:
        if escaped:
            escaped = False
        elif in_string and character == "\\":
            escaped = True
        elif character == '"':
            in_string = not in_string
        elif not in_string:
            expected.append(character)
    assert outside(raw.encode()) == "".join(expected).encode()


@settings(max_examples=150, deadline=None)
@given(values)
def test_size(value: Any) -> None:
    """JSON-08: the cheap tests of size refuse exactly what a careful count refuses."""
    limits = Limits(depth=3, members=2, items=2, string=8)

    def measure(inner: Any) -> tuple[int, int, int, int]:
        """Return depth, members, items, string bytes."""
        if isinstance(inner, str):
            return 0, 0, 0, len(orjson.dumps(inner)) - 2
        if not isinstance(inner, (dict, list)):
            return 0, 0, 0, 0
        parts = [measure(part) for part in (inner.values() if isinstance(inner, dict) else inner)]
        names = [measure(name) for name in inner] if isinstance(inner, dict) else []
        deepest = tuple(max((part[at] for part in (*parts, *names)), default=0) for at in range(4))
        members, items = (len(inner), 0) if isinstance(inner, dict) else (0, len(inner))
        return deepest[0] + 1, max(deepest[1], members), max(deepest[2], items), deepest[3]

    within = all(size <= limit for size, limit in zip(measure(value), limits, strict=True))
    assert isinstance(Parser(limits)(orjson.dumps(value)), Parsed) == within
