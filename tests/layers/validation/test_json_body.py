"""JSON bodies against their contract: faults with pointers, canonical bytes, media types, modes (M11, API3)."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from sixfold.decision import Refusal
from sixfold.needs import TOO_LARGE, Unavailable

JSON = "application/json"
ORDER = {
    "type": "object",
    "additionalProperties": False,
    "required": ["qty"],
    "properties": {
        "id": False,  # readOnly, as the importer writes it for requests
        "qty": {"type": "integer", "minimum": 1, "maximum": 10},
        "note": {"type": ["string", "null"], "maxLength": 3},
        "lines": {
            "type": "array",
            "maxItems": 2,
            "uniqueItems": True,
            "items": {"$ref": "urn:sixfold:0:request#/components/schemas/Line"},
        },
        "a/b~c": {"type": "boolean"},
        "pet": {"$ref": "urn:sixfold:0:request#/components/schemas/Pet"},
    },
}
SCHEMAS = {
    "urn:sixfold:0:request": {
        "components": {
            "schemas": {
                "Order": ORDER,
                "Line": {"type": "object", "properties": {"sku": {"$ref": "#/components/schemas/Sku"}}},
                "Sku": {"type": "string", "pattern": "^[A-Z]{3}$"},
                "Pet": {
                    "oneOf": [
                        {
                            "type": "object",
                            "required": ["kind", "bark"],
                            "properties": {"kind": {"const": "dog"}, "bark": {"type": "boolean"}},
                        },
                        {
                            "type": "object",
                            "required": ["kind", "lives"],
                            "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}},
                        },
                    ]
                },
                "Node": {
                    "type": "object",
                    "properties": {"next": {"$ref": "#/components/schemas/Node"}, "value": {"type": "integer"}},
                    "unevaluatedProperties": False,
                },
            }
        }
    }
}


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"urn:sixfold:0:request#/components/schemas/{name}"}


@pytest.fixture(scope="module")
def order(world: Any) -> Any:
    return world(content={JSON: ref("Order")}, schemas=SCHEMAS, required=True)


def faults(refusal: Any, code: str = "invalid-body") -> list[tuple[str, str, str]]:
    assert isinstance(refusal, Refusal), refusal
    assert refusal.code == code
    return [tuple(fault) for fault in refusal.faults]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"qty": "2"}, ("/qty", "an integer", "string")),
        ({"qty": 0}, ("/qty", "at least 1", "integer")),
        ({"qty": 11}, ("/qty", "at most 10", "integer")),
        ({"qty": 1.5}, ("/qty", "an integer", "number")),
        ({}, ("/qty", "a value: the property is required", "nothing")),
        ({"qty": 1, "note": "long"}, ("/note", "at most 3 characters", "string")),
        ({"qty": 1, "note": 5}, ("/note", "a string or null", "integer")),
        ({"qty": 1, "admin": True}, ("/admin", "one of the declared properties; `admin` is not declared", "")),
        ({"qty": 1, "id": 5}, ("/id", "nothing: the contract does not allow this here", "integer")),
        ({"qty": 1, "lines": [{"sku": "AB"}]}, ("/lines/0/sku", "a text of the pattern in the contract", "string")),
        ({"qty": 1, "lines": [1]}, ("/lines/0", "an object", "integer")),
        ({"qty": 1, "lines": [{}, {}]}, ("/lines", "items that differ from each other", "array")),
        ({"qty": 1, "lines": [{}, {"a": 1}, {"a": 2}]}, ("/lines", "at most 2 items", "array")),
        ({"qty": 1, "a/b~c": 1}, ("/a~1b~0c", "a boolean", "integer")),
        ([], ("", "an object", "array")),
        (None, ("", "an object", "null")),
        ({"qty": 1, "pet": {"kind": "dog"}}, ("/pet/bark", "a value: the property is required", "nothing")),
        ({"qty": 1, "pet": {"kind": "cat", "lives": "nine"}}, ("/pet/lives", "an integer", "string")),
        ({"qty": 1, "pet": {"kind": "cow"}}, ("/pet", "one of 2 alternatives of the contract", "object")),
        ({"qty": 1, "pet": 5}, ("/pet", "one of 2 alternatives of the contract", "integer")),
    ],
)
def test_faults(order: Any, body: Any, told: tuple[str, str, str]) -> None:
    """M11: what breaks the contract is refused with 400 and told with pointer, expectation and type found."""
    refusal = order.body(orjson.dumps(body))
    assert faults(refusal) == [told]
    assert refusal.status == 400
    assert str(refusal.rule) == "openapi.yaml:42 POST /things"
    assert refusal.remedy


def test_problem_document(order: Any) -> None:
    """M11: the answer lists the errors as RFC 9457 members."""
    problem = orjson.loads(order.body(b'{"qty":"x","admin":1}').problem())
    assert problem["errors"] == [
        {"pointer": "/qty", "detail": "an integer", "found": "string"},
        {"pointer": "/admin", "detail": "one of the declared properties; `admin` is not declared"},
    ]


def test_mass_assignment(order: Any) -> None:
    """API3: properties that the contract does not declare never pass, nor do read-only ones."""
    for name in ("admin", "role", "is_admin", "__proto__", "constructor", "id", "Qty"):
        assert faults(order.body(orjson.dumps({"qty": 1, name: True})))[0][0] == f"/{name}"


@pytest.mark.parametrize("name", ["x" * 65, "a\nb", "\x1b[31m", "\u202e"])
def test_names_are_shown_with_care(order: Any, name: str) -> None:
    """LOG-01: a property name that is long or not printable is not repeated."""
    assert faults(order.body(orjson.dumps({"qty": 1, name: 1})))[0][:2] == (
        "/?",
        "one of the declared properties; `?` is not declared",
    )


def test_values_stay_out(order: Any) -> None:
    """EXP-03: the offending value is in no part of the refusal."""
    secret = "hunter2-correct-horse"
    bodies = (
        {"qty": secret},
        {"qty": 1, "note": secret},
        {"qty": 1, "lines": [{"sku": secret}]},
        {"qty": 1, "pet": {"kind": secret}},
        [secret],
    )
    for body in bodies:
        refusal = order.body(orjson.dumps(body))
        assert secret not in f"{refusal!r}{refusal.remedy}{refusal.faults}{refusal.problem()!r}"


def test_faults_are_bounded(order: Any, world: Any) -> None:
    """M11: at most twenty faults; a large body is told its first fault only, so that errors stay cheap."""
    many = orjson.dumps({"qty": 1, **{f"p{number}": 1 for number in range(60)}})
    assert len(faults(order.body(many))) == 20
    numbers = world(content={JSON: {"type": "array", "items": {"type": "integer"}}})
    assert len(faults(numbers.body(orjson.dumps(["x"] * 30)))) == 20
    assert len(faults(numbers.body(orjson.dumps(["x"] * 9000)))) == 1


@pytest.mark.parametrize(
    ("sent", "forwarded"),
    [
        (b'{"qty":1}', None),
        (b' { "qty" : 1 }\n', b'{"qty":1}'),
        (b'{"qty":1,"note":"\\u00e9"}', '{"qty":1,"note":"é"}'.encode()),
        (b'{"qty":1.0}', None),
        (b'{"qty":1E0}', b'{"qty":1.0}'),
        (b'{"\\u0071ty":1}', b'{"qty":1}'),
    ],
)
def test_canonical(order: Any, world: Any, sent: bytes, forwarded: bytes | None) -> None:
    """JSON-10: what was understood is what is sent on; None where it is what came."""
    assert order.body(sent) == forwarded
    original = world(content={JSON: ref("Order")}, schemas=SCHEMAS, table={"forward": "original"})
    assert original.body(sent) is None


@pytest.mark.parametrize("raw", [b'{"qty":1,"qty":2}', b"{", b"NaN", b"\xef\xbb\xbf{}", b"[" * 100_000, b'"\xff"'])
def test_malformed(order: Any, raw: bytes) -> None:
    """JSON-11: a text that parsers read differently is 400, never 500, whatever `status` says."""
    refusal = order.body(raw)
    assert [where for where, _, _ in faults(refusal, "malformed-body")] == [""]
    assert refusal.status == 400


def test_limit_names_its_key(order: Any) -> None:
    """JSON-12: a limit's refusal points at its line in the policy and says how to raise it."""
    refusal = order.body(b'{"lines":' + b"[" * 40 + b"]" * 40 + b"}")
    assert str(refusal.rule) == "sixfold.toml:4 validation.max_depth"
    assert "max_depth" in refusal.remedy


