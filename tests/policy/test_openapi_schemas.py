"""OpenAPI schemas as JSON Schema 2020-12: every row of the table in defence 3.3, judged by jsonschema-rs."""

from __future__ import annotations

from typing import Any

import pytest

OBJECT = {"type": "object"}


def props(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


TEXT = {"type": "string"}
NUMBER = {"type": "integer"}
OLD = {"openapi": "3.0.3"}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "string", "nullable": True}, ["a", None], [1]),
        ({"nullable": True, "enum": ["a"]}, ["a"], [None]),
        ({"type": "string", "nullable": True, "enum": ["a"]}, ["a"], [None]),
        ({"type": "string", "nullable": True, "enum": ["a", None]}, ["a", None], ["b"]),
        ({"nullable": True, "allOf": [TEXT]}, ["a"], [None]),
        ({"type": "string", "nullable": False}, ["a"], [None]),
        ({"type": "number", "minimum": 1, "exclusiveMinimum": True}, [2], [1]),
        ({"type": "number", "minimum": 1, "exclusiveMinimum": False}, [1], [0]),
        ({"type": "number", "maximum": 1, "exclusiveMaximum": True}, [0], [1]),
        ({"type": "number", "exclusiveMaximum": True}, [9], ["a"]),
        ({"type": "integer", "format": "int32"}, [2**31 - 1, -(2**31)], [2**31, -(2**31) - 1]),
        ({"type": "integer", "format": "int64"}, [2**63 - 1], [2**63]),
        ({"type": "integer", "format": "int32", "minimum": 5, "maximum": 2**40}, [5], [4, 2**31]),
        ({"type": "number", "format": "int32"}, [2**40], ["a"]),
        (
            {"type": "string", "example": 1, "xml": {"name": "x"}, "externalDocs": {}, "description": "d"},
            ["a"],
            [1],
        ),
        (
            props(example=TEXT, xml=NUMBER, nullable=TEXT),
            [{"example": "a", "xml": 1, "nullable": "b"}],
            [{"xml": "a"}],
        ),
    ],
)
def test_keywords_of_3_0(request_of: Any, schema: Any, good: list[Any], bad: list[Any]) -> None:
    """M11: OpenAPI 3.0 is not JSON Schema; it is converted once, at load."""
    accepts = request_of(schema, **OLD)
    assert [value for value in good if not accepts(value)] == []
    assert [value for value in bad if accepts(value)] == []


def test_siblings_of_a_reference_count_since_3_1(request_of: Any) -> None:
    """M11: ignored in 3.0, applied in 3.1."""
    schema = {**ref("T"), "maxLength": 2}
    assert request_of(schema, {"T": TEXT}, **OLD)("long")
    assert not request_of(schema, {"T": TEXT})("long")
    assert request_of(schema, {"T": TEXT})("ok")


def test_bounds_in_3_1(request_of: Any) -> None:
    accepts = request_of({"type": ["integer", "null"], "format": "int32"})
    assert accepts(None)
    assert accepts(1)
    assert not accepts(2**31)


def test_bytes_are_base64(described: Any) -> None:
    policy = described(
        {
            "paths": {
                "/x": {
                    "get": {
                        "parameters": [{"name": "a", "in": "query", "schema": {"type": "string", "format": "byte"}}]
                    }
                }
            }
        }
    )
    assert policy.operations[0].contract.parameters[0].schema["contentEncoding"] == "base64"


ACCOUNT = props(
    "id", "name", "pin", id={"type": "string", "readOnly": True}, name=TEXT, pin={**TEXT, "writeOnly": True}
)


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0", "3.2.0"])
def test_read_only_and_write_only(request_of: Any, response_of: Any, version: str) -> None:
    """API3: `readOnly` is refused on writes, `writeOnly` never comes back; neither is required there."""
    accepts = request_of(ref("A"), {"A": ACCOUNT}, openapi=version)
    assert accepts({"name": "n", "pin": "1"})
    assert not accepts({"name": "n", "pin": "1", "id": "x"})
    assert not accepts({"name": "n"})
    answers = response_of(ref("A"), {"A": ACCOUNT}, openapi=version)
    assert answers({"name": "n", "id": "x"})
    assert not answers({"name": "n", "id": "x", "pin": "1"})
    assert not answers({"name": "n"})


HIDDEN = {"type": "string", "readOnly": True}


