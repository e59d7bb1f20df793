"""Forms, text and multipart: one row per line of the table in defence 3.4."""

from __future__ import annotations

from typing import Any

import pytest

from sixfold.decision import Refusal

FORM = "application/x-www-form-urlencoded"
FILES = {
    "type": "object",
    "additionalProperties": False,
    "required": ["title"],
    "properties": {
        "title": {"type": "string", "maxLength": 8},
        "count": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "meta": {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False},
        "file": {"type": "string", "format": "binary", "maxLength": 10},
        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
        "any": {},
        "photo": {"type": "string", "contentMediaType": "image/png"},
        "png": {"type": "string", "format": "binary"},
    },
}
ENCODING = {"png": {"contentType": "image/png, image/jpeg"}}
BOUNDARY = "----bound42"


@pytest.fixture(scope="module")
def form(world: Any) -> Any:
    return world(
        content={
            FORM: {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "a": {"type": "integer"},
                    "b": {"type": "string", "maxLength": 20},
                    "many": {"type": "array", "items": {"type": "integer"}},
                    "joined": {"type": "array", "items": {"type": "integer"}},
                    "flag": {"type": "boolean"},
                    "meta": {"type": "object", "required": ["x"]},
                },
            }
        },
        encoding={"joined": {"style": "pipeDelimited", "explode": False}},
        table={"max_fields": 6},
    )


def told(outcome: Any) -> tuple[str, list[str]]:
    assert isinstance(outcome, Refusal), outcome
    return outcome.code, [fault.where for fault in outcome.faults]


@pytest.mark.parametrize(
    ("sent", "forwarded"),
    [
        (b"a=1&b=x", b"a=1&b=x"),
        (b"b=a+b%20c", b"b=a+b+c"),
        (b"b=%c3%a9", b"b=%C3%A9"),
        (b"b=%41", b"b=A"),
        (b"many=1&many=2", b"many=1&many=2"),
        (b"joined=1|2", b"joined=1%7C2"),
        (b"flag=true&&", b"flag=true"),
        (b"b=line%0D%0Atwo%09", b"b=line%0D%0Atwo%09"),
        (b"b=a%3Bb%26c%3D", b"b=a%3Bb%26c%3D"),
        (b'meta={"x":1}', b"meta=%7B%22x%22%3A1%7D"),
        (b"b", b"b="),
        (b"", None),
    ],
)
def test_form_accepted(form: Any, sent: bytes, forwarded: bytes | None) -> None:
    """FORM-10: fields are typed by their schema and forwarded in one spelling."""
    assert form.body(sent, FORM) == forwarded


@pytest.mark.parametrize(
    ("sent", "code", "where"),
    [
        (b"a=1&a=1", "invalid-body", "/a"),
        (b"a=1&%61=2", "invalid-body", "/a"),
        (b"a=x", "invalid-body", "/a"),
        (b"a=", "invalid-body", "/a"),
        (b"a=1.0", "invalid-body", "/a"),
        (b"flag=1", "invalid-body", "/flag"),
        (b"many=1&many=x", "invalid-body", "/many"),
        (b"joined=1&joined=2", "invalid-body", "/joined"),
        (b"A=1", "invalid-body", "/A"),
        (b"admin=1", "invalid-body", "/admin"),
        (b"b=" + b"x" * 21, "invalid-body", "/b"),
        (b'meta={"y":1}', "invalid-body", "/meta/x"),
        (b'meta={"x":1,"x":2}', "invalid-body", "/meta"),
        (b"b=%00", "malformed-body", ""),
        (b"b=%1b", "malformed-body", ""),
        (b"%0a=1", "malformed-body", ""),
        (b"b=%", "malformed-body", ""),
        (b"b=%4", "malformed-body", ""),
        (b"b=%zz", "malformed-body", ""),
        (b"b=%u0041", "malformed-body", ""),
        (b"b=%c0%af", "malformed-body", ""),
        (b"b=%ff", "malformed-body", ""),
        (b"b=\xff", "malformed-body", ""),
        (b"b=%ed%a0%80", "malformed-body", ""),
        (b"a=1;b=2", "malformed-body", ""),
        (b"&".join([b"many=1"] * 7), "malformed-body", ""),
    ],
)
def test_form_refused(form: Any, sent: bytes, code: str, where: str) -> None:
    """FORM-11: repeated scalars, `%00`, bad UTF-8, a broken `%`, `;`, too many fields, fields of another type."""
    assert told(form.body(sent, FORM)) == (code, [where])