@pytest.mark.parametrize(
    ("schema", "value", "places"),
    [
        (True, 2**53, []),
        (True, 2**53 + 1, [""]),
        ({"type": "integer"}, 2**53 + 1, [""]),
        ({"type": "integer"}, -(2**53) - 1, [""]),
        ({"type": "integer", "maximum": 2**63 - 1}, 2**60, []),
        ({"type": "integer", "maximum": 2**63 - 1}, -(2**60), [""]),
        ({"type": "integer", "exclusiveMinimum": -(2**63)}, -(2**60), []),
        ({"enum": [2**60]}, 2**60, []),
        ({"const": 2**60}, 2**60, []),
        ({"type": "number"}, 2**60, [""]),
        ({"type": "array", "items": {"maximum": 2**63}}, [2**60, 1, 2**61], []),
        ({"properties": {"a": {"maximum": 2**63}}}, {"a": 2**60, "b": 2**60}, ["/b"]),
        ({"allOf": [{"type": "integer"}, {"maximum": 2**63}]}, 2**60, []),
        ({"oneOf": [{"type": "string"}, {"type": "integer", "maximum": 2**63}]}, 2**60, []),
        ({"anyOf": [{"type": "number"}, {"type": "integer", "maximum": 2**63}]}, 2**60, [""]),
        ({"type": "array", "prefixItems": [{"maximum": 2**63}]}, [2**60, 2**60], ["/1"]),
    ],
)
def test_large_integers(world: Any, schema: Any, value: Any, places: list[str]) -> None:
    """JSON-13: an integer beyond 2^53 passes only where the contract bounds it."""
    outcome = world(content={JSON: schema}).body(orjson.dumps(value))
    assert ([where for where, _, _ in faults(outcome)] if outcome is not None else []) == places


