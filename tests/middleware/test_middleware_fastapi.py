from __future__ import annotations

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.endpoints import HTTPEndpoint
from starlette.responses import PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient

import sixfold
from sixfold.middleware.fastapi import Identity, OptionalIdentity, Sixfold, limit, public, require
from sixfold.policy import PolicyError


@pytest.fixture
def app(policy_file) -> FastAPI:
    app = FastAPI()
    Sixfold(policy_file()).protect(app)

    @app.get("/orders", dependencies=[require("orders:read"), limit("60/minute", per="client")])
    def orders(me: Identity) -> dict[str, Any]:
        return {"subject": me.subject, "client": me.client_id, "scopes": sorted(me.scopes)}

    @app.get("/below")
    @require("orders:read")
    async def below() -> str:
        return "below"

    @require("orders:read")
    @app.get("/above")
    async def above() -> str:
        return "above"

    @app.get("/health")
    @public
    def health(me: OptionalIdentity) -> dict[str, Any]:
        return {"ok": True, "me": me and me.subject}

    @app.get("/open", dependencies=[public])
    def open_() -> str:
        return "open"

    @app.get("/unmarked")
    def unmarked() -> str:
        return "nobody sees this"

    @app.post("/orders", dependencies=[require("@editor")])
    async def write(body: dict[str, int]) -> dict[str, int]:
        return body

    @app.get("/twice", dependencies=[require("a")])
    @require("b")
    @limit("2/minute", per="user")
    async def twice() -> str:
        return "twice"

    return app


@pytest.fixture
def client(app):
    with TestClient(app) as client:
        yield client


def test_statuses(client, bearer):
    """UX-10: 401 without a token, 403 with too little of one, 404 and 405 by policy; all as problem+json."""
    nobody = client.get("/orders")
    assert nobody.status_code == 401
    assert nobody.headers["www-authenticate"].startswith("Bearer")
    little = client.get("/orders", headers=bearer())
    assert little.status_code == 403
    assert 'scope="orders:read"' in little.headers["www-authenticate"]
    assert client.get("/nowhere").status_code == 404
    other = client.delete("/orders")
    assert (other.status_code, other.headers["allow"]) == (405, "GET, HEAD, POST")
    assert client.get("/orders", headers={"authorization": "Bearer x.y.z"}).status_code == 401
    for answer in (nobody, little, other):
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert answer.json()["decision"].startswith("d-")
    assert client.get("/orders", headers=bearer(scopes=["orders:read"])).status_code == 200


def test_validation_of_fastapi_stays(client, bearer):
    """UX-10: FastAPI's own 422 stays FastAPI's."""
    answer = client.post("/orders", json={"qty": "many"}, headers=bearer(roles=["editor"]))
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "qty"]


@pytest.mark.parametrize("path", ["/below", "/above"])
def test_order_of_decorators(client, bearer, path):
    """UX-05: a mark works above and below the route's own decorator."""
    assert client.get(path).status_code == 401
    assert client.get(path, headers=bearer()).status_code == 403
    assert client.get(path, headers=bearer(scopes=["orders:read"])).text == f'"{path[1:]}"'


def test_unmarked_is_denied(client, bearer):
    """API-01: what is neither required nor public is denied."""
    assert client.get("/unmarked").status_code == 401
    answer = client.get("/unmarked", headers=bearer(scopes=["orders:read"]))
    assert (answer.status_code, answer.json()["code"]) == (403, "operation-not-ruled")


def test_identity(client, bearer):
    """API-03: `Identity` is the caller of this request, `OptionalIdentity` is None for nobody."""
    headers = bearer("bob", scopes=["orders:read"])
    assert client.get("/orders", headers=headers).json() == {
        "subject": "bob", "client": "sixfold-dev", "scopes": ["orders:read"],
    }  # fmt: skip
    assert client.get("/health").json() == {"ok": True, "me": None}
    assert client.get("/health", headers=headers).json() == {"ok": True, "me": "bob"}


def test_public_as_dependency(client):
    """UX-07: `public` is a decorator and a dependency."""
    assert client.get("/open").status_code == 200


