"""The six layers through real sockets: what each stops, what the others still stop without it, and what is told."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "t", "version": "1"},
    "paths": {
        "/orders": {
            "post": {
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "properties": {"qty": {"type": "integer"}},
                                "required": ["qty"],
                            }
                        }
                    },
                },
                "responses": {"200": {"description": "ok"}},
            }
        }
    },
}
POLICY = """
[gateway]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
upstream = "{upstream}"
openapi = "api.json"
{gateway}
[authentication]
issuer = "dev"
[authorization]
roles.editor = ["orders:write"]
[rate_limiting]
[validation]
[[routes]]
match = "POST /orders"
require = "orders:write"
limit = "2/hour per user"
{more}
"""
FILES = {"api.json": json.dumps(DOCUMENT).encode()}
SECRET = "s3cr3t-value"


@pytest.fixture
def orders(guarding: Any, upstream: Any) -> Any:
    """Start Sixfold with layers taken away: name and mode."""

    def start(lines: str = "", more: str = "", **modes: str) -> Any:
        policy = POLICY
        for layer, mode in modes.items():
            assert f"[{layer}]" in policy
            policy = policy.replace(f"[{layer}]", f'[{layer}]\nmode = "{mode}"')
        return guarding(upstream, lines, more, policy=policy, files=FILES)

    return start


ATTACKS = {
    "gateway": {"target": "/admin"},
    "authentication": {"token": "authorization: Bearer eyJhbGciOiJub25lIn0.e30.\r\n"},
    "authorization": {"scopes": ()},
    "validation": {"body": b'{"qty": "all"}'},
    "rate_limiting": {"times": 3},
}


def attack(
    guard: Any,
    *,
    target: str = "/orders",
    token: str = "",
    scopes: Any = ("orders:write",),
    body: bytes = b'{"qty": 1}',
    times: int = 1,
) -> Any:
    """Call as a caller who is right in everything but what is said; returns the last answer."""
    token = token or guard.mint(*scopes)
    for _ in range(times):
        head = f"POST {target} HTTP/1.1\r\nhost: localhost\r\n{token}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        answer = guard.client(head.encode() + body).answer()
    return answer


@pytest.mark.parametrize("layer", ATTACKS)
def test_each_layer_stops_its_own(layer: str, orders: Any, upstream: Any) -> None:
    """M14: one attack for each layer, each with everything else in order."""
    guard = orders()
    answer = attack(guard, **ATTACKS[layer])
    (story,) = guard.ask_admin(f"/-/decisions/{answer.json()['decision']}").json()
    assert story["layer"] == layer
    assert (
        answer.status
        in {
            "gateway": (404,),
            "authentication": (401,),
            "authorization": (403,),
            "validation": (400,),
            "rate_limiting": (429,),
        }[layer]
    )
    assert len(upstream.seen) == (2 if layer == "rate_limiting" else 0)


STILL = [
    ("gateway", "gateway", {"authorization"}),  # an unlisted path is ruled by nobody
    ("gateway", "authorization", {"authorization"}),
    ("authentication", "authentication", {"authorization"}),  # nobody is known, so nobody may
    ("authentication", "validation", {"authorization", "validation"}),  # in shadow the caller is known all the same
    ("authorization", "authorization", set()),
    ("authorization", "authentication", {"authentication"}),
    ("authorization", "validation", {"validation"}),
    ("authorization", "rate_limiting", {"rate_limiting"}),
    ("validation", "validation", set()),
    ("validation", "authorization", {"authorization"}),
    ("validation", "gateway", {"gateway"}),
    ("rate_limiting", "rate_limiting", set()),
    ("rate_limiting", "authorization", {"authorization"}),
]


@pytest.mark.parametrize("mode", ["off", "shadow"])
@pytest.mark.parametrize(("gone", "tried", "stopped_by"), STILL)
def test_what_the_others_still_stop(
    gone: str, tried: str, stopped_by: set[str], mode: str, orders: Any, upstream: Any
) -> None:
    """M14: without one layer, each of the others still does its work; only the layer's own attack passes, if at all."""
    guard = orders(**{gone: mode})
    answer = attack(guard, **ATTACKS[tried])
    if not stopped_by:
        assert answer.status == 200
        return
    (story,) = guard.ask_admin(f"/-/decisions/{answer.json()['decision']}").json()
    assert story["layer"] in stopped_by


