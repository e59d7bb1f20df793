"""The flow: its order, shadow, what a refusal may hold, and that nothing is held when it is over."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold import decision, flow
from sixfold.decision import CODES, Fault, Refusal, Reply, Rule, decision_id
from sixfold.flow import Permit, drive, drive_async
from sixfold.needs import Body, KeySet, Unavailable

DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "t", "version": "1"},
    "paths": {
        "/orders": {
            "post": {
                "parameters": [{"name": "n", "in": "query", "schema": {"type": "integer"}}],
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
mode = "{gateway}"
openapi = "api.json"
hosts = ["localhost"]
[authentication]
issuer = "dev"
mode = "{authentication}"
[rate_limiting]
mode = "{rate_limiting}"
default = "1/hour per user"
[authorization]
mode = "{authorization}"
[validation]
mode = "{validation}"
[[routes]]
match = "POST /orders"
require = "orders:write"
limit = "1 concurrent-requests per user"
"""
LAYERS = ("gateway", "authentication", "rate_limiting", "authorization", "validation")
JSON = {"content-type": "application/json"}
SECRET = "s3cr3t-value"


def text(**modes: str) -> str:
    return POLICY.format(**{layer: modes.get(layer, "enforce") for layer in LAYERS})


@pytest.fixture
def build(engine: Callable[..., Any]) -> Callable[..., Any]:
    def make(more: str = "", **modes: str) -> Any:
        return engine(text(**modes) + more, {"api.json": json.dumps(DOCUMENT)})

    return make


@pytest.fixture
def call(ask: Any, decide: Any) -> Callable[..., Any]:
    """Ask the one operation; what breaks a layer is chosen by name."""

    def run(engine: Any, token: str, *broken: str, body: bytes = b'{"qty":1}') -> Any:
        headers = {**JSON, "authorization": f"Bearer {token}"}
        if "authentication" in broken:
            headers["authorization"] = "Bearer x.y.z"
        if "gateway" in broken:
            headers["host"] = "elsewhere"
        if "validation" in broken:
            body = b'{"qty":"%b"}' % SECRET.encode()
        request = ask(engine, "POST /orders", headers, length=len(body))
        return decide(engine, request, body)

    return run


def test_a_permit(build: Any, call: Any, mint: Any) -> None:
    """FLOW: six layers agree; the canonical body is what is forwarded."""
    permit = call(build(), mint("orders:write"), body=b'{ "qty" : 1 }')
    assert isinstance(permit, Permit)
    assert permit.identity.subject == "dev"
    assert permit.body == b'{"qty":1}'
    assert permit.told == ()


@pytest.mark.parametrize(
    ("broken", "layer"),
    [
        (("gateway", "authentication", "validation"), "gateway"),
        (("authentication", "validation"), "authentication"),
        (("authorization", "validation"), "authorization"),
        (("validation",), "validation"),
    ],
)
def test_the_order_of_layers(broken: tuple[str, ...], layer: str, build: Any, call: Any, mint: Any) -> None:
    """FLOW: of several reasons the one of the earlier layer is told, so that nobody learns more than is due."""
    token = mint() if "authorization" in broken else mint("orders:write")
    refusal = call(build(), token, *broken)
    assert isinstance(refusal, Refusal)
    assert refusal.layer == layer


def test_limits_before_rights(build: Any, call: Any, mint: Any) -> None:
    """FLOW: how often is asked before may they; a call without the right is charged as well."""
    engine = build()
    assert call(engine, mint()).layer == "authorization"
    assert call(engine, mint()).layer == "rate_limiting"


@pytest.mark.parametrize("layer", ["authentication", "authorization", "validation", "rate_limiting"])
def test_shadow_tells_and_goes_on(layer: str, build: Any, call: Any, mint: Any) -> None:
    """FLOW: a refusal in shadow mode is told, and the call is permitted."""
    engine = build(**{layer: "shadow", **({"authorization": "off"} if layer == "authentication" else {})})
    token = mint() if layer == "authorization" else mint("orders:write")
    if layer == "rate_limiting":
        call(engine, token).close()
    permit = call(engine, token, layer)
    assert isinstance(permit, Permit), permit
    assert [refusal.layer for refusal in permit.told] == [layer]
    assert all(refusal.mode == "shadow" for refusal in permit.told)


@pytest.mark.parametrize("layer", ["authentication", "authorization", "validation", "rate_limiting"])
def test_off_tells_nothing(layer: str, build: Any, call: Any, mint: Any) -> None:
    """FLOW: a layer that is off has no say and tells nothing."""
    engine = build(**{layer: "off", **({"authorization": "off"} if layer == "authentication" else {})})
    token = mint() if layer == "authorization" else mint("orders:write")
    if layer == "rate_limiting":
        call(engine, token).close()
    permit = call(engine, token, layer)
    assert isinstance(permit, Permit), permit
    assert permit.told == ()


