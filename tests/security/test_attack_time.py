"""Input made so that a pattern tries again and again: what is read of a caller is read in linear time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from sixfold.layers.authentication.compact import Malformed as BadToken
from sixfold.layers.authentication.compact import parse as parse_token
from sixfold.layers.validation.formats import FORMATS
from sixfold.layers.validation.media import parse_media_type
from sixfold.layers.validation.multipart_body import _Broken, parse
from sixfold.layers.validation.text import reader
from sixfold.proxy.http1 import Broken, ChunkedBody, FieldReader, request_line, response_head
from sixfold.request import read_host
from sixfold.target import Malformed, canonical_path, canonical_query, query_pairs

EXPECTED = (BadToken, Broken, Malformed, _Broken)


def multipart(head: bytes) -> bytes:
    return b"--b\r\n" + head + b"\r\n\r\nx\r\n--b--\r\n"


def numbers(text: str) -> Any:
    return reader(frozenset(("null", "boolean", "integer", "number")))(text)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (lambda raw: parse(raw, "b", 64, 10**6), multipart(b"a:" + b" " * 4000 + b"\x01")),
        (lambda raw: parse(raw, "b", 64, 10**6), multipart(b"content-disposition: form-data" + b" ;" * 2000)),
        (lambda raw: parse(raw, "b", 64, 10**6), multipart(b"content-disposition: form-data" + b";a=b" * 900 + b"\x01")),
        (lambda raw: parse(raw, "b", 64, 10**6), b"--b\r\n" * 10_000),
        (lambda raw: parse(raw, "b", 64, 10**6), b"\n--b" * 10_000),
        (parse_media_type, b"a/b" + b" " * 8000 + b"x"),
        (parse_media_type, b"a/b" + b" ;" * 4000 + b"\x01"),
        (parse_media_type, b'a/b;x="' + b"\\a" * 4000),
        (parse_media_type, b"a/b" + b";a=b" * 2000),
        (request_line, b" HTTP/" + b"1." * 4000 + b"x"),
        (request_line, b"GET " + b"/ " * 4000),
        (request_line, b"A" * 8000 + b" /"),
        (FieldReader().read, b"\r\na: " + b" " * 31_000 + b"\x01\r\n\r\n"),
        (FieldReader().read, b"\r\n" + b"a" * 31_000 + b"\r\n\r\n"),
        (lambda raw: response_head(raw, FieldReader()), b"HTTP/1.1 200 " + b" " * 31_000 + b"\x01\r\n\r\n"),
        (ChunkedBody().feed, b"1;" + b" " * 250 + b"\x01\r\n"),
        (read_host, b"a." * 4000 + b"!"),
        (canonical_path, b"/" + b"a/" * 4000 + b"%"),
        (canonical_path, b"/" + b"%C3%A9" * 1300 + b"%"),
        (canonical_query, b"a=%41&" * 1300 + b"%"),
        (canonical_query, b"&=" * 4000),
        (query_pairs, b"a=%41&" * 1300 + b"%"),
        (parse_token, b"." * 8000),
        (parse_token, b"a" * 8000),
        (numbers, "1" * 8000 + "." + "1" * 8000 + "e"),
        (numbers, "-" + "0" * 16_000),
        (FORMATS["byte"], "A" * 16_000 + "!"),
        (FORMATS["base64url"], "A" * 16_001 + "!"),
    ],
)  # fmt: skip
def test_nothing_is_tried_again_and_again(read: Callable[..., Any], text: Any) -> None:
    """SLOW-06: 8 to 32 kB that almost fit cost a few milliseconds at most."""
    arguments = (text, 8192) if read is parse_token else (text,)
    before = time.process_time()
    try:
        read(*arguments)
    except EXPECTED:
        pass
    assert time.process_time() - before < 0.03


@pytest.mark.parametrize(
    "target",
    [
        "/" + "a" * 8000 + "%",
        "/a" * 4000 + "%",
        "/..." * 2000 + "/..",
        "/a?" + "a" * 8000 + "%",
        "/a?" + "a=&" * 2600 + "^%",
        "/" * 8000,
    ],
)
def test_no_target_takes_long(engine: Callable[..., Any], ask: Callable[..., Any], target: str) -> None:
    """SLOW-06: nor does the pattern of the common target."""
    built = engine('[authentication]\nissuer = "dev"\n')
    before = time.process_time()
    ask(built, f"GET {target}")
    assert time.process_time() - before < 0.03
