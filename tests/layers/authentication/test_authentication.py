"""The layer's verbs: `known` and `who`."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from sixfold.decision import Refusal
from sixfold.identity import ANONYMOUS, Identity
from sixfold.layers.authentication import Authentication, KeyRings
from sixfold.layers.authentication.cache import Cache
from sixfold.layers.authentication.rules import RuleError


def test_a_credential_is_verified_once(world: Any) -> None:
    """D-19: the second request with the same header is one look-up and gives the same Identity."""
    layer = world.authentication()
    request, operation = world.request(world.token()), world.policy().operations[0]
    assert layer.known(request, operation) is None
    identity = world.who(layer, request)
    assert isinstance(identity, Identity)
    assert layer.known(request, operation) is identity
    assert layer.known(request, world.policy().operations[1]) is identity
    lower = world.request(headers={"authorization": b"bearer " + request.fields.first[b"authorization"][7:]})
    assert layer.known(lower, operation) is None  # the whole header is the key
    assert world.who(layer, lower).key == identity.key


def test_refused_credentials_are_not_kept(world: Any) -> None:
    """D-19: only what was verified is cached, so nobody can fill the cache with garbage."""
    layer = world.authentication()
    for token in (world.token(aud="x"), world.token(key=world.stranger), b"x.y.z"):
        assert isinstance(world.who(layer, world.request(token)), Refusal)
    assert len(layer._cache) == 0


def test_a_hit_checks_the_end_again(world: Any) -> None:
    """D-19: a cached token is refused from the microsecond of its expiry on (RS-09)."""
    layer, token = world.authentication(), world.token()
    assert world.ask(layer, world.request(token))
    end = world.now + 300 * world.second
    assert world.ask(layer, world.request(token, now=end - 1)).subject == "alice"
    assert layer.known(world.request(token, now=end), world.policy().operations[0]) is None
    assert world.ask(layer, world.request(token, now=end)).code == "token-expired"


def test_a_hit_checks_the_key_again(world: Any) -> None:
    """D-19: when the issuer drops a key, what it signed is refused at once, a new key changes nothing."""
    policy = world.policy()
    rings = KeyRings.for_policy(policy)
    layer = Authentication(policy, rings, None)
    request, operation = world.request(world.token()), policy.operations[0]
    ring = rings.get(world.issuer)
    assert world.ask(layer, request)
    ring.accept(world.jwks("es256", "rsa"), world.now)  # es384 and others went: verified again, and good
    assert layer.known(request, operation) is None
    assert world.ask(layer, request).subject == "alice"
    ring.accept(world.jwks("es256", "rsa", "es512"), world.now)  # one more
    assert layer.known(request, operation)
    ring.accept(world.jwks("rsa"), world.now)
    assert layer.known(request, operation) is None
    assert world.ask(layer, request).code == "token-key"


def test_public_operations(world: Any) -> None:
    """RS-18: a public operation needs no credential; one that is sent is verified, and a bad one refused."""
    layer, public = world.authentication(), world.policy().operations[1]
    assert layer.known(world.request(), public) is ANONYMOUS
    assert world.who(layer, world.request(), 1) is ANONYMOUS
    assert world.ask(layer, world.request(world.token()), 1).subject == "alice"
    assert world.ask(layer, world.request(world.token(exp=1)), 1).code == "token-expired"


@pytest.mark.parametrize("operation", [0, 2, 5])
def test_other_operations_need_one(world: Any, operation: int) -> None:
    """RS-18: whatever is not public needs a caller, also an operation without any rule."""
    assert world.ask(world.authentication(), world.request(), operation).code == "credentials-missing"


def test_a_token_in_the_query(world: Any) -> None:
    """RS-16: a token in the query is ignored: it neither passes nor spoils a good header."""
    layer, query = world.authentication(), b"access_token=" + world.token()
    refusal = world.ask(layer, world.request(query=query))
    assert refusal.code == "credentials-missing"
    assert "does not count" in refusal.reason
    assert world.ask(layer, world.request(query=query), 1) is ANONYMOUS
    assert world.ask(layer, world.request(world.token(), query=b"access_token=x")).subject == "alice"


@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER ", b"Bearer   "])
def test_the_scheme_has_no_case(world: Any, scheme: bytes) -> None:
    """RS-17: `Bearer` in any case, then blanks, then the token (RFC 9110 section 11.4)."""
    request = world.request(headers={"authorization": scheme + world.token()})
    assert world.ask(world.authentication(), request).subject == "alice"


@pytest.mark.parametrize("value", [b"Bearer", b"Bearer ", b"Bearer a.b.c, Bearer a.b.c", b"Bearer\ta.b.c"])
def test_odd_headers(world: Any, value: bytes) -> None:
    """RS-17: no token, two tokens in one header, or another separator are refused."""
    refusal = world.ask(world.authentication(), world.request(headers={"authorization": value}))
    assert refusal.status == 401


def test_modes(world: Any) -> None:
    """SHD-01: `shadow` runs the same check and marks the refusal; `off` checks nothing, cached or not."""
    layer = world.authentication()
    bad, good = world.request(world.token(aud="x")), world.request(world.token())
    shadow = world.ask(layer, bad, 3)
    assert (shadow.code, shadow.mode) == ("token-audience", "shadow")
    assert world.ask(layer, good, 3).subject == "alice"
    assert world.ask(layer, bad).mode == "enforce"
    for request in (bad, good, world.request()):
        assert layer.known(request, world.policy().operations[4]) is ANONYMOUS
        assert world.who(layer, request, 4) is ANONYMOUS


@pytest.mark.parametrize(
    ("table", "operation", "mode"),
    [
        ("shadow", 0, "shadow"),
        ("shadow", 3, "shadow"),
        ("shadow", 4, "off"),
        ("off", 0, "off"),
        ("off", 3, "off"),
    ],
)
def test_the_weaker_mode_counts(world: Any, table: str, operation: int, mode: str) -> None:
    """SHD-01: the weaker of the layer's and the operation's mode counts."""
    layer = world.authentication(world.policy({"mode": table}))
    found = world.ask(layer, world.request(b"x.y.z"), operation)
    assert found is ANONYMOUS if mode == "off" else found.mode == mode


def test_a_layer_that_is_off_compiles_nothing(world: Any) -> None:
    """SHD-01: with `mode = "off"` not even an audience is asked for."""
    world.authentication(world.policy({"mode": "off", "audience": None}))


def test_no_issuer_at_all(world: Any) -> None:
    """RS-07: without an issuer every token is refused, and the reason says so."""
    policy = world.policy({"issuers": []})
    refusal = world.refused(world.token(), policy)
    assert refusal.reason.endswith("expected nothing: no issuer is configured")


def test_the_cache_is_bounded(world: Any) -> None:
    """D-19: the cache holds at most its size, keeps what is used, and holds nothing if it is 0."""

    class Always:
        generation = 0
        usable_until = 2**63

    cache, who = Cache(10), Identity("a")
    for step in range(1000):
        cache.put(b"%d" % step, who, 100, Always())
        cache.put(b"kept", who, 100, Always()) if step == 0 else None
        assert cache.get(b"kept", 1) is who
        assert len(cache) <= 10
    assert cache.get(b"0", 1) is None
    assert cache.get(b"999", 1) is who
    assert cache.get(b"999", 100) is None
    nothing = Cache(0)
    nothing.put(b"a", who, 100, Always())
    assert (nothing.get(b"a", 1), len(nothing)) == (None, 0)


def test_a_used_entry_survives_the_turn(world: Any) -> None:
    """D-19: a token of the old half that is asked for comes back into the young one."""

    class Always:
        generation = 0
        usable_until = 2**63

    cache = Cache(4)
    for name in (b"a", b"b", b"c", b"d"):
        cache.put(name, Identity(name.decode()), 9, Always())
    assert cache.get(b"a", 1)
    for name in (b"e",):
        cache.put(name, Identity(name.decode()), 9, Always())
    assert cache.get(b"a", 1)


def test_secrets_stay_inside(world: Any, caplog: pytest.LogCaptureFixture) -> None:
    """RS-25: no refusal, log line or problem document holds a piece of the credential."""
    layer = world.authentication()
    bad = [
        world.token(aud="x"), world.token(key=world.stranger), world.token(exp=1),
        world.token(header={"alg": "none"}), world.token(sub=1), b"not-a-token", b"a.b.c",
        world.token() + b"x",
    ]  # fmt: skip
    with caplog.at_level(logging.DEBUG):
        for token in bad:
            for request in (world.request(token), world.request(headers={"authorization": token})):
                refusal = world.ask(layer, request)
                told = f"{refusal!r} {refusal.remedy} {refusal.headers} {refusal.problem()!r} {refusal.reason}"
                for piece in [token, *token.split(b".")]:
                    assert len(piece) < 4 or piece.decode() not in told
    assert not caplog.records


@pytest.mark.parametrize("text", ["\x1b[31m", "\r\nX: y", "ü" * 20, 'a"b`c\\d', "x" * 500])
def test_what_a_token_says_is_shown_with_care(world: Any, text: str) -> None:
    """RS-25: `iss`, `aud` and `alg` may be named in a reason, in 100 printable ASCII characters at most."""
    for token in (
        world.token(iss=text),
        world.token(aud=[text] * 9),
        world.token(header={"alg": text}),
        world.token(header={"typ": text}),
    ):
        reason = world.refused(token).reason
        assert reason.isascii()
        assert reason.isprintable()
        assert len(reason) < 700


@pytest.mark.parametrize(
    ("table", "issuer", "says"),
    [
        ({"audience": None}, {}, "no audience is set"),
        ({}, {"typ": ["dpop+jwt"]}, "never an access token"),
        ({}, {"typ": ["at+jwt", "application/Logout+JWT"]}, "never an access token"),
        ({}, {"algorithms": ["ES256", "HS256"]}, "HS256 beside public keys"),
        ({}, {"algorithms": []}, "accepts no token"),
        ({}, {"secret": "x" * 40}, "contradict"),
        ({}, {"jwks": None}, "neither `jwks` nor `secret`"),
        ({}, {"jwks": None, "secret": "x" * 31}, "at least 32 bytes, this one has 31"),
        ({}, {"jwks": None, "secret": ""}, "at least 32 bytes, this one has 0"),
        ({}, {"jwks": None, "secret": "x" * 40, "algorithms": ["ES256"]}, "HS256 only"),
        ({}, {"jwks": None, "secret": "x" * 40, "algorithms": ["HS256", "RS256"]}, "HS256 only"),
        ({}, {"jwks": "missing.json"}, "cannot be read"),
    ],
)
def test_policies_that_cannot_be_enforced(world: Any, table: Any, issuer: Any, says: str) -> None:
    """RS-03: what would weaken the check is refused when the policy is loaded, with place and remedy."""
    with pytest.raises(RuleError, match=says) as found:
        world.authentication(world.policy(table, **issuer))
    assert found.value.rule.file == "sixfold.toml"
    assert found.value.rule.line
    assert found.value.remedy
    assert "xxxx" not in str(found.value)


def test_an_issuer_stands_once(world: Any) -> None:
    """RS-07: two tables for one issuer leave open which one counts."""
    table = {"issuer": world.issuer, "jwks": "jwks.json"}
    with pytest.raises(RuleError, match="stands twice"):
        world.authentication(world.policy({"issuers": [table, table]}))


def test_two_issuers_do_not_mix(world: Any) -> None:
    """RS-04: a key of one issuer signs nothing for another."""
    (world.folder / "other.json").write_bytes(world.jwks("rsa"))
    policy = world.policy(
        {
            "issuers": [
                {"issuer": world.issuer, "jwks": "jwks.json"},
                {"issuer": "https://other.example", "jwks": "other.json"},
            ]
        }
    )
    assert world.accepted(world.token(), policy)
    assert world.accepted(world.token(iss="https://other.example", alg="RS256"), policy)
    assert world.refused(world.token(iss="https://other.example"), policy).code == "token-key"


def test_rings_of_another_policy(world: Any) -> None:
    """RS-04: a layer without the ring of one of its issuers is not built."""
    with pytest.raises(RuleError, match="of another policy"):
        Authentication(world.policy(), KeyRings({}), None)
