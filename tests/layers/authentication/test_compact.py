"""The strict compact form: one token has one spelling."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.layers.authentication.compact import Malformed, decode, encode, parse, read_object, split

HEADER = encode(b'{"alg":"ES256"}')
PAYLOAD = encode(b'{"sub":"a"}')
SIGNATURE = encode(b"s" * 64)
GOOD = b".".join((HEADER, PAYLOAD, SIGNATURE))


def test_a_well_formed_token_is_taken_apart() -> None:
    """RS-11: the parts are what was signed, and the signature."""
    token = parse(GOOD, 8192)
    assert token.header == {"alg": "ES256"}
    assert token.claims == {"sub": "a"}
    assert token.signature == b"s" * 64
    assert token.signed == HEADER + b"." + PAYLOAD


@pytest.mark.parametrize(
    ("token", "says"),
    [
        (b"", "1 part"),
        (b"abc", "1 part"),
        (b"a.b", "2 parts"),
        (GOOD + b".", "4 parts"),
        (b"." + PAYLOAD + b"." + SIGNATURE, "empty"),
        (HEADER + b".." + SIGNATURE, "empty"),
        (HEADER + b"." + PAYLOAD + b".", "empty"),
        (b"..", "empty"),
        (HEADER + b"=." + PAYLOAD + b"." + SIGNATURE, "padding"),
        (HEADER + b"." + PAYLOAD + b"=." + SIGNATURE, "padding"),
        (GOOD + b"==", "padding"),
        (b" " + GOOD, "outside base64url"),
        (GOOD + b" ", "outside base64url"),
        (GOOD + b"\n", "outside base64url"),
        (GOOD.replace(b".", b"\n.", 1), "outside base64url"),
        (GOOD.replace(b".", b". ", 1), "outside base64url"),
        (GOOD[:8] + b"?" + GOOD[8:], "outside base64url"),
        (GOOD[:8] + b"+" + GOOD[9:], "outside base64url"),
        (GOOD[:8] + b"/" + GOOD[9:], "outside base64url"),
        (GOOD[:8] + b"\x00" + GOOD[9:], "outside base64url"),
        (GOOD[:8] + "é".encode() + GOOD[9:], "outside base64url"),
    ],
)  # fmt: skip
def test_other_forms_are_refused(token: bytes, says: str) -> None:
    """RS-11: base64url only, three parts, no padding, blanks, line ends or other characters."""
    with pytest.raises(Malformed, match=says):
        parse(token, 8192)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_unused_bits_and_impossible_lengths(part: int) -> None:
    """RS-11: a part whose length is 1 mod 4, or whose unused bits are set, has a second spelling."""
    for raw in (b'{"a":1}', b'{"ab":1}'):
        parts = [HEADER, PAYLOAD, SIGNATURE]
        text = encode(raw)
        assert len(text) % 4 in (2, 3)
        altered = text[:-1] + bytes((text[-1] + 1,))
        assert decode(text, "part") == raw
        for spelling in (altered, text + b"AAA" if len(text) % 4 == 2 else text + b"AA"):
            parts[part] = spelling
            with pytest.raises(Malformed, match="not canonical"):
                parse(b".".join(parts), 8192)


@given(st.binary(max_size=80))
def test_decoding_turns_encoding_round(raw: bytes) -> None:
    """RS-11: every byte string has exactly one spelling."""
    assert decode(encode(raw), "part") == raw


@given(st.text("ABQgwxyz019_-", min_size=1, max_size=12))
def test_only_the_canonical_spelling_decodes(text: str) -> None:
    """RS-11: whatever decodes, encodes to the same text."""
    try:
        raw = decode(text.encode(), "part")
    except Malformed:
        return
    assert encode(raw) == text.encode()


def test_the_size_is_capped() -> None:
    """RS-12: an over-long token is refused before it is looked at."""
    assert parse(GOOD, len(GOOD)).claims
    with pytest.raises(Malformed, match=f"{len(GOOD)} bytes; {len(GOOD) - 1} are allowed"):
        parse(GOOD, len(GOOD) - 1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b'{"a":1,"a":1}', "twice"),
        (b'{"a":1,"\\u0061":2}', "twice"),
        (b'{"x":{"a":1,"b":2,"a":3}}', "twice"),
        (b'{"x":[{"a":1,"a":2}]}', "twice"),
        (b'{"a":NaN}', "strict JSON"),
        (b'{"a":Infinity}', "strict JSON"),
        (b'{"a":-Infinity}', "strict JSON"),
        (b'{"a":1e400}', "strict JSON"),
        (b'{"a":01}', "strict JSON"),
        (b"{'a':1}", "strict JSON"),
        (b'{"a":1,}', "strict JSON"),
        (b'{"a":1} {}', "strict JSON"),
        (b'{"a":1}\x00', "strict JSON"),
        (b'{"a":"\xff"}', "strict JSON"),
        (b'{"a":"\xc0\x80"}', "strict JSON"),
        (b'{"a":"\\ud800"}', "strict JSON"),
        (b'{"a":"\n"}', "strict JSON"),
        (b'\xef\xbb\xbf{"a":1}', "strict JSON"),
        ('{"a":1}'.encode("utf-16"), "strict JSON"),
        (b"", "strict JSON"),
        (b"[]", "not a JSON object"),
        (b'"a"', "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"1", "not a JSON object"),
    ],
)  # fmt: skip
def test_header_and_payload_are_one_strict_object(text: bytes, says: str) -> None:
    """RS-12: no member twice, no NaN, UTF-8, one object."""
    with pytest.raises(Malformed, match=says):
        read_object(text, "payload")
    for token in ((encode(text) or b"", PAYLOAD, SIGNATURE), (HEADER, encode(text), SIGNATURE)):
        with pytest.raises(Malformed):
            parse(b".".join(token), 8192)


def test_depth_is_capped() -> None:
    """RS-12: deep nesting is refused, in time that does not grow beyond the text."""
    deep = b'{"a":' * 16 + b"1" + b"}" * 16
    assert read_object(deep, "payload")
    for text in (b'{"a":' + deep + b"}", b'{"a":' + b"[" * 900 + b"]" * 900 + b"}"):
        with pytest.raises(Malformed, match="nested deeper than 16"):
            read_object(text, "payload")
    with pytest.raises(Malformed):
        read_object(b'{"a":' + b"[" * 4000 + b"]" * 4000 + b"}", "payload")
    assert read_object(b'{"a":["' + b"{[" * 50 + b'"]}', "payload")  # brackets in text do not count
    assert read_object(b'{"a":[' + b"[]," * 50 + b"[]]}", "payload")  # nor do many side by side


@given(
    st.dictionaries(
        st.text(max_size=4),
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.text(max_size=5)
            | st.floats(allow_nan=False, allow_infinity=False),
            lambda deep: st.lists(deep, max_size=3) | st.dictionaries(st.text(max_size=3), deep, max_size=3),
            max_leaves=8,
        ),
        max_size=4,
    ),
    st.booleans(),
)  # fmt: skip
def test_honest_objects_are_read_as_they_are(value: dict[str, object], compact: bool) -> None:
    """RS-12: being strict loses nothing, however the issuer formats its JSON."""
    try:
        text = json.dumps(value, separators=(",", ":") if compact else None, ensure_ascii=compact).encode()
    except UnicodeEncodeError:
        return
    if re.search(rb"\\ud[89a-f]", text):
        return
    assert read_object(text, "payload") == json.loads(text)


@pytest.mark.parametrize(
    "token",
    [
        b'{"payload":"e30","signatures":[]}',
        b'{"payload":"e30","protected":"e30","signature":"AA"}',
        b'{"payload":"e30","signatures":[{"protected":"e30","signature":"AA"}]}',
    ],
)
def test_the_json_serializations_are_refused(token: bytes) -> None:
    """F-26: neither JSON form is read, with or without signatures (CVE-2026-102946)."""
    with pytest.raises(Malformed, match="JSON serialization"):
        split(token, 8192)


def test_an_encrypted_token_is_refused() -> None:
    """RS-14: JWE is not accepted, so neither `p2c` nor decompression can cost anything."""
    with pytest.raises(Malformed, match="JWE"):
        split(b".".join([HEADER] * 5), 8192)
    with pytest.raises(Malformed, match="JWE"):
        split(HEADER + b"..iv.text.tag", 8192)
