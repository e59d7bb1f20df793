"""Claim mapping: the places where four providers keep what six layers need."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.layers.authentication.claims import BadClaim, mapper, walk
from sixfold.policy.document import ClaimMapping

AUTH0 = {
    "header": {"typ": "JWT"},
    "claims": {
        "aud": ["https://api.example", "https://acme.eu.auth0.example/userinfo"], "azp": "spa-client",
        "scope": "openid orders:read", "permissions": ["orders:read", "orders:write"], "org_id": "org_acme",
        "sub": "auth0|64b0", "https://acme.example/plan": "pro", "client_id": ...,
    },
    "issuer": {"typ": ["JWT"], "claims": {"roles": "permissions", "tenant": "org_id"}},
}  # fmt: skip
KEYCLOAK = {
    "header": {"typ": "JWT"},
    "claims": {
        "typ": "Bearer", "azp": "orders-ui", "aud": ["https://api.example", "account"], "client_id": ...,
        "realm_access": {"roles": ["viewer", "offline_access"]},
        "resource_access": {"orders.api": {"roles": ["editor"]}, "account": {"roles": ["view-profile"]}},
        "scope": "email orders:read", "sid": "s-1", "acr": "1", "preferred_username": "alice",
    },
    "issuer": {
        "typ": ["JWT"], "claims": {"roles": ["resource_access.orders.api.roles", "realm_access.roles"]},
    },
}  # fmt: skip
COGNITO = {
    "header": {"typ": ...},
    "claims": {
        "aud": ..., "client_id": "https://api.example", "token_use": "access",
        "scope": "orders/read orders/write",
        "cognito:groups": ["viewer"], "username": "alice", "origin_jti": "o", "version": 2,
    },
    "issuer": {"typ": ["JWT"], "claims": {"roles": "cognito:groups", "audience": "client_id"}},
}  # fmt: skip
ENTRA = {
    "header": {"typ": "JWT"},
    "claims": {
        "azp": "11111111-2222", "scp": "Orders.Read Orders.Write", "roles": ["Orders.Admin"],
        "tid": "tenant-7", "oid": "o-1", "ver": "2.0", "uti": "u", "scope": ..., "client_id": ...,
    },
    "issuer": {"typ": ["JWT"], "claims": {"tenant": "tid"}},
}  # fmt: skip
PROVIDERS = {
    "Auth0": (AUTH0, "spa-client", {"openid", "orders:read"}, {"orders:read", "orders:write"}, "org_acme"),
    "Keycloak": (KEYCLOAK, "orders-ui", {"email", "orders:read"}, {"editor"}, ""),
    "Cognito": (COGNITO, "https://api.example", {"orders/read", "orders/write"}, {"viewer"}, ""),
    "Entra": (ENTRA, "11111111-2222", {"Orders.Read", "Orders.Write"}, {"Orders.Admin"}, "tenant-7"),
}


@pytest.mark.parametrize("name", PROVIDERS)
def test_tokens_of_a_provider(world: Any, name: str) -> None:
    """RS-21: roles, scopes, tenant and client are found where each provider keeps them."""
    provider, client, scopes, roles, tenant = PROVIDERS[name]
    token = world.token(provider["claims"], header=provider["header"])
    identity = world.accepted(token, world.policy(**provider["issuer"]))
    assert identity.client_id == client
    assert identity.scopes == scopes
    assert identity.roles == roles
    assert identity.tenant == tenant


def test_the_client_stands_in_only_for_a_missing_audience(world: Any) -> None:
    """RS-08: `client_id` counts as audience where the policy says so and `aud` is absent, nowhere else."""
    client = {"client_id": world.audience}
    plain = world.policy()
    allowed = world.policy(claims={"audience": "client_id"})
    assert world.accepted(world.token(client, aud=...), allowed)
    assert world.refused(world.token(client, aud=...), plain).code == "token-audience"
    assert world.refused(world.token(client, aud="other"), allowed).code == "token-audience"
    assert world.refused(world.token(client, aud=None), allowed).code == "token-claims"
    assert world.refused(world.token(client_id=["https://api.example"], aud=...), allowed).code


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("a b", {"a", "b"}), ("a  b ", {"a", "b"}), ("", set()), (["a", "b"], {"a", "b"}), (["a b"], {"a b"}),
        ([], set()), (..., set()), (None, set()),
    ],
)  # fmt: skip
def test_scopes(world: Any, value: Any, names: set[str]) -> None:
    """RS-21: scopes are a string of names or a list of them."""
    assert world.accepted(world.token(scope=value)).scopes == names


@pytest.mark.parametrize(("value", "names"), [("admin", {"admin"}), (["a", "b"], {"a", "b"}), (..., set())])
def test_roles(world: Any, value: Any, names: set[str]) -> None:
    """RS-21: roles are a list of names, or one name."""
    assert world.accepted(world.token(roles=value)).roles == names


@pytest.mark.parametrize("name", ["scope", "roles", "tenant", "client_id"])
@pytest.mark.parametrize("value", [1, True, {"a": 1}, ["a", 1], [["a"]]])
def test_claims_of_another_type(world: Any, name: str, value: Any) -> None:
    """RS-21: a mapped claim of another type is refused, by name and type, never by value."""
    refusal = world.refused(world.token({name: value}))
    assert refusal.code == "token-claims"
    assert refusal.reason.startswith(f"`{name}` is ")
    assert refusal.rule.line == 4


def test_walking() -> None:
    """RS-21: a dotted path walks into objects; names that hold dots themselves are found first."""
    claims = {
        "a": {"b": {"c": 1}, "b.c": 2},
        "a.b.c": 3,
        "https://acme.example/roles": ["x"],
        "n": None,
        "s": "text",
    }
    assert walk(claims, "a.b.c") == 3
    assert walk({"a": claims["a"]}, "a.b.c") == 2
    assert walk({"a": {"b": {"c": 1}}}, "a.b.c") == 1
    assert walk(claims, "https://acme.example/roles") == ["x"]
    for path in ("a.x", "s.x", "n.x", "x", "", ".", "a.", ".a", "a..b"):
        assert walk(claims, path) is None


def test_the_first_path_found_counts() -> None:
    """RS-21: of several paths the first one that is there counts."""
    find = mapper(ClaimMapping(roles=["x.roles", "roles"], tenant="t.id", subject="user.id"))
    identity = find({"roles": ["a"], "user": {"id": "u1"}, "t": {"id": "acme"}}, "i", 0)
    assert (identity.roles, identity.subject, identity.tenant) == ({"a"}, "u1", "acme")
    assert find({"roles": ["a"], "x": {"roles": []}, "user": {"id": "u1"}}, "i", 0).roles == set()
    with pytest.raises(BadClaim, match=r"`user.id` is missing"):
        find({"sub": "alice"}, "i", 0)


@given(
    st.dictionaries(
        st.sampled_from(["sub", "scope", "scp", "roles", "tenant", "client_id", "azp"]),
        st.none() | st.booleans() | st.integers() | st.text(max_size=5)
        | st.lists(st.text(max_size=3) | st.none(), max_size=3),
    )
)  # fmt: skip
def test_any_claims_give_an_identity_or_a_reason(claims: dict[str, Any]) -> None:
    """RS-21: a mapping ends in an Identity or in BadClaim, whatever the issuer sends."""
    try:
        identity = mapper(ClaimMapping())(claims, "https://issuer.example", 1)
    except BadClaim:
        return
    assert identity.subject == claims["sub"]
    assert all(isinstance(name, str) and name for name in identity.scopes | identity.roles)


def test_claims_cannot_be_changed(world: Any) -> None:
    """RS-21: one Identity serves many requests, so its claims are read-only."""
    identity = world.accepted(world.token(acr="2", auth_time=5))
    assert (identity.acr, identity.auth_time) == ("2", 5)
    with pytest.raises(TypeError):
        identity.claims["sub"] = "root"
