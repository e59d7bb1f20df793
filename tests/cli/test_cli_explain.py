"""`sixfold explain` and `token`: imagined requests, credentials from a pipe, decisions of servers that run."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

POLICY = """
[gateway]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
upstream = "{upstream}"
[authentication]
issuer = "dev"
api_keys = {{ file = "keys.jsonl" }}
[authorization]
roles.viewer = ["orders:read"]
[[routes]]
match = "GET /orders"
require = "orders:read"
[[routes]]
match = "POST /orders"
require = "orders:write"
mode = {{ authorization = "shadow" }}
[[routes]]
match = "GET /health"
public = true
"""
MEMBERS = {
    "decision", "time", "method", "path", "address", "caller", "result", "status", "code", "layer", "title", "detail",
    "rule", "reason", "remedy", "errors",
}  # fmt: skip


@pytest.fixture
def policy(write: Callable[..., Any]) -> None:
    write("", "keys.jsonl")
    write(POLICY.format(upstream="http://127.0.0.1:1"))


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Stand a text at standard input."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


@pytest.mark.usefixtures("policy")
@pytest.mark.parametrize(
    ("arguments", "code", "result", "status"),
    [
        (["GET /health"], 0, "permitted", 200),
        (["  GET    /health "], 0, "permitted", 200),
        (["GET /orders"], 1, "refused", 401),
        (["GET /orders", "--as", "viewer"], 0, "permitted", 200),
        (["--as", "viewer", "GET /orders?limit=1"], 0, "permitted", 200),
        (["GET /orders", "--scope", "x orders:read"], 0, "permitted", 200),
        (["GET /orders", "--as", "nobody"], 1, "refused", 403),
        (["GET /nothing"], 1, "refused", 404),
        (["DELETE /orders"], 1, "refused", 405),
        (["GET /%2e%2e/x"], 1, "refused", 400),
        (["GET orders"], 1, "refused", 400),
        (["get /orders"], 1, "refused", 501),
    ],
)
def test_imagined(
    arguments: list[str], code: int, result: str, status: int, sixfold: Callable[..., Any], folder: Any
) -> None:
    """CLI-09, CLI-03: an imagined request gets the decision a real one would get; nothing runs, nothing is sent."""
    words = sixfold("explain", *arguments)
    assert (words.code, words.err) == (code, "")
    assert words.out.startswith({"permitted": "Permitted\n", "refused": f"Refused with {status} by "}[result])
    (story,) = json.loads(sixfold("explain", *arguments, "--json").out)
    assert set(story) == MEMBERS
    assert (story["result"], story["status"]) == (result, status)
    assert "  rule     " in words.out


@pytest.mark.usefixtures("policy")
def test_what_a_shadow_would_refuse_is_told(sixfold: Callable[..., Any]) -> None:
    """SHD-01"""
    done = sixfold("explain", "POST /orders", "--as", "viewer")
    assert done.code == 0
    assert done.out.startswith("Would be refused with 403 by authorization")
    assert "\nPermitted\n" in done.out


@pytest.mark.usefixtures("policy")
@pytest.mark.parametrize(
    ("wrap", "code"),
    [
        ("{}\n", 0),
        ("{}", 0),
        ("Bearer {}\n", 0),
        ("{}x\n", 1),
        ("\n", 2),
        ("", 2),
    ],
)
def test_a_token_from_a_pipe(wrap: str, code: int, sixfold: Callable[..., Any], piped: Callable[[str], None]) -> None:
    """CLI-05, EXP-03: `--token -` judges the token, and never prints it."""
    token = sixfold("token", "--scope", "orders:read").out.strip()
    for arguments in (["--token", "-", "GET /orders"], ["GET /orders", "--token", "-"], ["GET /orders", "--token=-"]):
        piped(wrap.format(token if "{}" in wrap else ""))
        done = sixfold("explain", *arguments)
        assert done.code == code, done.err
        assert token[:40] not in done.out + done.err


@pytest.mark.usefixtures("policy")
def test_an_api_key_from_a_pipe(sixfold: Callable[..., Any], piped: Callable[[str], None]) -> None:
    """CLI-05"""
    key = sixfold("api-keys", "add", "alice", "--scope", "orders:read").out
    piped(key)
    done = sixfold("explain", "GET /orders", "--token", "-")
    assert done.code == 0
    assert "caller alice" in done.out


@pytest.mark.usefixtures("policy")
@pytest.mark.parametrize("name", ["Authorization", "cookie", "X-Api-Key"])
def test_a_secret_is_no_argument(name: str, sixfold: Callable[..., Any]) -> None:
    """CLI-05"""
    done = sixfold("explain", "GET /orders", "--header", f"{name}: s3cret")
    assert (done.code, done.out) == (2, "")
    assert "--token -" in done.err
    assert "s3cret" not in done.err


@pytest.mark.usefixtures("policy")
@pytest.mark.parametrize("header", ["no colon", "X-A: a\r\nX-B: b", ": x", "X A: b"])
def test_a_header_is_one_line(header: str, sixfold: Callable[..., Any]) -> None:
    assert sixfold("explain", "GET /health", "--header", header).code == 2


def test_a_decision_of_a_server(
    starting: Callable[..., Any], write: Callable[..., Any], sixfold: Callable[..., Any], get: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """EXP-01: by its id, in either case, by an unambiguous prefix; an ambiguous one is answered with a list."""
    write("", "keys.jsonl")
    write(POLICY.format(upstream="http://127.0.0.1:1"))
    server = starting("serve")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # loopback is asked past any proxy
    decision = get(f"{server.url}/orders")[2]["decision"]
    for text in (decision, decision.lower(), decision.removeprefix("d-"), decision[:7]):
        done = sixfold("explain", text)
        assert (done.code, done.err) == (1, "")
        assert done.out.startswith("Refused with 401 by authentication: A credential is needed (credentials-missing)\n")
        assert "request  GET /orders   from 127.0.0.1   at 20" in done.out
        assert "sixfold.toml:11" in done.out
    (story,) = json.loads(sixfold("explain", decision, "--json").out)
    assert set(story) == MEMBERS
    assert sixfold("explain", decision, "--admin", server.admin).code == 1
    assert sixfold("explain", decision, "--admin", f"http://{server.admin}/").code == 1
    ids = [decision] + [
        get(f"{server.url}/orders")[2]["decision"] for _ in range(33)
    ]  # so many that two share their start
    starts = [one[:3] for one in ids]
    twice = next(start for start in starts if starts.count(start) > 1)
    done = sixfold("explain", twice)
    assert done.code == 2
    assert sorted(line.split()[0] for line in done.out.splitlines()) == sorted({one for one in ids if one[:3] == twice})
    assert "name one of them" in done.err
    unknown = sixfold("explain", "d-00000000")
    assert unknown.code == 4
    assert "no running sixfold remembers" in unknown.err


def test_tokens_work_tomorrow_as_well(sixfold: Callable[..., Any], tmp_path: Any) -> None:
    """FIRST-04: the developer key is kept in the user's state folder, for its owner's eyes."""
    assert sixfold("token").code == 0
    key = tmp_path / "state" / "dev" / "es256.pem"
    assert key.stat().st_mode & 0o077 == 0
    before = key.read_bytes()
    assert sixfold("token").code == 0
    assert key.read_bytes() == before
    key.chmod(0o644)
    done = sixfold("token")
    assert (done.code, done.out) == (3, "")


def test_a_token_that_nobody_will_take(write: Callable[..., Any], sixfold: Callable[..., Any]) -> None:
    write('[authentication]\naudience = "x"\nmode = "off"')
    done = sixfold("token", "--config", "sixfold.toml")
    assert done.code == 0
    assert "takes no developer tokens" in done.err
