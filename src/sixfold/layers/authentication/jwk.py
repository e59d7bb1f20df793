"""Verification keys: a JSON Web Key (RFC 7517, RFC 7518 section 6, RFC 8037), compiled to what it may verify.

A key fits an algorithm if, and only if, `Key.verifiers` holds that algorithm: `kty`, `crv`, `use`, `key_ops`,
`alg` and strength were all decided when the key was loaded (RS-02, RS-13), so nothing is left to get wrong per token.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from sixfold.layers.authentication.compact import Malformed, decode

Verify = Callable[[bytes, bytes], None]  # (signature, signed bytes); raises InvalidSignature

_HASHES: Final[Mapping[str, hashes.HashAlgorithm]] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
# Of a curve (`crv`): its algorithm, and the bytes of a coordinate
_CURVES: Final[Mapping[str, tuple[str, ec.EllipticCurve, int]]] = {
    "P-256": ("ES256", ec.SECP256R1(), 32),
    "P-384": ("ES384", ec.SECP384R1(), 48),
    "P-521": ("ES512", ec.SECP521R1(), 66),
}
_RSA_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_RSA_BITS: Final = range(2048, 8193)  # RFC 7518 section 3.3; beyond 8192 bits a check costs milliseconds
_BASE64URL: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


class Unusable(ValueError):
    """A key that cannot verify anything here; the message says why, never what the key is."""


class Key(NamedTuple):
    """A key that verifies.

    Arguments:
        kid: the key id, "" if it has none.
        verifiers: algorithm to a function that raises `InvalidSignature`.
    """

    kid: str
    verifiers: Mapping[str, Verify]


def load(jwk: Any) -> Key:
    """Compile one public JWK.

    Raises:
        Unusable: a symmetric or private key, another use than signatures, an unknown type, a weak key, a
            point that is not on its curve (RS-03, RS-13, F-24, F-31).
    """
    if not isinstance(jwk, dict):
        raise Unusable("not an object")
    kid = jwk.get("kid", "")
    if not isinstance(kid, str) or len(kid) > 256:
        raise Unusable("`kid` is not a short string")
    _check_use(jwk)
    loader = _LOADERS.get(_text(jwk, "kty"))
    if loader is None:
        raise Unusable("`kty` is not RSA, EC or OKP")
    if "d" in jwk:
        raise Unusable("a private key was published, so anybody can sign with it")
    verifiers = loader(jwk)
    if (said := jwk.get("alg")) is not None:
        # "EdDSA" is the old name for what this curve makes unambiguous (RFC 9864 section 2.2).
        said = "Ed25519" if said == "EdDSA" else said
        verifiers = {name: verify for name, verify in verifiers.items() if name == said}
    if not verifiers:
        raise Unusable("`alg` does not fit the key's type")
    return Key(kid, verifiers)


def secret(raw: bytes) -> Key:
    """Compile a shared secret for HS256 (RFC 7518 section 3.2).

    Raises:
        Unusable: fewer than 32 bytes, or the text of a public key (F-24, F-29).
    """
    if len(raw) < 32:
        raise Unusable(f"a secret for HS256 has at least 32 bytes, this one has {len(raw)}")
    if raw.lstrip().startswith((b"-----BEGIN", b"{", b"ssh-")):
        raise Unusable("the secret is the text of a key pair's part; HS256 takes random bytes")

    def verify(signature: bytes, signed: bytes) -> None:
        if not hmac.compare_digest(hmac.digest(raw, signed, "sha256"), signature):
            raise InvalidSignature

    return Key("", {"HS256": verify})


def _check_use(jwk: dict[str, Any]) -> None:
    if jwk.get("use", "sig") != "sig":
        raise Unusable("`use` is not `sig`")
    operations = jwk.get("key_ops")
    if operations is not None and (not isinstance(operations, list) or "verify" not in operations):
        raise Unusable("`key_ops` does not hold `verify`")


def _rsa(jwk: dict[str, Any]) -> dict[str, Verify]:
    modulus, exponent = _integer(jwk, "n"), _integer(jwk, "e")
    if modulus.bit_length() not in _RSA_BITS:
        raise Unusable(f"an RSA key of {modulus.bit_length()} bits; 2048 to 8192 are allowed")
    if exponent.bit_length() > 32 or exponent < 3 or not exponent & 1:
        raise Unusable("the public exponent is weak or out of range")
    if _is_roca(modulus):
        raise Unusable("the key was made by a faulty generator (ROCA) and can be factored")
    try:
        key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError:
        raise Unusable("`n` and `e` are no RSA key") from None
    return {name: _rsa_verifier(key, name) for name in _RSA_ALGORITHMS}


def _is_roca(modulus: int) -> bool:
    """Tell moduli of a faulty chip library: modulo small primes they are powers of 65537 (CVE-2017-15361)."""
    return all(modulus % prime in powers for prime, powers in _ROCA)


def _powers(prime: int) -> frozenset[int]:
    return frozenset(pow(65537, exponent, prime) for exponent in range(prime))


_PRIMES: Final = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
_ROCA: Final = tuple((prime, _powers(prime)) for prime in _PRIMES)


def _rsa_verifier(key: rsa.RSAPublicKey, algorithm: str) -> Verify:
    digest = _HASHES[algorithm[2:]]
    size = (key.key_size + 7) // 8
    pad: padding.AsymmetricPadding = padding.PKCS1v15()
    if algorithm.startswith("PS"):
        pad = padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)

    def verify(signature: bytes, signed: bytes) -> None:
        if len(signature) != size:
            raise InvalidSignature
        key.verify(signature, signed, pad, digest)

    return verify


def _ec(jwk: dict[str, Any]) -> dict[str, Verify]:
    row = _CURVES.get(_text(jwk, "crv"))
    if row is None:
        raise Unusable("`crv` is not P-256, P-384 or P-521")
    algorithm, curve, size = row
    x, y = (int.from_bytes(_bytes(jwk, name, size)) for name in ("x", "y"))
    try:
        key = ec.EllipticCurvePublicNumbers(x, y, curve).public_key()
    except ValueError:
        raise Unusable("the point is not on its curve") from None
    scheme = ec.ECDSA(_HASHES["512" if algorithm == "ES512" else algorithm[2:]])

    def verify(signature: bytes, signed: bytes) -> None:
        if len(signature) != 2 * size:
            raise InvalidSignature
        r, s = int.from_bytes(signature[:size]), int.from_bytes(signature[size:])
        key.verify(encode_dss_signature(r, s), signed, scheme)

    return {algorithm: verify}


def _okp(jwk: dict[str, Any]) -> dict[str, Verify]:
    if _text(jwk, "crv") != "Ed25519":
        raise Unusable("`crv` is not Ed25519")
    key = ed25519.Ed25519PublicKey.from_public_bytes(_bytes(jwk, "x", 32))
    return {"Ed25519": key.verify}


def _oct(jwk: dict[str, Any]) -> dict[str, Verify]:
    raise Unusable("a symmetric key in a key set; a secret stands in the policy")


_LOADERS: Final[Mapping[str, Callable[[dict[str, Any]], dict[str, Verify]]]] = {
    "RSA": _rsa,
    "EC": _ec,
    "OKP": _okp,
    "oct": _oct,
}


def _text(jwk: dict[str, Any], name: str) -> str:
    value = jwk.get(name)
    if not isinstance(value, str):
        raise Unusable(f"`{name}` is missing or not a string")
    return value


def _bytes(jwk: dict[str, Any], name: str, size: int = 0) -> bytes:
    text = _text(jwk, name)
    if not text or not _BASE64URL.issuperset(text):
        raise Unusable(f"`{name}` is not base64url")
    try:
        raw = decode(text.encode(), name)
    except Malformed:
        raise Unusable(f"`{name}` is not canonical base64url") from None
    if size and len(raw) != size:
        raise Unusable(f"`{name}` has {len(raw)} bytes instead of {size}")
    return raw


def _integer(jwk: dict[str, Any], name: str) -> int:
    return int.from_bytes(_bytes(jwk, name))
