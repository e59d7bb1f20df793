"""Access tokens: each rule with a token that breaks it alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import ECKey

from sixfold.decision import Refusal

EVERY = ["ES256", "ES384", "ES512", "Ed25519", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]


def test_a_good_token(world: Any) -> None:
    """RS-21: a token of the configured issuer for this API gives subject, scopes and client."""
    identity = world.accepted(world.token())
    assert (identity.subject, identity.client_id, identity.scheme) == ("alice", "app", "bearer")
    assert identity.scopes == {"orders:read", "orders:write"}
    assert identity.expires == world.now + 300 * world.second


def test_a_user_is_issuer_and_subject(world: Any) -> None:
    """RS-22: the key of a caller is made of `iss` and `sub`; an e-mail address plays no part."""
    one = world.accepted(world.token(email="boss@api.example"))
    other = world.accepted(world.token(sub="boss@api.example"))
    assert one.key == "https://issuer.example\x1falice"
    assert one.key != other.key


def test_tokens_of_a_stranger(world: Any) -> None:
    """RS-11: a token that another library made is accepted; the strict form costs honest issuers nothing."""
    key = ECKey.import_key({**world.public_jwk(world.es256), "d": _private(world)})
    header = {"alg": "ES256", "typ": "at+jwt", "kid": "es256"}
    assert world.accepted(joserfc_jwt.encode(header, world.claims(), key).encode())


def _private(world: Any) -> str:
    return world.b64(world.es256.private_numbers().private_value.to_bytes(32)).decode()


@pytest.mark.parametrize("alg", EVERY)
def test_the_list_of_algorithms_decides(world: Any, alg: str) -> None:
    """RS-01: a good signature by an algorithm that is not on the issuer's list is refused."""
    token = world.token(alg=alg)
    assert world.accepted(token, world.policy(algorithms=[alg]))
    others = [name for name in EVERY if name != alg]
    refusal = world.refused(token, world.policy(algorithms=others))
    assert refusal.code == "token-algorithm"
    assert f'alg is "{alg}", expected ' in refusal.reason


@pytest.mark.parametrize(
    "alg", ["none", "None", "NONE", "", "HS256", "HS512", "ES256K", "EdDSA", "RSA1_5", "dir", "es256"]
)
def test_other_algorithms(world: Any, alg: str) -> None:
    """RS-02: `none` never, in no spelling; names are compared exactly."""
    refusal = world.refused(world.token(header={"alg": alg}), world.policy(algorithms=EVERY))
    assert refusal.code == "token-algorithm"
    signed = world.token(header={"alg": alg}).rpartition(b".")[0]
    assert world.refused(signed + b".").code == "token-malformed"
    assert world.refused(signed).code == "token-malformed"


def test_no_algorithm(world: Any) -> None:
    """RS-02: a header without `alg` is refused."""
    assert world.refused(world.token(header={"alg": ...})).code == "token-algorithm"


@pytest.mark.parametrize(
    ("alg", "kid"),
    [("ES256", "rsa"), ("RS256", "es256"), ("PS256", "ed25519"), ("Ed25519", "es256"), ("ES256", "es384")],
)
def test_the_algorithm_fits_the_key(world: Any, alg: str, kid: str) -> None:
    """RS-02: an algorithm of the list with a key of another type is refused."""
    refusal = world.refused(world.token(alg=alg, header={"kid": kid}), world.policy(algorithms=EVERY))
    assert refusal.code == "token-algorithm"
    assert refusal.reason == f"the key named by `kid` does not verify {alg}"


def test_hmac_over_the_public_key(world: Any) -> None:
    """F-29: HS256 over the public key as PEM, DER or JWK text, with and without a final newline (RS-03)."""
    for name, alg in (("rsa", "RS256"), ("es256", "ES256")):
        private = getattr(world, name)
        public = private.public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        jwk = world.public_jwk(private)
        texts = [
            pem,
            der,
            json.dumps(jwk).encode(),
            json.dumps(jwk, separators=(",", ":")).encode(),
            world.jwks(),
            jwk.get("n", jwk.get("x", "")).encode(),
        ]
        for secret in (variant for text in texts for variant in (text, text.strip(), text.strip() + b"\n")):
            for said in ("HS256", alg):
                token = world.token(key=secret, alg="HS256", header={"alg": said, "kid": name})
                assert world.refused(token).code in ("token-algorithm", "token-signature")