def test_many_large_integers(world: Any) -> None:
    """JSON-13: a thousand large integers are asked about, more are refused together."""
    subject = world(content={JSON: {"type": "array", "items": {"maximum": 2**63}}})
    assert subject.body(orjson.dumps([2**60] * 1000)) is None
    assert len(faults(subject.body(orjson.dumps([2**60] * 1001)))) == 20


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"prefixItems": [{"type": "string"}], "items": False}, [["a"], []], [["a", 1], [1]]),
        (
            {
                "type": "object",
                "unevaluatedProperties": False,
                "allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}],
            },
            [{"a": 1, "b": 1}],
            [{"c": 1}],
        ),
        ({"dependentRequired": {"card": ["address"]}}, [{"card": 1, "address": 1}, {}], [{"card": 1}]),
        ({"dependentSchemas": {"a": {"required": ["b"]}}}, [{"a": 1, "b": 1}], [{"a": 1}]),
        (
            {"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": {"required": ["c"]}},
            [{"a": 1, "b": 1}, {"c": 1}],
            [{"a": 1}, {}],
        ),
        ({"contains": {"const": 1}, "minContains": 2, "maxContains": 3}, [[1, 1], [1, 2, 1]], [[1], [1, 1, 1, 1]]),
        ({"propertyNames": {"pattern": "^[a-z]+$"}}, [{"a": 1}], [{"A": 1}]),
        (
            {"patternProperties": {"^x-": {"type": "string"}}, "additionalProperties": False},
            [{"x-a": "1"}],
            [{"x-a": 1}, {"y": "1"}],
        ),
        ({"$defs": {"t": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/t"}}}, [{"a": 1}], [{"a": "1"}]),
        (
            {"$anchor": "top", "type": "object", "properties": {"in": {"$ref": "#top"}}},
            [{"in": {"in": {}}}],
            [{"in": {"in": 1}}],
        ),
        ({"not": {"type": "string"}}, [1], ["a"]),
        ({"type": ["integer", "null"]}, [1, None], ["1"]),
        ({"multipleOf": 0.01}, [19.99, 0.07], [0.001]),
        ({"type": "integer"}, [1, 1.0], [1.5, True]),
        ({"enum": [1, "a", None]}, [1, "a", None], [2, "b", False]),
        ({"format": "date-time"}, ["2024-01-01T00:00:00Z"], ["yesterday"]),
        ({"format": "uri"}, ["https://example.com/x"], ["//nope", "x y"]),
        ({"format": "byte"}, ["YWJj"], ["a"]),
        ({"format": "int32", "type": "integer"}, [1], ["1"]),
        ({"format": "password", "type": "string"}, ["x"], [1]),
        ({"type": "string", "minLength": 1}, ["😀"], [""]),
        ({"type": "string", "maxLength": 1}, ["😀"], ["ab"]),
    ],
)
def test_json_schema_2020_12(world: Any, schema: Any, good: list[Any], bad: list[Any]) -> None:
    """M11: keywords of JSON Schema 2020-12 and formats of OpenAPI; each fault can be put in words."""
    subject = world(content={JSON: schema})
    for value in good:
        assert subject.body(orjson.dumps(value)) is None, value
    for value in bad:
        told = faults(subject.body(orjson.dumps(value)))
        assert told
        assert all(expected and "`:" not in expected for _, expected, _ in told)


def test_recursive_schema(world: Any) -> None:
    """M11: a schema that refers to itself."""
    subject = world(content={JSON: ref("Node")}, schemas=SCHEMAS)
    assert subject.body(b'{"next":{"next":{"value":1}}}') is None
    assert faults(subject.body(b'{"next":{"next":{"value":"1"}}}')) == [("/next/next/value", "an integer", "string")]
    assert faults(subject.body(b'{"next":{"next":{"x":"1"}}}'))[0][0].startswith("/next")


@pytest.mark.parametrize(
    ("content_type", "accepted"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("application/json;charset=UTF-8", True),
        ('application/json; charset="utf-8"', True),
        ("Application/JSON", True),
        ("application/json; version=1", True),
        ("application/json;", True),
        ("application/json; charset=utf-16", False),
        ("application/json; charset=latin1", False),
        ("application/json; charset=utf-8; charset=utf-16", False),
        ("application/json; charset", False),
        ("application/json, text/plain", False),
        ("application/jsonx", False),
        ("application/problem+json", False),
        ("text/plain", False),
        ("application/x-www-form-urlencoded", False),
        ("json", False),
        ("", False),
        ("*/*", False),
    ],
)
def test_content_type(order: Any, content_type: str, accepted: bool) -> None:
    """JSON-14: exactly one media type of the operation, in UTF-8; nothing is sniffed; else 415 without reading."""
    request = order.request(headers={"content-type": content_type}, length=9)
    refusal = order.validation.parameters(request, order.operation, {})
    if accepted:
        assert refusal is None
        assert order.validation.reads_body(request, order.operation) == 1024 * 1024
    else:
        assert refusal.status == 415
        assert (b"accept", b"application/json") in refusal.headers
        assert order.validation.reads_body(request, order.operation) is None


def test_no_content_type(order: Any) -> None:
    """JSON-14: a body without a media type is 415."""
    assert order.validation.parameters(order.request(length=3), order.operation, {}).code == "unsupported-media-type"


@pytest.mark.parametrize(
    ("coding", "accepted"),
    [("identity", True), ("gzip", False), ("br", False), ("gzip, identity", False), ("", False)],
)
def test_slow_08(order: Any, coding: str, accepted: bool) -> None:
    """SLOW-08: a compressed body is refused before it is read, so no bomb is ever unpacked."""
    headers = {"content-type": JSON, "content-encoding": coding}
    refusal = order.validation.parameters(order.request(headers=headers, length=9), order.operation, {})
    assert (refusal is None) == accepted
    if refusal is not None:
        assert (refusal.status, refusal.headers) == (415, ((b"accept-encoding", b"identity"),))


@pytest.mark.parametrize("offer", ["*/*", "application/*"])
def test_range(world: Any, offer: str) -> None:
    """JSON-14: a range of media types is matched, and JSON in it is checked as JSON."""
    subject = world(content={offer: ORDER_LIKE})
    assert subject.body(b'{"qty":1}', "application/vnd.x+json") is None
    assert faults(subject.body(b'{"qty":"1"}', "application/vnd.x+json"))
    assert subject.body(b"\x00\x01", "application/octet-stream") is None


ORDER_LIKE = {"type": "object", "properties": {"qty": {"type": "integer"}}}


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "POST"])
@pytest.mark.parametrize("length", [1, None])
def test_body_not_allowed(world: Any, method: str, length: int | None) -> None:
    """JSON-15: a body where the contract has none is refused without reading it."""
    subject = world(method="GET" if method == "HEAD" else method)
    request = subject.request(method=method, headers={"content-type": JSON}, length=length)
    refusal = subject.validation.parameters(request, subject.operation, {})
    assert (refusal.code, refusal.status) == ("body-not-allowed", 400)
    assert subject.validation.reads_body(request, subject.operation) is None