@pytest.mark.parametrize(("mode", "told"), [("shadow", ["unknown-host"]), ("off", [])])
def test_a_gateway_that_only_tells_still_finds_the_door(
    mode: str, told: list[str], build: Any, call: Any, mint: Any
) -> None:
    """FLOW: in shadow mode a foreign host is told, and the call is judged as the operation it is."""
    permit = call(build(gateway=mode), mint("orders:write"), "gateway")
    assert isinstance(permit, Permit), permit
    assert permit.door.operation.path == "/orders"
    assert [refusal.code for refusal in permit.told] == told


@pytest.mark.parametrize("mode", ["shadow", "off"])
def test_an_unlisted_path_is_judged_as_unlisted(mode: str, build: Any, ask: Any, decide: Any, mint: Any) -> None:
    """FLOW: in shadow mode an unknown path goes to the layers behind, which deny what nobody ruled."""
    engine = build(gateway=mode)
    request = ask(engine, "GET /nowhere", {"authorization": f"Bearer {mint('orders:write')}"})
    refusal = decide(engine, request)
    assert refusal.code == "operation-not-ruled"


# ---------------------------------------------------------------------- what is held


def held(engine: Any, token: str, call: Any) -> bool:
    """Return whether the one place is taken."""
    decision = call(engine, token)
    if isinstance(decision, Permit):
        decision.close()
        return False
    assert decision.code == "concurrency-exceeded", decision
    return True


@pytest.fixture
def roomy(engine: Any) -> Any:
    return engine(text().replace('default = "1/hour per user"', ""), {"api.json": json.dumps(DOCUMENT)})


def test_a_permit_holds_its_place(roomy: Any, call: Any, mint: Any) -> None:
    """FLOW: concurrency is held by the permit and given back by `close`, however often it is called."""
    token = mint("orders:write")
    permit = call(roomy, token)
    assert held(roomy, token, call)
    permit.close()
    permit.close()
    assert not held(roomy, token, call)


@pytest.mark.parametrize("broken", ["authorization", "validation"])
def test_a_refusal_gives_its_place_back(broken: str, roomy: Any, call: Any, mint: Any) -> None:
    """FLOW: whoever refuses after the charge gives back what was held."""
    token = mint() if broken == "authorization" else mint("orders:write")
    assert call(roomy, token, broken).layer == broken
    assert not held(roomy, mint("orders:write"), call)


@pytest.mark.parametrize("verb", ["may", "parameters", "reads_body", "body"])
def test_a_bug_gives_its_place_back(
    verb: str, roomy: Any, call: Any, mint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FLOW: an exception refuses, is no open door, and leaves nothing held."""
    room = roomy.authorization if verb == "may" else roomy.validation

    def bug(*_: Any) -> Any:
        raise RuntimeError(SECRET)

    with monkeypatch.context() as patch:
        patch.setattr(type(room), verb, bug)
        refusal = call(roomy, mint("orders:write"))
    assert (refusal.code, refusal.status) == ("internal", 500)
    assert SECRET not in repr(refusal)
    assert not held(roomy, mint("orders:write"), call)


def test_a_caller_who_leaves_gives_the_place_back(roomy: Any, ask: Any, call: Any, mint: Any) -> None:
    """FLOW: also while the body is awaited."""
    token = mint("orders:write")
    request = ask(roomy, "POST /orders", {**JSON, "authorization": f"Bearer {token}"}, length=9)
    waiting = roomy.check(request)
    assert isinstance(next(waiting), Body)
    assert held(roomy, token, call)
    waiting.close()
    assert not held(roomy, token, call)


@pytest.mark.parametrize("layer", ["encryption.channel", "authentication.who", "rate_limiting.spend", "gateway.route"])
def test_a_bug_in_any_layer_refuses(
    layer: str, build: Any, call: Any, mint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FLOW: failure of a part never means open."""
    engine = build()
    room, _, verb = layer.partition(".")

    def bug(*_: Any) -> Any:
        raise KeyError(SECRET)

    monkeypatch.setattr(type(getattr(engine, room)), verb, bug)
    refusal = call(engine, mint("orders:write"))
    assert refusal.code == "internal"
    assert SECRET not in repr(refusal)


# ---------------------------------------------------------------------- drivers


def needing() -> Any:
    first = yield KeySet("issuer")
    second = yield Body(10)
    return (first, second)


def test_two_drivers_one_flow() -> None:
    """FLOW: the sync and the async driver hand in the same answers."""
    answers = {KeySet: Unavailable("x"), Body: b"abc"}

    async def fetch(need: Any) -> Any:
        await asyncio.sleep(0)
        return answers[type(need)]

    assert drive(needing(), lambda need: answers[type(need)]) == (answers[KeySet], b"abc")
    assert asyncio.run(drive_async(needing(), fetch)) == (answers[KeySet], b"abc")


def test_drivers_refuse_on_a_bug_but_not_on_the_end() -> None:
    """FLOW: a bug becomes 500; what asks to stop goes through."""

    def broken(problem: BaseException) -> Any:
        raise problem
        yield

    for problem in (ValueError("x"), RecursionError(), BaseException("panic")):
        refusal: Any = drive(broken(problem), lambda need: None)
        assert refusal.code == "internal"
    for problem in (KeyboardInterrupt(), SystemExit(), asyncio.CancelledError()):
        with pytest.raises(type(problem)):
            drive(broken(problem), lambda need: None)


def test_only_the_flow_makes_permits() -> None:
    """FLOW: no other module of Sixfold names the constructor."""
    from pathlib import Path

    source = Path(flow.__file__).parent
    makers = [path.name for path in source.rglob("*.py") if re.search(r"\bPermit\(", path.read_text())]
    assert makers == ["flow.py"]


# ---------------------------------------------------------------------- decisions


def test_ids_are_unique() -> None:
    """EXP-01: a decision id names one decision: `d-` and eight characters that no ear confuses."""
    ids = [decision_id(decision.next_number()) for _ in range(20_000)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"d-[0-9A-HJKMNP-TV-Z]{8}", one) for one in ids)
    assert Refusal("internal", Rule("x")).id != Reply(200, ()).id


