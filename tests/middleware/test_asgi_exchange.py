"""The layer as an ASGI server sees it: messages in, messages out."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

from sixfold.engine import Engine
from sixfold.flow import Permit
from sixfold.layers.rate_limiting import RateLimiting
from sixfold.middleware.asgi import SixfoldMiddleware
from sixfold.needs import Unavailable

POLICY = """
[authentication]
issuer = "dev"
[rate_limiting]
anonymous = "1000/minute per address"
[gateway]
max_body = 10
[[routes]]
match = "* /open/**"
public = true
[[routes]]
match = "GET /busy"
public = true
limit = "1 concurrent-requests per global"
[[routes]]
match = "GET /edited"
public = true
request_headers.set = { "x-caller" = "{address}" }
request_headers.remove = ["x-secret"]
response_headers.set = { "x-told" = "yes" }
[[routes]]
match = "GET /closed"
require = "a"
"""


class App:
    """Keeps what it is given, reads the whole body, answers with it."""

    def __init__(self, *, reads: bool = True, answer: list[dict[str, Any]] | None = None) -> None:
        self.reads = reads
        self.answer = answer
        self.scope: dict[str, Any] = {}
        self.received: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        while self.reads:
            self.received.append(await receive())
            if not self.received[-1].get("more_body"):
                break
        for message in self.answer or [
            {"type": "http.response.start", "status": 200, "headers": [(b"X-Case", b"kept"), (b"server", b"secret/1")]},
            {"type": "http.response.body", "body": b"done"},
        ]:
            await send(message)


@pytest.fixture
def protect(policy_file):
    def make(app: Any, text: str = POLICY, **settings: Any) -> SixfoldMiddleware:
        return SixfoldMiddleware(app, policy_file(whole=text), **settings)

    return make


def run(call: Any, *arguments: Any, **named: Any) -> list[dict[str, Any]]:
    return asyncio.run(call(*arguments, **named))


def status_of(sent: list[dict[str, Any]]) -> int:
    return sent[0]["status"] if sent else 0


def headers_of(sent: list[dict[str, Any]]) -> dict[bytes, bytes]:
    return dict(sent[0]["headers"])


# ---------------------------------------------------------------------- what the application gets


def test_the_application_gets_what_was_matched(call, protect):
    """PATH-01: path, raw path and query are those of the canonical request."""
    app = App()
    sent = run(call, protect(app), path="/open/a b", raw_path=b"/open/a%20%62", query_string=b"x=%31+2")
    assert status_of(sent) == 200
    assert (app.scope["path"], app.scope["raw_path"], app.scope["query_string"]) == (
        "/open/a b",
        b"/open/a%20b",
        b"x=1%202",
    )


@pytest.mark.parametrize(
    ("path", "raw"),
    [
        ("/open/../closed", b"/open/%2e%2e/closed"),
        ("/open/a/b", b"/open/a%2Fb"),
        ("/open//a", b"/open//a"),
        ("/open/a;b", b"/open/a;b"),
        ("/open/\x00", b"/open/%00"),
        ("/open/%2e", b"/open/%252e"),
    ],
)
def test_ambiguous_targets(call, protect, path, raw):
    """PATH-01: a target that can be read in two ways never reaches the application."""
    app = App()
    assert status_of(run(call, protect(app), path=path, raw_path=raw)) == 400
    assert app.scope == {}


def test_without_raw_path(call, protect):
    """PATH-01: a server that sends no raw path is served by the decoded one."""
    app = App()
    run(call, protect(app), path="/open/ä", raw_path=None)
    assert (app.scope["path"], app.scope["raw_path"]) == ("/open/ä", b"/open/%C3%A4")


@pytest.mark.parametrize(
    ("root", "path", "raw", "inside"),
    [
        ("/api", "/api/open/x", b"/api/open/x", "/api/open/x"),
        ("/api", "/api/open/x", b"/open/x", "/api/open/x"),
        ("/api", "/open/x", b"/open/x", "/open/x"),
        ("/ä", "/ä/open/x", b"/%C3%A4/open/x", "/ä/open/x"),
        ("/apis", "/api/open/x", b"/api/open/x", None),
    ],
)
def test_root_path(call, protect, root, path, raw, inside):
    """PATH-01: the prefix of a mount is no part of the policy's paths, and is given back to the application."""
    app = App()
    sent = run(call, protect(app), path=path, raw_path=raw, root_path=root)
    assert (status_of(sent), app.scope.get("path")) == ((200, inside) if inside else (404, None))


