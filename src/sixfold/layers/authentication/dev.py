"""Developer keys: one ES256 key per user, kept between runs, so that a token on the screen works tomorrow as well.

For loopback only; a face that serves other addresses refuses `issuer = "dev"`.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import orjson
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from sixfold.layers.authentication.compact import encode
from sixfold.layers.authentication.rules import DEV_AUDIENCE, DEV_ISSUER

_FILE: Final = "es256.pem"
_SIZE: Final = 32
_OWN: Final = frozenset(("iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope"))


class DevKeys:
    """The developer's signing key.

    Arguments:
        key: on P-256.
    """

    issuer: Final = DEV_ISSUER

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        numbers = key.public_key().public_numbers()
        x, y = (encode(value.to_bytes(_SIZE)).decode() for value in (numbers.x, numbers.y))
        # RFC 7638: the members in this order, without blanks
        self.kid = encode(sha256(f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'.encode()).digest()).decode()
        self._jwk = {
            "kty": "EC",
            "crv": "P-256",
            "x": x,
            "y": y,
            "kid": self.kid,
            "alg": "ES256",
            "use": "sig",
        }
        self._header = encode(orjson.dumps({"alg": "ES256", "typ": "at+jwt", "kid": self.kid}))

    @classmethod
    def load_or_create(cls, folder: Path) -> DevKeys:
        """Load the key of a folder; make folder (0700) and key (0600) if they are not there.

        Raises:
            ValueError: others may read the key, or the file holds no key on P-256.
        """
        file = folder / _FILE
        if not file.exists():
            _create(folder, file)
        if file.stat().st_mode & 0o077:
            raise ValueError(f"others may read `{file}`, so it is no secret; delete it, a new one will be made")
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError(f"`{file}` holds no key on P-256; delete it, a new one will be made")
        return cls(key)

    def jwks(self) -> bytes:
        """Return the public key set as JSON (RFC 7517 section 5)."""
        return orjson.dumps({"keys": [self._jwk]})

    def mint(
        self,
        subject: str = "dev",
        *,
        scopes: Iterable[str] = (),
        roles: Iterable[str] = (),
        audience: str = DEV_AUDIENCE,
        lifetime: int = 3600,
        now: int,
        claims: Mapping[str, Any] | None = None,
    ) -> str:
        """Return a signed access token (RFC 9068 section 2).

        Arguments:
            subject: `sub`.
            scopes: `scope`.
            roles: `roles`, left out if there are none.
            audience: `[authentication] audience` of the policy it is for.
            lifetime: seconds.
            now: microseconds since the epoch.
            claims: further claims; they cannot replace what the arguments say.

        Raises:
            ValueError: a further claim that an argument decides.
        """
        if twice := sorted(_OWN & set(claims or ())):
            raise ValueError(f"the claim `{twice[0]}` is set by an argument")
        seconds = now // 1_000_000
        payload: dict[str, Any] = {
            "iss": DEV_ISSUER, "sub": subject, "aud": audience, "iat": seconds, "exp": seconds + lifetime,
            "jti": secrets.token_urlsafe(20), "client_id": "sixfold-dev", "scope": " ".join(scopes),
            **(claims or {}),
        }  # fmt: skip
        if names := list(roles):
            payload["roles"] = names
        signed = self._header + b"." + encode(orjson.dumps(payload))
        r, s = decode_dss_signature(self._key.sign(signed, ec.ECDSA(hashes.SHA256())))
        return (signed + b"." + encode(r.to_bytes(_SIZE) + s.to_bytes(_SIZE))).decode("ascii")


def _create(folder: Path, file: Path) -> None:
    """Write a new key aside and link it into place: of two processes that start at once, one wins."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    handle, name = tempfile.mkstemp(dir=folder)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(pem)
        try:
            os.link(name, file)
        except FileExistsError:
            pass
    finally:
        os.unlink(name)
