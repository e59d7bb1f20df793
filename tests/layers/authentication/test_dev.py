"""Developer keys."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt as pyjwt
import pytest

from sixfold.identity import Identity
from sixfold.layers.authentication import (
    DEV_AUDIENCE,
    DEV_ISSUER,
    Authentication,
    DevKeys,
    KeyRings,
    RuleError,
)


def test_the_key_is_kept(world: Any, tmp_path: Path) -> None:
    """FIRST-04: the same key at the next run, in a folder and a file that only the user can read."""
    folder = tmp_path / "state" / "dev"
    first, second = DevKeys.load_or_create(folder), DevKeys.load_or_create(folder)
    assert first.kid == second.kid
    assert first.jwks() == second.jwks()
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert [stat.S_IMODE(os.stat(file).st_mode) for file in folder.iterdir()] == [0o600]
    assert "d" not in json.loads(first.jwks())["keys"][0]


def test_two_starts_at_once(tmp_path: Path) -> None:
    """FIRST-04: processes that start together end with one key."""
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: DevKeys.load_or_create(tmp_path / "dev").kid, range(8)))
    assert len(set(made)) == 1


def test_a_key_that_others_may_read(tmp_path: Path) -> None:
    """FIRST-05: a key that is no secret is not used."""
    DevKeys.load_or_create(tmp_path)
    file = next(tmp_path.iterdir())
    file.chmod(0o640)
    with pytest.raises(ValueError, match="others may read"):
        DevKeys.load_or_create(tmp_path)


def test_another_kind_of_key(world: Any, tmp_path: Path) -> None:
    """FIRST-05: only a key on P-256 is taken from the file."""
    from cryptography.hazmat.primitives import serialization as s

    DevKeys.load_or_create(tmp_path)
    pem = world.es384.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    next(tmp_path.iterdir()).write_bytes(pem)
    with pytest.raises(ValueError, match="no key on P-256"):
        DevKeys.load_or_create(tmp_path)


def test_tokens_pass_the_layer(world: Any, tmp_path: Path) -> None:
    """FIRST-01: a minted token is an access token like any other (RFC 9068); its audience is our own."""
    dev = DevKeys.load_or_create(tmp_path)
    policy = world.policy({"issuer": "dev", "audience": None})
    layer = Authentication(policy, KeyRings.for_policy(policy, dev=dev), None)
    token = dev.mint("me", scopes=["a", "b"], roles=["viewer"], now=world.now, lifetime=60, claims={"tenant": "t"})
    identity = world.ask(layer, world.request(token.encode()))
    assert isinstance(identity, Identity)
    assert (identity.subject, identity.issuer, identity.tenant) == ("me", DEV_ISSUER, "t")
    assert (identity.scopes, identity.roles) == ({"a", "b"}, {"viewer"})
    assert identity.expires == world.now + 60 * world.second
    assert world.ask(layer, world.request(token.encode(), now=identity.expires)).code == "token-expired"
    other = dev.mint(audience="https://api.example", now=world.now)
    assert world.ask(layer, world.request(other.encode())).code == "token-audience"
    stranger = DevKeys.load_or_create(tmp_path / "other").mint(now=world.now)
    assert world.ask(layer, world.request(stranger.encode())).code == "token-key"


def test_keys_that_were_not_opened(world: Any, tmp_path: Path) -> None:
    """FIRST-04: the layer opens no folder of its own accord; a reload goes on with the keys it has."""
    policy = world.policy({"issuer": "dev"})
    with pytest.raises(RuleError, match="were not opened"):
        KeyRings.for_policy(policy)
    rings = KeyRings.for_policy(policy, dev=DevKeys.load_or_create(tmp_path))
    assert rings.adopt(policy).get(DEV_ISSUER) is rings.get(DEV_ISSUER)
    assert rings.due(world.now) == []
    assert [ring.source.issuer for ring in rings] == [DEV_ISSUER]


def test_a_stranger_reads_them(world: Any, tmp_path: Path) -> None:
    """FIRST-01: another library verifies a minted token with the published key."""
    dev = DevKeys.load_or_create(tmp_path)
    token = dev.mint(now=world.now)
    key = pyjwt.PyJWK(json.loads(dev.jwks())["keys"][0])
    claims = pyjwt.decode(
        token, key, ["ES256"], audience=DEV_AUDIENCE, options={"verify_exp": False, "verify_iat": False}
    )
    assert claims["sub"] == "dev"
    assert pyjwt.get_unverified_header(token) == {"alg": "ES256", "typ": "at+jwt", "kid": dev.kid}


def test_claims_do_not_replace_arguments(world: Any, tmp_path: Path) -> None:
    """FIRST-01: `iss`, `aud` and `exp` of a token are what the arguments say."""
    dev = DevKeys.load_or_create(tmp_path)
    for name in ("iss", "aud", "exp", "sub"):
        with pytest.raises(ValueError, match=name):
            dev.mint(now=world.now, claims={name: "x"})
