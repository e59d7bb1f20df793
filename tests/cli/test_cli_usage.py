"""Wrong input: one line of words that name the next step, the right exit code, nothing on stdout, no traceback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

CASES = [
    (["protct"], 2, 'Did you mean "protect"'),
    (["check", "extra"], 2, "`sixfold check` takes no argument `extra`"),
    (["check", "--confg", "x"], 2, "Did you mean --config"),
    (["protect"], 2, "sixfold protect --help"),
    (["protect", "ftp://localhost"], 2, "http://localhost:8000"),
    (["protect", "http://[::1"], 2, "http://localhost:8000"),
    (["protect", "http://localhost:99999"], 2, "http://localhost:8000"),
    (["protect", "http://localhost:0"], 2, "http://localhost:8000"),
    (["protect", ""], 2, "http://localhost:8000"),
    (["protect", "http://localhost/?a=b"], 2, "more than host and path"),
    (["protect", "http://localhost:1"], 4, "start the API first"),
    (["protect", "localhost:1", "--listen", "0.0.0.0:8400"], 2, "--save sixfold.toml"),
    (["protect", "localhost:1", "--listen", "example.com:8400"], 2, "127.0.0.1:8400"),
    (["protect", "localhost:1", "--listen", "127.0.0.1:99999"], 2, "127.0.0.1:8400"),
    (["protect", "localhost:1", "--listen", "8400"], 2, "127.0.0.1:8400"),
    (["protect", "localhost:1", "--admin", "0.0.0.0:8401"], 2, "--admin"),
    (["protect", "localhost:1", "--public", "GET/health"], 2, "GET /orders"),
    (["protect", "localhost:1", "--public", "GETT /health"], 2, "did you mean `GET`"),
    (["protect", "localhost:1", "--public", 'GET /"\npublic = 1'], 2, "not a method and a path"),
    (["protect", "localhost:1", "--validation", "enfroce"], 2, "enforce"),
    (["protect", "localhost:1", "--dry-run"], 2, "--save"),
    (["protect", "localhost:1", "--config", "a.toml", "--save", "b.toml"], 2, "keep one"),
    (["protect", "localhost:1", "--config", "a.toml", "--public", "GET /x"], 2, "[[routes]]"),
    (["protect", "localhost:1", "--openapi", "missing.json"], 2, "no such file"),
    (["protect", "localhost:1", "--config", "missing.toml"], 3, "missing.toml"),
    (["serve"], 3, "sixfold protect URL --save sixfold.toml"),
    (["check"], 3, "--config"),
    (["check", "--config", "missing.toml"], 3, "missing.toml: no such file"),
    (["check", "--config", "."], 3, "directory"),
    (["routes", "--config", "missing.toml"], 3, "missing.toml"),
    (["explain", "d-"], 2, "decision id"),
    (["explain", "GET"], 2, '"GET /orders"'),
    (["explain", "a b c"], 2, '"GET /orders"'),
    (["explain", "d-7Q2R"], 4, 'explain "GET /orders"'),
    (["explain", "d-7Q2R", "--admin", "127.0.0.1:1"], 4, "127.0.0.1:1"),
    (["explain", "d-7Q2R", "--admin", "nonsense"], 2, "127.0.0.1:8401"),
    (["explain", "GET /x", "--token", "s3cret-value"], 2, "--token -"),
    (["explain", "GET /x", "--token", "-", "--as", "viewer"], 2, "--as"),
    (["explain", "GET /x", "--body", "{"], 2, "--body is not JSON"),
    (["token", "--lifetime", "0"], 2, "86400"),
    (["token", "--lifetime", "abc"], 2, "--lifetime"),
    (["token", "--config", "missing.toml"], 3, "missing.toml"),
    (["api-keys", "list"], 3, "--config"),
    (["api-keys", "add", "alice", "--days", "-1"], 2, "--days"),
    (["api-keys", "revoke", "a"], 2, "at least 4"),
    (["api-keys", "remove"], 2, "sixfold api-keys --help"),
    (["demo", "--listen", "0.0.0.0:0"], 2, "--listen"),
    (["schema", "x"], 2, "takes no argument"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), CASES, ids=[" ".join(case[0]) for case in CASES])
def test_wrong_input(arguments: list[str], code: int, words: str, sixfold: Callable[..., Any]) -> None:
    """CLI-06, CLI-08: what happened and the next step, in one line on stderr, with the exit code of its kind."""
    done = sixfold(*arguments)
    assert done.code == code, done.err
    assert done.out == ""
    assert words in done.err
    lines = done.err.splitlines()
    assert [line for line in lines if line != "nothing was started"] == lines[:1]
    assert "Traceback" not in done.err
    assert "╭" not in done.err


def test_secrets_of_a_wrong_line_are_not_repeated(sixfold: Callable[..., Any]) -> None:
    """CLI-05"""
    assert "s3cret" not in sixfold("explain", "GET /x", "--token", "s3cret").err
    assert "s3cret" not in sixfold("protect", "http://me:s3cret@localhost:1").err
    assert "s3cret" not in sixfold("explain", "GET /x", "--header", "Authorization: Bearer s3cret").err


def test_a_broken_policy_is_told_line_by_line(write: Callable[..., Any], sixfold: Callable[..., Any]) -> None:
    """CLI-06: every problem with file and line; what follows depends on the command."""
    write('[gateway]\nupstrem = "x"\n[authentication]\nissuer = "dve"\n')
    for command, more in (("check", 0), ("routes", 0), ("serve", 1)):
        done = sixfold(command)
        assert (done.code, done.out) == (3, "")
        lines = done.err.splitlines()
        assert lines[0].startswith("sixfold.toml:2: gateway.upstrem: unknown key; did you mean `upstream`?")
        assert lines[1].startswith("sixfold.toml:4: ")
        assert len(lines) == 2 + more
    assert "sixfold check" in lines[-1]


def test_a_bug_is_called_one(sixfold: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """CLI-06: no traceback without --debug, and no value from inside."""
    import sixfold.policy.schema as schema

    def broken() -> None:
        raise RuntimeError("a secret value")

    monkeypatch.setattr(schema, "schema", broken)
    done = sixfold("schema")
    assert done.code == 70
    assert "--debug" in done.err
    assert "secret" not in done.err
    with pytest.raises(RuntimeError):
        sixfold("schema", "--debug")


def test_an_interrupted_command(sixfold: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """CLI-08"""
    import sixfold.policy.schema as schema

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(schema, "schema", interrupted)
    done = sixfold("schema")
    assert (done.code, done.out, done.err) == (130, "", "")