def test_body_declared_for_delete(world: Any) -> None:
    """JSON-15: a body that the contract declares is taken with any method."""
    assert world(method="DELETE", content={JSON: True}).body(b"{}") is None


def test_required_body(order: Any, world: Any) -> None:
    """JSON-16: a required body must come, also when its length was not declared."""
    assert faults(order.validation.parameters(order.request(), order.operation, {})) == [
        ("", "a body: it is required", "nothing")
    ]
    chunked = order.request(headers={"content-type": JSON}, length=None)
    assert order.validation.reads_body(chunked, order.operation) == 1024 * 1024
    assert faults(order.validation.body(chunked, order.operation, b""))
    optional = world(content={JSON: {"type": "object"}})
    assert optional.validation.parameters(optional.request(), optional.operation, {}) is None
    assert optional.validation.reads_body(optional.request(), optional.operation) is None
    assert optional.validation.body(chunked, optional.operation, b"") is None


def test_cap(world: Any) -> None:
    """SLOW-07: the cap is the route's, else the gateway's; beyond it 413, and a body that did not come whole is 408."""
    subject = world(content={JSON: True}, max_body=10)
    request = subject.request(headers={"content-type": JSON}, length=11)
    assert subject.validation.reads_body(request, subject.operation) == 10
    refusal = subject.validation.body(request, subject.operation, TOO_LARGE)
    assert (refusal.status, refusal.close, refusal.mode) == (413, True, "enforce")
    refusal = subject.validation.body(request, subject.operation, Unavailable("the connection was closed"))
    assert (refusal.status, refusal.close) == (408, True)