def test_shadow_is_told(orders: Any) -> None:
    """M14: what a layer in shadow mode would have refused stands in log, metrics and decisions."""
    guard = orders(validation="shadow")
    assert attack(guard, **ATTACKS["validation"]).status == 200
    (line,) = guard.lines(1)
    assert line["would_refuse"] == ["invalid-body"]
    (story,) = guard.ask_admin("/-/decisions?last=5").json()
    assert story["result"] == "would refuse"
    assert (
        'sixfold_refusals_total{code="invalid-body",decision="would_refuse",layer="validation",mode="shadow"} 1.0'
        in guard.ask_admin("/metrics").body.decode()
    )


# ---------------------------------------------------------------------- answers of our own


def fail_upstream(upstream: Any) -> None:
    upstream.answer = b"nonsense\r\n\r\n"


REFUSED = {
    "request-timeout": b"GET /open/x HTTP/1.1\r\nhost: loc",
    "malformed-request": b"GET /orders HTTP/1.1\r\nhost localhost\r\n\r\n",
    "malformed-target": b"GET /a%2fb HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "target-too-long": b"GET /%b HTTP/1.1\r\nhost: localhost\r\n\r\n" % (b"a" * 9000),
    "headers-too-large": b"GET / HTTP/1.1\r\nhost: localhost\r\na: %b\r\n\r\n" % (b"a" * 9000),
    "version-not-supported": b"GET / HTTP/2.0\r\nhost: localhost\r\n\r\n",
    "method-not-implemented": b"BREW / HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "unknown-host": b"GET / HTTP/1.1\r\nhost: elsewhere\r\n\r\n",
    "unknown-operation": b"GET /none HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "method-not-allowed": b"GET /orders HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "body-too-large": b"POST /orders HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9999999\r\n\r\n",
    "credentials-missing": b"POST /orders HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n",
    "upstream-malformed": b"GET /public HTTP/1.1\r\nhost: localhost\r\n\r\n",
}
ON_ALL = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-type": "application/problem+json; charset=utf-8",
}


@pytest.mark.parametrize("code", REFUSED)
def test_every_refusal(code: str, orders: Any, upstream: Any) -> None:
    """HDR-02, LOG-02: problem+json without internals, with the headers that protect a browser, and no word of who serves."""
    fail_upstream(upstream)
    guard = orders("header_timeout = 0.3", '[[routes]]\nmatch = "GET /public"\npublic = true\n')
    answer = guard.client(REFUSED[code]).answer()
    assert answer.json()["code"] == code
    assert {name: answer[name] for name in ON_ALL} == ON_ALL
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", answer["date"])
    assert answer.get("server") is None
    assert answer.get("strict-transport-security") is None
    assert set(answer.json()) <= {
        "type",
        "title",
        "status",
        "code",
        "decision",
        "detail",
        "errors",
        "required_scopes",
        "missing",
    }
    shown = answer.raw.decode() + answer.body.decode()
    assert not re.search(
        r"sixfold\.toml|Traceback|\.py|127\.0\.0\.1:|python|uvloop|llhttp|httptools", shown, re.IGNORECASE
    )