def test_headers_on_dict_answers(client, bearer):
    """UX-08: `RateLimit` stands on a plain dict answer."""
    answer = client.get("/orders", headers=bearer(scopes=["orders:read"]))
    assert answer.headers["ratelimit-policy"] == '"default";q=1000;w=60, "route";q=60;w=60'
    assert '"route";r=59' in answer.headers["ratelimit"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_all_marks_count(client, bearer):
    """UX-07: a dependency and decorators on one route add up."""
    assert client.get("/twice", headers=bearer("ann", scopes=["a"])).status_code == 403
    assert client.get("/twice", headers=bearer("bea", scopes=["b"])).status_code == 403
    headers = bearer(scopes=["a", "b"])
    assert [client.get("/twice", headers=headers).status_code for _ in range(3)] == [200, 200, 429]


def test_too_many(client, bearer):
    """UX-10: 429 has `Retry-After` and the policies of the caller's limits."""
    headers = bearer(scopes=["a", "b"])
    for _ in range(2):
        client.get("/twice", headers=headers)
    answer = client.get("/twice", headers=headers)
    assert int(answer.headers["retry-after"]) > 0
    assert "ratelimit-policy" in answer.headers
    assert answer.json()["code"] == "rate-exceeded"


def test_openapi(client, bearer, policy_file):
    """API-02: scopes reach OpenAPI, from dependencies and from decorators; public operations need nothing."""
    with sixfold.acting_as("dev"):
        assert client.get("/openapi.json").status_code == 403  # an ordinary route, until `public_docs`
    document = client.app.openapi()
    assert document["components"]["securitySchemes"]["Sixfold"]["scheme"] == "bearer"
    paths = document["paths"]
    assert paths["/orders"]["get"]["security"] == [{"Sixfold": ["orders:read"]}]
    assert paths["/below"]["get"]["security"] == [{"Sixfold": ["orders:read"]}]
    assert paths["/twice"]["get"]["security"] == [{"Sixfold": ["a", "b"]}]
    assert paths["/health"]["get"]["security"] == []


def test_public_docs(policy_file):
    """API-02: the docs page is public by one word, and may load its scripts."""
    app = FastAPI()
    Sixfold(policy_file(), public_docs=True).protect(app)
    with TestClient(app) as client:
        assert client.get("/openapi.json").status_code == 200
        page = client.get("/docs")
        assert page.status_code == 200
        assert "https://cdn.jsdelivr.net" in page.headers["content-security-policy"]


def test_api_keys_in_openapi(policy_file, tmp_path):
    """API-02: API keys are a scheme of their own."""
    (tmp_path / "keys.toml").write_text("")
    app = FastAPI()
    sixfold_ = Sixfold(policy_file('[authentication.api_keys]\nfile = "keys.toml"\n'))
    sixfold_.protect(app)

    @app.get("/x")
    @require("a", any=["b", "c"])
    def x() -> None: ...

    with TestClient(app):
        pass
    document = app.openapi()
    assert document["components"]["securitySchemes"]["SixfoldApiKey"] == {
        "type": "apiKey", "in": "header", "name": "x-api-key",
    }  # fmt: skip
    assert document["paths"]["/x"]["get"]["security"] == [
        {"Sixfold": ["a", "b"]}, {"SixfoldApiKey": ["a", "b"]}, {"Sixfold": ["a", "c"]}, {"SixfoldApiKey": ["a", "c"]},
    ]  # fmt: skip


def test_nested_routers(policy_file):
    """UX-06: marks and prefixes of nested routers reach every route, however deep."""
    app = FastAPI()
    outer = APIRouter(prefix="/outer", dependencies=[require("outer")])
    inner = APIRouter(prefix="/inner", dependencies=[require("inner")])

    @inner.get("/{number}")
    @require("own")
    async def item(number: int) -> int:
        return number

    outer.include_router(inner, prefix="/more", dependencies=[require("included")])
    app.include_router(outer, prefix="/v1")
    Sixfold(policy_file()).protect(app)
    with TestClient(app) as client:
        path = "/v1/outer/more/inner/7"
        with sixfold.acting_as("a", scopes="outer inner own"):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["detail"]) == (403, "missing: `included`")
        with sixfold.acting_as("a", scopes="outer inner own included"):
            assert client.get(path).json() == 7