def test_keys_inside_the_token(world: Any) -> None:
    """F-28: a key that the token brings along is ignored: `jwk`, `jku`, `x5c`, `x5u` (RS-04)."""
    own = world.public_jwk(world.stranger, kid="own")
    brought = [
        {"jwk": own},
        {"jku": "https://attacker.example/jwks.json"},
        {"x5c": ["MIIB"]},
        {"x5u": "file:///etc/passwd"},
    ]
    for header in brought:
        for kid in ("own", "es256", ...):
            refusal = world.refused(world.token(key=world.stranger, header={**header, "kid": kid}))
            assert refusal.code in ("token-key", "token-signature")
        assert world.accepted(world.token(header=header))  # and does no harm beside a good signature


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"], "exp": 1}, {"crit": []}, {"crit": ["b64"], "b64": False}, {"b64": False},
        {"b64": True}, {"crit": "b64"}, {"crit": None}, {"crit": ["urn:x"], "urn:x": True},
    ],
)  # fmt: skip
def test_critical_extensions(world: Any, header: dict[str, Any]) -> None:
    """RS-05: no extension is understood, so `crit` is refused with any content, and `b64` without it."""
    refusal = world.refused(world.token(header=header))
    assert refusal.code == "token-malformed"
    assert "`crit`" in refusal.reason


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+JWT"])
def test_the_type_of_access_tokens(world: Any, typ: str) -> None:
    """RS-06: `typ` is `at+jwt`, with or without `application/`, in any case."""
    assert world.accepted(world.token(header={"typ": typ}))


@pytest.mark.parametrize(
    "typ", ["JWT", "jwt", ..., "", "dpop+jwt", "logout+jwt", "at+jwt ", "jwt+at", "text/at+jwt", "at+jwt;x=1"]
)
def test_other_types(world: Any, typ: Any) -> None:
    """RS-06: any other `typ`, and none, is refused unless the policy says so."""
    refusal = world.refused(world.token(header={"typ": typ}))
    assert refusal.code == "token-type"
    assert 'expected "at+jwt"' in refusal.reason


@pytest.mark.parametrize("name", ["alg", "typ", "kid"])
@pytest.mark.parametrize("value", [1, True, None, ["ES256"], {"a": 1}])
def test_header_members_are_strings(world: Any, name: str, value: Any) -> None:
    """RS-12: a header member of the wrong type is refused."""
    assert world.refused(world.token(header={name: value})).code == "token-malformed"


NOT_ACCESS = {
    "ID token": ({"typ": "JWT"}, {"nonce": "n", "at_hash": "h"}),
    "ID token of the code grant": ({"typ": "JWT"}, {"at_hash": "h"}),
    "ID token with a nonce only": ({"typ": ...}, {"nonce": "n"}),
    "ID token for the client": ({"typ": "JWT"}, {"aud": "app"}),
    "ID token (Keycloak)": ({"typ": "JWT"}, {"typ": "ID"}),
    "refresh token (Keycloak)": ({"typ": "JWT"}, {"typ": "Refresh"}),
    "offline token (Keycloak)": ({"typ": "JWT"}, {"typ": "Offline"}),
    "ID token (Cognito)": ({"typ": ...}, {"token_use": "id"}),
    "odd marks": ({"typ": "JWT"}, {"token_use": ["access"]}),
    "logout token": ({"typ": "logout+jwt"}, {"events": {"urn:logout": {}}}),
    "logout token, old type": ({"typ": "JWT"}, {"events": {}}),
    "security event": ({"typ": "secevent+jwt"}, {"events": {}}),
    "DPoP proof": ({"typ": "dpop+jwt"}, {"htm": "GET", "htu": "https://api.example/orders"}),
    "DPoP proof, no type": ({"typ": ...}, {"htm": "GET", "htu": "https://api.example/orders"}),
    "client assertion": ({"typ": "client-authentication+jwt"}, {"iss": "app", "sub": "app"}),
    "client assertion, old type": ({"typ": "JWT"}, {"iss": "app", "sub": "app"}),
    "request object": ({"typ": "oauth-authz-req+jwt"}, {"response_type": "code"}),
    "request object, old type": ({"typ": "JWT"}, {"redirect_uri": "https://app.example/cb"}),
    "introspection": ({"typ": "token-introspection+jwt"}, {"token_introspection": {"active": True}}),
}  # fmt: skip