def test_two_processes_give_other_ids() -> None:
    """EXP-01: two workers do not share their ids."""
    code = "from sixfold.decision import decision_id; print(decision_id(7))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other.startswith("d-")
    assert other != decision_id(7)


@pytest.mark.parametrize("code", CODES)
def test_problem_documents(code: str) -> None:
    """LOG-02: RFC 9457, public words only, for every code of the table."""
    rule = Rule("[[routes]] GET /x", "/private/sixfold.toml", 7)
    refusal = Refusal(
        code, rule, reason="private reason", remedy="private remedy", faults=(Fault("/a", "a number", "a text"),)
    )
    body = json.loads(refusal.problem())
    assert body["status"] == CODES[code].status
    assert body["title"] == CODES[code].title
    assert body["code"] == code
    assert body["decision"] == refusal.id
    assert body["type"].startswith(("urn:sixfold:", "https://iana.org/"))
    assert body["errors"] == [{"pointer": "/a", "detail": "a number", "found": "a text"}]
    assert "private" not in refusal.problem().decode()
    assert re.fullmatch(r"[a-z-]+", code)
    assert 400 <= CODES[code].status <= 599


@given(st.sampled_from(["query: a", "header: x-b", "", "/a/0"]), st.text(max_size=10))
def test_faults(where: str, found: str) -> None:
    """EXP-03: a pointer for bodies, a name for parameters; nothing found is not shown."""
    shown = Fault(where, "x", found).public()
    assert shown["pointer" if where == "" or where.startswith("/") else "parameter"] == where
    assert ("found" in shown) is bool(found)


def test_where_a_rule_stands() -> None:
    """EXP-02: a rule names file and line as far as they are known."""
    assert str(Rule("a.b", "s.toml", 3)) == "s.toml:3 a.b"
    assert str(Rule("a.b", "s.toml")) == "s.toml a.b"
    assert str(Rule("a.b")) == "a.b"


BAD = [
    ("gateway", {"target": f"/nowhere/{SECRET}?{SECRET}={SECRET}"}),
    ("gateway", {"target": f"/orders/%2e%2e/{SECRET}"}),
    ("gateway", {"headers": {"origin": f"https://{SECRET}.example"}}),
    ("gateway", {"headers": {"x-a": SECRET * 1000}}),
    ("authentication", {"headers": {"authorization": f"Bearer {SECRET}.{SECRET}.{SECRET}"}}),
    ("authentication", {"headers": {"authorization": f"{SECRET} {SECRET}"}}),
    ("authentication", {"headers": {"authorization": f"Basic {SECRET}"}}),
    ("validation", {"target": f"/orders?n={SECRET}"}),
    ("validation", {"body": b'{"qty":"%b"}' % SECRET.encode()}),
    ("validation", {"body": b'{"qty":1,"qty":"%b"}' % SECRET.encode()}),
    ("validation", {"body": SECRET.encode()}),
    ("validation", {"headers": {"content-type": f"application/{SECRET}"}}),
]


@pytest.mark.parametrize(("layer", "call"), BAD)
def test_refusals_hold_no_values(
    layer: str, call: dict[str, Any], build: Any, ask: Any, decide: Any, mint: Any
) -> None:
    """EXP-03, LOG-01: what a caller sent is neither in the public text nor in the private one."""
    engine = build()
    headers = {**JSON, "authorization": f"Bearer {mint('orders:write')}", **call.get("headers", {})}
    body = call.get("body", b'{"qty":1}')
    target = call.get("target", "/orders")
    request = ask(engine, f"POST {target}", headers, length=len(body))
    refusal = request if isinstance(request, Refusal) else decide(engine, request, body)
    assert isinstance(refusal, Refusal)
    assert refusal.layer == layer
    said = [
        refusal.problem().decode(),
        refusal.reason,
        refusal.remedy,
        refusal.detail,
        str(refusal.headers),
        repr(refusal.faults),
    ]
    assert not [text for text in said if SECRET in text]
    assert refusal.rule.name
