"""What a refused caller is told, and where the API says who issues its tokens."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sixfold.layers.authentication import resource_metadata
from sixfold.layers.authentication.challenge import metadata_url
from sixfold.layers.authentication.rules import RuleError


def challenges(refusal: Any) -> list[str]:
    return [value.decode() for name, value in refusal.headers if name == b"www-authenticate"]


def test_no_credential(world: Any) -> None:
    """RS-18: without a credential the answer is 401 with a challenge that names no error; UX-10."""
    refusal = world.ask(world.authentication(), world.request())
    assert (refusal.status, refusal.code) == (401, "credentials-missing")
    assert challenges(refusal) == ['Bearer realm="api", scope="orders:read"']
    assert refusal.rule == ("GET /orders/0", "sixfold.toml", 40)
    plain = world.ask(world.authentication(), world.request(), 2)
    assert challenges(plain) == ['Bearer realm="api"']


@pytest.mark.parametrize("value", [b"Basic YTpi", b"Digest x", b"DPoP a.b.c", b"x.y.z", b"Bearerx.y.z", b""])
def test_another_scheme(world: Any, value: bytes) -> None:
    """RS-18: another scheme is no credential of ours: 401, no error named, nothing of the header told."""
    for operation in (0, 1, 2):
        refusal = world.ask(world.authentication(), world.request(headers={"authorization": value}), operation)
        assert (refusal.status, refusal.code) == (401, "credentials-missing")
        assert "error" not in challenges(refusal)[0]
        assert "YTpi" not in repr(refusal)
        assert "x.y.z" not in repr(refusal)


def test_a_bad_token(world: Any) -> None:
    """RS-19: a bad token is 401 `invalid_token`, on every operation, public ones too; UX-10."""
    for operation in (0, 1, 2, 5):
        request = world.request(world.token(aud="https://other.example"))
        refusal = world.ask(world.authentication(), request, operation)
        assert refusal.status == 401
        scope = ', scope="orders:read"' if operation == 0 else ""
        said = f'error="invalid_token", error_description="The token was issued for another API"{scope}'
        assert challenges(refusal) == [f'Bearer realm="api", {said}']
        assert b"other.example" not in refusal.problem()


def test_two_credentials(world: Any) -> None:
    """RS-17: two credentials are 400 `invalid_request` (RFC 6750 section 3.1)."""
    from sixfold.layers.authentication import ApiKeyStore

    file = world.folder / "none.jsonl"
    file.write_text("")
    policy = world.policy({"api_keys": {"file": "none.jsonl"}})
    layer = world.authentication(policy, ApiKeyStore.for_policy(policy))
    refusal = world.ask(layer, world.request(world.token(), headers={"x-api-key": b"k"}))
    assert (refusal.status, refusal.code) == (400, "credentials-ambiguous")
    assert 'error="invalid_request"' in challenges(refusal)[0]


def test_every_refusal_has_its_headers(world: Any) -> None:
    """RS-19: each 401 of this layer has a challenge (RFC 9110 section 15.5.2), each 503 a time to retry."""
    from sixfold.decision import CODES
    from sixfold.layers.authentication.challenge import Challenger
    from sixfold.layers.authentication.rules import compile_demands

    policy = world.policy()
    for demand in compile_demands(policy):
        for code, row in CODES.items():
            if row.layer == "authentication":
                names = [name for name, _ in demand.challenge[code]]
                assert names == ([b"retry-after"] if row.status == 503 else [b"www-authenticate"])
    for tokens, header in ((True, "x-api-key"), (False, "x-api-key"), (False, "")):
        made = Challenger(None, tokens=tokens, key_header=header).challenge(policy.operations[0])
        schemes = [value.split()[0] for _, value in made["credentials-missing"]]
        assert schemes == {
            (True, "x-api-key"): [b"Bearer", b"ApiKey"],
            (False, "x-api-key"): [b"ApiKey"],
        }.get((tokens, header), [b"Bearer"])


def test_strange_names_stay_out_of_the_header(world: Any) -> None:
    """RS-20: a name that no scope can have (RFC 6749 appendix A.4) never breaks the header."""
    from dataclasses import replace

    from sixfold.layers.authentication.challenge import Challenger

    names = frozenset(('a"b', "a b", "a\\b", "ü", "a\r\nb", "@role", "good"))
    operation = replace(world.policy().operations[0], require=(names,))
    made = Challenger(None, tokens=True, key_header="").challenge(operation)
    assert made["credentials-missing"] == ((b"www-authenticate", b'Bearer realm="api", scope="good"'),)


@pytest.mark.parametrize(
    ("resource", "url"),
    [
        ("https://api.example", "https://api.example/.well-known/oauth-protected-resource"),
        ("https://api.example/", "https://api.example/.well-known/oauth-protected-resource"),
        ("https://api.example/v1", "https://api.example/.well-known/oauth-protected-resource/v1"),
        ("https://api.example/v1/", "https://api.example/.well-known/oauth-protected-resource/v1/"),
        ("https://api.example:8443/a/b", "https://api.example:8443/.well-known/oauth-protected-resource/a/b"),
        ("http://127.0.0.1:8400", "http://127.0.0.1:8400/.well-known/oauth-protected-resource"),
    ],
)
def test_where_the_metadata_stands(world: Any, resource: str, url: str) -> None:
    """PRM-02: the well-known path is inserted between host and path."""
    assert metadata_url(resource) == url
    policy = world.policy({"resource": resource})
    found = resource_metadata(policy)
    assert found is not None
    path, body = found
    assert url.endswith(path)
    assert json.loads(body)["resource"] == resource


def test_each_401_names_the_metadata(world: Any) -> None:
    """PRM-03: `resource_metadata` is in the challenge of every 401, with and without a token (FIRST-07)."""
    layer = world.authentication(world.policy({"resource": "https://api.example/v1"}))
    named = 'resource_metadata="https://api.example/.well-known/oauth-protected-resource/v1"'
    for request in (world.request(), world.request(b"x"), world.request(world.token(aud="x"))):
        for operation in (0, 2):
            assert named in challenges(world.ask(layer, request, operation))[0]


def test_what_the_metadata_says(world: Any) -> None:
    """PRM-01: `resource` is the configured URL to the letter; issuers, scopes and method are named."""
    found = resource_metadata(world.policy({"resource": "https://API.example/v1"}))
    assert found is not None
    assert json.loads(found[1]) == {
        "resource": "https://API.example/v1",
        "authorization_servers": ["https://issuer.example"],
        "scopes_supported": ["orders:read"],
        "bearer_methods_supported": ["header"],
    }
    assert resource_metadata(world.policy()) is None


@pytest.mark.parametrize(
    "resource",
    [
        "http://api.example",
        "ftp://api.example",
        "api.example",
        "https://",
        "https://u@api.example",
        "https://[x",
        "https://api.example?x",
        "https://api.example#x",
        "https://api.example/ü",
        'https://api.example/"',
        "https://api.example/\r\nx: y",
        "https://api.example/?",
    ],
)
def test_what_is_no_resource(world: Any, resource: str) -> None:
    """PRM-01: a resource is an https URL without query, fragment or anything that could break a header."""
    with pytest.raises(RuleError, match="a resource"):
        world.authentication(world.policy({"resource": resource}))
