"""`sixfold api-keys`: a key is shown once, and a revoked one is refused by servers that run."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from typing import Any

import pytest

POLICY = """
[gateway]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
upstream = "{upstream}"
[authentication]
api_keys = {{ file = "keys.jsonl" }}
[[routes]]
match = "GET /orders"
require = "orders:read"
"""


@pytest.fixture
def policy(write: Callable[..., Any]) -> None:
    write(POLICY.format(upstream="http://127.0.0.1:1"))


@pytest.mark.usefixtures("policy")
def test_a_key_is_shown_once(sixfold: Callable[..., Any], folder: Any) -> None:
    """CLI-05, CLI-02: the key alone is the result; the file holds its hash and is for its owner only (TOK-23)."""
    done = sixfold("api-keys", "add", "alice", "--scope", "orders:read", "--name", "ci", "--days", "7")
    assert done.code == 0
    key = done.out.strip()
    assert key.startswith("sxk_")
    assert "x-api-key" in done.err
    file = folder / "keys.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert key not in file.read_text()
    words, told = sixfold("api-keys", "list"), sixfold("api-keys", "list", "--json")
    assert key not in words.out + told.out
    (record,) = json.loads(told.out)
    assert set(record) == {"id", "name", "owner", "client", "tenant", "scopes", "roles", "created", "expires"}
    assert (record["owner"], record["name"], record["client"]) == ("alice", "ci", "alice")
    assert record["id"] in words.out


@pytest.mark.usefixtures("policy")
def test_a_key_without_end(sixfold: Callable[..., Any]) -> None:
    assert sixfold("api-keys", "add", "alice", "--days", "0").code == 0
    assert "never" in sixfold("api-keys", "list").out
    assert json.loads(sixfold("api-keys", "list", "--json").out)[0]["expires"] is None


@pytest.mark.usefixtures("policy")
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([""], "OWNER"),
        (["a\nb"], "OWNER"),
        (["alice", "--name", "a\x1b[2J"], "--name"),
        (["alice", "--role", ""], "--role"),
        (["alice", "--client", "x" * 300], "--client"),
    ],
)
def test_facts_that_cannot_be_kept(arguments: list[str], named: str, sixfold: Callable[..., Any], folder: Any) -> None:
    """CLI-06: wrong facts are named, and no key is made."""
    done = sixfold("api-keys", "add", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(named)
    assert not (folder / "keys.jsonl").exists()


@pytest.mark.usefixtures("policy")
def test_revoke(sixfold: Callable[..., Any], write: Callable[..., Any]) -> None:
    """CLI-04: --dry-run changes nothing; only one key is ever taken away."""
    for owner in ("alice", "bob"):
        sixfold("api-keys", "add", owner)
    first, second = (one["id"] for one in json.loads(sixfold("api-keys", "list", "--json").out))
    assert sixfold("api-keys", "revoke", "zzzz").code == 1
    dry = sixfold("api-keys", "revoke", first, "--dry-run")
    assert (dry.code, dry.err) == (0, f"would revoke {first} of alice\n")
    assert len(json.loads(sixfold("api-keys", "list", "--json").out)) == 2
    done = sixfold("api-keys", "revoke", first[:8].upper())
    assert (done.code, done.err) == (0, f"revoked {first} of alice\n")
    assert [one["id"] for one in json.loads(sixfold("api-keys", "list", "--json").out)] == [second]
    write("{}\n", "keys.jsonl")
    broken = sixfold("api-keys", "list")
    assert broken.code == 3
    assert "keys.jsonl:1" in broken.err


def test_a_policy_without_keys_says_how_to_have_them(write: Callable[..., Any], sixfold: Callable[..., Any]) -> None:
    """CLI-06"""
    write('[authentication]\nissuer = "dev"')
    done = sixfold("api-keys", "add", "alice")
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("sixfold.toml:1 authentication: ")
    assert 'api_keys = { file = "keys.jsonl" }' in done.err


def test_a_running_server_follows(
    api: Any, write: Callable[..., Any], sixfold: Callable[..., Any], starting: Callable[..., Any],
    get: Callable[..., Any], until: Callable[..., Any],
) -> None:  # fmt: skip
    """TOK-23: a server takes a new key and refuses a revoked one within two seconds."""
    write(POLICY.format(upstream=api.url))
    sixfold("api-keys", "add", "bob")
    server = starting("serve")
    key = sixfold("api-keys", "add", "alice", "--scope", "orders:read").out.strip()

    def status() -> int:
        return int(get(f"{server.url}/orders", {"X-Api-Key": key})[0])

    assert until(lambda: status() == 200, 2)
    identifier = next(
        one["id"] for one in json.loads(sixfold("api-keys", "list", "--json").out) if one["owner"] == "alice"
    )
    assert sixfold("api-keys", "revoke", identifier).code == 0
    assert until(lambda: status() == 401, 2)
