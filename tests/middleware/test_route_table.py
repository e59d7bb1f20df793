from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Host, Mount, Route, Router, WebSocketRoute, compile_path
from starlette.testclient import TestClient

import sixfold
from sixfold.layers.gateway.rules import compile_door, compile_router
from sixfold.middleware import fastapi as face
from sixfold.middleware import routes
from sixfold.middleware import starlette as plain
from sixfold.middleware.overlap import Segment, clashes, neighbours, shape
from sixfold.middleware.routes import Discovery, shape_of
from sixfold.middleware.table import Found, build
from sixfold.policy import PolicyError, load_text


async def view(request: Any) -> PlainTextResponse:
    return PlainTextResponse(request.url.path)


def endpoint(mark: Any = None) -> Any:
    async def own(request: Any) -> PlainTextResponse:
        return PlainTextResponse(request.url.path)

    return own if mark is None else mark(own)


def table(app: Any) -> set[str]:
    return {str(one) for one in Discovery(app).found}


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/", "/a/"),
        ("/a/{id}", "/a/{id}"),
        ("/a/{id:int}/b", "/a/{id}/b"),
        ("/a/{id}.{ext}", "/a/{id}.{ext}"),
        ("/files/{rest:path}", "/files/**"),
        ("/files/{rest:path}/meta", "/files/**"),
        ("/files/v-{rest:path}", "/files/**"),
        ("/{x:uuid}/{y:float}", "/{x}/{y}"),
    ],
)
def test_templates(path, template):
    """UX-06: Starlette's paths become templates of the policy; what can hold slashes takes the rest."""
    assert shape_of(path).template == template


@given(
    st.lists(
        st.sampled_from(["a", "b", "{x}", "{y:int}", "v{z}", "{p:path}", "1"]), min_size=1, max_size=4, unique=True
    )
)
def test_templates_cover_their_paths(parts):
    """UX-06: whatever a route of Starlette's matches, the segments of its template match."""
    path = "/" + "/".join(parts)
    regex, _, convertors = compile_path(path)
    sample = path
    for name, convertor in convertors.items():
        value = {"StringConvertor": "s", "IntegerConvertor": "7", "PathConvertor": "p/q"}[type(convertor).__name__]
        for spelled in (f"{{{name}}}", f"{{{name}:int}}", f"{{{name}:path}}"):
            sample = sample.replace(spelled, value)
    assert regex.match(sample)
    for segment, text in zip(shape_of(path).segments, sample.split("/")[1:], strict=False):
        if segment.route is None:
            assert segment.text == text
        else:
            assert segment.route.fullmatch(text)
            assert segment.template.fullmatch(text)


def test_own_convertors():
    """UX-06: a convertor of the application's own that can hold slashes takes the rest as well."""

    class Wide(Convertor[str]):
        regex = "[a-z/]+"

        def convert(self, value: str) -> str:
            return value

        def to_string(self, value: str) -> str:
            return value

    register_url_convertor("wide", Wide())
    assert shape_of("/x/{w:wide}").template == "/x/**"


def test_starlette_routes():
    """UX-06: methods, WebSockets, mounts of routes and of applications, hosts, routers."""
    app = Starlette(
        routes=[
            Route("/a", view, methods=["GET", "POST"]),
            Route("/head", view, methods=["HEAD"]),
            WebSocketRoute("/ws", view),
            Mount("/sub", routes=[Route("/b/{x:int}", view), Mount("/deep", app=Router([Route("/", view)]))]),
            Mount("/{tenant}/files", app=view),
            Host("api.example.com", app=Router([Route("/hosted", view)])),
        ]
    )
    files = {
        f"{method} /{{tenant}}/files/**"
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY")
    }
    assert table(app) - files == {
        "GET /a", "POST /a", "HEAD /head", "GET /ws", "GET /sub/b/{x}", "GET /sub/deep/", "GET /hosted",
    }  # fmt: skip
    assert files - {"HEAD /{tenant}/files/**"} <= table(app)


def test_an_endpoint_of_any_method():
    """UX-06: an ASGI application as endpoint takes every method."""

    class Anything:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    found = table(Starlette(routes=[Route("/any", Anything())]))
    assert {"GET /any", "DELETE /any", "QUERY /any"} <= found


def test_unknown_kinds_of_route_are_refused():
    """UX-06: a route that nobody here can read stops the start."""

    class Strange(BaseRoute):
        pass

    with pytest.raises(PolicyError, match="Strange"):
        Discovery(Starlette(routes=[Strange()]))