def test_headers_that_never_pass(call, protect):
    """HDR-05: identity and forwarding headers of the client are dropped in all spellings, credentials stay."""
    app = App()
    spellings = [b"Sixfold-Identity", b"sixfold_identity", b"X-SIXFOLD-User", b"Remote-User", b"x-remote-user"]
    forged = [b"x-forwarded-for", b"Forwarded", b"X-Real-IP", b"x-http-method-override", b"x_forwarded_for"]
    kept = [b"Accept", b"cookie", b"connection"]
    run(call, protect(app), path="/open", headers=[(name, b"v") for name in (*spellings, *forged, *kept)])
    assert {name for name, _ in app.scope["headers"]} == {b"host", b"accept", b"cookie", b"connection"}


def test_credentials_stay(call, protect, bearer):
    """API-01: in its own process the application is trusted with `Authorization`."""
    app = App()
    token = bearer(scopes=["a"])["authorization"].encode()
    assert status_of(run(call, protect(app), path="/closed", headers=[(b"authorization", token)])) == 200
    assert (b"authorization", token) in app.scope["headers"]


def test_permit_in_scope(call, protect, bearer):
    """API-03: the scope holds the permit, `request.state` as well, beside what the lifespan put there."""
    app = App()
    token = bearer("bob", scopes=["a"])["authorization"].encode()
    run(call, protect(app), path="/closed", headers=[(b"authorization", token)], state={"own": 1})
    permit = app.scope["sixfold"]
    assert type(permit) is Permit
    assert permit.identity.subject == "bob"
    assert app.scope["state"] == {"own": 1, "sixfold": permit}


def test_header_edits(call, protect):
    """HDR-05: the policy's header edits apply in both directions."""
    app = App()
    sent = run(call, protect(app), path="/edited", headers=[(b"x-secret", b"s"), (b"x-caller", b"forged")])
    assert (b"x-caller", b"127.0.0.1") in app.scope["headers"]
    assert {name for name, _ in app.scope["headers"]} == {b"host", b"x-caller"}
    assert headers_of(sent)[b"x-told"] == b"yes"


def test_answer_headers(call, protect):
    """UX-08: the answer's names in lower case, security headers added, the server's name dropped."""
    headers = headers_of(run(call, protect(App()), path="/open"))
    assert headers[b"x-case"] == b"kept"
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert b"server" not in headers


def test_trusted_proxy(call, protect):
    """UX-01: the application sees caller and scheme as a trusted proxy tells them; others are not believed."""
    text = """
[encryption]
mode = "behind-proxy"
[gateway]
trusted_proxies = ["10.0.0.0/8"]
[authentication]
mode = "off"
[[routes]]
match = "* /open"
public = true
"""
    headers = [(b"x-forwarded-for", b"1.1.1.1, 203.0.113.9"), (b"x-forwarded-proto", b"https")]
    app = App()
    layer = protect(app, text)

    async def both() -> None:
        sent = await call(layer, path="/open", headers=headers, client=("10.1.2.3", 99))
        assert status_of(sent) == 200
        assert (app.scope["client"], app.scope["scheme"]) == (("203.0.113.9", 0), "https")
        assert b"x-forwarded-for" not in dict(app.scope["headers"])
        assert headers_of(sent)[b"strict-transport-security"]
        assert status_of(await call(layer, path="/open", headers=headers, client=("192.0.2.1", 99))) == 426
        assert status_of(await call(layer, path="/open", client=("192.0.2.1", 99), scheme="https")) == 200

    asyncio.run(both())


# ---------------------------------------------------------------------- bodies


def chunks(*pieces: bytes) -> list[dict[str, Any]]:
    last = len(pieces) - 1
    return [{"type": "http.request", "body": piece, "more_body": index < last} for index, piece in enumerate(pieces)]


CHUNKED = [(b"transfer-encoding", b"chunked")]


def test_streamed_body(call, protect):
    """UX-12: a body is handed on piece by piece."""
    app = App()
    sent = run(call, protect(app), "POST", "/open", headers=CHUNKED, messages=chunks(b"12345", b"67890"))
    assert (status_of(sent), [one["body"] for one in app.received]) == (200, [b"12345", b"67890"])


