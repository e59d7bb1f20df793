"""Keys, tokens and the TLS certificate of one run, made afresh in its folder."""

from __future__ import annotations

import dataclasses
import datetime
import ipaddress
import json
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import ECKey

ISSUER = "https://issuer.bench.test"
AUDIENCE = "https://api.bench.test"
READ, WRITE = "orders:read", "orders:write"
KID = "bench-1"
HOUR = 3600


@dataclasses.dataclass(frozen=True)
class Credentials:
    """The files that servers read, and a maker of tokens for clients."""

    folder: Path
    key: ECKey

    @property
    def jwks(self) -> Path:
        return self.folder / "jwks.json"

    @property
    def public_key(self) -> Path:
        return self.folder / "issuer.pem"

    @property
    def certificate(self) -> Path:
        return self.folder / "server.crt"

    @property
    def private_key(self) -> Path:
        return self.folder / "server.key"

    @property
    def bundle(self) -> Path:
        """Certificate and key in one file, as HAProxy wants them."""
        return self.folder / "server.pem"

    def token(self, subject: str = "user-0", scope: str = f"{READ} {WRITE}", **claims: object) -> str:
        """An access token as RFC 9068 describes it, good for an hour unless `claims` say otherwise."""
        return _token(self.key, subject, scope, claims)

    def forged(self) -> str:
        """A token that differs from a good one only in the key that signed it."""
        stranger = ECKey.generate_key("P-256", {"kid": KID})
        return _token(stranger, "user-0", f"{READ} {WRITE}", {})


def make(folder: Path) -> Credentials:
    """Write a signing key's public half, a server certificate and its key into `folder`."""
    made = Credentials(folder, ECKey.generate_key("P-256", {"kid": KID, "alg": "ES256", "use": "sig"}))
    made.jwks.write_text(json.dumps({"keys": [made.key.as_dict(private=False)]}))
    made.public_key.write_bytes(made.key.as_pem(private=False))
    _certificate(made)
    return made


def _token(key: ECKey, subject: str, scope: str, claims: dict[str, object]) -> str:
    now = int(time.time())
    header = {"alg": "ES256", "typ": "at+jwt", "kid": KID}
    body = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "client_id": "bench-client",
        "scope": scope,
        "iat": now,
        "exp": now + HOUR,
        "jti": f"{subject}-{now}",
    }
    return jwt.encode(header, body | claims, key, algorithms=["ES256"])


def _certificate(made: Credentials) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    made.certificate.write_bytes(public)
    made.private_key.write_bytes(private)
    made.private_key.chmod(0o600)
    made.bundle.write_bytes(public + private)
    made.bundle.chmod(0o600)