def test_included_routers():
    """UX-06: routers included in routers, with prefixes at every step, mounts and WebSockets among them."""
    app, inner, outer = FastAPI(openapi_url=None), APIRouter(prefix="/inner"), APIRouter(prefix="/outer")
    inner.get("/{x}")(lambda x: x)
    inner.mount("/mount", Router([Route("/y", view)]))

    @inner.websocket("/ws")
    async def ws(socket: WebSocket) -> None: ...

    outer.include_router(inner)
    app.include_router(outer, prefix="/v1")
    app.include_router(inner, prefix="/v2")
    found = table(app)
    assert {"GET /v1/outer/inner/{x}", "GET /v1/outer/inner/ws", "GET /v2/inner/{x}", "GET /v2/inner/ws"} <= found


def test_a_table_that_lacks_a_route(policy_file, monkeypatch):
    """UX-06: the table is compared with FastAPI's own walk; a mismatch refuses to start."""
    app = FastAPI()
    router = APIRouter()
    router.get("/included")(lambda: None)
    app.include_router(router)
    protector = face.Sixfold(policy_file())
    protector.protect(app)
    protector.policy()
    monkeypatch.setattr(routes, "contexts", lambda them: [one for one in them if hasattr(one, "path")])
    with pytest.raises(PolicyError):
        protector.policy()


# ---------------------------------------------------------------------- routes that hide one another


@pytest.mark.parametrize(
    ("first", "second", "hidden"),
    [
        ("/users/{id}", "/users/me", True),
        ("/users/{id:int}", "/users/me", False),
        ("/users/{id:int}", "/users/7", True),
        ("/users/me", "/users/{id}", False),
        ("/{y}/b", "/a/{x}", True),
        ("/a/{x}", "/{y}/b", False),
        ("/files/{rest:path}", "/files/list", True),
        ("/files/{rest:path}", "/other/list", False),
        ("/{rest:path}", "/a/b/c", True),
        ("/{a:uuid}/x", "/{b}/{c}", True),
        ("/{a}/{b}", "/{c:uuid}/x", True),
        ("/{a:int}/{b}", "/{c:uuid}/x", True),
        ("/{a:int}/y", "/{c:uuid}/x", False),
        ("/{a}/{b}/{c}", "/{d}/x", False),
        ("/v{n}", "/v1", True),
        ("/users/{id:int}", "/users/{rest:path}", True),
        ("/users/{id}", "/users/{rest:path}", False),
        ("/users/{id:int}/x", "/users/{rest:path}", True),
        ("/files/{p:path}/meta", "/{rest:path}", True),
        ("/files/{p:path}", "/{rest:path}", False),
        ("/v{a}", "/{b}x", True),
        ("/v{a}", "/w{b}", False),
        ("/a/{x:int}/c", "/a/{y}/{z}", True),
        ("/a/{x:int}/c", "/a/{x:int}/{z}", False),
        ("/a/{x:int}/c", "/a/b/{z}", False),
    ],
)
def test_hidden_routes(policy_file, first, second, hidden):
    """UX-06: where the application would call one endpoint and the policy rule by another, nothing starts."""
    app = Starlette(
        routes=[Route(first, endpoint(plain.require("one"))), Route(second, endpoint(plain.require("other")))]
    )
    protector = plain.Sixfold(policy_file())
    protector.protect(app)
    if hidden:
        with pytest.raises(PolicyError, match="would judge calls"):
            protector.policy()
    else:
        protector.policy()


def test_hidden_routes_with_the_same_rule(policy_file):
    """UX-06: routes that are ruled alike may hide one another."""
    app = Starlette(routes=[Route("/users/{id}", endpoint(plain.public)), Route("/users/me", endpoint(plain.public))])
    protector = plain.Sixfold(policy_file())
    protector.protect(app)
    protector.policy()


def test_the_same_route_twice(policy_file):
    """UX-06: of two routes with one shape the first is served; if they are ruled differently nothing starts."""
    app = Starlette(routes=[Route("/x/{a}", endpoint(plain.require("a"))), Route("/x/{b}", endpoint(plain.public))])
    protector = plain.Sixfold(policy_file())
    protector.protect(app)
    with pytest.raises(PolicyError, match="stands twice"):
        protector.policy()


SEGMENTS = st.sampled_from(["a", "b", "{x}", "{n:int}", "7", "{p:path}"])
PATHS = st.lists(SEGMENTS, min_size=1, max_size=3).map(
    lambda parts: "/" + "/".join(part.replace("{", f"{{s{index}") for index, part in enumerate(parts))
)