def test_mounts(policy_file, tmp_path):
    """API-01: mounted applications are read like the application itself; one without routes stands as one."""
    app, sub = FastAPI(), FastAPI()
    (tmp_path / "page.txt").write_text("page")

    @sub.get("/things/{thing}")
    @require("things")
    def thing(thing: str) -> str:
        return thing

    app.mount("/sub", sub)
    app.mount("/static", public(StaticFiles(directory=tmp_path)))
    app.mount("/closed", StaticFiles(directory=tmp_path))
    Sixfold(policy_file()).protect(app)
    with TestClient(app) as client:
        assert client.get("/sub/things/x").status_code == 401
        assert client.get("/static/page.txt").text == "page"
        with sixfold.acting_as("a", scopes="things"):
            assert client.get("/sub/things/x").json() == "x"
            assert client.get("/closed/page.txt").status_code == 403


def test_class_based_endpoints(policy_file):
    """API-01: a class carries marks, and so does each of its methods."""

    @require("all")
    class Orders(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("read")

        @require("write")
        async def post(self, request: Request) -> Response:
            return PlainTextResponse("written")

    app = FastAPI()
    app.add_route("/orders", Orders)
    Sixfold(policy_file()).protect(app)
    with TestClient(app) as client, sixfold.acting_as("a", scopes="all"):
        assert client.get("/orders").text == "read"
        assert client.post("/orders").status_code == 403
        assert client.put("/orders").status_code == 405
        with sixfold.acting_as("a", scopes="all write"):
            assert client.post("/orders").text == "written"


def below(_: Annotated[None, require("deep")]) -> str:
    return "x"


def test_marks_in_parameters(policy_file):
    """UX-07: a mark among the parameters, or below another dependency, counts like any other."""
    app = FastAPI()

    @app.get("/x")
    def x(value: Annotated[str, Depends(below)], _: None = require("flat")) -> str:
        return value

    Sixfold(policy_file()).protect(app)
    with TestClient(app) as client:
        for scopes, status in (("deep", 403), ("flat", 403), ("deep flat", 200)):
            with sixfold.acting_as("a", scopes=scopes):
                assert client.get("/x").status_code == status


def test_file_refines(policy_file):
    """API-01: `[[routes]]` of the file have the last word, and rule mounts as well."""
    app = FastAPI()

    @app.get("/a/{x}")
    @require("mark")
    def a(x: str) -> str:
        return x

    @app.get("/b")
    def b() -> str:
        return "b"

    rows = """
[[routes]]
match = "GET /a/{any}"
require = "file"
[[routes]]
match = "* /b/**"
public = true
[[routes]]
match = "GET /b"
authenticated = true
"""
    Sixfold(policy_file(rows)).protect(app)
    with TestClient(app) as client:
        with sixfold.acting_as("a", scopes="mark"):
            assert client.get("/a/1").status_code == 403
        with sixfold.acting_as("a", scopes="file"):
            assert client.get("/a/1").status_code == 200
            assert client.get("/b").status_code == 200
        assert client.get("/b").status_code == 401


def test_default_authenticated(policy_file):
    """API-01: under `default = "authenticated"` a route without a mark takes any signed-in caller."""
    app = FastAPI()

    @app.get("/x")
    def x() -> str:
        return "x"

    text = '[authentication]\nissuer = "dev"\n[authorization]\ndefault = "authenticated"\n'
    Sixfold(policy_file(whole=text)).protect(app)
    with TestClient(app) as client:
        assert client.get("/x").status_code == 401
        with sixfold.acting_as("a"):
            assert client.get("/x").status_code == 200


def test_contract_of_a_document(policy_file, tmp_path):
    """API-01: an OpenAPI document named by the file brings contracts; the canonical body is what the endpoint reads."""
    (tmp_path / "openapi.yaml").write_text("""
openapi: 3.1.0
info: {title: t, version: "1"}
paths:
  /orders:
    post:
      requestBody:
        required: true
        content:
          application/json:
            schema: {type: object, required: [qty], properties: {qty: {type: integer}}}
      responses:
        "200":
          description: ok
          content: {application/json: {schema: {type: object, properties: {qty: {type: integer}}}}}
  /elsewhere:
    get: {responses: {"200": {description: ok}}}
""")
    app = FastAPI()

    @app.post("/orders")
    @require("orders:write")
    async def orders(request: Request) -> Any:
        raw = await request.body()
        return Response(raw, media_type="application/json", headers={"seen": request.headers["content-length"]})

    extra = '[gateway]\nopenapi = "openapi.yaml"\n[validation]\nresponse = "enforce"\n'
    Sixfold(policy_file(extra)).protect(app)
    with TestClient(app) as client, sixfold.acting_as("a", scopes="orders:write"):
        good = client.post("/orders", content=b'{ "qty" :  2 }', headers={"content-type": "application/json"})
        assert (good.status_code, good.content) == (200, b'{"qty":2}')
        assert good.headers["seen"] == "9"
        bad = client.post("/orders", json={"qty": "two"})
        assert bad.status_code == 400
        assert bad.json()["errors"][0]["pointer"] == "/qty"
        assert client.get("/elsewhere").status_code == 404  # the document adds no routes


def test_identity_on_a_public_route(policy_file):
    """API-03: `Identity` where nobody need be known is refused at start."""
    app = FastAPI()

    @app.get("/x")
    @public
    def x(me: Identity) -> str:
        return me.subject

    sixfold_ = Sixfold(policy_file())
    sixfold_.protect(app)
    with pytest.raises(PolicyError, match="OptionalIdentity"):
        sixfold_.policy()


def test_no_caller_to_hand_out(policy_file):
    """API-03: with authentication off there is nobody, and `Identity` says 401 rather than inventing somebody."""
    app = FastAPI()

    @app.get("/x", dependencies=[require()])
    def x(me: Identity) -> str:
        return me.subject

    text = '[authentication]\nmode = "off"\n[authorization]\nmode = "off"\n'
    Sixfold(policy_file(whole=text)).protect(app)
    with TestClient(app) as client:
        assert client.get("/x").status_code == 401


def test_unprotected_application():
    """API-03: `Identity` in an application that nobody protects is an error, not an anonymous caller."""
    app = FastAPI()

    @app.get("/x", dependencies=[require("a")])
    def x(me: Identity) -> str:
        return me.subject

    with TestClient(app) as client, pytest.raises(RuntimeError, match="protect"):
        client.get("/x")


def test_protect_twice(policy_file):
    """API-01: one object protects one application, before it runs."""
    app = FastAPI()
    sixfold_ = Sixfold(policy_file())
    sixfold_.protect(app)
    with pytest.raises(RuntimeError, match="one application"):
        sixfold_.protect(FastAPI())
    with TestClient(app):
        pass
    with pytest.raises(RuntimeError, match="running"):
        Sixfold(policy_file()).protect(app)


def test_middleware_added_later_is_inside(policy_file):
    """UX-05: other middleware stays inside, whether it was added before or after `protect`."""
    seen: list[str] = []

    class Spy:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                seen.append(scope["path"])
            await self.app(scope, receive, send)

    app = FastAPI()
    Sixfold(policy_file()).protect(app)
    app.add_middleware(Spy)
    with TestClient(app) as client:
        assert client.get("/nowhere").status_code == 404
    assert seen == []


def test_rule_points_at_the_source(policy_file):
    """EXP-01: a refusal names file and line of the endpoint that was marked."""
    app = FastAPI()

    @app.get("/x")
    @require("a")
    def x() -> str:
        return "x"

    sixfold_ = Sixfold(policy_file())
    sixfold_.protect(app)
    (operation,) = [one for one in sixfold_.policy().operations if one.path == "/x"]
    assert operation.rule.file.endswith("test_middleware_fastapi.py")
    assert operation.rule.line == x.__code__.co_firstlineno
