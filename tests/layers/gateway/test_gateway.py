"""The gateway's verbs: the door, what the upstream gets, what the client gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sixfold.decision import Refusal, Reply
from sixfold.identity import ANONYMOUS, Identity
from sixfold.layers.gateway import Door

POLICY = """
[gateway]
hosts = ["api.example", "localhost"]
max_body = 1000
{gateway}
[authentication]
issuer = "dev"
[authentication.api_keys]
file = "keys.json"
header = "X-Key"
[[routes]]
match = "GET|POST /orders"
public = true
[[routes]]
match = "GET /orders/{{id}}"
public = true
[[routes]]
match = "GET /orders/mine"
authenticated = true
[[routes]]
match = "PUT /orders/{{id}}.pdf"
public = true
max_body = 5000
[[routes]]
match = "DELETE /files/{{owner}}/**"
public = true
{routes}
"""
CORS = """
[gateway.cors]
origins = ["https://app.example", "http://localhost:3000"]
methods = ["GET", "POST"]
headers = ["authorization", "content-type"]
credentials = true
"""
KEYS = '{"version": 1, "keys": []}'
USER = Identity(
    "alice", issuer="https://id.example", client_id="app", claims={"org": {"id": 7}, "vip": True, "bad": "a\r\nb"}
)


@pytest.fixture
def build(engine: Callable[..., Any]) -> Callable[..., Any]:
    def make(gateway: str = "", routes: str = "", tables: str = "") -> Any:
        text = POLICY.format(gateway=gateway, routes=routes) + tables
        return engine(text.replace('[authentication.api_keys]\nfile = "keys.json"\nheader = "X-Key"\n', ""))

    return make


@pytest.mark.parametrize(
    ("line", "path", "parameters"),
    [
        ("GET /orders", "/orders", {}),
        ("HEAD /orders", "/orders", {}),
        ("GET /orders/7", "/orders/{id}", {"id": "7"}),
        ("HEAD /orders/7", "/orders/{id}", {"id": "7"}),
        ("GET /orders/mine", "/orders/mine", {}),
        ("GET /orders/a%20b", "/orders/{id}", {"id": "a b"}),
        ("GET /orders/7.pdf", "/orders/{id}", {"id": "7.pdf"}),
        ("PUT /orders/7.pdf", "/orders/{id}.pdf", {"id": "7"}),
        ("DELETE /files/me", "/files/{owner}/**", {"owner": "me"}),
        ("DELETE /files/me/", "/files/{owner}/**", {"owner": "me"}),
        ("DELETE /files/me/a/b", "/files/{owner}/**", {"owner": "me"}),
    ],
)
def test_doors(line: str, path: str, parameters: dict[str, str], build: Any, ask: Any) -> None:
    """PATH-02: text beats a parameter, a parameter beats `/**`; parameters come decoded."""
    engine = build()
    door = engine.gateway.route(ask(engine, line))
    assert isinstance(door, Door), door
    assert (door.operation.path, dict(door.parameters)) == (path, parameters)


@pytest.mark.parametrize(
    ("line", "code", "allow"),
    [
        ("GET /", "unknown-operation", None),
        ("GET /order", "unknown-operation", None),
        ("GET /orders/", "unknown-operation", None),
        ("GET /Orders", "unknown-operation", None),
        ("GET /orders/7/8", "unknown-operation", None),
        ("GET /orders.json", "unknown-operation", None),
        ("DELETE /files", "unknown-operation", None),
        ("DELETE /orders", "method-not-allowed", "GET, HEAD, POST"),
        ("OPTIONS /orders", "method-not-allowed", "GET, HEAD, POST"),
        ("DELETE /orders/7.pdf", "method-not-allowed", "GET, HEAD, PUT"),
        ("GET /files/me/x", "method-not-allowed", "DELETE"),
    ],
)
def test_no_doors(line: str, code: str, allow: str | None, build: Any, ask: Any) -> None:
    """HDR-08, PATH-01: 404 for a path that nobody declared, 405 with `Allow` for a method."""
    engine = build()
    refusal = engine.gateway.route(ask(engine, line))
    assert isinstance(refusal, Refusal)
    assert refusal.code == code
    assert dict(refusal.headers).get(b"allow") == (allow.encode() if allow else None)


@pytest.mark.parametrize(
    ("host", "served"),
    [
        ("api.example", True), ("API.example:8443", True), ("api.example.", True), ("localhost", True), ("example", False),
        ("api.example.evil", False), ("evil-api.example", False), ("127.0.0.1", False), ("[::1]", False), ("", False),
    ],
)  # fmt: skip
def test_hosts(host: str, served: bool, build: Any, ask: Any) -> None:
    """PATH-03, TLS-05: a host that is not listed gets 421, before anything else is told."""
    engine = build()
    request = ask(engine, "GET /orders", {"host": host})
    door = request if isinstance(request, Refusal) else engine.gateway.route(request)
    assert isinstance(door, Door) is served
    assert served or door.status in (400, 421)


@pytest.mark.parametrize(("line", "limit"), [("POST /orders", 1000), ("PUT /orders/7.pdf", 5000)])
def test_declared_bodies(line: str, limit: int, build: Any, ask: Any) -> None:
    """SLOW-07: a declared body over the cap is refused before it is read."""
    engine = build()
    assert isinstance(engine.gateway.route(ask(engine, line, length=limit)), Door)
    refusal = engine.gateway.route(ask(engine, line, length=limit + 1))
    assert (refusal.code, refusal.close) == ("body-too-large", True)


# ---------------------------------------------------------------------- what the upstream gets


def forwarded(engine: Any, request: Any, identity: Identity = ANONYMOUS) -> dict[str, str]:
    door = engine.gateway.route(request)
    assert isinstance(door, Door), door
    pairs = engine.gateway.forward(request, door, identity)
    names = [name for name, _ in pairs]
    assert len(set(names)) == len(names), names
    return {name.decode(): value.decode() for name, value in pairs}


DROPPED = [
    "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Client-Cert",
    "X-Real-IP", "X-Client-Cert", "True-Client-IP", "CF-Connecting-IP", "X-Original-URL", "X-Rewrite-URL", "X-Sixfold-User",
    "Sixfold-Identity", "SIXFOLD-IDENTITY", "X_Sixfold_User", "Sixfold_Identity", "x-sixfold_user", "X_Forwarded_For", "Remote-User",
    "X-Remote-User", "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "Connection", "Keep-Alive", "Proxy-Connection",
    "TE", "Trailer", "Upgrade", "HTTP2-Settings", "Proxy-Authorization", "Authorization", "DPoP", "Expect", "X_User_Id",
]  # fmt: skip


@pytest.mark.parametrize("name", DROPPED)
def test_headers_that_never_pass(name: str, build: Any, ask: Any) -> None:
    """HDR-04, HDR-05, HDR-07, RS-24: forwarding, identity, override and hop-by-hop headers, in all spellings."""
    engine = build()
    found = forwarded(engine, ask(engine, "GET /orders", {name: "forged-7", "accept": "*/*"}))
    assert "forged-7" not in str(found)
    assert found["accept"] == "*/*"


def test_what_we_say_of_the_client(build: Any, ask: Any) -> None:
    """HDR-04: address, scheme and host of the client, written anew."""
    engine = build()
    headers = {"x-forwarded-for": "6.6.6.6", "host": "API.example:81"}
    found = forwarded(engine, ask(engine, "GET /orders", headers, address="2001:db8::7", tls=True))
    assert found == {
        "x-forwarded-for": "2001:db8::7",
        "forwarded": 'for="[2001:db8::7]";proto=https;host="api.example:81"',
        "x-forwarded-proto": "https",
        "x-forwarded-host": "api.example:81",
    }


def test_connection_cannot_drop_what_protects(build: Any, ask: Any) -> None:
    """HDR-06: `Connection` takes away what it names, except what protects the API."""
    engine = build("forward_credentials = true")
    headers = {
        "connection": "close, Authorization, Cookie, Content-Type, X-Api-Key, X-Sixfold-User, RateLimit, Origin, X-Hop, X-Forwarded-For",
        "authorization": "Bearer x", "cookie": "a=b", "content-type": "a/b", "x-hop": "1", "ratelimit": "1", "x-api-key": "k",
    }  # fmt: skip
    found = forwarded(engine, ask(engine, "GET /orders", headers))
    assert "x-hop" not in found
    assert {"authorization", "cookie", "content-type", "ratelimit", "x-api-key", "x-forwarded-for"} <= set(found)


def test_credentials_stay_here(build: Any, ask: Any) -> None:
    """RS-26: the caller's token goes on only if the policy says so."""
    headers = {"authorization": "Bearer x", "dpop": "y"}
    engine = build()
    assert not {"authorization", "dpop"} & set(forwarded(engine, ask(engine, "GET /orders", headers)))
    engine = build("forward_credentials = true")
    assert forwarded(engine, ask(engine, "GET /orders", headers))["authorization"] == "Bearer x"


