"""Keys: what they may verify is decided when they are loaded."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

import jwt as pyjwt
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from sixfold.layers.authentication import jwk
from sixfold.layers.authentication.compact import split
from sixfold.layers.authentication.jwk import Unusable, load

ALGORITHMS = {
    "ES256": "es256", "ES384": "es384", "ES512": "es512", "Ed25519": "ed25519", "RS256": "rsa",
    "RS384": "rsa", "RS512": "rsa", "PS256": "rsa", "PS384": "rsa", "PS512": "rsa",
}  # fmt: skip


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_signatures_of_a_stranger_verify(world: Any, alg: str) -> None:
    """RS-02: what other libraries sign, verifies here, and with no other algorithm of the same key."""
    name = ALGORITHMS[alg]
    private = getattr(world, name)
    kind = {"R": RSAKey, "P": RSAKey, "E": OKPKey if alg == "Ed25519" else ECKey}[alg[0]]
    pem = private.private_bytes(*_pem())
    signed = [jws.serialize_compact({"alg": alg}, b"{}", kind.import_key(pem), algorithms=[alg])]
    if alg != "Ed25519":
        signed.append(pyjwt.api_jws.encode(b"{}", private, algorithm=alg))
    key = load(world.public_jwk(private))
    for token in signed:
        parts = split(token.encode(), 8192)
        key.verifiers[alg](parts.signature, parts.signed)
        for other, verify in key.verifiers.items():
            if other != alg:
                with pytest.raises(InvalidSignature):
                    verify(parts.signature, parts.signed)


def _pem() -> tuple[Any, Any, Any]:
    from cryptography.hazmat.primitives import serialization as s

    return s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()


@pytest.mark.parametrize(
    ("name", "algorithms"),
    [
        ("es256", {"ES256"}),
        ("es384", {"ES384"}),
        ("es512", {"ES512"}),
        ("ed25519", {"Ed25519"}),
        ("rsa", {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
    ],
)
def test_a_key_fits_the_algorithms_of_its_type(world: Any, name: str, algorithms: set[str]) -> None:
    """RS-02: the type of a key decides its algorithms; `none` and HMAC are never among them."""
    public = world.public_jwk(getattr(world, name))
    assert set(load(public).verifiers) == algorithms
    for alg in algorithms:
        assert set(load({**public, "alg": alg, "use": "sig", "key_ops": ["verify"]}).verifiers) == {alg}


def test_one_key_one_algorithm(world: Any) -> None:
    """KEY-01: a key that names its algorithm verifies no other; the old name EdDSA means Ed25519 (KEY-03)."""
    public = world.public_jwk(world.rsa, alg="PS256")
    assert set(load(public).verifiers) == {"PS256"}
    assert set(load(world.public_jwk(world.ed25519, alg="EdDSA")).verifiers) == {"Ed25519"}


@pytest.mark.parametrize("alg", ["ES256", "Ed25519", "RS256"])
@pytest.mark.parametrize("change", [b"", b"short", b"long", b"zero", b"flip"])
def test_lengths_and_bits_of_signatures(world: Any, alg: str, change: bytes) -> None:
    """RS-11: a signature has the one length of its algorithm, and each of its bits counts."""
    private = getattr(world, ALGORITHMS[alg])
    good = world.sign(b"text", private, alg)
    altered = {
        b"": b"", b"short": good[:-1], b"long": good + b"\x00", b"zero": bytes(len(good)),
        b"flip": good[:-1] + bytes((good[-1] ^ 1,)),
    }[change]  # fmt: skip
    verify = load(world.public_jwk(private)).verifiers[alg]
    verify(good, b"text")
    with pytest.raises(InvalidSignature):
        verify(altered, b"text")


def test_ecdsa_signatures_in_other_encodings(world: Any) -> None:
    """RS-11: DER, leading zeros inside, r or s of zero or of the order, and both out of range are refused."""
    from cryptography.hazmat.primitives import hashes

    verify = load(world.public_jwk(world.es256)).verifiers["ES256"]
    good = world.sign(b"text", world.es256, "ES256")
    r, s = good[:32], good[32:]
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551.to_bytes(32)
    der = world.es256.sign(b"text", ec.ECDSA(hashes.SHA256()))
    nothing, most = bytes(32), b"\xff" * 32
    for other in (
        der, b"\x00" + r + b"\x00" + s, r + b"\x00" + s, s + r, r + nothing, nothing + s, nothing + nothing,
        r + order, order + s, order + order, most + most, r + r, good + good,
    ):  # fmt: skip
        with pytest.raises(InvalidSignature):
            verify(other, b"text")


def test_points_off_the_curve(world: Any) -> None:
    """RS-13: a point must lie on its curve."""
    public = world.public_jwk(world.es256)
    other = world.public_jwk(world.stranger)
    for wrong in (
        {**public, "y": other["y"]},
        {**public, "x": public["y"], "y": public["x"]},
        {**public, "x": world.b64(bytes(32)).decode(), "y": world.b64(bytes(32)).decode()},
    ):
        with pytest.raises(Unusable, match="not on its curve"):
            load(wrong)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"crv": "P-384"}, "32 bytes instead of 48"),
        ({"crv": "secp256k1"}, "`crv`"),
        ({"crv": "P-224"}, "`crv`"),
        ({"crv": None}, "`crv` is missing"),
        ({"x": 1}, "`x` is missing or not a string"),
        ({"x": ""}, "not base64url"),
        ({"x": "AA=="}, "not base64url"),
        ({"x": "AB"}, "not canonical"),
        ({"x": "AA"}, "1 bytes instead of 32"),
        ({"kty": "RSA"}, "`n` is missing"),
        ({"kty": "OKP"}, "`crv` is not Ed25519"),
        ({"kty": "AKP"}, "`kty`"),
        ({"kty": 3}, "`kty`"),
        ({"kid": 3}, "`kid`"),
        ({"kid": "k" * 257}, "`kid`"),
        ({"alg": "ES384"}, "`alg` does not fit"),
        ({"alg": "RS256"}, "`alg` does not fit"),
        ({"alg": "ES256K"}, "`alg` does not fit"),
        ({"alg": ["ES256"]}, "`alg` does not fit"),
        ({"d": "AAAA"}, "private key was published"),
    ],
)  # fmt: skip
def test_keys_that_do_not_fit_together(world: Any, more: dict[str, Any], says: str) -> None:
    """RS-13: curve, coordinates, type and algorithm of a key must fit; a private key is none of ours."""
    with pytest.raises(Unusable, match=says) as found:
        load({**world.public_jwk(world.es256), **more})
    assert world.public_jwk(world.es256)["x"] not in str(found.value)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"use": "enc"}, "`use`"),
        ({"use": None}, "`use`"),
        ({"use": ["sig"]}, "`use`"),
        ({"key_ops": ["sign"]}, "`key_ops`"),
        ({"key_ops": ["encrypt", "wrapKey"]}, "`key_ops`"),
        ({"key_ops": []}, "`key_ops`"),
        ({"key_ops": "verify"}, "`key_ops`"),
        ({"use": "enc", "key_ops": ["verify"]}, "`use`"),
    ],
)
def test_use_and_key_ops_count(world: Any, more: dict[str, Any], says: str) -> None:
    """F-31: a key for another use verifies nothing, whatever its type."""
    for name in world.names:
        with pytest.raises(Unusable, match=says):
            load({**world.public_jwk(getattr(world, name)), **more})


def test_small_and_odd_rsa_keys(world: Any) -> None:
    """RS-13: RSA keys have 2048 to 8192 bits, an odd exponent from 3 on, and no faulty maker."""
    public = world.public_jwk(world.rsa)
    small = world.public_jwk(rsa.generate_private_key(65537, 1024))
    huge = {**public, "n": world.b64(b"\x80" + bytes(1024) + b"\x01").decode()}
    for wrong, says in ((small, "1024 bits"), (huge, "8208 bits")):
        with pytest.raises(Unusable, match=says):
            load(wrong)
    for exponent in (b"\x01", b"\x02", b"\x01\x00\x00", b"\xff" * 5, b"\x00"):
        with pytest.raises(Unusable, match="exponent"):
            load({**public, "e": world.b64(exponent).decode()})


def test_keys_of_the_faulty_generator() -> None:
    """RS-13: moduli whose remainders are powers of 65537 come from a library whose keys can be factored."""
    primorial = 1
    for prime in (p for p in range(2, 702) if all(p % q for q in range(2, int(p**0.5) + 1))):
        primorial *= prime
    modulus = ((1 << 2047) // primorial + 1) * primorial + pow(65537, 1234567, primorial)
    text = urlsafe_b64encode(modulus.to_bytes(256)).rstrip(b"=").decode()
    with pytest.raises(Unusable, match="ROCA"):
        load({"kty": "RSA", "n": text, "e": "AQAB"})


@pytest.mark.parametrize("text", ["", "AA", "A" * 43])
def test_symmetric_keys_in_a_set(text: str) -> None:
    """F-24: an `oct` key is refused at load, of length 0 as of any other: a key set is public (RS-03)."""
    with pytest.raises(Unusable, match="symmetric"):
        load({"kty": "oct", "k": text, "alg": "HS256"})


@pytest.mark.parametrize("raw", [b"", b"x", b"x" * 31])
def test_short_secrets(raw: bytes) -> None:
    """F-24: a secret for HS256 has 32 bytes; the empty one above all is refused (CVE-2026-49852)."""
    with pytest.raises(Unusable, match=f"32 bytes, this one has {len(raw)}"):
        jwk.secret(raw)


def test_public_keys_as_secrets(world: Any) -> None:
    """F-29: the text of a public key is no secret."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = world.rsa.public_key()
    for text in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        json.dumps(world.public_jwk(world.rsa)).encode(),
        b"\n" + public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    ):
        with pytest.raises(Unusable, match="key pair"):
            jwk.secret(text)


def test_a_secret_verifies_its_hmac_only(world: Any) -> None:
    """RS-02: HS256 with a secret of 32 bytes verifies; a cut or altered MAC does not."""
    raw = b"0123456789abcdef0123456789abcdef"
    verify = jwk.secret(raw).verifiers["HS256"]
    good = world.sign(b"text", raw, "HS256")
    verify(good, b"text")
    for wrong in (b"", good[:-1], good + b"\x00", bytes(32), good[::-1]):
        with pytest.raises(InvalidSignature):
            verify(wrong, b"text")


def test_unusable_things() -> None:
    """RS-13: what is no object is no key."""
    for thing in (None, [], "key", 1):
        with pytest.raises(Unusable, match="not an object"):
            load(thing)
