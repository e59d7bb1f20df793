"""HTTP/1.1 without I/O: heads, body framing, chunks. The grammar of RFC 9112, and nothing beside it (H1-01 to H1-15).

A head is complete before it is read, so each of its lines is one match of one pattern. Bodies are framed by our own
readers, so that nothing is ever forwarded as it came: everything is rebuilt (H1-17).
"""

from __future__ import annotations

import re
from typing import Any, Final

from sixfold.decision import Refusal, Rule
from sixfold.request import Pair

RULE: Final = Rule("http/1.1")
_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,16}) ([!-~]+) HTTP/([0-9]\.[0-9])")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [\t -~\x80-\xff]*)?")
_LENGTH: Final = re.compile(rb"0|[1-9][0-9]{0,18}")
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[\t -~]*)?")
_MAX_LENGTH: Final = (1 << 63) - 1
_MAX_CHUNK_LINE: Final = 256
_MAX_TRAILERS: Final = 4096
_MAX_NAME: Final = 256
_MAX_KNOWN: Final = 64  # header lines remembered per connection
_MAX_KNOWN_BYTES: Final = 32 * 1024  # and their bytes; a client may send others with every request
_FORBIDDEN_TRAILERS: Final = frozenset(
    (
        b"authorization", b"content-encoding", b"content-length", b"content-type", b"cookie", b"expect", b"forwarded",
        b"host", b"te", b"trailer", b"transfer-encoding", b"x-forwarded-for",
    )
)  # fmt: skip
# possessive, so that a line made to fail cannot be tried again and again
_FIELD: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]++):[ \t]*+([\t -~]*+)")
_FIELD_TEXT: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]++):[ \t]*+([\t -~\x80-\xff]*+)")
_FRAMING: Final = frozenset((b"content-length", b"transfer-encoding"))
_LOW_METHOD: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{17,}[ ]")


