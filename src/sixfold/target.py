"""The request target in canonical form: what is matched is what is forwarded (PATH-01; RFC 3986)."""

from __future__ import annotations

import re
import unicodedata
from typing import Final
from urllib.parse import quote_from_bytes

_PATH_BYTES: Final = re.compile(rb"[A-Za-z0-9\-._~!$&'()*+,=:@/%]*")
_QUERY_BYTES: Final = re.compile(rb"[A-Za-z0-9\-._~!$'()*,:@/?=&\[\]{}|^+%]*")
_PLAIN_QUERY: Final = re.compile(rb"[A-Za-z0-9\-._~!$'()*,:@/?=&\[\]{}|^]*")  # nothing to decode
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})?")
_ESCAPE_IN_TEXT: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # C1 as well: a terminal that shows a log obeys U+009B
_CONTROL_IN_LINES: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SAFE_PATH: Final = "/-._~!$&'()*+,=:@"
_SAFE_QUERY: Final = "-._~!$'()*,:@/?[]{}|^"


class Malformed(Exception):
    """An input that cannot be read in one way only; `Canonicaliser.request` turns it into a Refusal."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def query_pairs(query: bytes, *, multiline: bool = False) -> tuple[tuple[str, str], ...]:
    """Decode a query or an `application/x-www-form-urlencoded` body.

    Arguments:
        multiline: tab, line feed and carriage return may stand in it, as people type them into a form.

    Raises:
        Malformed: `;`, a broken escape, NUL or another control character, bytes that are not UTF-8.
    """
    if not multiline and _PLAIN_QUERY.fullmatch(query) is not None:
        text = query.decode("ascii")
        return tuple([(name, value) for name, _, value in [part.partition("=") for part in text.split("&") if part]])
    if b";" in query:
        raise Malformed("malformed-target", "`;` as a separator; write it as %3B")
    pairs = []
    for part in query.split(b"&"):
        if part:
            name, _, value = part.partition(b"=")
            name, value = name.replace(b"+", b" "), value.replace(b"+", b" ")
            pairs.append((_decode(name), _decode(value, _CONTROL_IN_LINES if multiline else _CONTROL)))
    return tuple(pairs)


def _decode(raw: bytes, control: re.Pattern[str] = _CONTROL) -> str:
    """Percent-decode once, as UTF-8, refusing control characters (PATH-01, defence 3.4)."""
    if b"%" in raw:
        raw = _ESCAPE.sub(_byte, raw)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("malformed-target", "bytes that are not UTF-8") from None
    if control.search(text):
        raise Malformed("malformed-target", "a control character")
    return text


def _byte(match: re.Match[bytes]) -> bytes:
    if match[1] is None:
        raise Malformed("malformed-target", "`%` without two hexadecimal digits")
    return bytes((int(match[1], 16),))


def canonical_path(raw: bytes) -> tuple[bytes, str]:
    """Return the path as it is forwarded and as it is matched.

    Raises:
        Malformed: anything that another hop could read differently: encoded slash, backslash, `%`-escapes or NUL, dot
            and empty segments, `;` parameters, over-long UTF-8, a text that Unicode normalisation would change into
            such a thing.
    """
    if not raw.startswith(b"/"):
        raise Malformed("malformed-target", "a target that does not start with `/`")
    if b";" in raw:
        raise Malformed("malformed-target", "`;` path parameters")
    if _PATH_BYTES.fullmatch(raw) is None:
        raise Malformed("malformed-target", "a character that a path cannot hold unencoded")
    path = _decode(raw)
    if path.count("/") != raw.count(b"/"):
        raise Malformed("malformed-target", "an encoded slash")
    if "\\" in path:
        raise Malformed("malformed-target", "an encoded backslash")
    if ";" in path:
        raise Malformed("malformed-target", "an encoded `;`")
    if _ESCAPE_IN_TEXT.search(path):
        raise Malformed("malformed-target", "a doubly encoded character")
    segments = path.split("/")[1:]
    if "" in segments[:-1]:
        raise Malformed("malformed-target", "an empty segment")
    if "." in segments or ".." in segments:
        raise Malformed("malformed-target", "a dot segment")
    if not path.isascii():
        if unicodedata.normalize("NFC", path) != path:
            raise Malformed("malformed-target", "a text that is not in Unicode form NFC")
        folded = unicodedata.normalize("NFKC", path)
        if any(folded.count(sign) != path.count(sign) for sign in "/\\.%;?#"):
            raise Malformed("malformed-target", "a look-alike of a reserved character")
    return quote_from_bytes(path.encode(), safe=_SAFE_PATH).encode(), path


def canonical_query(raw: bytes) -> bytes:
    """Return the query re-encoded by one rule (blank as %20).

    Raises:
        Malformed: see `query_pairs`; also characters that a query cannot hold unencoded.
    """
    if _QUERY_BYTES.fullmatch(raw.replace(b";", b"")) is None:
        raise Malformed("malformed-target", "a character that a query cannot hold unencoded")
    parts = []
    for part in raw.split(b"&"):
        if part:
            _, equals, _ = part.partition(b"=")
            ((key, text),) = query_pairs(part) or (("", ""),)
            encoded = quote_from_bytes(key.encode(), safe=_SAFE_QUERY)
            parts.append(encoded + ("=" + quote_from_bytes(text.encode(), safe=_SAFE_QUERY + "=") if equals else ""))
    return "&".join(parts).encode()