EDITS = """
[gateway.request_headers]
remove = ["X-Gone"]
rename = { "X-Old" = "X-New" }
[gateway.request_headers.set]
X-User-ID = "{subject}"
X-Org = "org-{claim:org.id}"
X-Vip = "{claim:vip}"
X-Bad = "{claim:bad}"
X-Missing = "{claim:nobody}"
X-From = "{client_id}@{address}"
X-Fixed = "yes"
"""


def test_request_edits(build: Any, ask: Any) -> None:
    """HDR-05: remove, rename, set from claims; what a caller sent under such a name never stays."""
    engine = build(tables=EDITS)
    headers = {
        "x-gone": "1", "x-old": "2", "x-user-id": "root", "x-missing": "root", "x-bad": "root", "X-FIXED": "no", "x_user_id": "root",
    }  # fmt: skip
    request = ask(engine, "GET /orders", headers, address="203.0.113.7")
    found = forwarded(engine, request, USER)
    assert "root" not in str(found)
    chosen = {
        name: found.get(name)
        for name in ("x-gone", "x-old", "x-new", "x-user-id", "x-org", "x-vip", "x-from", "x-fixed", "x-bad")
    }
    assert chosen == {
        "x-gone": None, "x-old": None, "x-new": "2", "x-user-id": "alice", "x-org": "org-7", "x-vip": "true",
        "x-from": "app@203.0.113.7", "x-fixed": "yes", "x-bad": None,
    }  # fmt: skip
    nobody = forwarded(engine, request)
    assert "x-user-id" not in nobody
    assert nobody["x-fixed"] == "yes"