class Broken(Exception):
    """Bytes that are not the protocol. Carries the refusal to send, if anybody can still be answered."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.refusal = Refusal(code, RULE, reason=reason, remedy="send well-formed HTTP/1.1 (RFC 9112)", close=True)


# The request line of nearly every request; `request_line` says what is wrong with any other.
GOOD_LINE: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,16}) ([!-~]+) HTTP/1\.1\r\n")


def request_line(line: bytes) -> tuple[bytes, bytes, bytes]:
    """Split a request line into method, target and version ("1.1", "1.0").

    Raises:
        Broken: anything but one blank between the parts, an unknown version, an over-long method (H1-06, H1-14, H1-15).
    """
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        if _LOW_METHOD.match(line):
            raise Broken("method-not-implemented", "a method longer than 16 bytes")
        if re.search(rb" HTTP/[0-9.]+$", line) and not re.search(rb" HTTP/[0-9]\.[0-9]$", line):
            raise Broken("version-not-supported", "an HTTP version that does not exist")
        raise Broken("malformed-request", "the request line is not `METHOD target HTTP/1.1`")
    method, target, version = match.groups()
    if version != b"1.1" and version != b"1.0":
        raise Broken("version-not-supported", "only HTTP/1.1 and HTTP/1.0 are spoken")
    return method, target, version


def bare_newline(data: bytes) -> bool:
    """Return whether CR or LF stand alone in a head that is not whole yet, or a NUL in it (H1-06, H1-14).

    Counted instead of searched for: each packet of a head that comes in small pieces has it looked through anew.
    """
    pairs = data.count(b"\r\n")
    return data.count(b"\n") != pairs or data.count(b"\r") != pairs + data.endswith(b"\r") or data.find(b"\x00") >= 0


class FieldReader:
    """Reads the header sections of one connection (RFC 9112 section 5).

    Peers repeat most of their lines in each message, so a line that was read once is looked up; what HPACK does on the
    wire, done behind it. A field is read alone, without its neighbours: no rule spans lines once folding is refused,
    and what two framing headers mean together is judged by `request_length` and `response_length`.

    Arguments:
        code: of the refusal for a malformed line.
        text: allow bytes beyond ASCII in values, as some upstreams send them (never from a client, H1-14).
    """

    __slots__ = ("_bytes", "_code", "_known", "_pattern", "underscores")

    def __init__(self, code: str = "malformed-request", *, text: bool = False) -> None:
        self._code = code
        self._pattern = _FIELD_TEXT if text else _FIELD
        self._known: dict[bytes, Pair] = {}
        self._bytes = 0  # of the lines known
        self.underscores = False  # whether a name with `_` was ever seen here

    def read(self, block: bytes) -> list[Pair]:
        """Return the header fields of a head, names in lower case.

        Arguments:
            block: what follows the first line, from its line end to the empty line.

        Raises:
            Broken: a line that is no field: folded, without colon, blanks before it, control bytes (H1-06, H1-14).
        """
        if len(block) == 4:
            return []
        known = self._known
        return [known.get(line) or self._learn(line) for line in block[2:-4].split(b"\r\n")]

    def _learn(self, line: bytes) -> Pair:
        match = self._pattern.fullmatch(line)
        if match is None:
            raise Broken(self._code, "a line of the header section is no field")
        name = match[1].lower()
        if len(name) > _MAX_NAME:
            raise Broken("headers-too-large", f"a header name longer than {_MAX_NAME} bytes")
        if b"_" in name:
            self.underscores = True
        # blanks after a value mean nothing, except where they are an attempt to be read in two ways (H1-03, H1-04)
        pair = (name, match[2] if name in _FRAMING else match[2].rstrip(b" \t"))
        self._bytes += len(line)
        if len(self._known) >= _MAX_KNOWN or self._bytes > _MAX_KNOWN_BYTES:
            self._known.clear()
            self._bytes = len(line)
        self._known[line] = pair
        return pair

    def forget(self) -> None:
        """Drop what was learnt; an idle connection needs no memory for it."""
        self._known.clear()
        self._bytes = 0


def request_length(first: Any, version: bytes) -> int | None:
    """Return the body's length by RFC 9112 section 6: bytes, or None for chunked.

    Arguments:
        first: mapping of header names to values; doubled framing headers were refused before.

    Raises:
        Broken: H1-01 to H1-04.
    """
    coding = first.get(b"transfer-encoding")
    length = first.get(b"content-length")
    if coding is not None:
        if length is not None:
            raise Broken("malformed-request", "Content-Length and Transfer-Encoding together")
        if version == b"1.0":
            raise Broken("malformed-request", "Transfer-Encoding in HTTP/1.0")
        if coding.lower() != b"chunked":
            raise Broken("transfer-not-implemented", "a transfer coding other than chunked")
        return None
    if length is None:
        return 0
    return content_length(length)


def content_length(value: bytes) -> int:
    """Read Content-Length: ASCII digits, no sign, no leading zero, below 2^63 (H1-02, H1-03).

    Raises:
        Broken: anything else.
    """
    if _LENGTH.fullmatch(value) is None or (number := int(value)) > _MAX_LENGTH:
        raise Broken("malformed-request", "Content-Length is not one plain number")
    return number


class ResponseHead:
    """Status and fields of an upstream's answer. Immutable, so that equal heads may share one.

    Arguments:
        framing: what its headers say of the body: bytes, None for chunked, or UNTIL_CLOSE.
    """

    __slots__ = ("framing", "keep_alive", "memo", "pairs", "status")

    def __init__(self, status: int, pairs: list[Pair], keep_alive: bool, framing: int | None) -> None:
        self.status = status
        self.pairs = pairs
        self.keep_alive = keep_alive
        self.framing = framing
        self.memo: dict[str, Any] = {}  # what is derived once while an upstream repeats its head


def response_head(head: bytes, reader: FieldReader) -> ResponseHead:
    """Read the head of an upstream's answer.

    Arguments:
        reader: of the connection.

    Raises:
        Broken: not HTTP/1.x, or fields that RFC 9112 does not allow.
    """
    line_end = head.find(b"\r\n")
    match = _STATUS_LINE.fullmatch(head, 0, line_end)
    if match is None:
        raise Broken("upstream-malformed", "the status line is not HTTP/1.1")
    pairs = reader.read(head[line_end:])
    keep_alive = match[1] == b"1"
    length: bytes | None = None
    coding: bytes | None = None
    for name, value in pairs:
        if name == b"content-length":
            if length is not None or _LENGTH.fullmatch(value) is None:
                raise Broken("upstream-malformed", "Content-Length is not one plain number")
            length = value
        elif name == b"transfer-encoding":
            if coding is not None or value.lower() != b"chunked":
                raise Broken("upstream-malformed", "a transfer coding other than chunked")
            coding = value
        elif name == b"connection" and b"close" in value.lower():
            keep_alive = False
    if length is not None and coding is not None:
        raise Broken("upstream-malformed", "Content-Length and Transfer-Encoding together")
    framing = None if coding is not None else UNTIL_CLOSE if length is None else int(length)
    status = int(match[2])
    if status == 204 and framing != UNTIL_CLOSE and framing != 0:
        keep_alive = False  # it announces a body that it cannot have (RFC 9112 section 6.1): what follows is in doubt
    return ResponseHead(status, pairs, keep_alive, framing)


UNTIL_CLOSE: Final = -1


def response_length(head: ResponseHead, method: str) -> int | None:
    """Return how the body of an answer is framed: bytes, None for chunked, or UNTIL_CLOSE (RFC 9112 section 6.3)."""
    return 0 if method == "HEAD" or head.status in (204, 304) else head.framing


class SizedBody:
    """A body of known length."""

    __slots__ = ("left",)

    def __init__(self, length: int) -> None:
        self.left = length

    @property
    def done(self) -> bool:
        """Whether the body is complete."""
        return self.left == 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the body bytes in `data`, and what follows the body."""
        if len(data) <= self.left:
            self.left -= len(data)
            return data, b""
        body, rest = data[: self.left], data[self.left :]
        self.left = 0
        return body, rest


