"""Answers against the response contract (API3: over-exposure; API9: drift)."""

from __future__ import annotations

from typing import Any

import pytest

JSON = "application/json"
USER = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "password": False},
}
RESPONSES = {
    "200": {JSON: USER, "text/plain": True},
    "201": {"*/*": USER},
    "204": {},
    "4xx": {"application/problem+json": {"required": ["title"]}},
}


@pytest.fixture(scope="module")
def api(world: Any) -> Any:
    return world(responses=RESPONSES, table={"response": "enforce", "max_response": 1000})


@pytest.mark.parametrize(
    ("status", "kind", "body", "passes"),
    [
        (200, JSON, b'{"name":"a"}', True),
        (200, JSON + "; charset=utf-8", b'{"name":"a"}', True),
        (200, JSON, b'{"name":"a","password":"x"}', False),
        (200, JSON, b'{"name":"a","internal":1}', False),
        (200, JSON, b'{"name":1}', False),
        (200, JSON, b"{}", False),
        (200, JSON, b"<html>", False),
        (200, JSON, b'{"name":"a"', False),
        (200, JSON, b"", True),
        (200, "text/plain", b"anything", True),
        (200, "text/html", b"<html>", False),
        (200, None, b"x", False),
        (201, "application/vnd.x+json", b'{"name":"a"}', True),
        (201, "application/vnd.x+json", b'{"name":1}', False),
        (201, "image/png", b"\x89", True),
        (204, None, b"", True),
        (404, "application/problem+json", b'{"title":"no"}', True),
        (404, "application/problem+json", b"{}", False),
        (404, JSON, b"{}", False),
        (500, "text/html", b"<h1>oops</h1>", True),  # not declared: nothing to compare with
    ],
)
def test_contract(api: Any, status: int, kind: str | None, body: bytes, passes: bool) -> None:
    """API3: an answer that its contract does not allow is withheld."""
    refusal = api.answer(status, kind, body)
    assert (refusal is None) == passes
    if refusal is not None:
        assert (refusal.code, refusal.status, refusal.mode) == ("response-contract", 502, "enforce")
        assert str(refusal.rule) == "openapi.yaml:42 POST /things"


def test_the_caller_is_told_nothing(api: Any) -> None:
    """EXP-03: faults of the API are told to the operator, by pointer, and not to the caller."""
    refusal = api.answer(200, JSON, b'{"name":"a","internal":"s3cret"}')
    assert "/internal" in refusal.reason
    assert b"internal" not in refusal.problem().replace(b"internal-", b"")
    assert "s3cret" not in repr(refusal)


@pytest.mark.parametrize(
    ("status", "kind", "size"),
    [
        (200, JSON, 1000),
        (200, "text/plain", None),
        (200, "text/html", 1000),
        (204, None, None),
        (404, "application/problem+json", 1000),
        (500, JSON, None),
    ],
)
def test_reads_answer(api: Any, status: int, kind: str | None, size: int | None) -> None:
    """M11: only an answer that is checked is held back until it is whole."""
    content_type = kind.encode() if kind else None
    assert api.validation.reads_answer(api.operation, status, content_type) == size


@pytest.mark.parametrize(
    ("table", "modes", "mode"),
    [
        ({}, {}, None),
        ({"response": "shadow"}, {}, "shadow"),
        ({"response": "enforce"}, {"validation": "shadow"}, "shadow"),
        ({"response": "enforce", "mode": "shadow"}, {}, "shadow"),
        ({"response": "enforce", "request": "off"}, {}, "enforce"),
        ({"response": "enforce"}, {"validation": "off"}, None),
    ],
)
def test_modes(world: Any, table: Any, modes: Any, mode: str | None) -> None:
    """MODE: off unless said; the weaker of table and route counts."""
    subject = world(responses=RESPONSES, table=table, modes=modes)
    refusal = subject.answer(200, JSON, b"{}")
    assert (refusal.mode if refusal is not None else None) == mode
    if mode is None:
        assert subject.validation.reads_answer(subject.operation, 200, JSON.encode()) is None


def test_large_integers_in_answers(api: Any, world: Any) -> None:
    """API3: the strictness of requests is not asked of answers: their numbers may be large, their objects wide."""
    subject = world(responses={"default": {JSON: {"type": "object"}}}, table={"response": "enforce", "max_depth": 1})
    assert subject.answer(200, JSON, b'{"id":9007199254740993,"deep":[[1]]}') is None
    assert subject.answer(200, JSON, b"[]") is not None