@pytest.mark.parametrize("more", [[], [b"never read"]])
def test_streamed_body_too_large(call, protect, more):
    """UX-12: a chunked body is counted; beyond the cap the caller gets 413, whatever the application answers."""
    app = App()
    sent = run(call, protect(app), "POST", "/open", headers=CHUNKED, messages=chunks(b"12345", b"678901", *more))
    assert status_of(sent) == 413
    assert headers_of(sent)[b"connection"] == b"close"
    assert app.received[-1] == {"type": "http.disconnect"}
    assert len(sent) == 2


def test_application_stumbles_over_the_cap(call, protect):
    """UX-12: an application that raises because its caller is gone does not turn the 413 into a 500."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        raise RuntimeError("gone")

    sent = run(call, protect(app), "POST", "/open", headers=CHUNKED, messages=chunks(b"12345", b"678901"))
    assert status_of(sent) == 413


def test_cap_after_the_answer_began(call, protect):
    """UX-12: where the answer has begun nothing more of it is sent, so that the server breaks the connection."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.body", "body": b"b"})

    layer = protect(app)
    sent = run(call, layer, "POST", "/open", headers=CHUNKED, messages=chunks(b"12345", b"678901"))
    assert [one.get("body") for one in sent] == [None, b"a"]
    assert layer.watch.metrics.decisions[("gateway", "refuse", "body-too-large", "enforce")] == 1


def test_declared_length(call, protect):
    """UX-12: 413 before a byte is read; more bytes than declared count as too large as well."""
    app = App()
    assert status_of(run(call, protect(app), "POST", "/open", headers=[(b"content-length", b"11")])) == 413
    assert app.scope == {}
    lying = [(b"content-length", b"3")]
    assert status_of(run(call, protect(App()), "POST", "/open", headers=lying, messages=chunks(b"1234"))) == 413
    assert status_of(run(call, protect(App()), "GET", "/open", messages=chunks(b"smuggled"))) == 413


@pytest.mark.parametrize("value", [b"-1", b"+5", b"5,5", b"0x5", b" 5", b"5 ", b"", b"9" * 19, "５".encode()])
def test_strange_lengths(call, protect, value):
    """H1-03: a `Content-Length` that is no number is refused, whatever the server let through."""
    assert status_of(run(call, protect(App()), "POST", "/open", headers=[(b"content-length", value)])) == 400


def test_two_framings(call, protect):
    """H1-04: `Content-Length` beside `Transfer-Encoding` is refused."""
    headers = [*CHUNKED, (b"content-length", b"3")]
    sent = run(call, protect(App()), "POST", "/open", headers=headers)
    assert (status_of(sent), headers_of(sent)[b"connection"]) == (400, b"close")


@pytest.mark.parametrize(
    ("messages", "status"),
    [
        (chunks(b""), 200),
        (chunks(b"12345"), 200),
        (chunks(b"", b"12345", b"678901"), 413),
        (chunks(b"12345678901"), 413),
    ],
)
def test_http2_body_without_length(call, protect, messages, status):
    """UX-12: in HTTP/2 a body needs no header; it is counted all the same."""
    app = App()
    sent = run(call, protect(app), "POST", "/open", messages=messages, http_version="2")
    assert status_of(sent) == status
    if status == 200:
        assert b"".join(one["body"] for one in app.received) == b"".join(one["body"] for one in messages)


def contract(tmp_path: Any, response: str = "off", request: str = "enforce") -> str:
    (tmp_path / "openapi.yaml").write_text("""
openapi: 3.1.0
info: {title: t, version: "1"}
paths:
  /orders:
    post:
      security: []
      requestBody:
        content:
          application/json: {schema: {type: object, properties: {qty: {type: integer}}}}
      responses:
        "200":
          description: ok
          content: {application/json: {schema: {type: object, required: [id], properties: {id: {type: integer}}}}}
    get:
      security: []
      responses:
        "200":
          description: ok
          content: {application/json: {schema: {type: object, required: [id], properties: {id: {type: integer}}}}}
""")
    return (
        '[gateway]\nopenapi = "openapi.yaml"\nmax_body = 40\nbody_timeout = "50 ms"\n[authentication]\nissuer = "dev"\n'
        f'[validation]\nresponse = "{response}"\nrequest = "{request}"\nmax_response = 30\n'
    )


JSON = [(b"content-type", b"application/json")]