@pytest.mark.parametrize(
    "edit",
    [
        'set = { "X-A" = "{nobody}" }', 'set = { "X-A" = "{claim}" }', 'set = { "X-A" = "a\\nb" }', 'set = { "Content-Length" = "1" }',
        'set = { "Transfer-Encoding" = "chunked" }', 'rename = { "X-A" = "Transfer-Encoding" }', 'rename = { "X-A" = "Content-Length" }',
        'rename = { "X-A" = "Sixfold-Identity" }', 'set = { "Sixfold-Identity" = "x" }', 'set = { "Host" = "x" }',
        'set = { "Connection" = "x" }',
    ],
)  # fmt: skip
@pytest.mark.parametrize("side", ["request_headers", "response_headers"])
def test_edits_that_cannot_be(edit: str, side: str, build: Any) -> None:
    """HDR-05: an unknown fact, a header that frames the message, or our own signed one: refused at load, with the line."""
    from sixfold.policy import PolicyError

    with pytest.raises(PolicyError) as refused:
        build(tables=f"[gateway.{side}]\n{edit}\n")
    assert "sixfold.toml:" in str(refused.value)


# ---------------------------------------------------------------------- what the client gets


def answered(engine: Any, request: Any, *pairs: tuple[str, str]) -> list[tuple[str, str]]:
    door = engine.gateway.route(request)
    headers = [(name.encode(), value.encode()) for name, value in pairs]
    found = engine.gateway.answer(request, door, USER, headers)
    assert request is None or engine.gateway.answer_lines(request, door, USER, headers, {}) == b"".join(
        b"%b: %b\r\n" % pair for pair in found
    )
    return [(name.decode(), value.decode()) for name, value in found]