@pytest.mark.parametrize(
    ("method", "status"), [("TRACE", 405), ("CONNECT", 405), ("BREW", 501), ("get", 501), ("PROPFIND", 501)]
)
def test_methods(method: str, status: int, guard: Any, upstream: Any) -> None:
    """HDR-08: TRACE and CONNECT get 405, what nobody knows 501."""
    target = "localhost:80" if method == "CONNECT" else "/open/x"
    assert guard.client(f"{method} {target} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()).answer().status == status
    assert upstream.seen == []


@pytest.mark.parametrize(
    "name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "x_http_method_override"]
)
def test_method_overrides(name: str, guard: Any, upstream: Any) -> None:
    """HDR-07: ignored and taken out: a permitted POST never becomes a DELETE behind us."""
    head = f"POST /open/x HTTP/1.1\r\nhost: localhost\r\n{name}: DELETE\r\ncontent-length: 0\r\n\r\n"
    assert guard.client(head.encode()).answer().status == 200
    (seen,) = upstream.seen
    assert seen.line == "POST /open/x HTTP/1.1"
    assert b"DELETE" not in seen.raw


FORGED = [
    "Sixfold-Identity", "SIXFOLD-IDENTITY", "sixfold_identity", "Sixfold_Identity", "X-Sixfold-User", "x_sixfold_user", "X-User-ID", "x_user_id",
    "X-User_Id", "X-Forwarded-For", "x_forwarded_for", "Forwarded", "X-Real-IP", "X-Forwarded-Client-Cert", "X-Client-Cert", "Remote-User",
]  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
@pytest.mark.parametrize(
    "shape",
    ["{}: forged\r\n", "{0}: forged\r\n{0}: forged\r\n", "{}:forged  \r\n", "Connection: {0}\r\n{0}: forged\r\n"],
)
def test_forged_identities(name: str, shape: str, guarding: Any, upstream: Any) -> None:
    """HDR-04, HDR-05, HDR-06, RS-24: in no spelling does an identity or address from outside reach the upstream."""
    guard = guarding(
        upstream,
        more='[gateway.request_headers]\nset = {{ "X-User-ID" = "{{subject}}" }}\n'.replace("{{", "{").replace(
            "}}", "}"
        ),
    )
    answer = guard.get("/orders", guard.mint("orders:read", subject="alice") + shape.format(name))
    assert answer.status == 200
    (seen,) = upstream.seen
    assert b"forged" not in seen.raw
    assert seen.all("x-user-id") == ["alice"]
    assert len(seen.all("sixfold-identity")) == 1
    assert seen.all("x-forwarded-for") == ["127.0.0.1"]


def test_the_signed_identity_over_the_wire(guard: Any, upstream: Any) -> None:
    """HDR-05: it verifies against the published keys with two other libraries, and is the same bytes for one token."""
    import joserfc.jwk
    import joserfc.jwt
    import jwt

    token = guard.mint("orders:read", subject="alice", roles=["r"], claims={"tenant": "acme"})
    client = guard.client()
    for _ in range(2):
        assert client.get("/orders", token).status == 200
    first, second = (seen.get("sixfold-identity") for seen in upstream.seen)
    assert first == second
    published = client.get("/.well-known/sixfold/jwks.json")
    assert published["content-type"].startswith("application/json")
    keys = joserfc.jwk.KeySet.import_key_set(published.json())
    claims = joserfc.jwt.decode(first, keys, algorithms=["ES256"]).claims
    assert (claims["sub"], claims["scope"], claims["roles"], claims["tenant"]) == (
        "alice",
        "orders:read",
        ["r"],
        "acme",
    )
    key = jwt.PyJWKSet.from_dict(published.json())[jwt.get_unverified_header(first)["kid"]]
    assert jwt.decode(first, key.key, algorithms=["ES256"])["iss"] == "urn:sixfold:gateway"
    assert b"authorization" not in upstream.seen[0].raw
    assert len(upstream.seen) == 2  # the keys are ours, not the upstream's


# ---------------------------------------------------------------------- tokens


@pytest.mark.parametrize("query", ["?access_token={}", "?token={}", "?authorization=Bearer%20{}"])
def test_a_token_in_the_query(query: str, guard: Any) -> None:
    """RS-16: is no credential."""
    token = guard.mint("orders:read").split()[-1]
    assert guard.get(f"/orders{query.format(token)}").status == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("{0}{0}", 400),
        ("{0}cookie: access_token=x\r\n", 200),
        ("authorization: Basic YTpi\r\n{0}", 400),
        ("authorization: Bearer {1}, Bearer {1}\r\n", 401),
        ("authorization: bearer {1}\r\n", 200),
        ("Authorization: BEARER  {1}\r\n", 200),
    ],
)
def test_one_credential(headers: str, status: int, guard: Any) -> None:
    """RS-17: one credential in one header; two are an error, not a choice."""
    line = guard.mint("orders:read")
    assert guard.get("/orders", headers.format(line, line.split()[-1])).status == status