@pytest.mark.parametrize("kind", NOT_ACCESS)
@pytest.mark.parametrize("typ", [["at+jwt"], ["JWT"], ["JWT", "at+jwt"]])
def test_other_tokens_of_the_issuer(world: Any, kind: str, typ: list[str]) -> None:
    """JWT-05: no other kind of JWT stands in for an access token, whatever types are allowed (RS-06)."""
    header, claims = NOT_ACCESS[kind]
    refusal = world.refused(world.token(claims, header=header), world.policy(typ=typ))
    assert refusal.code in ("token-type", "token-audience", "token-issuer")


@pytest.mark.parametrize("header", [{"typ": "JWT"}, {"typ": ...}])
@pytest.mark.parametrize("claims", [{}, {"typ": "Bearer"}, {"token_use": "access"}])
def test_plain_jwt_where_the_policy_says_so(world: Any, header: Any, claims: Any) -> None:
    """RS-06: an issuer that does not follow RFC 9068 may have its own list; no `typ` is the same as `JWT`."""
    assert world.accepted(world.token(claims, header=header), world.policy(typ=["JWT"]))


@pytest.mark.parametrize(
    "iss",
    [
        "https://issuer.example/",
        "https://ISSUER.example",
        "https://issuer.example ",
        "http://issuer.example",
        "https://issuer.example:443",
        "https://other.example",
        "",
    ],
)
def test_the_issuer_is_exact(world: Any, iss: str) -> None:
    """RS-07: `iss` is compared as a string, without any normalisation."""
    refusal = world.refused(world.token(iss=iss))
    assert refusal.code == "token-issuer"
    assert refusal.reason == f'iss is "{iss}", expected "https://issuer.example"'
    assert ("final slash" in refusal.remedy) == (iss == "https://issuer.example/")


@pytest.mark.parametrize("iss", [["https://issuer.example"], [], {"a": 1}, 1, True, None, ...])
def test_the_issuer_is_one_string(world: Any, iss: Any) -> None:
    """F-25: `iss` as array, number, object or null is refused (CVE-2026-75509; RS-07)."""
    refusal = world.refused(world.token(iss=iss))
    assert (refusal.status, refusal.code) == (401, "token-claims")


@pytest.mark.parametrize("aud", ["https://api.example", ["https://api.example"], ["x", "https://api.example"]])
def test_the_audience_contains_this_api(world: Any, aud: Any) -> None:
    """RS-08: `aud` is this API, alone or among others."""
    assert world.accepted(world.token(aud=aud))


@pytest.mark.parametrize(
    "aud", ["https://api.example/", "https://API.example", "app", "", [], ["https://other.example"], ...]
)
def test_another_audience(world: Any, aud: Any) -> None:
    """RS-08: a token for another API, or for none, is refused; the reason says what is expected."""
    refusal = world.refused(world.token(aud=aud))
    assert refusal.code == "token-audience"
    assert refusal.reason.startswith("aud is ")
    assert refusal.reason.endswith(', expected "https://api.example"')
    assert 'ask the issuer for audience "https://api.example"' in refusal.remedy
    assert refusal.rule == ("authentication.audience", "sixfold.toml", 2)


@pytest.mark.parametrize(
    "aud", [1, True, None, {"https://api.example": 1}, [["https://api.example"]], ["https://api.example", 1]]
)
def test_odd_audiences(world: Any, aud: Any) -> None:
    """RS-08: `aud` is a string or a list of strings, nothing else."""
    assert world.refused(world.token(aud=aud)).code == "token-claims"


def test_audiences_of_the_issuer_go_before_the_common_one(world: Any) -> None:
    """RS-08: an issuer's own audience replaces the common one."""
    policy = world.policy(audience=["one", "two"])
    assert world.accepted(world.token(aud="two"), policy)
    refusal = world.refused(world.token(), policy)
    assert refusal.reason == 'aud is "https://api.example", expected "one" or "two"'
    assert refusal.rule == ("authentication.issuers.0.audience", "sixfold.toml", 4)