@pytest.mark.parametrize(
    ("schema", "schemas"),
    [
        (props("id", id=ref("Id"), name=TEXT), {"Id": HIDDEN}),
        (props("id", id={"allOf": [ref("Id")]}, name=TEXT), {"Id": HIDDEN}),
        ({"allOf": [ref("B"), {"required": ["id"]}]}, {"B": props("id", id=HIDDEN, name=TEXT)}),
        ({"allOf": [ref("B"), props(id=HIDDEN)]}, {"B": props("id", id=TEXT, name=TEXT)}),
        (
            {"allOf": [{"allOf": [ref("B")]}, {"allOf": [{"required": ["id"]}]}]},
            {"B": props(id=HIDDEN, name=TEXT)},
        ),
        ({**props("id", name=TEXT), "allOf": [ref("B")]}, {"B": props(id=HIDDEN)}),
    ],
)
def test_read_only_through_references_and_compositions(request_of: Any, schema: Any, schemas: Any) -> None:
    """API3: wherever the annotation and the requirement stand."""
    accepts = request_of(schema, schemas)
    assert accepts({"name": "n"})
    assert not accepts({"name": "n", "id": "x"})


def test_read_only_under_not_keeps_its_meaning(request_of: Any) -> None:
    accepts = request_of({"type": "object", "not": props("id", id=HIDDEN)})
    assert accepts({"name": 1})
    assert not accepts({"id": "x"})