def test_form_charset(form: Any) -> None:
    """FORM-12: a form in another charset is 415."""
    assert form.body(b"a=1", FORM + "; charset=latin1").status == 415
    assert form.body(b"a=1", FORM + "; charset=utf-8") == b"a=1"


def test_form_original(world: Any) -> None:
    """FORM-13: `forward = "original"` leaves the bytes alone."""
    assert world(content={FORM: True}, table={"forward": "original"}).body(b"a=%41", FORM) is None


def test_text(world: Any) -> None:
    """FORM-14: text with a schema is UTF-8 and checked; without one it passes unread."""
    subject = world(content={"text/plain": {"type": "string", "maxLength": 3}, "text/csv": True})
    assert subject.body("äöü".encode(), "text/plain") is None
    assert told(subject.body(b"abcd", "text/plain")) == ("invalid-body", [""])
    assert told(subject.body(b"\xff", "text/plain")) == ("malformed-body", [""])
    assert subject.body(b"\xff", "text/csv") is None
    number = world(content={"text/plain": {"type": "integer"}})
    assert number.body(b"5", "text/plain") is None
    assert told(number.body(b"five", "text/plain")) == ("invalid-body", [""])


def part(name: str, content: bytes = b"x", *, more: str = "", **headers: str) -> bytes:
    """Return one part; keyword arguments are further headers."""
    lines = [f'Content-Disposition: form-data; name="{name}"{more}']
    lines += [f"{key.replace('_', '-')}: {value}" for key, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def multipart(*parts: bytes, boundary: str = BOUNDARY) -> bytes:
    delimiter = b"--" + boundary.encode()
    return b"".join(delimiter + b"\r\n" + each + b"\r\n" for each in parts) + delimiter + b"--\r\n"


TITLE = part("title", b"t")
FILE = part("file", b"\x00\xff\r\n--x", more='; filename="a.bin"', Content_Type="application/octet-stream")


@pytest.fixture(scope="module")
def upload(world: Any) -> Any:
    return world(
        content={"multipart/form-data": FILES},
        encoding=ENCODING,
        table={"max_parts": 4, "max_part": 64},
        required=True,
    )


def send(upload: Any, body: bytes, boundary: str = BOUNDARY) -> Any:
    return upload.body(body, f"multipart/form-data; boundary={boundary}")


@pytest.mark.parametrize(
    "body",
    [
        multipart(TITLE),
        multipart(TITLE)[:-2],  # no line end after the closing boundary
        multipart(TITLE, FILE),
        multipart(TITLE, part("count", b"5")),
        multipart(TITLE, part("tags", b"a"), part("tags", b"b")),
        multipart(TITLE, part("meta", b'{"a":1}')),
        multipart(TITLE, part("meta", b'{"a":1}', Content_Type="application/json")),
        multipart(TITLE, part("files", b"\xff"), part("files", b"\xfe", more='; filename="ü"')),
        multipart(TITLE, part("any", b"\xff", Content_Type="image/png")),
        multipart(TITLE, part("photo", b"\x89PNG", Content_Type="image/png")),
        multipart(TITLE, part("png", b"\x89PNG", Content_Type="image/png")),
        multipart(TITLE, part("png", b"\xff\xd8", Content_Type="image/jpeg")),
        multipart(part("title", b"")),
        multipart(part("title", b"t", Content_Type="text/plain; charset=utf-8")),
        multipart(part("title", "ü".encode(), Content_Length="2")),
        multipart(TITLE.replace(b'"title"', b"title")),
    ],
)
def test_multipart_accepted(upload: Any, body: bytes) -> None:
    """PART-01: what RFC 7578 writes passes, and the original bytes go on."""
    assert send(upload, body) is None


@pytest.mark.parametrize(
    ("body", "code", "where"),
    [
        pytest.param(multipart(), "invalid-body", "/title", id="no-parts"),
        pytest.param(multipart(*[TITLE] * 5), "malformed-body", "", id="too-many-parts"),
        pytest.param(multipart(part("title", b"x" * 65)), "body-too-large", "", id="part-too-large"),
        pytest.param(
            multipart(part("title", more="; filename=" + "a" * 5000)), "malformed-body", "", id="head-too-large"
        ),
        pytest.param(b"preamble\r\n" + multipart(TITLE), "malformed-body", "", id="preamble"),
        pytest.param(b"\r\n" + multipart(TITLE), "malformed-body", "", id="empty-preamble"),
        pytest.param(multipart(TITLE) + b"epilogue", "malformed-body", "", id="epilogue"),
        pytest.param(multipart(TITLE) + b"\r\n", "malformed-body", "", id="blank-epilogue"),
        pytest.param(multipart(TITLE)[:-4], "malformed-body", "", id="not-closed"),
        pytest.param(multipart(TITLE)[:10], "malformed-body", "", id="cut"),
        pytest.param(multipart(TITLE).replace(b"\r\n", b"\n"), "malformed-body", "", id="bare-line-feeds"),
        pytest.param(multipart(TITLE).replace(b"42\r\n", b"42 \r\n"), "malformed-body", "", id="padding"),
        pytest.param(
            multipart(part("title", b"a\r\n--" + BOUNDARY.encode() + b"x")), "malformed-body", "", id="prefix"
        ),
        pytest.param(multipart(TITLE, TITLE), "invalid-body", "/title", id="same-name-twice"),
        pytest.param(multipart(TITLE, FILE, FILE), "invalid-body", "/file", id="same-file-twice"),
        pytest.param(multipart(TITLE, part("other")), "invalid-body", "/other", id="unknown-part"),
        pytest.param(multipart(TITLE, part("file", b"x" * 11)), "invalid-body", "/file", id="file-over-its-length"),
        pytest.param(multipart(part("title", b"x" * 9)), "invalid-body", "/title", id="text-over-its-length"),
        pytest.param(multipart(TITLE, part("count", b"five")), "invalid-body", "/count", id="wrong-type"),
        pytest.param(multipart(TITLE, part("meta", b'{"a":1,"a":2}')), "invalid-body", "/meta", id="json-part"),
        pytest.param(multipart(TITLE, part("meta", b'{"b":1}')), "invalid-body", "/meta/b", id="json-part-unknown"),
        pytest.param(multipart(part("title", b"\xff")), "malformed-body", "", id="text-not-utf-8"),
        pytest.param(
            multipart(part("title", Content_Type="application/json")), "invalid-body", "/title", id="part-type"
        ),
        pytest.param(
            multipart(TITLE, part("png", Content_Type="text/html")), "invalid-body", "/png", id="declared-type"
        ),
        pytest.param(multipart(TITLE, part("png")), "invalid-body", "/png", id="declared-type-missing"),
        pytest.param(
            multipart(part("title", Content_Type="text/plain; charset=utf-16")), "malformed-body", "", id="part-charset"
        ),
        pytest.param(multipart(part("title", Content_Type="text")), "malformed-body", "", id="part-type-malformed"),
        pytest.param(
            multipart(part("title", Content_Type="multipart/mixed; boundary=x")), "malformed-body", "", id="nested"
        ),
        pytest.param(
            multipart(part("title", Content_Transfer_Encoding="base64")), "malformed-body", "", id="transfer-encoding"
        ),
        pytest.param(
            multipart(part("title", more="; filename=a; filename*=utf-8''b")), "malformed-body", "", id="filename-star"
        ),
        pytest.param(
            multipart(part("title", more='; filename="a"; filename="b"')), "malformed-body", "", id="filename-twice"
        ),
        pytest.param(multipart(part("title", more='; name="other"')), "malformed-body", "", id="name-twice"),
        pytest.param(multipart(part("title", more='; size="1"')), "malformed-body", "", id="unknown-attribute"),
        pytest.param(multipart(part('ti\\"tle')), "malformed-body", "", id="backslash-in-name"),
        pytest.param(
            multipart(part("title", Content_Disposition="form-data; name=x")),
            "malformed-body",
            "",
            id="two-dispositions",
        ),
        pytest.param(multipart(b"Content-Type: text/plain\r\n\r\nx"), "malformed-body", "", id="no-disposition"),
        pytest.param(
            multipart(b"Content-Disposition: attachment; name=title\r\n\r\nx"), "malformed-body", "", id="not-form-data"
        ),
        pytest.param(multipart(b"Content-Disposition: form-data\r\n\r\nx"), "malformed-body", "", id="no-name"),
        pytest.param(
            multipart(b'Content-Disposition: form-data;\r\n name="title"\r\n\r\nx'), "malformed-body", "", id="folded"
        ),
        pytest.param(
            multipart(b'Content-Disposition : form-data; name="title"\r\n\r\nx'),
            "malformed-body",
            "",
            id="blank-before-colon",
        ),
        pytest.param(
            multipart(b'Content-Disposition: form-data; name="ti\x00tle"\r\n\r\nx'),
            "malformed-body",
            "",
            id="nul-in-name",
        ),
        pytest.param(
            multipart(b'Content-Disposition: form-data; name="\xff"\r\n\r\nx'),
            "malformed-body",
            "",
            id="name-not-utf-8",
        ),
        pytest.param(
            multipart(b'Content-Disposition: form-data; name="title"'), "malformed-body", "", id="no-blank-line"
        ),
        pytest.param(multipart(b"\r\n\r\nx"), "malformed-body", "", id="no-headers"),
    ],
)
def test_multipart_refused(upload: Any, body: bytes, code: str, where: str) -> None:
    """PART-02: every row of the multipart table: 400, or 413 for a part that is too large."""
    outcome = send(upload, body)
    assert told(outcome) == (code, [where])
    assert outcome.status == (413 if code == "body-too-large" else 400)


@pytest.mark.parametrize("boundary", ["", '""', "x" * 71, '"a b "', '"a;b"', '"ä"', "a%b", '"a\\"b"'])
def test_boundary(upload: Any, boundary: str) -> None:
    """PART-03: a boundary that is missing, empty, over 70 characters or outside the alphabet is refused."""
    plain = boundary.strip('"')
    outcome = upload.body(multipart(TITLE, boundary=plain), f"multipart/form-data; boundary={boundary}")
    assert outcome.status in (400, 415)
    assert upload.body(multipart(TITLE), "multipart/form-data").status == 400


@pytest.mark.parametrize("boundary", ["x", "x" * 70, '"a b"', "'()+_,-./:=?", "0"])
def test_boundary_accepted(upload: Any, boundary: str) -> None:
    """PART-03: the whole alphabet of RFC 2046 is allowed."""
    quoted = boundary if boundary.startswith('"') else f'"{boundary}"'
    assert (
        upload.body(multipart(TITLE, boundary=boundary.strip('"')), f"multipart/form-data; boundary={quoted}") is None
    )


def test_multipart_limits_name_their_keys(upload: Any) -> None:
    """PART-04: the refusal of a limit says which key to raise."""
    assert "max_parts" in send(upload, multipart(*[TITLE] * 5)).remedy
    assert "max_part`" in send(upload, multipart(part("title", b"x" * 65))).remedy


def test_multipart_without_schema(world: Any) -> None:
    """PART-05: without a schema it is passed on unread."""
    subject = world(content={"multipart/form-data": True})
    request = subject.request(headers={"content-type": "multipart/form-data; boundary=x"}, length=10**6)
    assert subject.validation.parameters(request, subject.operation, {}) is None
    assert subject.validation.reads_body(request, subject.operation) is None