NUMBERS = ["1900000000", True, None, ["1900000000"], {}, "", "inf"]


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", NUMBERS)
def test_times_are_numbers(world: Any, name: str, value: Any) -> None:
    """F-27: `exp`, `nbf`, `iat` as string, boolean, array or null are refused (CVE-2026-25537; RS-09)."""
    refusal = world.refused(world.token({name: value}))
    assert refusal.code == "token-claims"
    assert refusal.reason.startswith(f"`{name}` is ")


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "text", [b"1e400", b"1e300", b"-1", b"99999999999999999999999999", b"253402300800", b"NaN", b"Infinity"]
)
def test_times_in_range(world: Any, name: str, text: bytes) -> None:
    """F-27: numbers that are infinite, negative or beyond the year 9999 are refused (RS-09)."""
    claims = json.dumps(world.claims(**{name: "TIME"})).encode().replace(b'"TIME"', text)
    assert world.refused(world.token(claims)).code in ("token-claims", "token-malformed")


def test_the_end_is_to_the_second(world: Any) -> None:
    """RS-09: `exp` lies in the future; it gets no leeway, whatever the policy says of clocks."""
    end = world.now // world.second + 300
    policy = world.policy({"leeway": 60})
    for exp in (end, float(end)):
        token = world.token(exp=exp)
        assert world.accepted(token, policy, now=end * world.second - 1)
        refusal = world.refused(token, policy, now=end * world.second)
        assert refusal.code == "token-expired"
    refusal = world.refused(token, policy, now=(end + 600) * world.second)
    assert refusal.reason == "`exp` was 10 min ago"
    assert world.refused(world.token(exp=...)).reason == "`exp` is missing"


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_the_start_has_leeway(world: Any, name: str) -> None:
    """RS-10: `nbf` and `iat` may lie ahead by the leeway, not by more; without them a token is good."""
    now = world.now // world.second
    assert world.accepted(world.token({name: now + 30}))
    refusal = world.refused(world.token({name: now + 31}))
    assert refusal.code == "token-not-yet"
    assert refusal.reason == f"`{name}` is 31 s ahead; 30 s of leeway are allowed"
    assert world.refused(world.token({name: now + 1}), world.policy({"leeway": 0})).code == "token-not-yet"
    assert world.accepted(world.token({name: ...}))


@pytest.mark.parametrize("cnf", [{"jkt": "x"}, {"x5t#S256": "x"}, {"kid": "x"}, {}, None, "x"])
@pytest.mark.parametrize("typ", ["at+jwt", "JWT"])
def test_bound_tokens(world: Any, cnf: Any, typ: str) -> None:
    """RS-15: a token with `cnf` is refused, since its binding cannot be verified here, however sent."""
    policy = world.policy(typ=["at+jwt", "JWT"])
    assert world.refused(world.token(cnf=cnf, header={"typ": typ}), policy).code == "token-binding"


@pytest.mark.parametrize("sub", [..., None, "", 1, True, ["alice"], {"a": 1}, "a\x1fb", "a\nb", "a" * 513])
def test_the_subject_names_the_caller(world: Any, sub: Any) -> None:
    """RS-21: without a plain `sub` nobody is known; control characters could forge keys and log lines."""
    refusal = world.refused(world.token(sub=sub))
    assert refusal.code == "token-claims"
    assert refusal.reason.startswith("`sub` is ")


def test_another_signer(world: Any) -> None:
    """RS-04: a key that the issuer did not publish signs nothing."""
    refusal = world.refused(world.token(key=world.stranger))
    assert refusal.code == "token-signature"


def test_swapped_parts(world: Any) -> None:
    """RS-11: header, payload and signature belong together."""
    one, other = world.token().split(b"."), world.token(sub="bob").split(b".")
    assert world.refused(b".".join((one[0], other[1], one[2]))).code == "token-signature"
    assert world.refused(b".".join((one[0], one[1], other[2]))).code == "token-signature"
    header = world.token(header={"x": 1}).split(b".")[0]
    assert world.refused(b".".join((header, one[1], one[2]))).code == "token-signature"