CLOSED: list[tuple[str, Any, dict[str, Any], list[Any], list[Any]]] = [
    ("plain", props(a=TEXT), {}, [{"a": "x"}, {}], [{"b": 1}]),
    ("reference", ref("A"), {"A": props(a=TEXT)}, [{"a": "x"}], [{"b": 1}]),
    ("nested", props(a=props(b=TEXT)), {}, [{"a": {"b": "x"}}], [{"a": {"c": 1}}]),
    ("in a list", {"type": "array", "items": ref("A")}, {"A": props(a=TEXT)}, [[{"a": "x"}]], [[{"b": 1}]]),
    (
        "in a map",
        {"type": "object", "additionalProperties": ref("A")},
        {"A": props(a=TEXT)},
        [{"k": {"a": "x"}}],
        [{"k": {"b": 1}}],
    ),
    ("empty properties", props(), {}, [{}], [{"a": 1}]),
    ("says nothing", OBJECT, {}, [{"a": 1}], ["x"]),
    ("says true", {**props(a=TEXT), "additionalProperties": True}, {}, [{"b": 1}], [{"a": 1}]),
    ("says a schema", {**props(a=TEXT), "additionalProperties": NUMBER}, {}, [{"b": 1}], [{"b": "x"}]),
    ("says false", {**props(a=TEXT), "additionalProperties": False}, {}, [{"a": "x"}], [{"b": 1}]),
    ("unevaluated true", {**props(a=TEXT), "unevaluatedProperties": True}, {}, [{"b": 1}], [{"a": 1}]),
    ("allOf", {"allOf": [ref("A"), props(b=TEXT)]}, {"A": props(a=TEXT)}, [{"a": "x", "b": "y"}], [{"c": 1}]),
    (
        "allOf and own",
        {**props(b=TEXT), "allOf": [ref("A")]},
        {"A": props(a=TEXT)},
        [{"a": "x", "b": "y"}],
        [{"c": 1}],
    ),
    ("allOf of one", {"allOf": [ref("A")]}, {"A": props(a=TEXT)}, [{"a": "x"}], [{"c": 1}]),
    (
        "allOf of allOf",
        {"allOf": [ref("A"), ref("B")]},
        {"A": {"allOf": [props(a=TEXT), props(b=TEXT)]}, "B": props(c=TEXT)},
        [{"a": "x", "b": "y", "c": "z"}],
        [{"d": 1}],
    ),
    (
        "allOf with true",
        {"allOf": [{**props(a=TEXT), "additionalProperties": True}, props(b=TEXT)]},
        {},
        [{"c": 1}],
        [{"a": 1}],
    ),
    (
        "nested in allOf",
        {"allOf": [props(a=props(b=TEXT)), props(c=TEXT)]},
        {},
        [{"a": {"b": "x"}, "c": "y"}],
        [{"a": {"z": 1}}, {"z": 1}],
    ),
    (
        "anyOf of parts",
        {"anyOf": [props(a=TEXT), props(b=TEXT)]},
        {},
        [{"a": "x"}, {"a": "x", "b": "y"}],
        [{"c": 1}],
    ),
    (
        "parts that name nothing",
        {**props(a=TEXT, b=TEXT), "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {},
        [{"a": "x"}, {"a": "x", "b": "y"}],
        [{"a": "x", "c": 1}, {}],
    ),
    (
        "oneOf of parts",
        {**props(k=TEXT), "oneOf": [props("a", a=TEXT), props("b", b=TEXT)]},
        {},
        [{"k": "x", "a": "y"}, {"b": "y"}],
        [{"a": "x", "b": "y"}, {"a": "x", "c": 1}],
    ),
    (
        "oneOf, not the other's",
        {"oneOf": [props("a", a=TEXT, k={"const": 1}), props("b", b=TEXT, k={"const": 2})]},
        {},
        [{"a": "x", "k": 1}],
        [{"a": "x", "k": 1, "b": 1}, {"a": "x", "k": 2}],
    ),
    (
        "or null",
        {"anyOf": [ref("A"), {"type": "null"}]},
        {"A": props(a=TEXT)},
        [None, {"a": "x"}],
        [{"b": 1}],
    ),
    ("or text", {"oneOf": [TEXT, props(a=TEXT)]}, {}, ["x", {"a": "x"}], [{"b": 1}]),
    ("or anything", {"anyOf": [props("a", a=TEXT), OBJECT]}, {}, [{"b": 1}, {"a": "x"}], ["x"]),
    ("or anything at all", {"anyOf": [props("a", a=TEXT), {}]}, {}, [{"b": 1}, 5], []),
    (
        "not",
        {**props(a=TEXT), "not": props("a", a={"const": "no"})},
        {},
        [{"a": "x"}],
        [{"a": "no"}, {"b": 1}],
    ),
    (
        "if then",
        {**props(k=TEXT), "if": props("k", k={"const": "a"}), "then": props("a", a=TEXT)},
        {},
        [{"k": "a", "a": "x"}, {"k": "b"}],
        [{"k": "a"}, {"k": "b", "a": "x"}, {"z": 1}],
    ),
    (
        "dependent",
        {**props(a=TEXT), "dependentSchemas": {"a": props("b", b=TEXT)}},
        {},
        [{}, {"a": "x", "b": "y"}],
        [{"a": "x"}, {"b": "y"}, {"c": 1}],
    ),
    (
        "pattern",
        {**props(a=TEXT), "patternProperties": {"^x-": TEXT}},
        {},
        [{"x-a": "y"}],
        [{"b": 1}, {"x-a": 1}],
    ),
    ("contains", {"type": "array", "contains": props("a", a=TEXT)}, {}, [[{"a": "x", "b": 1}]], [[{"b": 1}]]),
    ("tuple", {"type": "array", "prefixItems": [props(a=TEXT)]}, {}, [[{"a": "x"}]], [[{"b": 1}]]),
    (
        "cycle",
        ref("T"),
        {"T": props(v=TEXT, next=ref("T"))},
        [{"v": "x", "next": {"v": "y"}}],
        [{"next": {"next": {"z": 1}}}],
    ),
    (
        "cycle by allOf",
        ref("T"),
        {"B": props(v=TEXT), "T": {"allOf": [ref("B"), props(next=ref("T"))]}},
        [{"v": "x", "next": {"v": "y"}}],
        [{"z": 1}, {"next": {"z": 1}}],
    ),
    (
        "used both ways",
        props(one=ref("A"), two={"allOf": [ref("A"), props(b=TEXT)]}),
        {"A": props(a=TEXT)},
        [{"one": {"a": "x"}, "two": {"a": "x", "b": "y"}}],
        [{"one": {"a": "x", "b": "y"}}, {"two": {"c": 1}}],
    ),
]


@pytest.mark.parametrize(
    ("schema", "schemas", "good", "bad"), [row[1:] for row in CLOSED], ids=[row[0] for row in CLOSED]
)
def test_unknown_properties_are_refused(request_of: Any, schema: Any, schemas: Any, good: Any, bad: Any) -> None:
    """M11, API3: an object that names its properties is closed; a composition is closed as a whole."""
    accepts = request_of(schema, schemas)
    assert [value for value in good if not accepts(value)] == []
    assert [value for value in bad if accepts(value)] == []


def test_a_policy_may_leave_objects_open(request_of: Any, response_of: Any) -> None:
    accepts = request_of(props(a=TEXT), toml='[validation]\nadditional_properties = "allow"')
    assert accepts({"b": 1})
    assert not accepts({"a": 1})
    assert response_of(props(a=TEXT))({"b": 1})


CAT = props("kind", "lives", kind=TEXT, lives=NUMBER)
DOG = props("kind", kind=TEXT, barks={"type": "boolean"})
PETS = {"Cat": CAT, "Dog": DOG}


def union(keyword: str = "oneOf", **mapping: str) -> dict[str, Any]:
    said = {"propertyName": "kind", **({"mapping": mapping} if mapping else {})}
    return {keyword: [ref("Cat"), ref("Dog")], "discriminator": said}


@pytest.mark.parametrize("keyword", ["oneOf", "anyOf"])
@pytest.mark.parametrize(
    ("mapping", "cat", "dog"),
    [
        ({}, "Cat", "Dog"),
        ({"cat": "Cat", "dog": "#/components/schemas/Dog"}, "cat", "dog"),
        ({"cat": "#/components/schemas/Cat"}, "cat", "Dog"),
    ],
)
def test_a_discriminator_chooses(request_of: Any, keyword: str, mapping: Any, cat: str, dog: str) -> None:
    """M11: the value decides which schema is meant, and an unknown value is refused."""
    accepts = request_of(union(keyword, **mapping), PETS)
    assert accepts({"kind": cat, "lives": 9})
    assert accepts({"kind": dog, "barks": True})
    for wrong in (
        {"kind": cat, "barks": True},
        {"kind": dog, "barks": True, "lives": 9},
        {"kind": "fish"},
        {"lives": 9},
        {"kind": cat, "lives": 9, "barks": True},
        {"kind": dog, "more": 1},
        {"kind": None},
    ):
        assert not accepts(wrong), wrong


def test_a_discriminator_beside_properties_of_its_own(request_of: Any) -> None:
    accepts = request_of({**union(), **props(name=TEXT)}, PETS)
    assert accepts({"kind": "Dog", "name": "x"})
    assert not accepts({"kind": "Dog", "name": "x", "more": 1})


def test_a_default_mapping_counts_where_nothing_fits(request_of: Any) -> None:
    schema = union()
    schema["discriminator"]["defaultMapping"] = "Dog"
    accepts = request_of(schema, PETS, openapi="3.2.0")
    assert accepts({"kind": "wolf", "barks": True})
    assert not accepts({"kind": "wolf", "lives": 1})
    assert not accepts({"kind": "Cat"})


def test_a_discriminator_without_names_is_tried(request_of: Any) -> None:
    schema = {
        "oneOf": [ref("Cat"), props("kind", kind={"const": "x"})],
        "discriminator": {"propertyName": "kind"},
    }
    accepts = request_of(schema, PETS)
    assert accepts({"kind": "x"})
    assert accepts({"kind": "y", "lives": 1})


INHERITED = {
    "Pet": {**props("kind", kind=TEXT, name=TEXT), "discriminator": {"propertyName": "kind"}},
    "Cat": {"allOf": [ref("Pet"), props("lives", lives=NUMBER)]},
    "Lion": {"allOf": [ref("Cat"), props(mane=TEXT)]},
    "Dog": {"allOf": [ref("Pet")]},
}


@pytest.mark.parametrize("place", [ref("Pet"), {"allOf": [ref("Pet")]}, {"anyOf": [ref("Pet"), {"type": "null"}]}])
def test_a_discriminator_that_is_inherited(request_of: Any, response_of: Any, place: Any) -> None:
    """M11: children that contain their parent by `allOf` are what its discriminator chooses among."""
    accepts = request_of(place, INHERITED)
    assert accepts({"kind": "Pet", "name": "x"})
    for good in (
        {"kind": "Cat", "lives": 1},
        {"kind": "Lion", "lives": 1, "mane": "x"},
        {"kind": "Dog", "name": "x"},
    ):
        assert accepts(good)
        assert response_of(place, INHERITED)(good)
    for bad in (
        {"kind": "Cat"},
        {"kind": "Pet", "lives": 1},
        {"kind": "Fish"},
        {"name": "x"},
        {"kind": "Dog", "lives": 1},
    ):
        assert not accepts(bad)


def test_a_child_used_by_itself(request_of: Any) -> None:
    accepts = request_of(ref("Cat"), INHERITED)
    assert accepts({"kind": "Cat", "lives": 1})
    assert not accepts({"kind": "Cat", "lives": 1, "mane": "x"})


@pytest.mark.parametrize(
    ("schema", "schemas", "word"),
    [
        (ref("Nothing"), {}, "leads nowhere"),
        ({"$ref": "#/components/schemas/A/properties/b"}, {"A": props(a=TEXT)}, "leads nowhere"),
        ({"$ref": "https://example.com/x.json"}, {}, "to the network is never fetched"),
        ({"$ref": "//example.com/x.json"}, {}, "to the network is never fetched"),
        ({"$ref": "file:///etc/passwd"}, {}, "to the network is never fetched"),
        ({"$ref": "other.json"}, {}, "no folder"),
        ({"$ref": "#nowhere"}, {}, "no `$anchor`"),
        ({"$dynamicRef": "#x"}, {}, "not supported"),
        (ref("A"), {"A": {"allOf": [ref("A")]}}, "contains itself"),
        (ref("A"), {"A": {"anyOf": [ref("B")]}, "B": {"not": ref("A")}}, "contains itself"),
        ({"items": 5}, {}, "a schema is an object"),
        ({"allOf": [[]]}, {}, "a schema is an object"),
        ({"allOf": {}}, {}, "`allOf` is a list"),
        ({"properties": []}, {}, "`properties` is an object"),
        ({"required": True}, {}, "`required` is a list"),
        (
            {"oneOf": [ref("A")], "discriminator": {"propertyName": "k", "mapping": {"a": "#/x"}}},
            {"A": {}},
            "nowhere",
        ),
    ],
)
def test_what_cannot_be_understood_is_refused(refused: Any, schema: Any, schemas: Any, word: str) -> None:
    """API7: no `$ref` is ever fetched, and one that leads nowhere is an error with its place."""
    body = {"content": {"application/json": {"schema": schema}}}
    (line,) = refused({"paths": {"/x": {"post": {"requestBody": body}}}, "components": {"schemas": schemas}})
    assert line.startswith("openapi.json:9: POST /x: ")
    assert word in line


def test_deep_nesting_is_refused(refused: Any) -> None:
    schema: Any = TEXT
    for _ in range(150):
        schema = {"items": schema}
    body = {"content": {"application/json": {"schema": schema}}}
    assert "nested too deeply" in refused({"paths": {"/x": {"post": {"requestBody": body}}}})[0]


def test_references_into_anything(request_of: Any) -> None:
    """M11: a reference may name any place of the document, and an anchor."""
    schemas = {
        "A": props(b={**TEXT, "readOnly": True}, c=props(d=NUMBER)),
        "Odd ~/%[]": NUMBER,
        "T": {"$anchor": "t", **TEXT},
    }
    schema = props(
        b={"$ref": "#/components/schemas/A/properties/c"},
        odd={"$ref": "#/components/schemas/Odd ~0~1%25[]"},
        text={"$ref": "#t"},
        again={"$ref": "#/components/schemas/A/properties/c/properties/d"},
    )
    accepts = request_of(schema, schemas)
    assert accepts({"b": {"d": 1}, "odd": 2, "text": "x", "again": 3})
    for wrong in ({"b": {"e": 1}}, {"odd": "x"}, {"text": 1}, {"again": "x"}):
        assert not accepts(wrong)


def test_references_stay_references(described: Any) -> None:
    """UX-13: cost does not grow with how often a schema is used."""
    content = {"application/json": {"schema": ref("Order")}}
    policy = described(
        {
            "paths": {
                "/x": {"post": {"requestBody": {"content": content}, "responses": {"200": {"content": content}}}}
            },
            "components": {"schemas": {"Order": props(a=TEXT), "Unused": TEXT}},
        }
    )
    contract = policy.operations[0].contract
    uri = "urn:sixfold:0:{}#/components/schemas/Order"
    assert contract.body.content["application/json"].schema == {"$ref": uri.format("request")}
    assert contract.responses["200"]["application/json"].schema == {"$ref": uri.format("response")}
    assert policy.schemas["urn:sixfold:0:request"]["components"]["schemas"]["Order"]["additionalProperties"] is False
    assert "Unused" not in str(policy.schemas)
