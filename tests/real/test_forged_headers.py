"""What a caller claims about itself never reaches the upstream; a recording one tells what did."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import joserfc.jwk
import joserfc.jwt
import pytest

POLICY = """
[gateway]
openapi = "shop.json"

[authentication]
issuer = "dev"

[authorization]
default = "authenticated"

[rate_limiting]
anonymous = "5/minute per address"

[[routes]]
match  = "GET /orders/{order_id}"
public = true
"""


@pytest.fixture(scope="module")
def upstream(app: Callable[[str], Any]) -> Any:
    return app("shop")


@pytest.fixture(scope="module")
def guarded(upstream: Any, sixfold: Callable[..., Any], call: Callable[..., Any]) -> Any:
    return sixfold(POLICY, upstream.url, {"shop.json": call(f"{upstream.url}/openapi.json").body.decode()})


def seen(upstream: Any) -> dict[str, str]:
    """Return the headers of the last request that the upstream got."""
    lines = (upstream.log.parent / "recorded.jsonl").read_text().splitlines()
    headers: dict[str, str] = json.loads(lines[-1])["headers"]
    return headers


FORGED = {
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "https",
    "X-Real-IP": "203.0.113.7",
    "Forwarded": "for=203.0.113.7",
    "Sixfold-Identity": "forged",
    "SIXFOLD-IDENTITY": "forged",
    "Sixfold_Identity": "forged",
    "X-Sixfold-User": "forged",
    "Remote-User": "forged",
    "X-HTTP-Method-Override": "DELETE",
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_header_does_not_reach_the_upstream(
    name: str, guarded: Any, upstream: Any, token: Callable[..., str], call: Callable[..., Any]
) -> None:
    """HDR-04, HDR-05: who calls and from where is told by Sixfold alone."""
    headers = {name: FORGED[name]}
    answer = call(f"{guarded.url}/orders", token=token(), headers=headers)
    assert answer.status == 200, answer.body
    got = seen(upstream)
    assert FORGED[name] not in got.values()
    assert got["x-forwarded-for"] == "127.0.0.1"
    assert got["x-forwarded-proto"] == "http"
    assert got["x-forwarded-host"] == f"127.0.0.1:{guarded.port}"


def test_the_identity_is_signed_by_sixfold(
    guarded: Any, upstream: Any, token: Callable[..., str], call: Callable[..., Any]
) -> None:
    call(f"{guarded.url}/orders", token=token("a", subject="zoe"))
    keys = joserfc.jwk.KeySet.import_key_set(call(f"{guarded.url}/.well-known/sixfold/jwks.json").json())
    claims = joserfc.jwt.decode(seen(upstream)["sixfold-identity"], keys, algorithms=["ES256"]).claims
    assert claims["sub"] == "zoe"
    assert "authorization" not in seen(upstream)


def test_a_caller_without_a_name_has_no_identity(guarded: Any, upstream: Any, call: Callable[..., Any]) -> None:
    answer = call(f"{guarded.url}/orders/1", headers={"Sixfold-Identity": "forged"})
    assert answer.status == 200
    assert "sixfold-identity" not in seen(upstream)


def test_a_forged_address_gets_no_limit_of_its_own(
    upstream: Any, sixfold: Callable[..., Any], call: Callable[..., Any]
) -> None:
    """UX-01: the limit per address counts the socket's address, whatever the caller claims."""
    document = call(f"{upstream.url}/openapi.json").body.decode()
    server = sixfold(POLICY, upstream.url, {"shop.json": document})
    answers = [
        call(f"{server.url}/orders/1", headers={"X-Forwarded-For": f"203.0.113.{number}"}).status for number in range(8)
    ]
    assert answers.count(429) >= 2
    assert answers[0] == 200
    assert answers[-1] == 429
