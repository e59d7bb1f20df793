"""`Sixfold-Identity`: who calls, signed, so that nobody behind the gateway can pretend to be the gateway (HDR-05, M19).

A short JWT (RFC 7519, ES256), signed once per credential and minute, not once per request.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Final

import orjson
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from sixfold.identity import Identity

LIFETIME: Final = 60  # seconds
_RENEW: Final = 15  # seconds before the end at which a new one is signed
_ISSUER: Final = "urn:sixfold:gateway"


def _b64(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


class Signer:
    """Signs identities with the gateway's own key.

    Arguments:
        key: a P-256 private key.
    """

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        numbers = key.public_key().public_numbers()
        x, y = (_b64(part.to_bytes(32, "big")).decode() for part in (numbers.x, numbers.y))
        thumbprint = hashlib.sha256(orjson.dumps({"crv": "P-256", "kty": "EC", "x": x, "y": y})).digest()  # RFC 7638
        kid = _b64(thumbprint).decode()
        self._header = _b64(orjson.dumps({"alg": "ES256", "typ": "sixfold-identity+jwt", "kid": kid}))
        jwk = {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "use": "sig", "alg": "ES256"}
        self.jwks: bytes = orjson.dumps({"keys": [jwk]})

    def value(self, identity: Identity, now: int) -> bytes:
        """Return the header's value for a known caller; the same bytes until shortly before it ends.

        Arguments:
            now: microseconds since the epoch.
        """
        memo = identity.memo.get("gateway")
        if memo is not None and memo[0] is self and now < memo[1]:
            return memo[2]  # type: ignore[no-any-return]
        token = self._sign(identity, now // 1_000_000)
        identity.memo["gateway"] = (self, now + (LIFETIME - _RENEW) * 1_000_000, token)
        return token

    def _sign(self, identity: Identity, seconds: int) -> bytes:
        claims: dict[str, Any] = {
            "iss": _ISSUER,
            "sub": identity.subject,
            "idp": identity.issuer,
            "client_id": identity.client_id,
            "scope": " ".join(sorted(identity.scopes)),
            "roles": sorted(identity.roles),
            "iat": seconds,
            "exp": seconds + LIFETIME,
        }
        if identity.tenant:
            claims["tenant"] = identity.tenant
        signed = self._header + b"." + _b64(orjson.dumps(claims))
        r, s = decode_dss_signature(self._key.sign(signed, ec.ECDSA(hashes.SHA256())))
        return signed + b"." + _b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