def test_checked_body_is_replayed(call, protect, tmp_path):
    """UX-12: a body in pieces is checked whole; the application reads the canonical one, with its own length."""
    app = App()
    messages = chunks(b'{"qty"', b" :   2", b"}")
    headers = [*JSON, *CHUNKED, (b"digest", b"x")]
    sent = run(call, protect(app, contract(tmp_path)), "POST", "/orders", headers=headers, messages=messages)
    assert status_of(sent) == 200
    assert app.received == [{"type": "http.request", "body": b'{"qty":2}', "more_body": False}]
    seen = dict(app.scope["headers"])
    assert seen[b"content-length"] == b"9"
    assert not seen.keys() & {b"transfer-encoding", b"digest"}


def test_original_body_is_replayed(call, protect, tmp_path):
    """UX-12: where the original is forwarded the application reads what the client sent."""
    app = App()
    raw = b'{"qty" :  2}'
    text = contract(tmp_path) + 'forward = "original"\n'
    headers = [*JSON, (b"content-length", b"%d" % len(raw))]
    run(call, protect(app, text), "POST", "/orders", headers=headers, messages=chunks(raw[:3], raw[3:]))
    assert app.received[0]["body"] == raw


def test_broken_body(call, protect, tmp_path):
    """API-01: a body against its contract never reaches the application."""
    app = App()
    messages = chunks(b'{"qty": "two"}')
    sent = run(call, protect(app, contract(tmp_path)), "POST", "/orders", headers=[*JSON, *CHUNKED], messages=messages)
    assert status_of(sent) == 400
    assert b'"pointer":"/qty"' in sent[1]["body"]
    assert app.scope == {}


def test_checked_body_too_large(call, protect, tmp_path):
    """UX-12: a body that is read for checking has the same cap."""
    messages = chunks(b'{"qty": 1}', b" " * 40)
    sent = run(
        call, protect(App(), contract(tmp_path)), "POST", "/orders", headers=[*JSON, *CHUNKED], messages=messages
    )
    assert status_of(sent) == 413


def test_caller_goes_away_while_sending(call, protect, tmp_path):
    """UX-12: a body that never arrives whole is refused, and the application is not called."""
    app = App()
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    sent = run(call, protect(app, contract(tmp_path)), "POST", "/orders", headers=[*JSON, *CHUNKED], messages=messages)
    assert status_of(sent) == 408
    assert app.scope == {}


def test_body_that_never_comes(protect, tmp_path):
    """SLOW-02: a body that is waited for has a deadline."""
    layer = protect(App(), contract(tmp_path))
    sent: list[dict[str, Any]] = []

    async def never() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "path": "/orders",
        "query_string": b"", "headers": [(b"host", b"x"), *JSON, *CHUNKED], "client": ("127.0.0.1", 1),
    }  # fmt: skip
    asyncio.run(layer(scope, never, send))
    assert status_of(sent) == 408


# ---------------------------------------------------------------------- response contracts


def answer(*pieces: bytes, status: int = 200) -> list[dict[str, Any]]:
    last = len(pieces) - 1
    return [
        {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]},
        *({"type": "http.response.body", "body": piece, "more_body": i < last} for i, piece in enumerate(pieces)),
    ]


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        ([b'{"id":', b" 1}"], 200),
        ([b'{"id": "secret"}'], 502),
        ([b'{"id": 1,', b'"more": "' + b"x" * 40 + b'"}'], 502),
    ],
)
def test_answers_keep_their_contract(call, protect, tmp_path, pieces, status):
    """API3: an answer against its contract is withheld, one too large to be checked as well."""
    sent = run(call, protect(App(answer=answer(*pieces)), contract(tmp_path, "enforce")), "GET", "/orders")
    assert status_of(sent) == status
    body = b"".join(one.get("body", b"") for one in sent)
    assert body == b"".join(pieces) if status == 200 else b"secret" not in body


def test_answers_in_shadow(call, protect, tmp_path):
    """SHD-01: in shadow the answer passes and is told."""
    layer = protect(App(answer=answer(b'{"id": "x"}', b" ")), contract(tmp_path, "shadow"))
    sent = run(call, layer, "GET", "/orders")
    assert (status_of(sent), sent[1]["body"]) == (200, b'{"id": "x"} ')
    assert layer.watch.metrics.decisions[("validation", "would_refuse", "response-contract", "shadow")] == 1


def test_no_way_around_the_contract(call, protect, tmp_path):
    """API3: while answers are checked, the server's shortcuts for files are not offered."""
    app = App()
    extensions = {"http.response.pathsend": {}, "http.response.trailers": {}}
    run(call, protect(app, contract(tmp_path, "enforce")), "GET", "/orders", extensions=extensions)
    assert app.scope["extensions"] == {"http.response.trailers": {}}
    run(call, protect(app, contract(tmp_path)), "GET", "/orders", extensions=extensions)
    assert app.scope["extensions"] == extensions


