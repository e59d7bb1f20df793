"""A small world for this layer: keys, tokens signed by hand, a policy, and one question: who is it?"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Generator, Iterable, Mapping
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from sixfold.decision import Refusal, Rule
from sixfold.identity import Identity
from sixfold.layers.authentication import ApiKeyStore, Authentication, KeyRings
from sixfold.policy.document import Document
from sixfold.policy.model import Operation, Policy
from sixfold.request import Fields, Peer, Request

NOW = 1_800_000_000_000_000  # microseconds
SECOND = 1_000_000
ISSUER = "https://issuer.example"
AUDIENCE = "https://api.example"
SIZES = {"ES256": 32, "ES384": 48, "ES512": 66}


def b64(raw: bytes) -> bytes:
    return urlsafe_b64encode(raw).rstrip(b"=")


def number(value: int, size: int = 0) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8)).decode()


def public_jwk(key: Any, **more: Any) -> dict[str, Any]:
    """Write a public key down, independently of the code under test."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e), **more}
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": b64(key.public_key().public_bytes_raw()).decode(),
            **more,
        }
    point, size = key.public_key().public_numbers(), (key.curve.key_size + 7) // 8
    crv = f"P-{key.curve.key_size}"
    return {"kty": "EC", "crv": crv, "x": number(point.x, size), "y": number(point.y, size), **more}


def sign(signed: bytes, key: Any, alg: str) -> bytes:
    digest = getattr(hashes, f"SHA{alg[2:]}", hashes.SHA256)()
    if isinstance(key, bytes):
        return hmac.digest(key, signed, getattr(hashlib, f"sha{alg[2:]}"))
    if isinstance(key, rsa.RSAPrivateKey):
        pss = padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)
        return key.sign(signed, pss if alg.startswith("PS") else padding.PKCS1v15(), digest)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(signed)
    size = (key.curve.key_size + 7) // 8
    return b"".join(part.to_bytes(size) for part in decode_dss_signature(key.sign(signed, ec.ECDSA(digest))))


