"""Swagger 2.0 to OpenAPI 3.0.3: one table of inputs per mapping, then all of it under random damage."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.policy.openapi.swagger2 import upgrade

OK: dict[str, Any] = {"200": {"description": "fine"}}


def document(**members: Any) -> dict[str, Any]:
    return {"swagger": "2.0", "info": {"title": "t", "version": "1"}, "paths": {}, **members}


def operation(**members: Any) -> dict[str, Any]:
    return document(paths={"/things": {"post": {"responses": OK, **members}}})


def upgraded(source: dict[str, Any]) -> dict[str, Any]:
    """Return the upgraded operation."""
    result: dict[str, Any] = upgrade(source)["paths"]["/things"]["post"]
    return result


def schema(source: dict[str, Any]) -> Any:
    """Return how a definition comes out."""
    return upgrade(document(definitions={"X": source}))["components"]["schemas"]["X"]


def test_the_frame() -> None:
    result = upgrade(document(tags=[{"name": "a"}], security=[{"key": []}], **{"x-mine": 1}))
    assert result["openapi"] == "3.0.3"
    assert result["info"] == {"title": "t", "version": "1"}
    assert (result["tags"], result["security"], result["x-mine"]) == ([{"name": "a"}], [{"key": []}], 1)


@pytest.mark.parametrize(
    ("members", "urls"),
    [
        ({}, ["/"]),
        ({"basePath": "/v1"}, ["/v1"]),
        ({"basePath": "/v1/"}, ["/v1"]),
        ({"host": "api.test", "basePath": "/"}, ["//api.test/"]),
        (
            {"host": "api.test:8080", "schemes": ["https", "http"], "basePath": "/v1"},
            ["https://api.test:8080/v1", "http://api.test:8080/v1"],
        ),
    ],
)
def test_servers(members: dict[str, Any], urls: list[str]) -> None:
    assert [server["url"] for server in upgrade(document(**members))["servers"]] == urls


def test_schemes_of_an_operation_become_its_servers() -> None:
    source = operation(schemes=["https"])
    source.update(host="api.test", basePath="/v1", schemes=["http"])
    assert upgraded(source)["servers"] == [{"url": "https://api.test/v1"}]


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        (
            {"name": "q", "in": "query", "type": "integer", "format": "int32", "minimum": 1, "default": 3},
            {
                "name": "q",
                "in": "query",
                "schema": {"type": "integer", "format": "int32", "minimum": 1, "default": 3},
            },
        ),
        (
            {"name": "id", "in": "path", "required": True, "type": "string", "description": "d", "x-a": 1},
            {
                "name": "id",
                "in": "path",
                "required": True,
                "description": "d",
                "x-a": 1,
                "schema": {"type": "string"},
            },
        ),
        (
            {"name": "q", "in": "query", "type": "string", "allowEmptyValue": True, "enum": ["a"]},
            {
                "name": "q",
                "in": "query",
                "allowEmptyValue": True,
                "schema": {"type": "string", "enum": ["a"]},
            },
        ),
        (
            {"name": "q", "in": "query", "type": "string", "x-nullable": True},
            {"name": "q", "in": "query", "schema": {"type": "string", "nullable": True}},
        ),
    ],
)
def test_a_parameter_gets_a_schema(parameter: dict[str, Any], expected: dict[str, Any]) -> None:
    assert upgraded(operation(parameters=[parameter]))["parameters"] == [expected]


@pytest.mark.parametrize(
    ("location", "written", "style", "explode"),
    [
        ("query", None, "form", False),
        ("query", "csv", "form", False),
        ("query", "ssv", "spaceDelimited", False),
        ("query", "pipes", "pipeDelimited", False),
        ("query", "multi", "form", True),
        ("path", None, "simple", False),
        ("path", "csv", "simple", False),
        ("header", "csv", "simple", False),
    ],
)
def test_collection_format(location: str, written: str | None, style: str, explode: bool) -> None:
    parameter: dict[str, Any] = {"name": "q", "in": location, "type": "array", "items": {"type": "integer"}}
    if written:
        parameter["collectionFormat"] = written
    (result,) = upgraded(operation(parameters=[parameter]))["parameters"]
    assert (result["style"], result["explode"]) == (style, explode)
    assert result["schema"] == {"type": "array", "items": {"type": "integer"}}


@pytest.mark.parametrize(
    ("location", "written"),
    [
        ("query", "tsv"),
        ("path", "tsv"),
        ("path", "multi"),
        ("header", "ssv"),
        ("header", "pipes"),
        ("query", ["csv"]),
    ],
)
def test_a_collection_format_without_successor_is_refused(location: str, written: Any) -> None:
    parameter = {"name": "q", "in": location, "type": "array", "collectionFormat": written, "items": {}}
    with pytest.raises(ValueError, match=r"^#/paths/~1things/post/parameters/0/collectionFormat: "):
        upgrade(operation(parameters=[parameter]))


@pytest.mark.parametrize(
    ("members", "media_types"),
    [
        ({}, ["application/json"]),
        ({"consumes": ["application/json", "application/xml"]}, ["application/json", "application/xml"]),
    ],
)
def test_a_body_parameter_becomes_the_request_body(members: dict[str, Any], media_types: list[str]) -> None:
    body = {
        "name": "b", "in": "body", "required": True, "description": "d", "x-a": 1,
        "schema": {"$ref": "#/definitions/X"},
    }  # fmt: skip
    result = upgraded(operation(parameters=[body], **members))
    assert "parameters" not in result
    assert result["requestBody"] == {
        "required": True,
        "description": "d",
        "x-a": 1,
        "content": {kind: {"schema": {"$ref": "#/components/schemas/X"}} for kind in media_types},
    }


def test_an_empty_list_of_media_types_hides_that_of_the_document() -> None:
    source = operation(parameters=[{"name": "b", "in": "body", "schema": {}}], consumes=["text/plain"])
    source["consumes"] = ["application/xml"]
    assert list(upgraded(source)["requestBody"]["content"]) == ["text/plain"]
    del source["paths"]["/things"]["post"]["consumes"]
    assert list(upgraded(source)["requestBody"]["content"]) == ["application/xml"]


FIELD = {"name": "a", "in": "formData", "type": "string", "required": True, "description": "d"}
FILE = {"name": "f", "in": "formData", "type": "file"}
MULTIPART, FORM = "multipart/form-data", "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("fields", "consumes", "media_types"),
    [
        ([FIELD], [], [FORM]),
        ([FIELD], ["application/json"], [FORM]),
        ([FIELD], [MULTIPART], [MULTIPART]),
        ([FIELD], [FORM, MULTIPART], [FORM, MULTIPART]),
        ([FIELD, FILE], [], [MULTIPART]),
        ([FIELD, FILE], [FORM, MULTIPART], [MULTIPART]),
    ],
)
def test_form_fields_become_one_object(
    fields: list[dict[str, Any]], consumes: list[str], media_types: list[str]
) -> None:
    body = upgraded(operation(parameters=fields, consumes=consumes))["requestBody"]
    assert list(body["content"]) == media_types
    assert body["required"] is True
    properties: dict[str, Any] = {"a": {"type": "string", "description": "d"}}
    if FILE in fields:
        properties["f"] = {"type": "string", "format": "binary"}
    expected = {"schema": {"type": "object", "properties": properties, "required": ["a"]}}
    assert all(media == expected for media in body["content"].values())


def test_an_array_in_a_form_keeps_its_style() -> None:
    fields = [
        {"name": "a", "in": "formData", "type": "array", "items": {"type": "string"}},
        {
            "name": "b",
            "in": "formData",
            "type": "array",
            "items": {"type": "string"},
            "collectionFormat": "multi",
        },
    ]
    body = upgraded(operation(parameters=fields))["requestBody"]
    assert body["required"] is False
    assert body["content"][FORM]["encoding"] == {
        "a": {"style": "form", "explode": False},
        "b": {"style": "form", "explode": True},
    }


def test_parameters_of_a_path_stay_there_and_its_body_goes_to_each_operation() -> None:
    query = {"name": "q", "in": "query", "type": "string"}
    body = {"name": "b", "in": "body", "schema": {"type": "string"}}
    own = {"name": "mine", "in": "body", "schema": {"type": "integer"}}
    item = {
        "parameters": [query, body],
        "post": {"responses": OK},
        "put": {"responses": OK, "parameters": [own]},
    }
    result = upgrade(document(paths={"/things": item}))["paths"]["/things"]
    assert [entry["name"] for entry in result["parameters"]] == ["q"]
    assert result["post"]["requestBody"]["content"]["application/json"]["schema"] == {"type": "string"}
    assert result["put"]["requestBody"]["content"]["application/json"]["schema"] == {"type": "integer"}


def test_a_form_field_of_an_operation_replaces_that_of_its_path() -> None:
    shared, own = (
        {"name": "a", "in": "formData", "type": "string"},
        {"name": "a", "in": "formData", "type": "integer"},
    )
    item = {"parameters": [shared, FILE], "post": {"responses": OK, "parameters": [own]}}
    result = upgrade(document(paths={"/things": item}))["paths"]["/things"]["post"]["requestBody"]
    assert result["content"][MULTIPART]["schema"]["properties"] == {
        "a": {"type": "integer"},
        "f": {"type": "string", "format": "binary"},
    }


def test_shared_parameters_are_referred_to_and_shared_bodies_written_out() -> None:
    source = operation(
        parameters=[{"$ref": "#/parameters/page"}, {"$ref": "#/parameters/a~1b"}], consumes=["text/plain"]
    )
    source["parameters"] = {
        "page": {"name": "page", "in": "query", "type": "integer"},
        "a/b": {"name": "b", "in": "body", "schema": {"type": "string"}},
    }
    result = upgrade(source)
    post = result["paths"]["/things"]["post"]
    assert post["parameters"] == [{"$ref": "#/components/parameters/page"}]
    assert post["requestBody"]["content"] == {"text/plain": {"schema": {"type": "string"}}}
    assert result["components"]["parameters"] == {
        "page": {"name": "page", "in": "query", "schema": {"type": "integer"}}
    }


@pytest.mark.parametrize(
    ("response", "produces", "expected"),
    [
        ({"description": "d"}, ["application/json"], {"description": "d"}),
        (
            {"description": "d", "schema": {"type": "string"}, "x-a": 1},
            ["application/json", "text/plain"],
            {
                "description": "d",
                "x-a": 1,
                "content": {
                    "application/json": {"schema": {"type": "string"}},
                    "text/plain": {"schema": {"type": "string"}},
                },
            },
        ),
        (
            {"description": "d", "schema": {"type": "file"}},
            [],
            {"description": "d", "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}},
        ),
        (
            {"description": "d", "schema": {"type": "integer"}, "examples": {"application/json": 3}},
            [],
            {
                "description": "d",
                "content": {"application/json": {"schema": {"type": "integer"}, "example": 3}},
            },
        ),
        (
            {
                "description": "d",
                "headers": {
                    "ETag": {"type": "string", "description": "e"},
                    "Tags": {"type": "array", "items": {"type": "string"}},
                },
            },
            [],
            {
                "description": "d",
                "headers": {
                    "ETag": {"description": "e", "schema": {"type": "string"}},
                    "Tags": {
                        "schema": {"type": "array", "items": {"type": "string"}},
                        "style": "simple",
                        "explode": False,
                    },
                },
            },
        ),
    ],
)
def test_responses(response: dict[str, Any], produces: list[str], expected: dict[str, Any]) -> None:
    source = operation(responses={200: response, "x-note": 1}, produces=produces)
    assert upgraded(source)["responses"] == {"200": expected, "x-note": 1}


def test_a_shared_response_is_referred_to_unless_its_media_types_differ() -> None:
    source = operation(responses={"default": {"$ref": "#/responses/error"}})
    source["produces"] = ["application/json"]
    source["responses"] = {"error": {"description": "e", "schema": {"type": "object"}}}
    result = upgrade(source)
    content = {"application/json": {"schema": {"type": "object"}}}
    assert result["components"]["responses"] == {"error": {"description": "e", "content": content}}
    post = result["paths"]["/things"]["post"]
    assert post["responses"] == {"default": {"$ref": "#/components/responses/error"}}
    source["paths"]["/things"]["post"]["produces"] = ["text/plain"]
    assert list(upgraded(source)["responses"]["default"]["content"]) == ["text/plain"]


NULL = {"type": "object", "nullable": True, "enum": [None]}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({}, {}),
        ({"$ref": "#/definitions/Y"}, {"$ref": "#/components/schemas/Y"}),
        ({"$ref": "#/definitions/Y/properties/a"}, {"$ref": "#/components/schemas/Y/properties/a"}),
        (
            {"$ref": "#/definitions/Y", "x-nullable": True},
            {"anyOf": [{"$ref": "#/components/schemas/Y"}, NULL]},
        ),
        ({"type": "string", "x-nullable": True}, {"type": "string", "nullable": True}),
        ({"type": "string", "x-nullable": False}, {"type": "string"}),
        (
            {"type": "string", "enum": ["a"], "x-nullable": True},
            {"type": "string", "enum": ["a", None], "nullable": True},
        ),
        ({"x-nullable": True}, {}),
        ({"type": ["string", "null"]}, {"type": "string", "nullable": True}),
        ({"type": "file"}, {"type": "string", "format": "binary"}),
        (
            {"type": "object", "discriminator": "kind"},
            {"type": "object", "discriminator": {"propertyName": "kind"}},
        ),
        (
            {"allOf": [{"$ref": "#/definitions/Y"}, {"type": "object"}]},
            {"allOf": [{"$ref": "#/components/schemas/Y"}, {"type": "object"}]},
        ),
        (
            {"type": "array", "items": {"$ref": "#/definitions/Y"}},
            {"type": "array", "items": {"$ref": "#/components/schemas/Y"}},
        ),
        (
            {"type": "object", "additionalProperties": {"$ref": "#/definitions/Y"}},
            {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Y"}},
        ),
        (
            {"type": "object", "additionalProperties": False},
            {"type": "object", "additionalProperties": False},
        ),
        (
            {"type": "integer", "maximum": 3, "exclusiveMaximum": True, "x-a": 1, "readOnly": True},
            {"type": "integer", "maximum": 3, "exclusiveMaximum": True, "x-a": 1, "readOnly": True},
        ),
        # Properties may bear the names of keywords.
        (
            {"type": "object", "properties": {"$ref": {"type": "string"}, "discriminator": {"type": "file"}}},
            {
                "type": "object",
                "properties": {
                    "$ref": {"type": "string"},
                    "discriminator": {"type": "string", "format": "binary"},
                },
            },
        ),
        # Data is not a schema.
        (
            {"type": "object", "example": {"$ref": "#/definitions/Y"}, "default": {"type": "file"}},
            {"type": "object", "example": {"$ref": "#/definitions/Y"}, "default": {"type": "file"}},
        ),
    ],
)
def test_schemas(source: dict[str, Any], expected: dict[str, Any]) -> None:
    assert schema(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"type": "basic", "description": "d"}, {"type": "http", "scheme": "basic", "description": "d"}),
        (
            {"type": "apiKey", "name": "X-Key", "in": "header", "x-a": 1},
            {"type": "apiKey", "name": "X-Key", "in": "header", "x-a": 1},
        ),
        *(
            (
                {"type": "oauth2", "flow": flow, **urls, "scopes": {"a": "b"}},
                {"type": "oauth2", "flows": {name: {**urls, "scopes": {"a": "b"}}}},
            )
            for flow, name, urls in (
                ("implicit", "implicit", {"authorizationUrl": "https://a.test"}),
                ("password", "password", {"tokenUrl": "https://t.test"}),
                ("application", "clientCredentials", {"tokenUrl": "https://t.test"}),
                (
                    "accessCode",
                    "authorizationCode",
                    {"authorizationUrl": "https://a.test", "tokenUrl": "https://t.test"},
                ),
            )
        ),
    ],
)
def test_security_schemes(source: dict[str, Any], expected: dict[str, Any]) -> None:
    result = upgrade(document(securityDefinitions={"s": source}))
    assert result["components"]["securitySchemes"] == {"s": expected}


def test_what_an_operation_says_is_kept() -> None:
    said = {
        "tags": ["a"], "summary": "s", "description": "d", "operationId": "o", "deprecated": True,
        "security": [{"oauth": ["read"]}], "externalDocs": {"url": "https://d.test"}, "x-sixfold": {},
    }  # fmt: skip
    assert upgraded(operation(**said)) == {**said, "responses": OK}


def test_an_empty_security_takes_back_what_was_said_and_nothing_else() -> None:
    source = operation(security=[])
    assert "security" not in upgraded(source)
    source["security"] = [{"oauth": ["read"]}]
    assert upgraded(source)["security"] == []


@pytest.mark.parametrize(
    ("source", "pointer"),
    [
        ({"swagger": "1.2"}, "#/swagger"),
        ({"openapi": "3.0.0"}, "#/swagger"),
        (document(basePath="v1"), "#/basePath"),
        (document(basePath="/{version}"), "#/basePath"),
        (document(host="a/b"), "#/host"),
        (document(host="a", schemes="https"), "#/schemes"),
        (document(components={}), "#/components"),
        (document(paths=[]), "#/paths"),
        (document(paths={"/a": {"$ref": "other.json"}}), "#/paths/~1a/$ref"),
        (document(paths={"/a": {"trace": {}}}), "#/paths/~1a/trace"),
        (operation(requestBody={}), "#/paths/~1things/post/requestBody"),
        (operation(parameters={}), "#/paths/~1things/post/parameters"),
        (operation(parameters=[1]), "#/paths/~1things/post/parameters/0"),
        (
            operation(parameters=[{"name": "c", "in": "cookie", "type": "string"}]),
            "#/paths/~1things/post/parameters/0/in",
        ),
        (operation(parameters=[{"name": "q", "in": "query"}]), "#/paths/~1things/post/parameters/0/type"),
        (
            operation(parameters=[{"name": "q", "in": "query", "type": "file"}]),
            "#/paths/~1things/post/parameters/0/type",
        ),
        (
            operation(
                parameters=[
                    {
                        "name": "q",
                        "in": "query",
                        "type": "array",
                        "items": {"type": "array", "items": {"type": "string"}},
                    }
                ]
            ),
            "#/paths/~1things/post/parameters/0/items",
        ),
        (operation(parameters=[{"$ref": "#/parameters/none"}]), "#/paths/~1things/post/parameters/0/$ref"),
        (operation(parameters=[{"name": "b", "in": "body"}]), "#/paths/~1things/post/parameters/0/schema"),
        (
            operation(parameters=[{"name": "b", "in": "body", "schema": {}}, FIELD]),
            "#/paths/~1things/post/parameters/1",
        ),
        (operation(parameters=[{"in": "formData", "type": "string"}]), "#/paths/~1things/post/parameters/0"),
        (
            operation(responses={"200": {"$ref": "#/responses/none"}}),
            "#/paths/~1things/post/responses/200/$ref",
        ),
        (document(definitions={"X": {"$ref": "other.yaml#/X"}}), "#/definitions/X/$ref"),
        (document(definitions={"X": {"$ref": "#/paths/~1a"}}), "#/definitions/X/$ref"),
        (document(definitions={"X": {"type": "text"}}), "#/definitions/X/type"),
        (document(definitions={"X": {"type": ["string", "integer"]}}), "#/definitions/X/type"),
        (document(definitions={"X": {"discriminator": 1}}), "#/definitions/X/discriminator"),
        (document(definitions={"a/b~": {"items": [{}]}}), "#/definitions/a~1b~0/items"),
        (document(securityDefinitions={"s": {"type": "bearer"}}), "#/securityDefinitions/s/type"),
        (
            document(securityDefinitions={"s": {"type": "oauth2", "flow": "x"}}),
            "#/securityDefinitions/s/flow",
        ),
    ],
)
def test_what_cannot_be_converted_is_refused_with_its_place(source: dict[str, Any], pointer: str) -> None:
    with pytest.raises(ValueError) as caught:
        upgrade(source)
    assert str(caught.value).partition(": ")[0] == pointer


def test_a_document_that_contains_itself_is_refused() -> None:
    loop: dict[str, Any] = {"type": "object"}
    loop["properties"] = {"self": loop}
    with pytest.raises(ValueError, match="nested too deeply"):
        upgrade(document(definitions={"X": loop}))


RICH = document(
    host="api.test",
    basePath="/v1",
    schemes=["https"],
    consumes=["application/json"],
    definitions={"X": {"properties": {"a": {"type": "string", "x-nullable": True}}, "discriminator": "a"}},
    parameters={"page": {"name": "page", "in": "query", "type": "integer"}},
    responses={"error": {"headers": {"A": {"type": "string"}}, "examples": {"text/plain": 1}}},
    securityDefinitions={"o": {"type": "oauth2", "flow": "implicit", "authorizationUrl": "https://a.test"}},
    paths={
        "/things/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "type": "string"}],
            "put": {
                "parameters": [
                    {"$ref": "#/parameters/page"},
                    {"name": "b", "in": "body", "schema": {"$ref": "#/definitions/X"}},
                ],
                "responses": {"default": {"$ref": "#/responses/error"}},
            },
            "post": {"parameters": [FIELD, FILE], "responses": OK},
        }
    },
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] + [place for key, child in children for place in places(child, (*path, key))]


@given(st.sampled_from(places(RICH)[1:]), st.sampled_from([None, 1, True, "", "x", [], {}, [[]], [{}], {"": ()}]))
def test_damage_never_ends_in_another_error(place: tuple[Any, ...], damage: Any) -> None:
    source: Any = deepcopy(RICH)
    parent = source
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = damage
    before = deepcopy(source)
    try:
        said = upgrade(source)["openapi"]
    except ValueError as refused:
        said = str(refused)
    assert said == "3.0.3" or said.startswith("#")
    assert source == before