@pytest.mark.parametrize("mode", ["shadow", "off"])
def test_modes(world: Any, mode: str) -> None:
    """MODE: in shadow the refusal says so; off reads nothing."""
    subject = world(content={JSON: {"type": "integer"}}, table={"request": mode})
    if mode == "off":
        assert subject.body(b"{") is None
        assert subject.parameters("/things?x=1") is None
        return
    assert subject.body(b"{").mode == mode
    assert subject.body(b'"a"').mode == mode
    assert subject.body(b"1", "text/plain").mode == mode


def test_status_422(world: Any) -> None:
    """M11: 422 by choice for a body that breaks its schema; a malformed one stays 400."""
    subject = world(content={JSON: {"type": "integer"}}, table={"status": 422})
    assert subject.body(b'"a"').status == 422
    assert subject.body(b"{").status == 400


def test_route_content_types(world: Any) -> None:
    """JSON-14: `content_types` of a route narrow the contract, and hold without one."""
    subject = world(content={JSON: True, "text/csv": True}, content_types=("application/json",))
    assert subject.body(b"{}") is None
    assert subject.body(b"a;b", "text/csv").status == 415
    bare = world(contract=False, content_types=("application/JSON", "image/*"))
    assert bare.body(b"{", "application/json") is None
    assert bare.body(b"x", "image/png") is None
    assert bare.body(b"x", "text/plain").status == 415
    assert world(contract=False).body(b"x", "text/plain") is None


