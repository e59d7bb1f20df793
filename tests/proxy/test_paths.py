"""What the engine matched is what the upstream's own router matches: same route, same parameters."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.routing import Match, Route
from werkzeug.routing import Map, Rule

from sixfold.decision import Refusal
from sixfold.request import Fields, Peer

TEMPLATES = (
    "/", "/orders", "/orders/", "/orders/{id}", "/orders/mine", "/orders/{id}/lines", "/orders/{id}/lines/{line}",
    "/files/{name}.pdf", "/a-b/é", "/{tenant}/users/{user}", "/users/{user}@home",
)  # fmt: skip
POLICY = "".join(f'[[routes]]\nmatch = "GET {template}"\npublic = true\n' for template in TEMPLATES)
PIECES = (
    "/", "//", "/orders", "/orders/", "orders", "mine", "lines", "/lines/", "files/", ".pdf", "users", "/users/", "@home", "a-b", "a%20b", "%C3%A9",
    "é", "%2f", "%2F", "%5c", "\\", "%2e", "..", ".", "..;", ";x", "%3b", "%00", "%0a", "%25", "%2541", "%41", "+", "%2B", "%20", "~", "%7e",
    "7", "x", ":", "=", "&", "?", "?a=b", "#", "{id}", "%7Bid%7D", "%EF%BC%8F", "%C2%A0", "%e2%80%8b", "@",
)  # fmt: skip


def order(template: str) -> tuple[int, ...]:
    """Sort routes as people write them: text before parameters."""
    return tuple(
        0 if "{" not in segment else 1 if segment.strip("{}") != segment[1:-1] else 2 for segment in template.split("/")
    )


SORTED = sorted(TEMPLATES, key=lambda template: (order(template), template))
Found = tuple[str, dict[str, str]] | None


def starlette() -> Callable[[bytes], Found]:
    async def endpoint(request: Any) -> None:
        pass

    routes = [Route(template, endpoint, methods=["GET"]) for template in SORTED]

    def find(target: bytes) -> Found:
        path = unquote_to_bytes(target.partition(b"?")[0]).decode()  # as uvicorn does
        scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "raw_path": target}
        for route in routes:
            match, child = route.matches(scope)
            if match is Match.FULL:
                return route.path, {name: str(value) for name, value in child["path_params"].items()}
        return None

    return find


def werkzeug() -> Callable[[bytes], Found]:
    rules = [
        Rule(template.replace("{", "<").replace("}", ">"), endpoint=template, strict_slashes=True, merge_slashes=False)
        for template in TEMPLATES
    ]
    adapter = Map(rules, merge_slashes=False).bind("localhost")

    def find(target: bytes) -> Found:
        path = unquote_to_bytes(target.partition(b"?")[0]).decode()  # as WSGI servers do
        try:
            endpoint, values = adapter.match(path, method="GET")
        except Exception as problem:
            if type(problem).__name__ in ("NotFound", "RequestRedirect"):
                return None
            raise
        return endpoint, values

    return find


ROUTERS = {"starlette": starlette(), "werkzeug": werkzeug()}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from sixfold.assembly import assemble
    from sixfold.policy import read_policy

    folder = tmp_path_factory.mktemp("paths")
    (folder / "sixfold.toml").write_text(POLICY)
    return assemble(read_policy(folder / "sixfold.toml", {}), folder)


def matched(engine: Any, target: bytes) -> tuple[bytes, Found]:
    """Return what would be forwarded, and what was matched; nothing for a refusal."""
    request = engine.canonicaliser.request(b"GET", target, Fields([(b"host", b"localhost")]), Peer("127.0.0.1"), 0)
    if isinstance(request, Refusal):
        return b"", None
    door = engine.gateway.route(request)
    if isinstance(door, Refusal):
        return b"", None
    return request.target, (door.operation.path, dict(door.parameters))


def likely(data: Any) -> bytes:
    parts = data.draw(st.lists(st.sampled_from(PIECES) | st.text(max_size=2), min_size=1, max_size=6))
    return ("/" + "".join(parts).removeprefix("/")).encode()


@pytest.mark.parametrize("router", ROUTERS)
@settings(max_examples=700, deadline=None)
@given(data=st.data())
def test_both_routers_agree(router: str, engine: Any, data: Any) -> None:
    """PATH-02: whatever is forwarded, the upstream finds the route and the parameter values that were judged."""
    forwarded, ours = matched(engine, likely(data))
    if ours is not None:
        assert ROUTERS[router](forwarded) == ours, forwarded


@pytest.mark.parametrize("router", ROUTERS)
@pytest.mark.parametrize(
    ("target", "template", "parameters"),
    [
        ("/", "/", {}), ("/orders", "/orders", {}), ("/orders/", "/orders/", {}), ("/orders/mine", "/orders/mine", {}),
        ("/orders/7", "/orders/{id}", {"id": "7"}), ("/orders/a%20b", "/orders/{id}", {"id": "a b"}),
        ("/orders/100%25", "/orders/{id}", {"id": "100%"}), ("/orders/%3F", "/orders/{id}", {"id": "?"}),
        ("/orders/7/lines/8", "/orders/{id}/lines/{line}", {"id": "7", "line": "8"}),
        ("/%6frders", "/orders", {}), ("/%61-b/%c3%a9", "/a-b/é", {}), ("/files/x.y.pdf", "/files/{name}.pdf", {"name": "x.y"}),
        ("/acme/users/7", "/{tenant}/users/{user}", {"tenant": "acme", "user": "7"}),
        ("/users/me@home", "/users/{user}@home", {"user": "me"}),
    ],
)  # fmt: skip
def test_both_routers_find(router: str, engine: Any, target: str, template: str, parameters: dict[str, str]) -> None:
    """PATH-02: by example, so that agreement is not for want of matches."""
    forwarded, ours = matched(engine, target.encode())
    assert ours == (template, parameters)
    assert ROUTERS[router](forwarded) == ours


def test_the_same_through_sockets(guarding: Any, upstream: Any) -> None:
    """PATH-02: the upstream gets exactly the bytes that were matched, once decoded and encoded."""
    guard = guarding(
        upstream,
        policy='[gateway]\nlisten = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\nupstream = "{upstream}"\n'
        + POLICY.replace("{", "{{").replace("}", "}}"),
    )
    client = guard.client()
    cases = {"/%6frders/%37": "/orders/7", "/%61-b/%c3%a9": "/a-b/%C3%A9", "/orders/x?b=%61+c&d": "/orders/x?b=a%20c&d"}
    for sent, got in cases.items():
        assert client.get(sent).status == 200
        assert upstream.seen[-1].line == f"GET {got} HTTP/1.1"
    for refused in ("/orders/..%2f..%2fadmin", "/orders//7", "/./orders", "/orders/%2e%2e/admin", "/orders;x=y/7"):
        assert guard.get(refused).status == 400
    assert len(upstream.seen) == len(cases)


DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "t", "version": "1"},
    "paths": {
        "/orders/{id}": {
            "get": {
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
                    {"name": "page", "in": "query", "schema": {"type": "integer"}},
                ],
                "responses": {"200": {"description": "ok"}},
            }
        }
    },
}


@pytest.mark.parametrize("query", ["id=7", "id=8", "page=1&page=2", "page=1&page=1", "page=1&id=7"])
def test_one_source_for_an_id(query: str, guarding: Any, upstream: Any) -> None:
    """PATH-04: an id in path and query, equal or not, and a doubled scalar: 400; the path is the only source."""
    policy = (
        '[gateway]\nlisten = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\nupstream = "{upstream}"\nopenapi = "api.json"\n'
        '[[routes]]\nmatch = "GET /orders/{{id}}"\npublic = true\n'
    )
    guard = guarding(upstream, policy=policy, files={"api.json": json.dumps(DOCUMENT).encode()})
    assert guard.get("/orders/7?page=1").status == 200
    answer = guard.get(f"/orders/7?{query}")
    assert (answer.status, answer.json()["code"]) == (400, "invalid-parameters")
    assert len(upstream.seen) == 1


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.2", "[::2]", "localhost@evil.example"]
)
def test_foreign_hosts(host: str, guard: Any, upstream: Any) -> None:
    """PATH-03: 421 (400 for what is no host), and nothing in the answer is built from it."""
    client = guard.client(f"GET /open/x HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
    answer = client.answer()
    assert answer.status in (400, 421)
    assert "evil" not in answer.raw.decode() + answer.body.decode()
    assert upstream.seen == []


def test_locations_are_not_ours(guard: Any, upstream: Any) -> None:
    """PATH-03: an absolute URL of the upstream goes on as it is; the client's `Host` reaches it cleaned, with no other."""
    upstream.answer = b"HTTP/1.1 302 Found\r\nlocation: http://elsewhere/x\r\ncontent-length: 0\r\n\r\n"
    client = guard.client(b"GET /open/x HTTP/1.1\r\nhost: LocalHost:99\r\nx-forwarded-host: evil\r\n\r\n")
    assert client.answer()["location"] == "http://elsewhere/x"
    (seen,) = upstream.seen
    assert seen.all("host") == ["localhost:99"]
    assert seen.all("x-forwarded-host") == ["localhost:99"]