SAFE = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        ([], {}),
        ([("server", "x"), ("x-powered-by", "x"), ("via", "x"), ("alt-svc", "x"), ("x-runtime", "x")], {}),
        ([("connection", "x-hop, keep-alive"), ("x-hop", "1"), ("keep-alive", "x"), ("upgrade", "h2c")], {}),
        ([("x-content-type-options", "sniff")], {}),
        ([("strict-transport-security", "max-age=0")], {}),
        ([("access-control-allow-origin", "*"), ("access-control-allow-credentials", "true")], {}),
        ([("sixfold-identity", "x"), ("x-sixfold-user", "x")], {}),
        ([("cache-control", "max-age=5"), ("connection", "cache-control")], {"cache-control": "max-age=5"}),
        ([("connection", "x-frame-options, x-content-type-options")], {}),
        ([("content-type", "a/b"), ("connection", "content-type")], {"content-type": "a/b"}),
        ([("etag", "x"), ("location", "/orders/7")], {"etag": "x", "location": "/orders/7"}),
    ],
)
def test_answers_are_cleaned(sent: list[tuple[str, str]], got: dict[str, str], build: Any, ask: Any) -> None:
    """HDR-02: what tells of the upstream goes, what protects the browser comes, each once."""
    engine = build()
    for _ in range(2):  # the second time from memory
        found = answered(engine, ask(engine, "GET /orders"), *sent)
        assert dict(found) == {**SAFE, **got}
        assert len(dict(found)) == len(found)


def test_cookies_stay_apart(build: Any, ask: Any) -> None:
    """HDR-02: headers that repeat are kept as they are."""
    engine = build()
    found = answered(engine, ask(engine, "GET /orders"), ("set-cookie", "a=1"), ("x", "y"), ("set-cookie", "b=2"))
    assert [value for name, value in found if name == "set-cookie"] == ["a=1", "b=2"]


def test_response_edits(build: Any, ask: Any) -> None:
    """HDR-02: the policy's own edits of an answer."""
    engine = build(
        tables='[gateway.response_headers]\nremove = ["X-Gone"]\nrename = { "X-Old" = "X-New" }\nset = { "X-User" = "{subject}" }\n'
    )
    found = dict(answered(engine, ask(engine, "GET /orders"), ("x-gone", "1"), ("x-old", "2"), ("x-user", "root")))
    assert found == {**SAFE, "x-new": "2", "x-user": "alice"}


# ---------------------------------------------------------------------- cross-origin


FOREIGN = [
    "null", "https://evil-app.example", "https://app.example.evil", "https://APP.example", "https://app.example:8443",
    "http://app.example", "https://app.example/", "https://user@app.example", "*", "http://localhost:3001",
]  # fmt: skip


@pytest.mark.parametrize("origin", FOREIGN)
def test_foreign_origins(origin: str, build: Any, ask: Any, decide: Any) -> None:
    """HDR-03: exact origins only; a page elsewhere can neither read an answer nor change anything."""
    engine = build(tables=CORS)
    reading = ask(engine, "GET /orders", {"origin": origin})
    found = answered(engine, reading)
    assert ("vary", "origin") in found
    assert not [name for name, _ in found if name.startswith("access-control-")]
    assert decide(engine, ask(engine, "POST /orders", {"origin": origin})).code == "origin-refused"
    headers = {"origin": origin, "access-control-request-method": "POST"}
    refusal = decide(engine, ask(engine, "OPTIONS /orders", headers))
    assert refusal.code == "origin-refused"
    assert "POST" not in str(engine.render(refusal, reading))


@pytest.mark.parametrize("origin", ["https://app.example", "http://localhost:3000"])
def test_listed_origins(origin: str, build: Any, ask: Any, decide: Any) -> None:
    """HDR-03: a listed origin may read, by its own name and never by `*`."""
    engine = build(tables=CORS)
    request = ask(engine, "POST /orders", {"origin": origin})
    assert isinstance(engine.gateway.route(request), Door)
    found = answered(engine, request, ("access-control-allow-origin", "*"), ("vary", "accept"))
    assert [value for name, value in found if name == "access-control-allow-origin"] == [origin]
    assert ("access-control-allow-credentials", "true") in found
    assert [value for name, value in found if name == "vary"] == ["accept", "origin"]


def test_preflight(build: Any, ask: Any, decide: Any) -> None:
    """HDR-03: answered here, without a credential, each header once."""
    engine = build(tables=CORS)
    headers = {
        "origin": "https://app.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "Content-Type, authorization",
    }
    request = ask(engine, "OPTIONS /orders/mine", headers)
    reply = decide(engine, request)
    assert isinstance(reply, Reply)
    status, pairs, body = engine.render(reply, request)
    found = {name.decode(): value.decode() for name, value in pairs if name != b"vary"}
    assert len(found) == len([name for name, _ in pairs if name != b"vary"])
    assert (status, body) == (204, b"")
    assert found["access-control-allow-origin"] == "https://app.example"
    assert found["access-control-allow-methods"] == "GET, POST"
    assert found["access-control-allow-headers"] == "authorization, content-type"
    assert found["access-control-allow-credentials"] == "true"
    assert found["access-control-max-age"] == "600"
    vary = b", ".join(value for name, value in pairs if name == b"vary")
    assert b"origin" in vary


