"""The tests that a policy carries with it."""

from __future__ import annotations

from typing import Any

import pytest

from sixfold.policy import load_text
from sixfold.policy.expect import request_line, run


def outcomes(source: str, *answers: tuple[int, str]) -> list[Any]:
    given: list[Any] = list(answers)
    seen: list[Any] = []

    def judge(*asked: Any) -> tuple[int, str]:
        seen.append(asked)
        status, code = given[len(seen) - 1]
        return status, code

    found = run(load_text(source).document.expect, judge)
    return [found, seen]


ROW = '[[expect]]\nrequest = "POST /orders"\n'


@pytest.mark.parametrize(
    ("said", "answer", "met"),
    [
        ("result = 403", (403, "insufficient-scope"), True),
        ("result = 403", (401, "credentials-missing"), False),
        ("result = 403", (200, ""), False),
        ("result = 201", (200, ""), True),
        ("result = 200", (403, "insufficient-scope"), False),
        ('result = 403\ncode = "insufficient-scope"', (403, "insufficient-scope"), True),
        ('result = 403\ncode = "insufficient-scope"', (403, "operation-not-ruled"), False),
    ],
)
def test_what_is_met(said: str, answer: tuple[int, str], met: bool) -> None:
    """CFG-06: status, and the code if one is named."""
    (outcome,), _ = outcomes(ROW + said, answer)
    assert outcome.met is met


def test_what_is_asked() -> None:
    """CFG-06: request line, caller, headers and body go to the judge as they are written."""
    source = (
        ROW + 'result = 400\nas = { roles = ["viewer"], scopes = "a b" }\nbody = { qty = 0 }\n'
        'headers = { x-a = "b" }\n'
        '[[expect]]\nrequest = "GET /"\nresult = 401'
    )
    (first, second), (asked, other) = outcomes(source, (200, ""), (401, "credentials-missing"))
    assert (asked[0], asked[1].roles, asked[2], asked[3]) == (
        "POST /orders",
        ["viewer"],
        {"x-a": "b"},
        {"qty": 0},
    )
    assert other == ("GET /", "anonymous", {}, None)
    assert str(first) == "POST /orders as someone (@viewer, a, b): expected 400, got 200"
    assert str(second) == "GET / as anonymous: expected 401, got 401 credentials-missing"
    assert (first.index, second.index, second.met) == (0, 1, True)


def test_request_lines() -> None:
    assert request_line(" GET  /a?b=c ") == ("GET", "/a?b=c")
    for wrong in ("", "GET", "/a", "get /a", "GET a", "GET /a HTTP/1.1", "TRACE /"):
        with pytest.raises(ValueError, match="POST /orders"):
            request_line(wrong)
