"""Bodies that Sixfold and an application could read differently; real parsers are asked where they are at hand."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.formparser import parse_form_data

from sixfold.decision import Refusal

POLICY = """
[gateway]
openapi = "openapi.json"
[authentication]
issuer = "dev"
[[routes]]
match = "* /form"
public = true
"""
CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "t", "version": "1"},
    "paths": {
        "/form": {
            "post": {
                "requestBody": {
                    "required": True,
                    "content": {
                        "multipart/form-data": {"schema": CLOSED},
                        "application/json": {"schema": CLOSED},
                        "application/x-www-form-urlencoded": {"schema": CLOSED},
                    },
                },
                "responses": {"200": {"description": "ok"}},
            }
        }
    },
}


@pytest.fixture
def post(
    engine: Callable[..., Any], ask: Callable[..., Any], decide: Callable[..., Any]
) -> Callable[[str, bytes], Any]:
    """Send a body of a type; returns the decision."""
    built = engine(POLICY, {"openapi.json": json.dumps(DOCUMENT)})

    def send(kind: str, body: bytes) -> Any:
        return decide(built, ask(built, "POST /form", {"Content-Type": kind}, length=len(body)), body)

    return send


def part(name: str, content: str, boundary: str, end: str = "\r\n") -> str:
    return f'--{boundary}{end}Content-Disposition: form-data; name="{name}"{end}{end}{content}{end}'


def flask(kind: str, body: bytes) -> dict[str, str]:
    """Return the fields that Flask would find."""
    environ = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": kind, "CONTENT_LENGTH": str(len(body))}
    return parse_form_data({**environ, "wsgi.input": io.BytesIO(body)})[1].to_dict()


ONE = "multipart/form-data; boundary=real"


def test_a_plain_form_passes(post: Callable[..., Any]) -> None:
    """PART-20: what both read alike is not refused."""
    body = (part("a", "x -- y\n--rea\r\n", "real") + "--real--\r\n").encode()
    assert flask(ONE, body) == {"a": "x -- y\n--rea\r\n"}
    assert not isinstance(post(ONE, body), Refusal)


@pytest.mark.parametrize("end", ["\n", "\r"])
def test_a_boundary_after_another_line_end_is_a_boundary_to_others(post: Callable[..., Any], end: str) -> None:
    """PART-20: Werkzeug takes a bare LF or CR for a line end, so a field could hide in the content of another."""
    hidden = f"x{end}" + part("admin", "1", "real", end).removesuffix(end)
    body = (part("a", hidden, "real") + "--real--\r\n").encode()
    assert flask(ONE, body) == {"a": "x", "admin": "1"}
    assert post(ONE, body).code == "malformed-body"


@pytest.mark.parametrize(
    "name", ["boundary*=utf-8''evil", "boundary*0=evil", "boundary*0=ev; boundary*1=il", "BOUNDARY*=''evil"]
)
def test_a_second_spelling_of_the_boundary_is_refused(post: Callable[..., Any], name: str) -> None:
    """PART-21: RFC 2231 lets `boundary*` overrule `boundary`, and Werkzeug obeys; then its parts are not ours."""
    kind = f"{ONE}; {name}"
    body = (part("a", part("admin", "1", "evil") + "--evil--", "real") + "--real--\r\n").encode()
    assert post(kind, body).status == 415


@pytest.mark.parametrize(
    "kind",
    [
        "application/json, text/plain", "application/json; charset=utf-16", "application/json; charset=utf-7",
        "application/json; charset=utf-8; charset=utf-16", "application/json; charset*=utf-16''x", "application/json charset=utf-8",
        "application/json;charset=\"utf-16\"", "application/json\t,application/json", "application/jsonx", "application/vnd.x+json",
        "text/json", "text/plain", "*/*", "application/*", "", "json", "application/json; charset=utf_16",
    ],
)  # fmt: skip
def test_a_type_that_is_not_declared_or_not_plain_is_refused(post: Callable[..., Any], kind: str) -> None:
    """JSON-01: the type decides who parses, so one that could be read in two ways decides nothing."""
    assert post(kind, b'{"a": "x"}').status == 415


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": "x", "a": "y"}', b'{"a": "x", "\\u0061": "y"}', b'\xef\xbb\xbf{"a": "x"}', b'{"a": "\\ud800"}', b'{"a": "x"}x',
        b'{"a": NaN}', b'{"a": "x",}', b"{'a': 'x'}", b'{"a": "x"} {"a": "y"}', b'{"a": "\x00"}', b'{"a": "x"}\x00', b"", b" ",
        b'{"a": "x"/**/}', b'{"a:": "\\\\u003a", "a:": 1}', b'{"\\u003a": 1, ":": 1}', b'{"a": "\xff"}', '{"a": "x"}'.encode("utf-16"),
    ],
)  # fmt: skip
def test_a_text_that_parsers_read_differently_is_refused(post: Callable[..., Any], body: bytes) -> None:
    """JSON-02: duplicates in any spelling, byte order marks, half surrogates, trailing data."""
    assert post("application/json", body).status == 400


@pytest.mark.parametrize(
    "body", [b"a=x;admin=1", b"a=x&a=y", b"a=x&admin=1", b"a=x&a[]=y", b"a=%", b"a=%ff", b"a=x%00"]
)
def test_a_form_that_parsers_read_differently_is_refused(post: Callable[..., Any], body: bytes) -> None:
    """FORM-01: one separator, one value for each scalar, nothing undeclared."""
    assert post("application/x-www-form-urlencoded", body).status == 400
