"""Heads and bodies without a socket: strict where the rules are, and never at odds with h11."""

from __future__ import annotations

import time
from typing import Any

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sixfold.proxy.http1 import (
    UNTIL_CLOSE,
    Broken,
    ChunkedBody,
    FieldReader,
    ResponseHead,
    SizedBody,
    content_length,
    request_length,
    request_line,
    response_head,
    response_length,
)

HEADS = [
    b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST /a?b=c HTTP/1.1\r\nhost: h\r\nContent-Length: 3\r\nX-A:  b \r\n\r\n",
    b"PUT /%41 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close, x-a\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\nAccept: a\r\nAccept: b\r\nx-empty:\r\n\r\n",
    b"QUERY /x HTTP/1.0\r\nA: \t1\t2 \r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
]
PIECES = [
    b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b":", b";", b",", b"\x00", b"\x0b", b"\x80", b"\xff", b"0", b"-",
    b"Content-Length: 1\r\n", b"transfer-encoding: chunked\r\n", b"Host: i\r\n", b"X_Y: 1\r\n", b"HTTP/1.1", b"(", b"A: \r\n b\r\n",
]  # fmt: skip


def request_fields(block: bytes) -> list[tuple[bytes, bytes]]:
    """Read a header section twice by one reader: what was learnt must not change what is read."""
    reader = FieldReader()
    pairs = reader.read(block)
    assert reader.read(block) == pairs
    return pairs


def read_answer(head: bytes) -> ResponseHead:
    return response_head(head, FieldReader("upstream-malformed", text=True))


def read(head: bytes) -> tuple[bytes, bytes, bytes, list[tuple[bytes, bytes]]]:
    line_end = head.find(b"\r\n")
    return (*request_line(head[:line_end]), request_fields(head[line_end:]))


@st.composite
def mutated(draw: Any, bases: list[bytes], pieces: list[bytes]) -> bytes:
    """A good text with pieces put in, doubled, cut out or changed."""
    text = draw(st.sampled_from(bases))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        cut = draw(st.integers(0, 3))
        piece = draw(st.sampled_from(pieces) | st.binary(min_size=1, max_size=2))
        text = text[:at] + piece + text[at + cut :]
    return text


