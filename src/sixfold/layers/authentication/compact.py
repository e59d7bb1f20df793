"""The strict check of the JWS compact form, before any key is looked at (RFC 7515 section 7.1, RFC 8725bis
section 3.14).

One token has one spelling: what could be written in two ways is refused here, so that nothing behind this
file ever reads a token differently from the issuer. No library is asked; the JSON form (RFC 7515 section 7.2)
is not known at all.
"""

from __future__ import annotations

import binascii
import json
from typing import Any, Final, NamedTuple, cast

import orjson

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_PADDING: Final = (b"", b"", b"==", b"=")
# The last character of a part whose length is 2 or 3 mod 4 carries 4 or 2 unused bits, which must be zero.
_LAST: Final = {2: frozenset(b"AQgw"), 3: frozenset(b"AEIMQUYcgkosw048")}
_MAX_DEPTH: Final = 16


class Malformed(ValueError):
    """Bytes that are not one well-formed token; the message says where, never what was written there."""


class Compact(NamedTuple):
    """A token taken apart. Nothing in it is verified yet.

    Arguments:
        header: the JOSE header.
        claims: the payload, one JSON object.
        signature: the raw bytes of the third part.
        signed: the bytes that were signed.
    """

    header: dict[str, Any]
    claims: dict[str, Any]
    signature: bytes
    signed: bytes


class Parts(NamedTuple):
    """The three parts: the header still encoded (callers cache it), the others decoded."""

    header: bytes
    payload: bytes
    signature: bytes
    signed: bytes


def split(token: bytes, limit: int) -> Parts:
    """Take a token into its three parts.

    Arguments:
        token: as received, without the scheme.
        limit: largest token in bytes.

    Raises:
        Malformed: too long, not three parts, a character outside base64url, unused bits that are not zero
            (RS-11, RS-12).
    """
    if len(token) > limit:
        raise Malformed(f"the token has {len(token)} bytes; {limit} are allowed")
    if token.translate(None, _ALPHABET) != b"..":  # what is left without the alphabet: two dots
        raise Malformed(_wrong_form(token))
    header, payload, signature = token.split(b".")
    if not (header and payload and signature):
        raise Malformed("a part of the token is empty")
    signed = token[: -1 - len(signature)]
    return Parts(header, decode(payload, "payload"), decode(signature, "signature"), signed)


def parse(token: bytes, limit: int) -> Compact:
    """Take a token apart and read its header and its payload.

    Raises:
        Malformed: see `split` and `read_object`.
    """
    parts = split(token, limit)
    header = read_object(decode(parts.header, "header"), "header")
    return Compact(header, read_object(parts.payload, "payload"), parts.signature, parts.signed)


def decode(part: bytes, where: str) -> bytes:
    """Decode base64url without padding (RFC 7515 section 2), accepting only the one canonical spelling.

    Arguments:
        part: characters of the base64url alphabet only.
        where: what the part is, for the message.

    Raises:
        Malformed: a length that no encoding has, or unused bits that are not zero.
    """
    rest = len(part) & 3
    if rest and (rest == 1 or part[-1] not in _LAST[rest]):
        raise Malformed(f"the {where} is not canonical base64url: {'length' if rest == 1 else 'unused bits are set'}")
    return binascii.a2b_base64(part.translate(_TO_STANDARD) + _PADDING[rest])


def encode(raw: bytes) -> bytes:
    """Encode as base64url without padding (RFC 7515 section 2)."""
    return binascii.b2a_base64(raw, newline=False).rstrip(b"=").translate(bytes.maketrans(b"+/", b"-_"))


def read_object(raw: bytes, where: str) -> dict[str, Any]:
    """Read one JSON object that can be read in one way only.

    Arguments:
        raw: the decoded bytes.
        where: what is read ("header", "payload"), for the message.

    Raises:
        Malformed: not UTF-8, not JSON, no object, nested too deep, a member twice, NaN or Infinity (RS-12).
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Malformed(f"the {where} is not strict JSON in UTF-8") from None
    if type(value) is not dict:
        raise Malformed(f"the {where} is not a JSON object")
    if raw.count(b"{") + raw.count(b"[") > _MAX_DEPTH and _too_deep(value):
        raise Malformed(f"the {where} is nested deeper than {_MAX_DEPTH}")
    # orjson keeps the last of two equal members. A text that comes out byte for byte as it went in cannot
    # have held two; the others (blanks, escapes, unusual numbers) are read again by the parser that shows each pair.
    if orjson.dumps(value) != raw:
        value = json.loads(raw, object_pairs_hook=lambda pairs: _members(pairs, where))
    return cast("dict[str, Any]", value)


def _members(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Malformed(f"the {where} has a member twice")
    return members


def _too_deep(value: Any, left: int = _MAX_DEPTH) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return left == 0 or any(_too_deep(item, left - 1) for item in inner)


def _wrong_form(token: bytes) -> str:
    """Say what is wrong with the outer form, for the operator."""
    dots = token.count(b".")
    if token[:1] == b"{":
        return "the JSON serialization is not accepted, only the compact form"
    if dots == 4:
        return "the token has five parts: it is encrypted (JWE), which is not accepted"
    if dots != 2:
        return f"the token has {dots + 1} part{'s' if dots else ''}; a signed token has three"
    if b"=" in token:
        return "the token holds `=` padding; base64url in a token has none"
    return "the token holds a character outside base64url"