def test_no_token_in_any_log(serving: Any, upstream: Any, until: Any) -> None:
    """RS-25, LOG-01: neither a good token nor a bad one, neither a query nor a body, on any output."""
    import time

    from sixfold.layers.authentication import DevKeys

    served = serving(upstream)
    keys = DevKeys.load_or_create(served.folder / "dev")
    good = keys.mint(scopes=["orders:read"], now=time.time_ns() // 1000)
    client = served.client()
    for token in (good, good[:-5] + "AAAAA", SECRET, f"{SECRET}.{SECRET}.{SECRET}"):
        client.get(f"/orders?{SECRET}=1", f"authorization: Bearer {token}\r\ncookie: {SECRET}\r\n")
    client.send(f"POST /orders HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(SECRET)}\r\n\r\n{SECRET}".encode())
    client.answer()
    client.send(f"GET /orders HTTP/1.1\r\nhost: localhost\r\n{SECRET} {SECRET}\r\n\r\n".encode())
    client.answer()
    client.close()
    output = served.folder / "stdout.txt"
    assert until(lambda: len(output.read_text().splitlines()) == 6)
    said = output.read_text() + served.printed()
    assert SECRET not in said
    assert good.rpartition(".")[2] not in said
    assert good[:40] not in said


# ---------------------------------------------------------------------- address, CORS, headers


def test_the_address_behind_a_trusted_proxy(guarding: Any, upstream: Any) -> None:
    """UX-01: limits, log and upstream see the caller a trusted proxy names; nobody is trusted unless said."""
    limit = '[[routes]]\nmatch = "GET /few"\npublic = true\nlimit = "1/hour per address"\n'
    trusting = guarding(upstream, 'trusted_proxies = ["127.0.0.0/8"]', limit)
    assert trusting.get("/few", "x-forwarded-for: 6.6.6.6, 192.0.2.1\r\n").status == 200
    assert trusting.get("/few", "x-forwarded-for: 7.7.7.7, 192.0.2.1\r\n").status == 429
    assert trusting.get("/few", "x-forwarded-for: 6.6.6.6, 192.0.2.2\r\n").status == 200
    assert upstream.seen[0].all("x-forwarded-for") == ["192.0.2.1"]
    assert [line["address"] for line in trusting.lines(3)] == ["192.0.2.1", "192.0.2.1", "192.0.2.2"]
    plain = guarding(upstream, more=limit)
    assert plain.get("/few", "x-forwarded-for: 192.0.2.1\r\n").status == 200
    assert plain.get("/few", "x-forwarded-for: 192.0.2.2\r\n").status == 429


CORS = '[gateway.cors]\norigins = ["https://app.example"]\n'


def test_cors_over_the_wire(guarding: Any, upstream: Any) -> None:
    """HDR-03: preflight here, without a credential; the answer readable by the listed origin alone, errors too."""
    guard = guarding(upstream, more=CORS)
    ask = "origin: {}\r\naccess-control-request-method: POST\r\naccess-control-request-headers: content-type\r\n"
    found = guard.get("/orders", ask.format("https://app.example"), "OPTIONS")
    assert (found.status, found["access-control-allow-origin"]) == (204, "https://app.example")
    assert "POST" in found["access-control-allow-methods"]
    assert guard.get("/orders", ask.format("https://evil.example"), "OPTIONS").status == 403
    assert upstream.seen == []
    upstream.answer = b"HTTP/1.1 200 OK\r\naccess-control-allow-origin: *\r\ncontent-length: 0\r\n\r\n"
    for target, status in (("/open/x", 200), ("/orders", 401), ("/none", 404)):
        found = guard.get(target, "origin: https://app.example\r\n")
        assert (found.status, found["access-control-allow-origin"], found["vary"]) == (
            status,
            "https://app.example",
            "origin",
        )
        found = guard.get(target, "origin: https://evil.example\r\n")
        assert (found.status, found.all("access-control-allow-origin"), found["vary"]) == (status, [], "origin")


EDITS = """
[gateway.request_headers]
remove = ["X-Gone"]
rename = { "X-Old" = "X-New" }
[gateway.request_headers.set]
X-Who = "{subject} of {claim:org.name}"
[gateway.response_headers]
remove = ["X-Debug"]
[gateway.response_headers.set]
X-Caller = "{subject}"
"""


def test_edits_over_the_wire(guarding: Any, upstream: Any) -> None:
    """HDR-05: transforms of both directions, claims included; a fact that is missing leaves the header out."""
    guard = guarding(upstream, more=EDITS)
    upstream.answer = b"HTTP/1.1 200 OK\r\nx-debug: 1\r\nx-caller: root\r\ncontent-length: 0\r\n\r\n"
    token = guard.mint("orders:read", subject="alice", claims={"org": {"name": "acme"}})
    found = guard.get("/orders", token + "x-gone: 1\r\nx-old: 2\r\nx-who: root\r\n")
    (seen,) = upstream.seen
    assert (seen.get("x-gone"), seen.get("x-old"), seen.get("x-new"), seen.get("x-who")) == (
        None,
        None,
        "2",
        "alice of acme",
    )
    assert (found.get("x-debug"), found["x-caller"]) == (None, "alice")
    found = guard.get("/open/x", "x-who: root\r\n")
    assert upstream.seen[1].get("x-who") is None
    assert found.get("x-caller") is None


def test_limits_are_told(orders: Any) -> None:
    """HDR-06: `RateLimit` headers on answers and refusals; neither side's `Connection` takes them away."""
    guard = orders()
    attack(guard)
    token = guard.mint("orders:write")
    head = f"POST /orders HTTP/1.1\r\nhost: localhost\r\n{token}connection: ratelimit, ratelimit-policy\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n"
    answer = guard.client(head.encode() + b'{"qty":1}').answer()
    assert answer.status == 200
    assert "r=0" in answer["ratelimit"]
    refused = attack(guard)
    assert (refused.status, refused.get("retry-after") is not None) == (429, True)


# ---------------------------------------------------------------------- log and metrics


def test_the_access_log(guard: Any, upstream: Any) -> None:
    """LOG-01: one JSON line for each request, whatever became of it, and nothing twice."""
    token = guard.mint("orders:read", subject="alice")
    client = guard.client()
    client.get("/orders/7?a=b", token)
    client.get("/orders", method="HEAD")
    client.get("/none")
    client.send(b"GET /open/x HTTP/1.1\r\nhost localhost\r\n\r\n")
    client.answer()
    chunked = guard.client(b"POST /open/x HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")
    assert chunked.answer().status == 400
    lines = guard.lines(5)
    assert len(lines) == 5
    assert [line["status"] for line in lines] == [200, 401, 404, 400, 400]
    first = lines[0]
    assert (first["method"], first["path"], first["route"], first["bytes"]) == ("GET", "/orders/7", "/orders/{id}", 5)
    assert (first["subject"], first["client"], first["address"]) == ("alice", "sixfold-dev", "127.0.0.1")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert 0 < first["ms"] < 10_000
    assert [line.get("code") for line in lines] == [
        None,
        "credentials-missing",
        "unknown-operation",
        "malformed-request",
        "malformed-request",
    ]
    assert len({line["decision"] for line in lines}) == 5


def test_a_line_cannot_be_forged(guard: Any) -> None:
    """LOG-01: control characters never reach the log as they are; what a path may hold is one JSON text."""
    guard.get("/none/%22%7D%E2%80%AE")
    guard.get("/none", guard.mint("x", subject='a"}\n{"status":200,\x1b[2J'))
    raw = (guard.lines(2), guard.log.read_bytes())[1]
    assert len(raw.splitlines()) == 2
    assert not [byte for byte in raw if byte < 32 and byte != 10]


def test_only_what_was_refused(guarding: Any, upstream: Any) -> None:
    """OBS-02: the log may hold refusals alone."""
    guard = guarding(upstream)
    guard.worker.watch.log.refused_only = True
    guard.get("/open/x")
    guard.get("/none")
    assert [line["status"] for line in guard.lines(1)] == [404]


def test_metrics(guard: Any, upstream: Any) -> None:
    """OBS-02: a stranger's parser reads them; counters agree with what happened; no label grows with what callers send."""
    from prometheus_client.parser import text_string_to_metric_families

    for number in range(3):
        guard.get(f"/open/{number}")
        guard.get(f"/none/{number}")
    guard.client(b"nonsense\r\n\r\n").answer()
    guard.lines(7)
    answer = guard.ask_admin("/metrics")
    assert answer["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(answer.body.decode())}
    requests = {
        tuple(sample.labels.values()): sample.value
        for sample in families["sixfold_requests"].samples
        if sample.name.endswith("_total")
    }
    assert requests == {("GET", "/open/**", "200"): 3, ("GET", "", "404"): 3, ("", "", "400"): 1}
    refusals = {
        sample.labels["code"]: sample.value
        for sample in families["sixfold_refusals"].samples
        if sample.name.endswith("_total")
    }
    assert refusals == {"unknown-operation": 3, "malformed-request": 1}
    durations = {sample.name: sample.value for sample in families["http_server_request_duration_seconds"].samples}
    assert durations["http_server_request_duration_seconds_count"] == 7
    assert families["sixfold_policy_info"].samples[0].labels["version"] == guard.worker.edge.engine.policy.version