class ChunkedBody:
    """A chunked body (RFC 9112 section 7.1): sizes in plain hex, CRLF exactly, extensions dropped, trailers dropped.

    Raises (from `feed`):
        Broken: H1-05 to H1-09.
    """

    __slots__ = ("_buffer", "_code", "_left", "_state", "_trailers", "done")

    def __init__(self, code: str = "malformed-request") -> None:
        self.done = False
        self._code = code
        self._left = 0
        self._state = "size"
        self._buffer = b""
        self._trailers = 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the body bytes in `data`, and what follows the body."""
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        pieces: list[bytes] = []
        at, end = 0, len(data)
        while at < end and not self.done:
            if self._state == "data":
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._state = "end"
            elif self._state == "end":
                if data[at : at + 2] != b"\r\n"[: end - at]:
                    raise Broken(self._code, "a chunk that does not end where it says")
                if end - at < 2:
                    break
                at += 2
                self._state = "size"
            else:
                line_end = data.find(b"\r\n", at)
                if line_end < 0:
                    self._check_open_line(data, at)
                    break
                line = data[at:line_end]
                at = line_end + 2
                if self._state == "size":
                    self._size(line)
                else:
                    self._trailer(line)
        if self.done:
            return b"".join(pieces), data[at:]
        self._buffer = data[at:]
        return b"".join(pieces), b""

    def _check_open_line(self, data: bytes, at: int) -> None:
        """A line that has not ended yet must not grow without bound, nor hold a bare CR or LF."""
        line = data[at:].removesuffix(b"\r")
        if len(line) > (_MAX_CHUNK_LINE if self._state == "size" else _MAX_TRAILERS):
            raise Broken(self._code, "an over-long line between chunks")
        if b"\n" in line or b"\r" in line:
            raise Broken(self._code, "a bare CR or LF between chunks")

    def _size(self, line: bytes) -> None:
        if len(line) > _MAX_CHUNK_LINE:
            raise Broken(self._code, "an over-long chunk extension")
        match = _CHUNK_LINE.fullmatch(line)
        if match is None or (size := int(match[1], 16)) > _MAX_LENGTH:
            raise Broken(self._code, "a chunk size that is not plain hexadecimal")
        self._left = size
        self._state = "data" if size else "trailers"

    def _trailer(self, line: bytes) -> None:
        if not line:
            self.done = True
            return
        self._trailers += len(line)
        name, colon, value = line.partition(b":")
        if self._trailers > _MAX_TRAILERS or not colon or not _TOKEN.fullmatch(name) or _CONTROL.search(value):
            raise Broken(self._code, "a malformed or over-long trailer section")
        if name.lower() in _FORBIDDEN_TRAILERS:
            raise Broken(self._code, "a trailer that may only be a header")


class UntilClose:
    """A response body that ends with the connection."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return everything."""
        return data, b""


_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
BodyReader = SizedBody | ChunkedBody | UntilClose