@settings(max_examples=1500, deadline=None)
@given(mutated(HEADS, PIECES))
@example(b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\n")
def test_what_we_read_h11_reads_the_same(text: bytes) -> None:
    """H1-17: a head that passes our reader has no second reading."""
    end = text.find(b"\r\n\r\n")
    if end < 0:
        return
    head = text[: end + 4]
    try:
        method, target, version, fields = read(head)
        length = request_length(dict(reversed(fields)), version)
    except Broken:
        return
    names = [name for name, _ in fields]
    for single in (b"host", b"content-length", b"transfer-encoding"):
        if names.count(single) > 1:
            return  # refused by `Fields`, for all faces
    if version == b"1.1" and b"host" not in names:
        return  # refused one step later
    stranger = h11.Connection(h11.SERVER)
    stranger.receive_data(head)
    event = stranger.next_event()
    assert isinstance(event, h11.Request)
    assert (event.method, event.target, event.http_version) == (method, target, version)
    ours = [(name, b"chunked" if name == b"transfer-encoding" else value) for name, value in fields]
    assert [(bytes(name), bytes(value)) for name, value in event.headers] == ours
    if length:
        stranger.receive_data(b"x" * length)
        data = stranger.next_event()
        assert isinstance(data, h11.Data)
        assert len(data.data) == length


@pytest.mark.parametrize(
    "line",
    [
        b"", b"GET", b"GET /", b"GET  / HTTP/1.1", b"GET / HTTP/1.1 ", b" GET / HTTP/1.1", b"GET /  HTTP/1.1",
        b"GET\t/ HTTP/1.1", b"GET /a b HTTP/1.1", b"GET / http/1.1", b"GET / HTTP/1", b"GET / HTTP/1.", b"GET / HTTP1.1",
        b"GET / HTTP/1.10", b"GET / HTTP/11", b"GET /\x00 HTTP/1.1", b"GET /\x80 HTTP/1.1", b"G(T / HTTP/1.1",
        b"GET / HTTP/1.1\n", b"GET / RTSP/1.0", b"GET / ICE/1.0",
    ],
)  # fmt: skip
def test_request_lines_that_are_none(line: bytes) -> None:
    """H1-15: anything but `METHOD target HTTP/1.1` with single blanks is refused."""
    with pytest.raises(Broken) as broken:
        request_line(line)
    assert broken.value.refusal.status in (400, 505)
    assert broken.value.refusal.close


@pytest.mark.parametrize("version", [b"0.9", b"1.2", b"2.0", b"3.0", b"9.9", b"1.10"])
def test_versions(version: bytes) -> None:
    """H1-15: other versions get 505."""
    with pytest.raises(Broken) as broken:
        request_line(b"GET / HTTP/" + version)
    assert broken.value.refusal.status == 505


def test_long_methods() -> None:
    """SLOW-06: a method over 16 bytes gets 501."""
    assert request_line(b"M" * 16 + b" / HTTP/1.1")[0] == b"M" * 16
    with pytest.raises(Broken) as broken:
        request_line(b"M" * 17 + b" / HTTP/1.1")
    assert broken.value.refusal.status == 501


@pytest.mark.parametrize(
    "value",
    [
        b"+1", b"-1", b"1_0", b"0x1", b"1 ", b" 1", b"1\t", b"010", b"03", b"", b"1,1", b"1, 1", b"1.0", b"1e3",
        str(2**63).encode(), b"9" * 19, b"9" * 30, "\u0663".encode(), b"\xb2",
    ],
)  # fmt: skip
def test_content_lengths_that_are_none(value: bytes) -> None:
    """H1-03: ASCII digits, no sign, no leading zero, at most 2^63 - 1."""
    with pytest.raises(Broken):
        content_length(value)


@pytest.mark.parametrize("number", [0, 1, 10, 2**63 - 1])
def test_content_lengths(number: int) -> None:
    """H1-03: what is a plain number passes."""
    assert content_length(str(number).encode()) == number


@pytest.mark.parametrize(
    ("coding", "code"),
    [
        (b"xchunked", "transfer-not-implemented"), (b", chunked", "transfer-not-implemented"),
        (b"chunked, chunked", "transfer-not-implemented"), (b"identity", "transfer-not-implemented"),
        (b"gzip, chunked", "transfer-not-implemented"), (b"chunked\t", "transfer-not-implemented"),
        (b" chunked", "transfer-not-implemented"), (b"chunked\x0b", "transfer-not-implemented"),
        (b"\x0cchunked", "transfer-not-implemented"), (b"chunked;q=1", "transfer-not-implemented"),
        (b"", "transfer-not-implemented"), (b"chunked,", "transfer-not-implemented"),
    ],
)  # fmt: skip
def test_transfer_codings(coding: bytes, code: str) -> None:
    """H1-04: only `chunked`, alone."""
    with pytest.raises(Broken) as broken:
        request_length({b"transfer-encoding": coding}, b"1.1")
    assert broken.value.refusal.code == code


def test_chunked_is_for_11() -> None:
    """H1-04: `Transfer-Encoding` in HTTP/1.0 is refused, in any case it is compared without case."""
    assert request_length({b"transfer-encoding": b"CHUNKED"}, b"1.1") is None
    with pytest.raises(Broken):
        request_length({b"transfer-encoding": b"chunked"}, b"1.0")
    with pytest.raises(Broken):
        request_length({b"transfer-encoding": b"chunked", b"content-length": b"0"}, b"1.1")


@pytest.mark.parametrize(
    "lines",
    [
        b"A: b\r\n c\r\n", b"A: b\r\n\tc\r\n", b"A : b\r\n", b": b\r\n", b"A\r\n", b" A: b\r\n", b"\tA: b\r\n",
        b"A: b\x00c\r\n", b"A\x00: b\r\n", b"A\x80: b\r\n", b"A: \x80\r\n", b"A: \xc3\xa9\r\n", b"A: b\nB: c\r\n",
        b"A: b\rB: c\r\n", b"A\r: b\r\n", b"A: b\r\r\n", b"A: b\n\r\n", b"A(: b\r\n", b"A\t: b\r\n", b"A: b\x0b\r\n",
        b"A: b\x7f\r\n", b"A B: c\r\n", b'"A": b\r\n', b"A: \x1b[2J\r\n",
    ],
)  # fmt: skip
def test_fields_that_are_none(lines: bytes) -> None:
    """H1-06, H1-14: folded lines, blanks before the colon, empty names, bare CR or LF, NUL, bytes beyond ASCII."""
    with pytest.raises(Broken) as broken:
        request_fields(b"\r\nHost: h\r\n" + lines + b"\r\n")
    assert broken.value.refusal.status == 400


def test_blanks_around_framing_are_kept() -> None:
    """H1-03: a blank after `Content-Length` is not smoothed away before it is judged."""
    assert request_fields(b"\r\nContent-Length: 3 \r\n\r\n") == [(b"content-length", b"3 ")]
    assert request_fields(b"\r\nX-A: 3 \t\r\n\r\n") == [(b"x-a", b"3")]


# ---------------------------------------------------------------------- chunks

CHUNKED = [
    b"0\r\n\r\n",
    b"3\r\nabc\r\n0\r\n\r\n",
    b"a;name=value\r\n0123456789\r\n1\r\nx\r\n000\r\nX-T: 1\r\n\r\n",
    b'A; q="1"\r\n0123456789\r\n0;end\r\n\r\nGET / HTTP/1.1\r\n',
]
CHUNK_PIECES = [
    b"\r", b"\n", b"\r\n", b";", b" ", b"\t", b"+", b"-", b"_", b"0x", b"0", b"f", b"g", b"\x00", b"\x80", b":", b"Host: x\r\n",
    b"TE: x\r\n", b"a" * 300,
]  # fmt: skip


def feed(text: bytes, sizes: list[int]) -> tuple[bytes, bytes, bool] | None:
    """Return body, rest and whether it ended; None for a refusal."""
    reader = ChunkedBody()
    body = b""
    pieces = []
    for size in sizes:
        pieces.append(text[:size])
        text = text[size:]
    try:
        for number, piece in enumerate([*pieces, text]):
            if reader.done:
                return body, b"".join([*pieces[number:], text]), True
            taken, rest = reader.feed(piece)
            body += taken
            if reader.done:
                return body, rest + b"".join([*pieces, text][number + 1 :]), True
    except Broken as problem:
        assert problem.refusal.close
        return None
    return body, b"", False


@settings(max_examples=1000, deadline=None)
@given(mutated(CHUNKED, CHUNK_PIECES), st.lists(st.integers(0, 9), max_size=40))
@example(b"5;" + b"x" * 254 + b"\r\nabcde\r\n0\r\n\r\n", [257])
@example(b"0\r\nA: " + b"x" * 4093 + b"\r\n\r\n", [4100])
def test_a_chunked_body_is_one_under_every_split(text: bytes, sizes: list[int]) -> None:
    """H1-05: how the network cuts a body never changes what it says."""
    whole, cut, single = feed(text, []), feed(text, sizes), feed(text, [1] * len(text))
    if whole is None or whole[2]:
        assert cut == whole == single
    else:  # it has not ended: the parts may know sooner that it cannot end well
        assert cut in (whole, None)
        assert single in (whole, None)


@settings(max_examples=1000, deadline=None)
@given(mutated(CHUNKED, CHUNK_PIECES))
def test_chunked_bodies_and_h11(text: bytes) -> None:
    """H1-05: a body that passes our reader is the same to h11."""
    ours = feed(text, [])
    if ours is None or not ours[2]:
        return
    stranger = h11.Connection(h11.SERVER)
    stranger.receive_data(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + text)
    assert isinstance(stranger.next_event(), h11.Request)
    body = b""
    while isinstance(event := stranger.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert body == ours[0]
    assert stranger.trailing_data[0] == ours[1]


@pytest.mark.parametrize(
    "text",
    [
        b"+3\r\nabc\r\n", b"-3\r\nabc\r\n", b"0x3\r\nabc\r\n", b"3_0\r\n", b" 3\r\nabc\r\n", b"3 \r\nabc\r\n", b"3 ;a\r\nabc\r\n", b"\r\n",
        b"g\r\n", b"8000000000000000\r\n", b"1" + b"0" * 16 + b"\r\n", b"0" * 17 + b"3\r\nabc\r\n", b"3\nabc\r\n",
        b"3\r\r\nabc\r\n", b"3\rabc", b"3;\nabc\r\n", b"3;a\rb\r\nabc\r\n", b"3;\x00\r\nabc\r\n", b"3;\x7f\r\nabc\r\n",
        b"3;" + b"x" * 300 + b"\r\nabc\r\n", b"3;" + b"x" * 300, b"3\r\nabcXX", b"3\r\nabcd\r\n", b"3\r\nabc\n0\n\n",
        b"3\r\nabc\r0\r\n", b"0\r\nHost: x\r\n\r\n", b"0\r\nTE: x\r\n\r\n", b"0\r\nContent-Length: 1\r\n\r\n",
        b"0\r\nAuthorization: x\r\n\r\n", b"0\r\nContent-Type: x\r\n\r\n", b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0\r\nx y: z\r\n\r\n", b"0\r\nx\r\n\r\n", b"0\r\n: x\r\n\r\n", b"0\r\nx: \x00\r\n\r\n", b"0\r\nx: a\nb\r\n\r\n",
        b"0\r\n" + b"x: y\r\n" * 2000, b"0\r\nx: " + b"y" * 5000, b"0\r\n\nGET /",
    ],
)  # fmt: skip
def test_chunked_bodies_that_are_none(text: bytes) -> None:
    """H1-05 to H1-09: sizes, extensions, endings and trailers that are not plain."""
    assert feed(text, []) is None
    assert feed(text, [1] * len(text)) is None


def test_extensions_and_trailers_are_dropped() -> None:
    """H1-07, H1-09: legal extensions and harmless trailers are read and go no further."""
    assert feed(b"3;a=b\r\nabc\r\n0;c\r\nX-Checksum: 1\r\n\r\nrest", []) == (b"abc", b"rest", True)


@given(st.binary(max_size=20), st.integers(0, 20), st.lists(st.integers(0, 5), max_size=6))
def test_a_sized_body_takes_its_own(text: bytes, length: int, sizes: list[int]) -> None:
    """H1-16: a body takes what is declared and leaves the rest."""
    reader = SizedBody(length)
    body = rest = b""
    for size in [*sizes, len(text)]:
        piece, text = text[:size], text[size:]
        if reader.done:
            rest += piece
            continue
        taken, left = reader.feed(piece)
        body, rest = body + taken, rest + left
    whole = body + rest
    assert body == whole[:length]
    assert reader.done == (len(whole) >= length)


# ---------------------------------------------------------------------- answers


def answer(lines: str, method: str = "GET") -> tuple[int, int | None]:
    head = read_answer(f"HTTP/1.1 {lines}\r\n\r\n".encode("latin-1"))
    return head.status, response_length(head, method)


@pytest.mark.parametrize(
    "lines",
    [
        "200 OK\r\nContent-Length: 1\r\nContent-Length: 2", "200 OK\r\nContent-Length: 1\r\nContent-Length: 1",
        "200 OK\r\nContent-Length: 1, 1", "200 OK\r\nContent-Length: +1", "200 OK\r\nContent-Length: 01",
        "200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
        "200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1",
        "200 OK\r\nTransfer-Encoding: gzip", "200 OK\r\nTransfer-Encoding: chunked, gzip",
        "200 OK\r\nTransfer-Encoding: gzip, chunked", "200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "600 No", "20 OK", "2000 OK", "200OK", " 200 OK", "abc", "099 Low",
        "200 OK\r\nA: b\r\n c", "200 OK\r\nA : b", "200 OK\r\nA: b\nSet-Cookie: c", "200 OK\r\nA: b\rC: d", "200 OK\r\nA: \x00",
        "200 OK\r\n: b", "200 OK\r\nno colon", "200 OK\nA: b", "200 O\x00K", "200 OK\rA: b",
    ],
)  # fmt: skip
def test_answers_that_are_none(lines: str) -> None:
    """H1-12: an upstream is not trusted to frame well either."""
    with pytest.raises(Broken) as broken:
        answer(lines)
    assert broken.value.refusal.code == "upstream-malformed"


@pytest.mark.parametrize(
    ("lines", "method", "length"),
    [
        ("200 OK\r\nContent-Length: 5", "GET", 5),
        ("200 OK\r\nContent-Length: 5", "HEAD", 0),
        ("204 No Content\r\nContent-Length: 5", "GET", 0),
        ("304 Not Modified\r\nContent-Length: 5", "GET", 0),
        ("200 OK\r\nTransfer-Encoding: Chunked", "GET", None),
        ("200 OK\r\nTransfer-Encoding: chunked", "HEAD", 0),
        ("200 OK", "GET", UNTIL_CLOSE),
        ("200", "GET", UNTIL_CLOSE),
        ("200 ", "GET", UNTIL_CLOSE),
    ],
)
def test_how_answers_are_framed(lines: str, method: str, length: int | None) -> None:
    """H1-12: RFC 9112 section 6.3."""
    assert answer(lines, method)[1] == length


@pytest.mark.parametrize(
    ("head", "keeps"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: x, close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", False),
    ],
)
def test_which_answers_keep_the_connection(head: bytes, keeps: bool) -> None:
    """H1-12: only HTTP/1.1 without `close`."""
    assert read_answer(head).keep_alive is keeps


def test_a_field_made_to_fail_is_refused_at_once() -> None:
    """SLOW-06: a line of blanks that ends badly costs one pass, not one per blank."""
    line = b"A:" + b" " * 30_000 + b"\x00"
    began = time.process_time()
    with pytest.raises(Broken):
        request_fields(b"\r\n" + line + b"\r\n\r\n")
    assert time.process_time() - began < 1  # quadratic matching takes ten times as long


def test_what_was_learnt_is_bounded_and_forgotten() -> None:
    """SLOW-09: a connection remembers a few dozen lines, and none once it is idle."""
    reader = FieldReader()
    for number in range(1000):
        assert reader.read(b"\r\nX-A: %d\r\n\r\n" % number) == [(b"x-a", b"%d" % number)]
        assert len(reader._known) <= 64
    reader.forget()
    assert not reader._known