@given(
    st.lists(PATHS, min_size=1, max_size=5, unique=True),
    st.lists(st.sampled_from(["a", "b", "7", "c"]), min_size=1, max_size=3),
)
def test_the_rule_is_that_of_the_endpoint(paths, parts):
    """UX-06: what the engine matched is what the application calls, or the table is refused at start."""
    own = [Route(path, endpoint(plain.require(f"rule-{index}")), name=str(index)) for index, path in enumerate(paths)]
    app = Starlette(routes=own)
    protector = plain.Sixfold(None, dev=True)
    protector.protect(app)
    try:
        policy = protector.policy()
    except PolicyError:
        return
    router = compile_router([compile_door(policy, operation) for operation in policy.operations])
    path = "/" + "/".join(parts)
    scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
    called = next((route for route in own if route.matches(scope)[0].value == 2), None)
    if called is not None:
        door, _ = router.find(path, "GET")
        assert door.operation.access == "deny" or set(door.operation.require[0]) == {f"rule-{called.name}"}


def ruled(app: Any, protector: Any) -> dict[str, tuple[str, tuple[frozenset[str], ...]]]:
    protector.protect(app)
    return {f"{one.method} {one.path}": (one.access, one.require) for one in protector.policy().operations}


def test_corners_of_templates(policy_file):
    """UX-06: `/files/**` means `/files` too, which the application gives to another route: nobody may call that."""
    app = Starlette(
        routes=[
            Mount("/files", app=plain.require("files")(view_app())),
            Route("/{name}", endpoint(plain.require("names"))),
        ]
    )
    table = ruled(app, plain.Sixfold(policy_file()))
    assert table["GET /files"] == ("deny", ())
    assert table["GET /{name}"] == ("require", (frozenset(["names"]),))
    assert "POST /files" not in table  # no other route would answer it


def test_corners_of_head(policy_file):
    """UX-06: a GET of FastAPI's does not answer HEAD; where another route would, nobody may call that."""
    app = FastAPI()
    app.get("/x")(face.require("a")(lambda: None))
    app.get("/y")(face.require("b")(lambda: None))
    app.mount("/", face.require("b")(view_app()))
    table = ruled(app, face.Sixfold(policy_file()))
    assert table["HEAD /x"] == ("deny", ())
    assert "HEAD /y" not in table  # ruled like the mount


def test_what_anybody_may_call_needs_no_guard(policy_file):
    """UX-06: a public mount behind everything, as single-page applications have it, hides nothing."""
    app = FastAPI()
    app.get("/x/{n}")(face.require("a")(lambda n: None))
    app.mount("/", face.public(view_app()))
    table = ruled(app, face.Sixfold(policy_file()))
    assert "HEAD /x/{n}" not in table


def view_app() -> Any:
    class Everything:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    return Everything()


# ---------------------------------------------------------------------- build


def test_flaws():
    """UX-06: a path that no canonical request can have is refused with its place."""
    found = Found(method="GET", shape=shape("/a b", (Segment("a b"),)), file="app.py", line=3)
    with pytest.raises(PolicyError, match=r"app\.py:3"):
        build(load_text(""), [found])


def test_marks_decide_the_version(policy_file):
    """RLD-01: the version of a policy covers what the marks say."""

    def version(mark: Any) -> str:
        app = Starlette(routes=[Route("/x", endpoint(mark))])
        protector = plain.Sixfold(policy_file())
        protector.protect(app)
        return protector.policy().version

    assert version(plain.require("a")) == version(plain.require("a"))
    assert (
        len({version(one) for one in (plain.require("a"), plain.require("b"), plain.public, plain.limit("5/s"))}) == 4
    )


def test_websocket_beside_http(policy_file):
    """UX-12: a WebSocket and a GET of one path share one rule; two rules for them are refused."""

    async def socket(websocket: Any) -> None: ...

    app = Starlette(routes=[Route("/x", endpoint(plain.public)), WebSocketRoute("/x", plain.require("a")(socket))])
    protector = plain.Sixfold(policy_file())
    protector.protect(app)
    with pytest.raises(PolicyError, match="stands twice"):
        protector.policy()


def test_starlette_application(policy_file):
    """API-01: the same words protect a plain Starlette application."""

    @plain.require("a")
    async def who(request: Any) -> PlainTextResponse:
        return PlainTextResponse(plain.identity(request).subject)

    app = Starlette(routes=[Route("/who", who), Route("/open", plain.public(endpoint()))])
    plain.Sixfold(policy_file()).protect(app)
    with TestClient(app) as client:
        assert client.get("/open").text == "/open"
        assert client.get("/who").status_code == 401
        with sixfold.acting_as("alice", scopes="a"):
            assert client.get("/who").text == "alice"


@given(st.lists(PATHS, min_size=2, max_size=8, unique=True))
def test_neighbours(paths):
    """UX-06: the short list of pairs that are looked at leaves no clash out."""
    shapes = [shape_of(path) for path in paths]
    pairs = set(neighbours(list(enumerate(shapes))))
    for one in range(len(shapes)):
        for other in range(one + 1, len(shapes)):
            first, second = shapes[one], shapes[other]
            if clashes(first, second, earlier=False) or clashes(second, first, earlier=True):
                assert (one, other) in pairs