class World:
    """Keys by algorithm, and everything that is built from them.

    `es256`, `es384`, `es512`, `ed25519` and `rsa` are published by the issuer under these names.
    """

    now = NOW
    second = SECOND
    issuer = ISSUER
    audience = AUDIENCE
    b64 = staticmethod(b64)
    public_jwk = staticmethod(public_jwk)
    sign = staticmethod(sign)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.es256 = ec.generate_private_key(ec.SECP256R1())
        self.es384 = ec.generate_private_key(ec.SECP384R1())
        self.es512 = ec.generate_private_key(ec.SECP521R1())
        self.ed25519 = ed25519.Ed25519PrivateKey.generate()
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.stranger = ec.generate_private_key(ec.SECP256R1())
        self.names = ("es256", "es384", "es512", "ed25519", "rsa")
        (folder / "jwks.json").write_bytes(self.jwks())

    def jwks(self, *names: str) -> bytes:
        chosen = names or self.names
        return json.dumps({"keys": [public_jwk(getattr(self, name), kid=name) for name in chosen]}).encode()

    def claims(self, **more: Any) -> dict[str, Any]:
        """Return good claims; a value of `...` takes a claim away."""
        now = NOW // SECOND
        claims = {
            "iss": ISSUER, "sub": "alice", "aud": AUDIENCE, "exp": now + 300, "iat": now, "client_id": "app",
            "jti": "1", "scope": "orders:read orders:write", **more,
        }  # fmt: skip
        return {name: value for name, value in claims.items() if value is not ...}

    def token(
        self,
        claims: Mapping[str, Any] | bytes | None = None,
        header: Mapping[str, Any] | bytes | None = None,
        key: Any = None,
        alg: str = "ES256",
        **more: Any,
    ) -> bytes:
        """Sign a token; `header` adds to or replaces the usual one, bytes are taken as they are."""
        kids = {"E": "es256", "R": "rsa", "P": "rsa"}
        usual = {
            "alg": alg,
            "typ": "at+jwt",
            "kid": {"ES384": "es384", "ES512": "es512", "Ed25519": "ed25519"}.get(alg, kids.get(alg[0], "")),
        }
        if not isinstance(header, bytes):
            merged = {name: value for name, value in {**usual, **(header or {})}.items() if value is not ...}
            header = json.dumps(merged, separators=(",", ":")).encode()
        if not isinstance(claims, bytes):
            claims = json.dumps(self.claims(**{**(claims or {}), **more}), separators=(",", ":")).encode()
        signed = b64(header) + b"." + b64(claims)
        return signed + b"." + b64(sign(signed, key if key is not None else getattr(self, usual["kid"]), alg))

    def policy(self, authentication: Mapping[str, Any] | None = None, **issuer: Any) -> Policy:
        """Return a policy with six operations; arguments go into the one issuer's table."""
        table: dict[str, Any] = {"audience": AUDIENCE}
        if "issuers" not in (authentication or {}) and "issuer" not in (authentication or {}):
            table["issuers"] = [{"issuer": ISSUER, "jwks": "jwks.json", **issuer}]
        document = Document.model_validate({"authentication": {**table, **(authentication or {})}})
        lines = {"authentication": 1, "authentication.issuers.0": 4, "authentication.audience": 2}
        return Policy(
            version="0" * 12, file="sixfold.toml", folder=str(self.folder), document=document, lines=lines,
            operations=OPERATIONS, schemas={}, titles={},
        )  # fmt: skip

    def authentication(self, policy: Policy | None = None, keys: ApiKeyStore | None = None) -> Authentication:
        policy = policy or self.policy()
        return Authentication(policy, KeyRings.for_policy(policy), keys)

    def request(
        self, token: bytes | None = None, *, headers: Mapping[str, bytes] | None = None, query: bytes = b"",
        now: int = NOW,
    ) -> Request:  # fmt: skip
        pairs = [(b"authorization", b"Bearer " + token)] if token is not None else []
        pairs += [(name.encode(), value) for name, value in (headers or {}).items()]
        target = b"/orders" + (b"?" + query if query else b"")
        return Request(
            "GET", target, "/orders", query, Fields(pairs), Peer("192.0.2.1"), "192.0.2.1", "https",
            "api.example", 0, now,
        )  # fmt: skip

    def ask(self, authentication: Authentication, request: Request, operation: int = 0) -> Identity | Refusal | None:
        """Run `known`, then `who` as far as it needs nothing."""
        known = authentication.known(request, OPERATIONS[operation])
        return known if known is not None else self.who(authentication, request, operation)

    def who(
        self,
        authentication: Authentication,
        request: Request,
        operation: int = 0,
        answers: Iterable[Any] = repeat(None),
    ) -> Identity | Refusal:
        """Run `who`, answering its needs in order; None says that the ring is as fresh as it can be."""
        flow: Generator[Any, Any, Identity | Refusal] = authentication.who(request, OPERATIONS[operation])
        given, answer = iter(answers), None
        while True:
            try:
                flow.send(answer)
            except StopIteration as end:
                return end.value
            answer = next(given)

    def refused(self, token: bytes, policy: Policy | None = None, **request: Any) -> Refusal:
        """Return the refusal of a token; that it is one is part of the test."""
        found = self.ask(self.authentication(policy), self.request(token, **request))
        assert isinstance(found, Refusal), found
        assert token.decode("latin-1") not in repr(found)
        return found

    def accepted(self, token: bytes, policy: Policy | None = None, **request: Any) -> Identity:
        found = self.ask(self.authentication(policy), self.request(token, **request))
        assert isinstance(found, Identity), found
        assert found
        return found


def _operation(index: int, **more: Any) -> Operation:
    rule = Rule(f"GET /orders/{index}", "sixfold.toml", 40 + index)
    return Operation(index=index, method="GET", path=f"/orders/{index}", rule=rule, contract_rule=rule, **more)


OPERATIONS = (
    _operation(0, access="require", require=(frozenset(("orders:read", "@viewer")),)),
    _operation(1, access="public"),
    _operation(2, access="authenticated"),
    _operation(3, access="authenticated", modes={"authentication": "shadow"}),
    _operation(4, access="authenticated", modes={"authentication": "off"}),
    _operation(5, access="default"),
)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """One world for all tests: making RSA keys is the slowest part of them."""
    return World(tmp_path_factory.mktemp("authentication"))
