"""What a document says about its operations: paths, parameters, bodies, answers, security, `x-sixfold`."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixfold.policy import PolicyError, compile_policy, load_text
from sixfold.policy.document import Limit


def one(described: Any, item: Any, path: str = "/x", toml: str = "", **more: Any) -> Any:
    (operation,) = described({"paths": {path: item}, **more}, toml).operations
    return operation


@pytest.mark.parametrize(
    ("servers", "toml", "path"),
    [
        ([], "", "/x"),
        ([{"url": "/"}], "", "/x"),
        ([{"url": "/v1/"}], "", "/v1/x"),
        ([{"url": "https://api.example.com"}], "", "/x"),
        ([{"url": "https://api.example.com/v1"}, {"url": "/v2"}], "", "/v1/x"),
        (
            [
                {
                    "url": "{scheme}://h/{base}/b",
                    "variables": {"scheme": {"default": "https"}, "base": {"default": "a"}},
                }
            ],
            "",
            "/a/b/x",
        ),
        ([{"url": "/v1"}], '[gateway]\nbase_path = "/mine"', "/mine/x"),
        ([{"url": "/v1"}], '[gateway]\nbase_path = ""', "/x"),
    ],
)
def test_the_base_path(described: Any, servers: Any, toml: str, path: str) -> None:
    """M11: the path of the first server stands before every path, unless the policy replaces it."""
    assert one(described, {"get": {}}, servers=servers, toml=toml).path == path


def test_servers_of_a_path_or_operation_come_first(described: Any) -> None:
    item: Any = {"servers": [{"url": "/path"}], "get": {"servers": [{"url": "/operation"}]}, "put": {}}
    policy = described({"servers": [{"url": "/document"}], "paths": {"/x": item, "/y": {"get": {}}}})
    assert [operation.path for operation in policy.operations] == ["/operation/x", "/path/x", "/document/y"]


def test_methods(described: Any) -> None:
    """M11: QUERY (OpenAPI 3.2) is understood; what is no method of ours stays closed and is told."""
    item: dict[str, Any] = {
        name: {} for name in ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
    }
    item["additionalOperations"] = {"COPY": {}}
    policy = described({"openapi": "3.2.0", "paths": {"/x": {**item, "summary": "s", "x-a": {}}, "x-b": {}}})
    assert sorted(operation.method for operation in policy.operations) == [
        "DELETE",
        "GET",
        "HEAD",
        "OPTIONS",
        "PATCH",
        "POST",
        "PUT",
        "QUERY",
    ]
    assert [finding.text for finding in policy.findings if finding.code == "method-not-supported"] == [
        "COPY /x cannot be judged, so it stays closed"
    ]


@pytest.mark.parametrize("path", ["/a?b=c", "/a#b", "/a//b", "/a/{", "a", "/{x}/{x}", "/a/**", "/%61"])
def test_a_path_that_can_never_match_is_left_out_and_told(described: Any, path: str) -> None:
    """PATH-01: no canonical path would ever match it."""
    policy = described({"paths": {path: {"get": {}}}})
    assert policy.operations == ()
    assert [finding.code for finding in policy.findings] == ["path-not-supported"]


PARAMETERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"in": "query"}, {"style": "form", "explode": True, "required": False}),
    ({"in": "cookie"}, {"style": "form", "explode": True}),
    ({"in": "path"}, {"style": "simple", "explode": False, "required": True}),
    ({"in": "header", "required": True}, {"style": "simple", "explode": False, "required": True}),
    ({"in": "query", "style": "pipeDelimited"}, {"style": "pipeDelimited", "explode": False}),
    ({"in": "query", "style": "deepObject", "explode": True}, {"style": "deepObject", "explode": True}),
    ({"in": "query", "explode": False}, {"style": "form", "explode": False}),
    ({"in": "query", "deprecated": True}, {"deprecated": True}),
    ({"in": "query", "schema": {"type": "string", "example": 1}}, {"schema": {"type": "string"}}),
    ({"in": "query"}, {"schema": True, "media_type": ""}),
    (
        {"in": "query", "content": {"Application/JSON; x=y": {"schema": {"type": "null"}}}},
        {"schema": {"type": "null"}, "media_type": "application/json"},
    ),
]


@pytest.mark.parametrize(("parameter", "expected"), PARAMETERS)
def test_parameters(described: Any, parameter: Any, expected: dict[str, Any]) -> None:
    """M11: the defaults of each location are filled in."""
    operation = one(described, {"get": {"parameters": [{"name": "p", **parameter}]}}, "/x/{p}")
    (found,) = operation.contract.parameters
    assert {key: getattr(found, key) for key in expected} == expected


def test_parameters_of_the_path_and_of_the_operation(described: Any) -> None:
    """M11: the operation's word replaces the path's; header names are written in lower case."""
    schema = {"schema": {"type": "string"}}
    item = {
        "parameters": [
            {"name": "a", "in": "query", **schema},
            {"name": "X-B", "in": "header", **schema},
            {"$ref": "#/components/parameters/C"},
            {"name": "gone", "in": "path", **schema},
        ],
        "get": {
            "parameters": [
                {"name": "a", "in": "query", "schema": {"type": "integer"}},
                {"name": "a", "in": "header"},
                {"name": "Authorization", "in": "header"},
                {"name": "ACCEPT", "in": "header"},
                {"name": "content-type", "in": "header"},
            ]
        },
    }
    parameters = {"C": {"name": "c", "in": "cookie", **schema}}
    found = one(described, item, components={"parameters": parameters}).contract.parameters
    assert [(p.location, p.name) for p in found] == [
        ("query", "a"),
        ("header", "x-b"),
        ("cookie", "c"),
        ("header", "a"),
    ]
    assert found[0].schema == {"type": "integer"}


@pytest.mark.parametrize(
    ("parameter", "word"),
    [
        ({"name": "a"}, "needs `name`"),
        ({"in": "query"}, "needs `name`"),
        ({"name": "a", "in": "body"}, "needs `name`"),
        ({"name": "a", "in": "query", "style": "simple"}, "`style` of a parameter in query"),
        (5, "needs `name`"),
        ({"name": "a", "in": "query", "style": ["form"]}, "`style`"),
        ({"$ref": "#/x"}, "leads nowhere"),
    ],
)
def test_a_parameter_that_cannot_be_understood_is_refused(refused: Any, parameter: Any, word: str) -> None:
    (line,) = refused({"paths": {"/x": {"get": {"parameters": [parameter]}}}})
    assert line.startswith("openapi.json:9: GET /x: ")
    assert word in line


def test_what_cannot_be_judged_stays_closed(described: Any) -> None:
    """M6: a parameter that is the whole query string (OpenAPI 3.2) is not read, so nobody may call it."""
    parameters = [{"name": "q", "in": "querystring", "content": {}}]
    policy = described({"paths": {"/x": {"get": {"security": [], "parameters": parameters}}}})
    assert policy.operations[0].access == "deny"
    assert [finding.code for finding in policy.findings] == ["not-supported"]


def test_bodies(described: Any) -> None:
    """M11: one contract per media type, told apart by type and subtype only."""
    content = {
        "Application/JSON": {"schema": {"type": "object"}},
        "application/json; version=2": {"schema": {"type": "array"}},
        "image/*": {},
        "multipart/form-data": {
            "schema": {"type": "object"},
            "encoding": {
                "file": {"contentType": "image/png", "headers": {"x": {}}, "explode": False},
                "bad": 5,
            },
        },
    }
    body = one(described, {"post": {"requestBody": {"required": True, "content": content}}}).contract.body
    assert body.required
    assert {name: media.schema for name, media in body.content.items()} == {
        "application/json": {"anyOf": [{"type": "object"}, {"type": "array"}]},
        "image/*": True,
        "multipart/form-data": {"type": "object"},
    }
    assert body.content["multipart/form-data"].encoding == {"file": {"contentType": "image/png", "explode": False}}


def test_no_body(described: Any) -> None:
    assert one(described, {"post": {}}).contract.body is None
    assert one(described, {"post": {"requestBody": {}}}).contract.body.content == {}


def test_responses(described: Any) -> None:
    """M11: by status, range or default; references resolved."""
    media = {"content": {"application/json": {"schema": {"type": "string"}}}}
    responses = {
        "200": media,
        "4xx": {"$ref": "#/components/responses/E"},
        "default": {},
        "x-a": 5,
        "204": {"description": "d"},
    }
    found = one(described, {"get": {"responses": responses}}, components={"responses": {"E": media}}).contract.responses
    assert {status: list(content) for status, content in found.items()} == {
        "200": ["application/json"],
        "4XX": ["application/json"],
        "default": [],
        "204": [],
    }


SCHEMES = {"securitySchemes": {name: {"type": "http", "scheme": "bearer"} for name in "abk"}}


@pytest.mark.parametrize(
    ("document", "operation", "access", "require"),
    [
        (None, None, "default", []),
        ([], None, "public", []),
        ([{"a": ["r"]}], None, "require", [{"r"}]),
        ([{"a": ["r"]}], [], "public", []),
        ([{"a": ["r"]}], [{}], "public", []),
        ([{"a": ["r"]}], [{"a": ["w"]}, {}], "public", []),
        (None, [{"a": []}], "authenticated", []),
        (None, [{"a": ["r"]}, {"k": []}], "authenticated", []),
        (None, [{"a": ["r", "w"]}, {"b": ["admin"]}], "require", [{"r", "w"}, {"admin"}]),
        (None, [{"a": ["r"], "b": ["w"]}], "require", [{"r", "w"}]),
        (None, [{"a": ["r"], "k": []}], "require", [{"r"}]),
        (None, [{"a": ["r"]}, {"b": ["r"]}], "require", [{"r"}]),
    ],
)
def test_security(described: Any, document: Any, operation: Any, access: str, require: Any) -> None:
    """M5, M6: scopes become names; alternatives stay alternatives; an empty one opens."""
    top = {} if document is None else {"security": document}
    found = one(described, {"get": {} if operation is None else {"security": operation}}, components=SCHEMES, **top)
    assert (found.access, found.require) == (access, tuple(map(frozenset, require)))


def test_an_unknown_security_scheme_is_told(described: Any) -> None:
    policy = described({"paths": {"/x": {"get": {"security": [{"nobody": []}]}}}})
    assert [finding.code for finding in policy.findings] == ["unknown-scheme"]
    assert policy.operations[0].access == "authenticated"


@pytest.mark.parametrize("security", [{}, "a", [5], [{"a": "r"}], [{"a": [5]}], [{"a": {}}]])
def test_security_that_cannot_be_understood_is_refused(refused: Any, security: Any) -> None:
    """M6: never read as "nothing is asked"."""
    (line,) = refused({"paths": {"/x": {"get": {"security": security}}}})
    assert line.startswith("openapi.json:9: GET /x: ")


def test_x_sixfold(described: Any) -> None:
    """CFG-01: the same keys as a route; what it does not say, `security` says."""
    extension = {"limit": "1/s", "cost": 2, "when": ["a"], "max_body": "1 kB", "mode": "shadow"}
    found = one(described, {"get": {"security": [{"a": ["r"]}], "x-sixfold": extension}}, components=SCHEMES)
    assert (found.require, found.limits, found.cost) == ((frozenset("r"),), (Limit(rate="1/s"),), 2)
    assert (found.when, found.max_body, found.modes["validation"]) == (("a",), 1000, "shadow")
    for said, access in (
        ({"public": True}, "public"),
        ({"deny": True}, "deny"),
        ({"require": ["x"]}, "require"),
    ):
        assert one(described, {"get": {"security": [{"a": ["r"]}], "x-sixfold": said}}).access == access


def test_a_route_of_the_policy_file_wins_over_x_sixfold(described: Any) -> None:
    toml = '[[routes]]\nmatch = "GET /x"\nrequire = "file"'
    found = one(described, {"get": {"x-sixfold": {"public": True, "cost": 3}}}, toml=toml)
    assert (found.require, found.cost, found.rule.file) == ((frozenset({"file"}),), 3, "sixfold.toml")


@pytest.mark.parametrize(
    ("extension", "text"),
    [
        ({"requires": "x"}, ".requires: unknown key; did you mean `require`?"),
        ({"owner": {}}, ".owner: unknown key"),
        ({"match": "GET /"}, ": `match` is the operation itself; leave it out"),
        ({"cost": 0}, ".cost: expected at least 1, found a whole number"),
        ({"public": True, "deny": True}, ": `public` and `deny` contradict each other; keep one"),
        ({"require": []}, ": `require` names nothing"),
        ("public", ": expected a table, found text"),
    ],
)
def test_x_sixfold_that_is_not_understood_is_refused(refused: Any, extension: Any, text: str) -> None:
    """CFG-05: the same messages as for the file, with the line of the operation."""
    (line,) = refused({"paths": {"/x": {"get": {"x-sixfold": extension}}}})
    assert line.startswith(f"openapi.json:9: GET /x: x-sixfold{text}")


def test_a_path_item_by_reference(described: Any) -> None:
    components = {"pathItems": {"P": {"get": {"operationId": "p"}}}}
    found = one(described, {"$ref": "#/components/pathItems/P"}, components=components)
    assert (found.operation_id, found.deprecated) == ("p", False)


def test_circles_outside_schemas_are_refused(refused: Any) -> None:
    lines = refused(
        {
            "paths": {
                "/x": {"$ref": "#/paths/~1y"},
                "/y": {"$ref": "#/paths/~1x"},
                "/z": {"get": {"parameters": [{"$ref": "#/components/parameters/P"}]}},
            },
            "components": {"parameters": {"P": {"$ref": "#/components/parameters/P"}}},
        }
    )
    assert len(lines) == 3
    assert all("leads in a circle" in line for line in lines)


def test_templates_of_one_shape(described: Any, refused: Any) -> None:
    """CLI-06: ambiguous for one method; other methods may name their parameters as they like."""
    assert len(described({"paths": {"/a/{x}": {"get": {}}, "/a/{y}": {"post": {}}}}).operations) == 2
    (line,) = refused({"paths": {"/a/{x}": {"get": {}}, "/a/{y}": {"get": {}}}})
    assert (
        line == "openapi.json:12: openapi GET /a/{y}: matches the same requests as openapi.json:9; keep one of the two"
    )


def test_a_large_document(described: Any) -> None:
    """UX-13: 1,200 operations and 900 schemas compile to as many, each schema once per side."""
    schemas = {
        f"S{n}": {
            "type": "object",
            "properties": {"next": {"$ref": f"#/components/schemas/S{(n + 1) % 900}"}},
        }
        for n in range(900)
    }
    paths: dict[str, Any] = {}
    for n in range(600):
        content = {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/S{n}"}}}}
        paths[f"/things{n}/{{id}}"] = {
            "get": {"responses": {"200": content}},
            "put": {"requestBody": content, "responses": {"200": content}},
        }
    policy = described({"openapi": "3.0.3", "paths": paths, "components": {"schemas": schemas}})
    assert len(policy.operations) == 1200
    assert [operation.index for operation in policy.operations] == list(range(1200))
    assert {uri: len(document["components"]["schemas"]) for uri, document in policy.schemas.items()} == {
        "urn:sixfold:0:request": 900,
        "urn:sixfold:0:response": 900,
    }
    assert len({operation.rule.line for operation in policy.operations}) == 1200


SOUND: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "t"},
    "servers": [{"url": "/{v}", "variables": {"v": {"default": "v1"}}}],
    "security": [{"a": ["r"]}],
    "paths": {
        "/x/{id}": {
            "parameters": [{"$ref": "#/components/parameters/Id"}],
            "post": {
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {"$ref": "#/components/schemas/A"},
                            "encoding": {"f": {"contentType": "text/plain"}},
                        }
                    }
                },
                "responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/U"}}}}},
                "x-sixfold": {"limit": "1/s"},
            },
        }
    },
    "components": {
        "parameters": {
            "Id": {"name": "id", "in": "path", "schema": {"type": "integer", "format": "int32", "minimum": 1}}
        },
        "schemas": {
            "A": {
                "type": "object",
                "properties": {"n": {"type": "string", "readOnly": True}},
                "required": ["n"],
                "dependentSchemas": {"n": {"if": {}, "then": {}}},
                "patternProperties": {"x": {"enum": [1]}},
            },
            "U": {
                "oneOf": [{"$ref": "#/components/schemas/A"}, {"$ref": "#/components/schemas/B"}],
                "discriminator": {"propertyName": "k", "mapping": {"a": "A"}},
            },
            "B": {
                "allOf": [
                    {"$ref": "#/components/schemas/A"},
                    {"type": ["object"], "prefixItems": [{"const": 1}]},
                ],
                "discriminator": {"propertyName": "k"},
                "exclusiveMinimum": True,
                "minimum": 1,
            },
        },
    },
}

BROKEN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text("#/a", max_size=3)
    | st.sampled_from(
        [
            [],
            {},
            [[]],
            [{}],
            {"": None},
            {"$ref": "#"},
            {"$ref": "#/paths"},
            {"allOf": [{"$ref": "#/components/schemas/A"}]},
        ]
    )
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in children for place in _places(item, (*path, key)))]


def _damaged(value: Any, path: tuple[Any, ...], broken: Any) -> Any:
    if not path:
        return broken
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _damaged(value[path[0]], path[1:], broken)
    return copy


@settings(deadline=None)
@given(st.sampled_from(_places(SOUND)), BROKEN, st.sampled_from(["3.0.3", "3.1.0"]))
def test_a_damaged_document_is_refused_or_compiled(place: tuple[Any, ...], broken: Any, version: str) -> None:
    """API7, M14: whatever an upstream serves, loading ends in a policy or in a PolicyError."""
    document = _damaged({**SOUND, "openapi": version}, place, broken)
    with suppress(PolicyError):
        compile_policy(load_text(""), openapi_documents={"x.json": json.dumps(document).encode()})
