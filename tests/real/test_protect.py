"""`sixfold protect http://127.0.0.1:8888/v1` before Kinto: what is refused, and how `explain` tells it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

POLICY = """
[authentication]
issuer = "dev"

[authorization]
default = "authenticated"

[rate_limiting]
default   = "600/minute per client"
anonymous = "60/minute per address"

[[routes]]
match   = "PUT|DELETE /v1/buckets/{id}"
require = "kinto:write"

[[routes]]
match = "GET /v1/contribute.json"
limit = "3/minute per user"
"""


@pytest.fixture(scope="module")
def protect(
    kinto: Any,
    serving: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    """The command as a person would type it, with a file for what Kinto's document does not say."""
    folder = tmp_path_factory.mktemp("protect")
    (folder / "rules.toml").write_text(POLICY)
    return serving("protect", f"{kinto.url}/v1", "--config", "rules.toml", "--validation", "enforce", folder=folder)


@pytest.fixture(scope="module")
def bare(kinto: Any, serving: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The command without any file."""
    return serving("protect", f"{kinto.url}/v1", folder=tmp_path_factory.mktemp("bare"))


@pytest.fixture
def explained(run: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., dict[str, Any]]:
    """Return what `sixfold explain ID` says about an answer; checks that it tells all an operator needs."""

    def explain(server: Any, answer: Any) -> dict[str, Any]:
        decision = answer.json()["decision"]
        text = run("explain", decision, "--admin", server.admin)
        assert text.returncode == 1, text.stderr
        (story,) = json.loads(run("explain", decision, "--admin", server.admin, "--json").stdout)
        rule = story["rule"]
        assert f"{rule['file']}:{rule['line']}" in text.stdout
        assert story["remedy"]
        assert story["remedy"] in text.stdout
        assert story["layer"].replace("_", " ") in text.stdout
        result: dict[str, Any] = story
        return result

    return explain


def line_of(policy: str, text: str) -> int:
    """Return the line of a policy on which a text stands, counted from 1."""
    return next(number for number, line in enumerate(policy.splitlines(), start=1) if text in line)


def test_without_a_token(protect: Any, call: Callable[..., Any], explained: Callable[..., dict[str, Any]]) -> None:
    answer = call(f"{protect.url}/v1/buckets")
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["code"] == "credentials-missing"
    story = explained(protect, answer)
    assert story["layer"] == "authentication"


def test_without_the_scope(
    protect: Any,
    token: Callable[..., str],
    call: Callable[..., Any],
    explained: Callable[..., dict[str, Any]],
) -> None:
    answer = call(f"{protect.url}/v1/buckets/shop", "PUT", token=token("kinto:read"), body={"data": {"a": 1}})
    assert answer.status == 403
    challenge = answer.headers["www-authenticate"]
    assert 'error="insufficient_scope"' in challenge
    assert 'scope="kinto:write"' in challenge
    story = explained(protect, answer)
    assert story["layer"] == "authorization"
    assert story["rule"]["file"] == "rules.toml"
    assert story["rule"]["line"] == line_of(POLICY, "PUT|DELETE") - 1  # where its `[[routes]]` stands
    assert "kinto:write" in story["remedy"] + story["reason"]


def test_beyond_the_limit(
    protect: Any,
    token: Callable[..., str],
    call: Callable[..., Any],
    explained: Callable[..., dict[str, Any]],
) -> None:
    bearer = token()
    answers = [call(f"{protect.url}/v1/contribute.json", token=bearer) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    refused = answers[-1]
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert "ratelimit" in refused.headers
    assert "ratelimit" in answers[0].headers
    story = explained(protect, refused)
    assert story["layer"] == "rate_limiting"
    assert story["rule"]["file"] == "rules.toml"
    assert line_of(POLICY, "contribute") - 1 <= story["rule"]["line"] <= line_of(POLICY, "3/minute")


def test_an_unknown_property(
    protect: Any,
    token: Callable[..., str],
    call: Callable[..., Any],
    explained: Callable[..., dict[str, Any]],
) -> None:
    body = {"data": {"a": 1}, "owner": "me"}
    answer = call(f"{protect.url}/v1/buckets/shop", "PUT", token=token("kinto:write"), body=body)
    assert answer.status == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/owner"]
    assert explained(protect, answer)["layer"] == "validation"


def test_an_unknown_path(
    protect: Any,
    token: Callable[..., str],
    call: Callable[..., Any],
    explained: Callable[..., dict[str, Any]],
) -> None:
    answer = call(f"{protect.url}/v1/nothing", token=token("kinto:write"))
    assert answer.status == 404
    assert answer.json()["code"] == "unknown-operation"
    assert explained(protect, answer)["layer"] == "gateway"


def test_what_is_allowed_gets_through(protect: Any, token: Callable[..., str], call: Callable[..., Any]) -> None:
    bearer = token("kinto:write")
    written = call(f"{protect.url}/v1/buckets/shelf", "PUT", token=bearer, body={"data": {"a": 1}})
    assert written.status in (200, 201), written.body
    assert call(f"{protect.url}/v1/buckets/shelf", token=bearer).json()["data"]["a"] == 1


def test_the_document_is_found_without_being_named(bare: Any) -> None:
    printed = bare.printed()
    assert re.search(r"Found .*OpenAPI at /v1/__api__: [34]\d operations", printed)
    assert "Guarding" in printed
    assert "curl" in printed


def test_without_a_file_any_signed_in_caller_is_let_in(
    bare: Any, token: Callable[..., str], call: Callable[..., Any]
) -> None:
    """FIRST-06: `protect` without a file asks for a token, for nothing more, and says so."""
    assert call(f"{bare.url}/v1/buckets").status == 401
    assert call(f"{bare.url}/v1/buckets", token=token()).status == 200
    assert call(f"{bare.url}/v1/nothing", token=token()).status == 404
    assert "any signed-in caller" in bare.printed()


def test_without_a_file_validation_tells_and_lets_pass(
    bare: Any, token: Callable[..., str], call: Callable[..., Any]
) -> None:
    """SHD-01: what would be refused reaches Kinto, whose own answer comes back."""
    body = {"data": {}, "owner": "me"}
    answer = call(f"{bare.url}/v1/buckets/told", "PUT", token=token(), body=body)
    assert (answer.status, answer.json()["errno"]) == (400, 107)  # Kinto's own refusal
    assert "would refuse PUT /v1/buckets/told   /owner" in bare.printed()
