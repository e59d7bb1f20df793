"""A `multipart/form-data` body, parsed so that no other parser finds other parts. RFC 7578, RFC 2046 5.1.1.

Refused although some parsers put up with it: text before the first or after the last boundary, blanks after a
boundary, folded or repeated part headers, `filename*` (RFC 7578 section 4.2), `Content-Transfer-Encoding`
(section 4.7), nested multipart, backslashes in names. The original bytes are forwarded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import orjson
from jsonschema_rs import Draft202012Validator

from sixfold.decision import Fault
from sixfold.layers.validation.faults import Breach, body_faults, pointer
from sixfold.layers.validation.fields import Field, assemble
from sixfold.layers.validation.media import MediaType, best_match, is_json, parse_media_type

_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_MAX_HEAD: Final = 4096  # bytes of one part's header section
# possessive: a blank could belong to either side of the value's start, and a head that fails would be tried both ways
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}):[ \t]*+([^\x00-\x08\x0a-\x1f\x7f]*+)")
_DISPOSITION: Final = re.compile(
    rb'form-data((?:[ \t]*;[ \t]*[A-Za-z*]{1,16}=(?:"[^"\\]*"|[!#$&+.^_`|~0-9A-Za-z-]+))+)', re.IGNORECASE
)
_ATTRIBUTE: Final = re.compile(rb'([A-Za-z*]+)=(?:"([^"\\]*)"|([!#$&+.^_`|~0-9A-Za-z-]+))')
_TEXT_PLAIN: Final = MediaType("text/plain", {})


class Part(NamedTuple):
    """One part: name, media type (text/plain unless said), whether it said one, content."""

    name: str
    media: MediaType
    typed: bool
    content: bytes


class _Broken(Exception):
    """A body that two parsers could read differently; `MultipartBody.check` turns it into a breach."""

    def __init__(self, expected: str, limit: str = "", code: str = "malformed-body") -> None:
        super().__init__(expected)
        self.breach = Breach(code, (Fault("", expected),), f"multipart: {expected}", limit)


class MultipartBody:
    """The check of a multipart form.

    Arguments:
        fields: declared ones.
        validator: of the object they make.
        max_parts: number of parts.
        max_part: bytes of one part's content.
    """

    __slots__ = ("_fields", "_max_part", "_max_parts", "_validator")

    def __init__(
        self,
        fields: Mapping[str, Field],
        validator: Draft202012Validator | None,
        max_parts: int,
        max_part: int,
    ) -> None:
        self._fields = fields
        self._validator = validator
        self._max_parts = max_parts
        self._max_part = max_part

    def check(self, raw: bytes, media: MediaType) -> bytes | Breach | None:
        """Return None, or what is wrong."""
        try:
            parts = parse(raw, media.parameters.get("boundary", ""), self._max_parts, self._max_part)
            pairs = [(part.name, self._text(part)) for part in parts]
        except _Broken as problem:
            return problem.breach
        faults = [fault for part in parts if (fault := self._wrong_type(part))]
        if faults:
            return Breach("invalid-body", tuple(faults), "a part has another media type than declared")
        value = assemble(self._fields, pairs)
        if isinstance(value, tuple):
            return Breach("invalid-body", value, "a part breaks its schema")
        validator = self._validator
        if validator is not None and not validator.is_valid(value):
            return Breach(
                "invalid-body",
                body_faults(validator, value, orjson.dumps(value)),
                "the form breaks its schema",
            )
        return None

    def _text(self, part: Part) -> str:
        """Return a part's content as text; one character per byte for a file, so that lengths count bytes."""
        field = self._fields.get(part.name)
        if field is not None and field.is_file:
            return part.content.decode("latin-1")
        try:
            return part.content.decode("utf-8")
        except UnicodeDecodeError:
            raise _Broken("text parts in UTF-8") from None

    def _wrong_type(self, part: Part) -> Fault | None:
        field = self._fields.get(part.name)
        if field is None or (field.is_file and not field.content_types):
            return None
        name = part.media.name
        if field.content_types:
            fits = (part.typed or field.is_json) and best_match(name, field.content_types) is not None
            fits = fits or (not part.typed and "text/plain" in field.content_types)
            allowed = " or ".join(field.content_types)
        elif field.is_json:
            fits, allowed = not part.typed or is_json(name), "application/json"
        else:
            fits, allowed = name == "text/plain", "text/plain"
        return None if fits else Fault(pointer((part.name,)), f"the media type {allowed}", "another media type")