@pytest.mark.parametrize("text", ["opaque-token", "sxk_0123", "a.b.c.d.e", "{}", "a..c", "", "Bearer x.y.z"])
def test_no_jwt_at_all(world: Any, text: str) -> None:
    """RS-12: what is no JWT is refused as malformed; for an opaque token the remedy says what to ask for."""
    refusal = world.refused(text.encode()) if text else world.ask(world.authentication(), world.request(b""))
    assert refusal.code == "token-malformed"
    assert ("opaque" in refusal.remedy) == ("." not in text)


def test_the_cap_on_size(world: Any) -> None:
    """RS-12: an over-long token is refused, by the policy's cap."""
    token = world.token(padding="x" * 5000)
    assert world.accepted(token)
    refusal = world.refused(token, world.policy({"max_token": "4 kB"}))
    assert refusal.reason == f"the token has {len(token)} bytes; 4000 are allowed"


def test_double_members(world: Any) -> None:
    """RS-12: a claim or a header member that stands twice is refused, the signature being good."""
    good = json.dumps(world.claims(), separators=(",", ":")).encode()
    assert world.accepted(world.token(good))
    assert "member twice" in world.refused(world.token(good[:-1] + b',"sub":"root"}')).reason
    header = b'{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"es256"}'
    assert "member twice" in world.refused(world.token(header=header)).reason


def test_without_kid(world: Any) -> None:
    """KEY-01: a token that names no key is accepted only if exactly one key of the issuer fits."""
    assert world.accepted(world.token(header={"kid": ...}))
    (world.folder / "two.json").write_bytes(
        json.dumps(
            {"keys": [world.public_jwk(world.es256, kid="a"), world.public_jwk(world.stranger, kid="b")]}
        ).encode()
    )
    policy = world.policy(jwks="two.json")
    assert world.accepted(world.token(header={"kid": "a"}), policy)
    refusal = world.refused(world.token(header={"kid": ...}), policy)
    assert refusal.code == "token-key"
    assert refusal.reason == "the token names no `kid` and 2 keys fit ES256"


def test_two_keys_of_one_name(world: Any) -> None:
    """KEY-01: where two keys bear one `kid`, neither is guessed."""
    keys = [world.public_jwk(world.es256, kid="a"), world.public_jwk(world.stranger, kid="a")]
    (world.folder / "same.json").write_bytes(json.dumps({"keys": keys}).encode())
    refusal = world.refused(world.token(header={"kid": "a"}), world.policy(jwks="same.json"))
    assert (refusal.code, "two keys" in refusal.reason) == ("token-key", True)


SECRET = "0123456789abcdef0123456789abcdef"


def test_a_shared_secret(world: Any) -> None:
    """RS-03: HS256 verifies with the issuer's secret, whatever `kid` says; public keys play no part there."""
    policy = world.policy({"issuers": [{"issuer": world.issuer, "secret": SECRET}]})
    for header in ({"kid": ...}, {"kid": "x"}):
        assert world.accepted(world.token(key=SECRET.encode(), alg="HS256", header=header), policy)
    assert world.refused(world.token(key=b"x" * 32, alg="HS256", header={"kid": ...}), policy).code == "token-signature"
    assert world.refused(world.token(), policy).code == "token-algorithm"


@given(st.data())
def test_no_mutation_verifies(world: Any, data: st.DataObject) -> None:
    """RS-11: a token with any byte changed, added or taken away is refused, and none of it is told."""
    token, authentication = (
        TOKENS.setdefault("good", world.token()),
        TOKENS.setdefault("layer", world.authentication()),
    )
    place = data.draw(st.integers(0, len(token) - 1))
    piece = data.draw(st.binary(max_size=3) | st.sampled_from([b".", b"=", b"A", b"-", b"\n"]))
    mutant = token[:place] + piece + token[place + data.draw(st.integers(0, 3)) :]
    if mutant.strip(b" ") == token:
        return
    found = world.who(authentication, world.request(mutant))
    assert isinstance(found, Refusal)
    assert found.status == 401


TOKENS: dict[str, Any] = {}
