"""`sixfold check`, `routes`, `schema`: what a policy says, for people and for programs."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import jsonschema_rs
import pytest

OPENAPI = """
openapi: 3.1.0
info: { title: x, version: "1" }
paths:
  /orders:
    get: { responses: { "200": { description: ok } } }
    post: { security: [{ t: ["orders:write"] }], responses: { "200": { description: ok } } }
components: { securitySchemes: { t: { type: http, scheme: bearer } } }
"""
POLICY = """
[gateway]
openapi = "openapi.yaml"
[authentication]
issuer = "dev"
"""
FINDINGS = {
    "operation-not-ruled": "",
    "route-matches-nothing": '[[routes]]\nmatch = "GET /nothing"\ndeny = true',
    "not-granted": '[authorization]\nroles.viewer = ["orders:read"]',
    "public-write": '[[routes]]\nmatch = "POST /orders"\npublic = true',
    "literal-secret": '[gateway.request_headers]\nset = { authorization = "s3cret" }',
    "certificate-unusable": '[encryption]\nmode = "tls"\ncertificate = { file = "no.pem", key = "no.pem" }',
    "hosts-empty": '[encryption]\nmode = "tls"\ncertificate = { file = "no.pem", key = "no.pem" }',
}
EXPECT = '[[expect]]\nrequest = "GET /orders"\nresult = {result}'


@pytest.fixture
def policy(write: Callable[..., Any]) -> Callable[[str], None]:
    def put(more: str) -> None:
        write(OPENAPI, "openapi.yaml")
        base = POLICY if 'mode = "tls"' not in more else POLICY.replace('issuer = "dev"', 'mode = "off"')
        write(f"{base}\n{more}\n")

    return put


@pytest.mark.parametrize("code", FINDINGS)
def test_findings(code: str, policy: Callable[[str], None], sixfold: Callable[..., Any]) -> None:
    """CLI-09, CLI-03: each kind of finding with file, line and remedy; a warning fails only with --strict."""
    policy(FINDINGS[code])
    told = sixfold("check", "--json")
    found = [one for one in json.loads(told.out)["findings"] if one["code"] == code]
    assert found, told.out
    one = found[0]
    assert set(one) == {"severity", "code", "file", "line", "rule", "text", "remedy"}
    assert one["line"] > 0
    assert one["remedy"]
    assert "s3cret" not in told.out
    words = sixfold("check")
    assert (told.code, words.code, words.err) == (0, 0, "")
    label = "warn" if one["severity"] == "warning" else "note"
    assert f"{label}  {one['file']}:{one['line']} {one['rule']}: {one['text']} -> {one['remedy']}" in words.out
    strict = 1 if any(other["severity"] == "warning" for other in json.loads(told.out)["findings"]) else 0
    assert sixfold("check", "--strict").code == sixfold("check", "--strict", "--json").code == strict


def test_expectations(policy: Callable[[str], None], sixfold: Callable[..., Any]) -> None:
    """CLI-09: the policy's own tests are run."""
    policy(EXPECT.format(result=401))
    done = sixfold("check")
    assert done.code == 0
    assert done.out.splitlines()[-2:] == ["ok    2 operations, 1 ruled, 1 closed", "ok    1 expectation"]
    policy(EXPECT.format(result=200))
    done = sixfold("check")
    assert done.code == 1
    assert "FAIL  sixfold.toml:" in done.out
    assert "expected 200, got 401" in done.out
    told = json.loads(sixfold("check", "--json").out)
    assert [one["met"] for one in told["expectations"]] == [False]


def test_json_has_the_same_members_for_a_broken_policy(
    policy: Callable[[str], None], write: Callable[..., Any], sixfold: Callable[..., Any]
) -> None:
    """CLI-03: a program need not tell two forms apart."""
    policy("")
    good = json.loads(sixfold("check", "--json").out)
    write("[gateway\n")
    done = sixfold("check", "--json")
    assert done.code == 3
    bad = json.loads(done.out)
    assert set(good) == set(bad)
    assert good["problems"] == []
    assert [set(one) for one in bad["problems"]] == [{"file", "line", "rule", "text"}]
    assert bad["problems"][0]["line"] == 1


def test_nothing_is_written_by_looking(policy: Callable[[str], None], folder: Any, sixfold: Callable[..., Any]) -> None:
    """FIRST-04"""
    policy("")
    before = sorted(folder.iterdir())
    for command in (["check"], ["routes"], ["schema"], ["explain", "GET /orders"], ["token"]):
        sixfold(*command)
    assert sorted(folder.iterdir()) == before


def test_routes_open_ones_first(policy: Callable[[str], None], sixfold: Callable[..., Any]) -> None:
    """CLI-09: what anybody may call stands above what is guarded; JSON says the same."""
    policy('[[routes]]\nmatch = "GET /orders"\npublic = true\nlimit = "5/minute per address"')
    done = sixfold("routes")
    assert done.code == 0
    rows = [line.split() for line in done.out.splitlines()]
    assert [row[:3] for row in rows] == [
        ["METHOD", "PATH", "WHO"], ["GET", "/orders", "anybody"], ["POST", "/orders", "orders:write"],
    ]  # fmt: skip
    first, second = json.loads(sixfold("routes", "--json").out)
    assert set(first) == {"method", "path", "access", "who", "limits", "contract", "rule"}
    assert (first["access"], first["limits"], first["contract"]) == ("public", ["5/minute per address"], True)
    assert (second["access"], second["limits"]) == ("require", [])
    assert second["rule"] == {"name": "openapi POST /orders", "file": "openapi.yaml", "line": 7}


def test_names_of_a_document_move_no_cursor(write: Callable[..., Any], sixfold: Callable[..., Any]) -> None:
    """LOG-01: a terminal obeys nobody else's document."""
    write(OPENAPI.replace("/orders:", '"/or\\u009bders":'), "openapi.yaml")
    write(POLICY)
    assert "\x9b" not in sixfold("routes").out + sixfold("check").out


def test_the_schema_fits_the_sample_policy(sixfold: Callable[..., Any]) -> None:
    done = sixfold("schema")
    assert (done.code, done.err) == (0, "")
    schema = jsonschema_rs.validator_for(json.loads(done.out))
    sample = tomllib.loads(files("sixfold.sample").joinpath("sixfold.toml").read_text())
    schema.validate(sample)
    assert not schema.is_valid({**sample, "gatway": {}})


def test_the_policy_may_be_named_by_the_environment(
    policy: Callable[[str], None], folder: Any, sixfold: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy("")
    (folder / "sixfold.toml").rename(folder / "other.toml")
    monkeypatch.setenv("SIXFOLD_CONFIG", "other.toml")
    assert sixfold("check").code == 0