def parse(raw: bytes, boundary: str, max_parts: int, max_part: int) -> list[Part]:
    """Return the parts of a body."""
    if _BOUNDARY.fullmatch(boundary) is None:
        raise _Broken("a `boundary` of 1 to 70 characters (RFC 2046 section 5.1.1)")
    line = b"--" + boundary.encode()
    delimiter = b"\r\n" + line
    body = b"\r\n" + raw
    delimiters = body.count(delimiter)
    if delimiters > max_parts + 1:
        raise _Broken(f"at most {max_parts} parts", "max_parts")
    if body.count(b"\n" + line) + body.count(b"\r" + line) > delimiters:  # a line end to some parsers (Werkzeug)
        raise _Broken("CRLF before each boundary")
    before, *pieces = body.split(delimiter)
    if before or not pieces:
        raise _Broken("nothing before the first boundary")
    if pieces.pop() not in (b"--", b"--\r\n"):
        raise _Broken("the closing boundary, and nothing after it")
    return [_part(piece, max_part) for piece in pieces]


def _part(piece: bytes, max_part: int) -> Part:
    if not piece.startswith(b"\r\n"):
        raise _Broken("a line end after each boundary, and the boundary nowhere else")
    head, blank, content = piece[2:].partition(b"\r\n\r\n")
    if not blank or len(head) > _MAX_HEAD:
        raise _Broken(f"part headers of at most {_MAX_HEAD} bytes, then an empty line")
    if len(content) > max_part:
        raise _Broken(f"parts of at most {max_part} bytes", "max_part", "body-too-large")
    headers = _headers(head)
    media = _media(headers.get(b"content-type"))
    return Part(_name(headers.get(b"content-disposition", b"")), media, b"content-type" in headers, content)


def _headers(head: bytes) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n"):
        match = _HEADER.fullmatch(line)
        if match is None:
            raise _Broken("well-formed part headers, one a line")
        name = match[1].lower()
        if name in headers:
            raise _Broken("every part header once")
        if name == b"content-transfer-encoding":
            raise _Broken("no `Content-Transfer-Encoding` (RFC 7578 section 4.7)")
        headers[name] = match[2].rstrip(b" \t")
    return headers


def _media(value: bytes | None) -> MediaType:
    if value is None:
        return _TEXT_PLAIN
    media = parse_media_type(value)
    if media is None or not media.in_utf8:
        raise _Broken("parts with a well-formed `Content-Type`, text in UTF-8")
    if media.name.startswith("multipart/"):
        raise _Broken("no multipart inside multipart")
    return media


def _name(disposition: bytes) -> str:
    """Return the name a part's `Content-Disposition` gives it (RFC 7578 section 4.2)."""
    match = _DISPOSITION.fullmatch(disposition)
    attributes: list[tuple[bytes, bytes, bytes]] = _ATTRIBUTE.findall(match[1]) if match is not None else []
    said = {key.lower(): quoted or token for key, quoted, token in attributes}
    if len(said) != len(attributes) or b"name" not in said or said.keys() - {b"name", b"filename"}:
        raise _Broken('parts with `Content-Disposition: form-data; name="..."`, at most one `filename`, no `filename*`')
    try:
        return said[b"name"].decode("utf-8")
    except UnicodeDecodeError:
        raise _Broken("part names in UTF-8") from None