@pytest.mark.parametrize(
    "headers",
    [
        {"access-control-request-method": "DELETE"},
        {"access-control-request-method": "POST", "access-control-request-headers": "x-other"},
        {"access-control-request-method": "post"},
        {"access-control-request-method": ""},
    ],
)
def test_preflights_that_ask_too_much(headers: dict[str, str], build: Any, ask: Any, decide: Any) -> None:
    """HDR-03: a method or header that is not listed."""
    engine = build(tables=CORS)
    assert (
        decide(engine, ask(engine, "OPTIONS /orders", {"origin": "https://app.example", **headers})).code
        == "origin-refused"
    )


@pytest.mark.parametrize(
    ("origin", "host", "tls", "passes"),
    [
        ("https://api.example", "api.example", True, True),
        ("http://api.example", "api.example", True, False),
        ("https://api.example", "api.example", False, False),
        ("http://api.example:8400", "api.example:8400", False, True),
        ("https://other.example", "api.example", True, False),
        ("null", "api.example", True, False),
    ],
)
def test_without_a_table(origin: str, host: str, tls: bool, passes: bool, build: Any, ask: Any) -> None:
    """HDR-03: without `[gateway.cors]` only the API's own pages may change anything."""
    engine = build()
    request = ask(engine, "POST /orders", {"origin": origin, "host": host}, tls=tls)
    assert isinstance(engine.gateway.route(request), Door) is passes


# ---------------------------------------------------------------------- the signed identity


def test_the_signed_identity(build: Any, ask: Any) -> None:
    """HDR-05: two strangers verify it; one credential has one value, and soon another."""
    import joserfc.jwk
    import joserfc.jwt
    import jwt

    engine = build()
    now = 1_800_000_000_000_000
    request = ask(engine, "GET /orders", now=now)
    user = Identity(
        "alice",
        issuer="https://id.example",
        client_id="app",
        scopes=frozenset(("b", "a")),
        roles=frozenset(("r",)),
        tenant="t",
    )
    value = forwarded(engine, request, user)["sixfold-identity"]
    assert forwarded(engine, request, user)["sixfold-identity"] == value
    assert forwarded(engine, ask(engine, "GET /orders", now=now + 44_000_000), user)["sixfold-identity"] == value
    later = forwarded(engine, ask(engine, "GET /orders", now=now + 46_000_000), user)["sixfold-identity"]
    assert later != value
    reply = engine.gateway.route(ask(engine, "GET /.well-known/sixfold/jwks.json"))
    keys = joserfc.jwk.KeySet.import_key_set(__import__("json").loads(reply.body))
    claims = joserfc.jwt.decode(value, keys, algorithms=["ES256"]).claims
    assert claims == {
        "iss": "urn:sixfold:gateway", "sub": "alice", "idp": "https://id.example", "client_id": "app", "scope": "a b", "roles": ["r"],
        "iat": now // 1_000_000, "exp": now // 1_000_000 + 60, "tenant": "t",
    }  # fmt: skip
    header = jwt.get_unverified_header(value)
    assert header["typ"] == "sixfold-identity+jwt"
    key = jwt.PyJWKSet.from_json(reply.body.decode())[header["kid"]]
    options: Any = {"verify_exp": False, "verify_iat": False}
    assert jwt.decode(value, key.key, algorithms=["ES256"], options=options)["sub"] == "alice"
    assert "sixfold-identity" not in forwarded(engine, request, ANONYMOUS)


def test_the_key_set_is_for_everybody(build: Any, ask: Any, decide: Any) -> None:
    """HDR-05: the public keys are served without a credential; only GET."""
    engine = build()
    request = ask(engine, "HEAD /.well-known/sixfold/jwks.json")
    status, pairs, _ = engine.render(decide(engine, request), request)
    assert status == 200
    assert [value for name, value in pairs if name == b"cache-control"] == [b"public, max-age=300"]
    assert decide(engine, ask(engine, "POST /.well-known/sixfold/jwks.json")).status == 405
    engine = build("identity = false")
    assert decide(engine, ask(engine, "GET /.well-known/sixfold/jwks.json")).status == 404