@pytest.mark.parametrize("kind", ["application/octet-stream", "image/png", "multipart/mixed", "application/xml"])
def test_streamed(world: Any, kind: str) -> None:
    """M11: media types that no schema can describe are passed on unread."""
    subject = world(content={kind: {"type": "string", "format": "binary"}})
    request = subject.request(headers={"content-type": kind}, length=10**9)
    assert subject.validation.parameters(request, subject.operation, {}) is None
    assert subject.validation.reads_body(request, subject.operation) is None


def test_exhaustion_is_the_inputs_fault(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON-17: memory, recursion and panics below are 400; other errors are bugs and stay exceptions."""
    panic = type("PanicException", (BaseException,), {})
    subject = world(content={JSON: True})
    for problem, told in (
        (MemoryError, True),
        (RecursionError, True),
        (panic, True),
        (ZeroDivisionError, False),
    ):

        def fail(*_: Any, problem: type[BaseException] = problem) -> None:
            raise problem

        monkeypatch.setattr("sixfold.layers.validation.json_body.JsonBody.check", fail)
        if told:
            assert faults(subject.body(b"{}"), "malformed-body")
        else:
            with pytest.raises(problem):
                subject.body(b"{}")


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        ({"pattern": "^(?=a)"}, "linear time"),
        ({"pattern": "(a)\\1"}, "linear time"),
        ({"patternProperties": {"(?!a)": {}}}, "linear time"),
        ({"properties": {"a": {"pattern": "["}}}, "linear time"),
        ({"pattern": "((a{1000}){1000}){1000}"}, "linear time"),
        ({"type": "strin"}, "JSON Schema"),
        ({"minimum": True}, "JSON Schema"),
        ({"$ref": "urn:sixfold:0:request#/components/schemas/Nothing"}, "$ref"),
        ({"$ref": "https://example.com/schema.json"}, "$ref"),
        ({"$ref": "file:///etc/passwd"}, "$ref"),
    ],
)
def test_refused_at_load(world: Any, schema: Any, word: str) -> None:
    """JSON-18: a schema that cannot be used, or would be fetched, is refused at load with file, line and remedy."""
    with pytest.raises(ValueError, match=r"^openapi\.yaml:42 POST /things: body of type") as caught:
        world(content={JSON: schema}, schemas=SCHEMAS)
    assert word in str(caught.value)


def test_linear_patterns(world: Any) -> None:
    """JSON-19: a pattern that makes a backtracking engine hang for ever is answered at once."""
    subject = world(content={JSON: {"pattern": "^(a+)+$"}})
    assert faults(subject.body(orjson.dumps("a" * 50_000 + "!")))


def test_unknown_format(world: Any) -> None:
    """M11: an unknown format demands nothing, and `sixfold check` says so once."""
    subject = world(content={JSON: {"items": {"format": "iban"}}, "text/plain": {"format": "iban"}})
    assert subject.body(b'["x"]') is None
    assert [(finding.code, "iban" in finding.text) for finding in subject.validation.findings] == [
        ("unknown-format", True)
    ]


def test_many_operations_share_validators(world: Any) -> None:
    """M11: equal schemas are compiled once."""
    subject = world(content={JSON: ref("Order"), "application/vnd.x+json": ref("Order")}, schemas=SCHEMAS)
    first, second = (check["json"] for check in subject.validation._requests[0].accepts._checks.values())
    assert first._validator is second._validator


def test_json_dumps_of_python(order: Any) -> None:
    """JSON-20: what common clients write passes: blanks after separators, escaped text."""
    assert order.body(json.dumps({"qty": 1, "note": "é"}).encode()) == '{"qty":1,"note":"é"}'.encode()
    assert order.body(json.dumps({"qty": 1, "lines": []}, indent=2).encode()) == b'{"qty":1,"lines":[]}'