def test_file_sending(call, protect):
    """UX-11: an answer that the server sends from a file ends the exchange."""
    start = {"type": "http.response.start", "status": 200, "headers": []}
    app = App(answer=[start, {"type": "http.response.pathsend", "path": "/x"}])
    layer = protect(app)
    sent = run(call, layer, path="/open", extensions={"http.response.pathsend": {}})
    assert [one["type"] for one in sent] == ["http.response.start", "http.response.pathsend"]
    assert layer.watch.metrics.answers[("GET", "/open/**", 200)] == 1


# ---------------------------------------------------------------------- what can go wrong


def test_application_raises(call, protect):
    """UX-08: an application that raises before it answers: 500 as problem+json with our headers, and the server sees
    the exception."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise LookupError("of the application")

    layer = protect(app)

    async def go() -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        async def catching(scope: Any, receive: Any, send: Any) -> None:
            async def keep(message: Any) -> None:
                sent.append(message)

            with pytest.raises(LookupError):
                await layer(scope, receive, keep)

        await call(catching, path="/open")
        return sent

    sent = asyncio.run(go())
    assert (status_of(sent), headers_of(sent)[b"x-content-type-options"]) == (500, b"nosniff")
    assert b"of the application" not in sent[1]["body"]


def test_a_bug_of_ours_refuses(call, protect, monkeypatch, caplog):
    """UX-03: a bug in a layer refuses with 500 and is logged; the application is not called."""
    app = App()
    layer = protect(app)

    def bug(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(RateLimiting, "spend", bug)
    sent = run(call, layer, path="/open")
    assert (status_of(sent), app.scope) == (500, {})
    assert "a bug while judging" in caplog.text


def test_a_bug_on_the_way_back(call, protect, monkeypatch):
    """UX-03: a bug in the answer's side of the layers withholds the answer."""
    layer = protect(App())

    def bug(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(RateLimiting, "headers", bug)
    sent = run(call, layer, path="/open")
    assert status_of(sent) == 500
    assert b"done" not in sent[1]["body"]


@pytest.mark.parametrize("ends", ["answers", "raises", "leaves"])
def test_places_are_given_back(call, protect, ends):
    """WS-03: a place of a concurrency limit is given back however the exchange ends."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if ends == "raises":
            raise LookupError
        if ends == "answers":
            await App()(scope, receive, send)

    layer = protect(app)

    async def twice() -> list[int]:
        statuses = []
        for _ in range(2):
            try:
                statuses.append(status_of(await call(layer, path="/busy")))
            except LookupError:
                statuses.append(500)
        return statuses

    expected = {"answers": [200, 200], "raises": [500, 500], "leaves": [0, 0]}
    assert asyncio.run(twice()) == expected[ends]
    assert len(layer.engine.state.limits) <= 1


def test_place_is_held_while_it_runs(call, protect):
    """WS-03: while one request is open the next one is refused; after its answer the place is free, whatever the
    application still does in the background."""
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        inside.set()
        await go_on.wait()
        await App()(scope, receive, send)

    layer = protect(app)

    async def both() -> tuple[int, int]:
        first = asyncio.create_task(call(layer, path="/busy"))
        await inside.wait()
        second = status_of(await call(layer, path="/busy"))
        go_on.set()
        return status_of(await first), second

    assert asyncio.run(both()) == (200, 429)


def test_keys_that_cannot_be_had(call, protect, monkeypatch, bearer):
    """UX-04: a key set that cannot be fetched is an answer for the layer, never a crash."""
    layer = protect(App())

    async def broken(*_: Any) -> None:
        raise OSError("no network")

    async def go() -> list[dict[str, Any]]:
        await call(layer, path="/open")
        from sixfold.middleware.exchange import fetch_fact
        from sixfold.needs import Counters, KeySet

        keys = type(layer.engine.state.keys)
        monkeypatch.setattr(keys, "refresh", broken)

        class Asked:
            now = 0

        assert isinstance(await fetch_fact(layer.engine, Asked(), KeySet("x")), Unavailable)  # type: ignore[arg-type]
        assert isinstance(await fetch_fact(layer.engine, Asked(), Counters((), 0)), Unavailable)  # type: ignore[arg-type]
        return []

    asyncio.run(go())


def test_head_has_no_body(call, protect):
    """UX-10: a refusal of HEAD has the length of its body, and no body."""
    sent = run(call, protect(App()), "HEAD", "/closed")
    assert (status_of(sent), sent[1]["body"]) == (401, b"")
    assert int(headers_of(sent)[b"content-length"]) > 50


def test_preflight(call, protect):
    """HDR-03: a preflight is answered by the policy, the application is not asked."""
    text = POLICY + '[gateway.cors]\norigins = ["https://a.example"]\n'
    app = App()
    headers = [(b"origin", b"https://a.example"), (b"access-control-request-method", b"GET")]
    sent = run(call, protect(app, text), "OPTIONS", "/closed", headers=headers)
    assert (status_of(sent), headers_of(sent)[b"access-control-allow-origin"]) == (204, b"https://a.example")
    assert b"content-length" not in headers_of(sent)
    assert app.scope == {}


def test_unknown_scopes(protect):
    """UX-12: a kind of scope that nobody can judge is refused."""
    with pytest.raises(RuntimeError, match="`webtransport`"):
        asyncio.run(protect(App())({"type": "webtransport"}, None, None))


@pytest.mark.parametrize("client", ["203.0.113.9", "10.0.0.1", "fe80::1%eth0", "::ffff:203.0.113.9"])
def test_development_is_for_this_machine(call, protect, client):
    """FIRST-05: developer keys and plain HTTP answer callers of this machine only."""
    app = App()
    sent = run(call, protect(app), path="/open", client=(client, 1))
    assert (status_of(sent), app.scope) == (421, {})


@pytest.mark.parametrize("client", [("127.0.0.1", 1), ("::1", 1), ("::ffff:127.0.0.1", 1), None, ("testclient", 50000)])
def test_callers_of_this_machine(call, protect, client):
    """FIRST-05: loopback, Unix sockets and test clients are this machine."""
    assert status_of(run(call, protect(App()), path="/open", client=client)) == 200


def test_refusals_are_told(call, protect, caplog):
    """EXP-01: the log tells decision id, rule, reason and remedy, at the level of the occasion."""
    with caplog.at_level(logging.INFO, "sixfold.middleware"):
        run(call, protect(App()), path="/closed")
    (record,) = [one for one in caplog.records if "refused GET /closed" in one.getMessage()]
    assert "401 credentials-missing" in record.getMessage()
    assert record.levelno == logging.INFO


def test_header_lists(call, protect):
    """UX-12: a server that hands over lists instead of tuples is understood."""
    app = App()
    headers: Any = [[b"Accept", b"x"]]
    assert status_of(run(call, protect(app), path="/open", headers=headers)) == 200
    assert (b"accept", b"x") in app.scope["headers"]


def test_repeated_header_sections(call, protect, bearer):
    """RS-17: header sections are kept between requests; who calls is decided anew for each."""
    layer = protect(App())
    token = bearer(scopes=["a"])["authorization"].encode()

    async def go() -> list[int]:
        sections = [[(b"authorization", token)], [(b"authorization", token)], []]
        return [status_of(await call(layer, path="/closed", headers=headers)) for headers in sections]

    assert asyncio.run(go()) == [200, 200, 401]


def test_access_log(call, protect, tmp_path):
    """OBS-04: an access log is written where the file asks for one, never by itself, and holds no token."""
    layer = protect(App())
    run(call, layer, path="/open")
    assert layer.watch.log is None
    logged = protect(App(), POLICY + '[log]\naccess = "access.log"\n')

    async def go() -> None:
        await call(logged, path="/open", headers=[(b"authorization", b"Bearer secret")])
        await logged.stop()

    asyncio.run(go())
    logged.watch.log.close()
    line = (tmp_path / "access.log").read_text()
    assert '"path":"/open"' in line
    assert "secret" not in line


def test_engine_is_shared(call, protect):
    """UX-13: the policy is compiled once, not per request or per loop."""
    layer = protect(App())
    run(call, layer, path="/open")
    engine = layer.engine
    run(call, layer, path="/open")
    assert layer.engine is engine
    assert isinstance(engine, Engine)


def test_clock_is_read_once(call, protect, monkeypatch):
    """UX-13: time is read at the face, and handed in."""
    reads = []
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: reads.append(1) or real())
    app = App()
    run(call, protect(app), path="/open")
    assert app.scope["sixfold"].request.now > 0
