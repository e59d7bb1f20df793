"""Parameters: types, styles, pollution (M11, M12, PATH-04, defence 3.4)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixfold.decision import Refusal

INTEGER = {"type": "integer", "minimum": 1, "maximum": 100}
STRINGS = {"type": "array", "items": {"type": "string"}}
INTEGERS = {"type": "array", "items": {"type": "integer"}, "maxItems": 3}
OBJECT = {
    "type": "object",
    "properties": {"r": {"type": "integer"}, "g": {"type": "string"}},
    "required": ["r"],
    "additionalProperties": False,
}


def wheres(refusal: Any) -> list[str]:
    assert isinstance(refusal, Refusal), refusal
    assert refusal.code == "invalid-parameters"
    return [fault.where for fault in refusal.faults]


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (
            {"type": "integer"},
            ["0", "-1", "42", "9007199254740992"],
            ["", "+1", "01", "1.0", "1e3", "0x1", " 1", "1 ", "１", "--1", "1_0", "true"],
        ),
        (INTEGER, ["1", "100"], ["0", "101", "-1"]),
        ({"type": "integer"}, [], ["9007199254740993", "-9007199254740993", "99999999999999999999999"]),
        (
            {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
            ["9223372036854775807", "-9223372036854775808"],
            ["9223372036854775808"],
        ),
        (
            {"type": "number"},
            ["0", "-1.5", "1e3", "1E-2", "0.10"],
            ["", ".5", "1.", "NaN", "Infinity", "-inf", "1e400", "1e999999", "0x1p3", "1,5"],
        ),
        ({"type": "number", "multipleOf": 0.01}, ["19.99", "0.07"], ["0.001"]),
        ({"type": "boolean"}, ["true", "false"], ["", "True", "TRUE", "1", "0", "yes", "on"]),
        ({"type": ["integer", "null"]}, ["null", "5"], ["", "nil", "None"]),
        ({"type": "string"}, ["", "anything", "null"], []),
        ({"type": "string", "enum": ["asc", "desc"]}, ["asc"], ["ASC", "up", ""]),
        ({"type": "string", "minLength": 2, "maxLength": 3}, ["ab", "äöü"], ["a", "abcd"]),
        ({"type": "string", "pattern": "^[a-z]+$"}, ["abc"], ["ABC", "a1", "ab'--"]),
        ({"type": "string", "format": "uuid"}, ["550e8400-e29b-41d4-a716-446655440000"], ["550e8400", "x"]),
        ({"type": "string", "format": "date"}, ["2024-02-29"], ["2023-02-29", "29.02.2024"]),
        ({"type": "string", "format": "date-time"}, ["2024-02-29T12:00:00Z"], ["2024-02-29", "2024-02-29T25:00:00Z"]),
        ({"type": "string", "format": "email"}, ["a@example.com"], ["a", "@"]),
        ({"type": "string", "format": "ipv4"}, ["192.0.2.1"], ["192.0.2.256", "1"]),
        ({"type": "string", "format": "byte"}, ["YWJj", "YQ==", ""], ["YQ", "a$b="]),
        ({"enum": [1, 2, "three"]}, ["1", "three"], ["3", "one"]),
        ({"const": 5}, ["5"], ["6", "x"]),
        ({"oneOf": [{"type": "integer"}, {"type": "string", "pattern": "^[a-z]$"}]}, ["12", "a"], ["1a", "ab"]),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, ["true", "null"], ["1"]),
        ({"allOf": [{"type": "integer"}, {"minimum": 3}]}, ["3"], ["2", "x"]),
        ({}, ["", "1", "x"], []),
        (True, ["", "x"], []),
        (False, [], ["", "x"]),
    ],
)
@pytest.mark.parametrize("location", ["query", "path", "header", "cookie"])
def test_types(world: Any, declare: Any, location: str, schema: Any, good: list[str], bad: list[str]) -> None:
    """M11: a text is turned into the schema's type by one spelling per value, in every location."""
    subject = world(declare(location, "x", schema), path="/things/{x}" if location == "path" else "/things")

    def ask(text: str) -> Any:
        if location == "query":
            quoted = "".join(f"%{byte:02X}" for byte in text.encode())
            return subject.parameters(f"/things?x={quoted}")
        if location == "path":
            return subject.parameters("/things/1", {"x": text})
        return subject.parameters(headers={"x": text} if location == "header" else {"cookie": f"a=b; x={text}"})

    for text in good:
        if location == "cookie" and not text.isascii():
            continue  # a cookie has ASCII only
        assert ask(text) is None, text
    for text in bad:
        refusal = ask(text)
        if location == "header" and text != text.strip():
            continue
        if location == "cookie" and (text != text.strip() or not text.isascii()):
            continue
        assert wheres(refusal) == [f"{location}: x"], text
        assert refusal.status == 400
        assert str(refusal.rule) == "openapi.yaml:42 POST /things"


@pytest.mark.parametrize(
    ("style", "explode", "schema", "query", "passes"),
    [
        ("form", True, INTEGERS, "x=1&x=2", True),
        ("form", True, INTEGERS, "x=1", True),
        ("form", True, INTEGERS, "x=1&x=a", False),
        ("form", True, INTEGERS, "x=1,2", False),
        ("form", True, INTEGERS, "x=1&x=2&x=3&x=4", False),
        ("form", False, INTEGERS, "x=1,2", True),
        ("form", False, INTEGERS, "x=1%2C2", True),
        ("form", False, INTEGERS, "x=", True),
        ("form", False, INTEGERS, "x=1&x=2", False),
        ("form", False, INTEGERS, "x=1,,2", False),
        ("spaceDelimited", False, INTEGERS, "x=1%202", True),
        ("spaceDelimited", False, INTEGERS, "x=1+2", True),
        ("spaceDelimited", False, INTEGERS, "x=1,2", False),
        ("pipeDelimited", False, INTEGERS, "x=1|2", True),
        ("pipeDelimited", False, INTEGERS, "x=1%7C2", True),
        ("pipeDelimited", False, INTEGERS, "x=1,2", False),
        ("form", False, STRINGS, "x=a,b", True),
        ("form", True, OBJECT, "r=1&g=a", True),
        ("form", True, OBJECT, "g=a", False),
        ("form", True, OBJECT, "r=a", False),
        ("form", True, OBJECT, "r=1&r=2", False),
        ("form", True, OBJECT, "r=1&z=2", False),
        ("form", False, OBJECT, "x=r,1,g,a", True),
        ("form", False, OBJECT, "x=r,1,g", False),
        ("form", False, OBJECT, "x=r,1,r,2", False),
        ("form", False, OBJECT, "x=r,1,z,2", False),
        ("deepObject", True, OBJECT, "x[r]=1&x[g]=a", True),
        ("deepObject", True, OBJECT, "x%5Br%5D=1", True),
        ("deepObject", True, OBJECT, "x[g]=a", False),
        ("deepObject", True, OBJECT, "x[r]=1&x[r]=2", False),
        ("deepObject", True, OBJECT, "x[r]=1&x[z]=2", False),
        ("deepObject", True, OBJECT, "x[r]=1&X[r]=2", False),
        ("deepObject", True, OBJECT, "x[r][s]=1", False),
        ("deepObject", True, OBJECT, "x=1", False),
        ("form", True, {"oneOf": [{"type": "string"}, STRINGS]}, "x=a", True),
        ("form", True, {"type": ["array", "integer"], "items": {"type": "boolean"}}, "x=5", True),
        ("form", True, {"type": ["array", "integer"], "items": {"type": "boolean"}}, "x=true&x=false", True),
        ("form", True, {"type": ["array", "integer"], "items": {"type": "boolean"}}, "x=a", False),
    ],
)
def test_query_styles(
    world: Any, declare: Any, style: str, explode: bool, schema: Any, query: str, passes: bool
) -> None:
    """M11: arrays and objects only in the declared style."""
    subject = world(declare("query", "x", schema, style=style, explode=explode))
    outcome = subject.parameters(f"/things?{query}")
    assert (outcome is None) == passes, outcome


@pytest.mark.parametrize(
    ("style", "explode", "schema", "text", "passes"),
    [
        ("simple", False, INTEGERS, "1,2", True),
        ("simple", True, INTEGERS, "1,2", True),
        ("simple", False, INTEGERS, "1,a", False),
        ("simple", False, OBJECT, "r,1,g,a", True),
        ("simple", True, OBJECT, "r=1,g=a", True),
        ("simple", True, OBJECT, "r,1", False),
        ("label", False, {"type": "integer"}, ".5", True),
        ("label", False, {"type": "integer"}, "5", False),
        ("label", False, INTEGERS, ".1,2", True),
        ("label", True, INTEGERS, ".1.2", True),
        ("label", True, OBJECT, ".r=1.g=a", True),
        ("label", False, {"type": "string"}, "5", False),
    ],
)
def test_path_styles(world: Any, declare: Any, style: str, explode: bool, schema: Any, text: str, passes: bool) -> None:
    """M11: styles `simple` and `label` of a path parameter."""
    subject = world(declare("path", "x", schema, style=style, explode=explode), path="/things/{x}")
    assert (subject.parameters("/things/1", {"x": text}) is None) == passes


def test_headers_and_cookies(world: Any, declare: Any) -> None:
    """M11: a list header may come in several lines, a scalar may not; other headers and cookies are not looked at."""
    subject = world(
        declare("header", "X-Ids", INTEGERS),
        declare("header", "X-One", {"type": "integer"}),
        declare("cookie", "session", {"type": "string", "minLength": 3}),
        declare("header", "Accept", {"const": "nonsense"}, required=True),
    )
    assert subject.parameters(headers=[("x-ids", "1, 2"), ("x-ids", "3"), ("x-other", "?")]) is None
    assert wheres(subject.parameters(headers=[("x-ids", "1, x")])) == ["header: X-Ids"]
    assert wheres(subject.parameters(headers=[("x-one", "1"), ("x-one", "1")])) == ["header: X-One"]
    assert subject.parameters(headers={"cookie": "session=abc; other=%%"}) is None
    assert wheres(subject.parameters(headers={"cookie": "session=ab"})) == ["cookie: session"]
    assert wheres(subject.parameters(headers=[("cookie", "session=abc; session=abd")])) == ["cookie: session"]
    assert wheres(subject.parameters(headers=[("cookie", "session=abc"), ("cookie", "session=abc")])) == [
        "cookie: session"
    ]


@pytest.mark.parametrize("location", ["query", "header", "cookie"])
def test_required(world: Any, declare: Any, location: str) -> None:
    """M11: a required parameter must come."""
    assert wheres(world(declare(location, "x", {}, required=True)).parameters()) == [f"{location}: x"]
    assert world(declare(location, "x", {}, required=False)).parameters() is None


def test_json_parameter(world: Any, declare: Any) -> None:
    """M11: a parameter written as JSON is parsed strictly."""
    subject = world(declare("query", "x", OBJECT, media_type="application/json"))
    assert subject.parameters("/things?x=%7B%22r%22:1%7D") is None
    for text in (
        "%7B%22r%22:1,%22r%22:2%7D",
        "%7B%22r%22:%22a%22%7D",
        "%7B",
        "",
        "%7B%22r%22:9007199254740993%7D",
    ):
        assert wheres(subject.parameters(f"/things?x={text}")) == ["query: x"]
    assert wheres(subject.parameters("/things?x=%7B%22r%22:1%7D&x=%7B%22r%22:1%7D")) == ["query: x"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer"},
        {"type": "boolean"},
        {"type": "string", "format": "uuid"},
        {"type": "string", "format": "date"},
        {"type": "string", "format": "email"},
        {"type": "string", "enum": ["name", "price"]},
        {"type": "string", "pattern": "^[A-Za-z0-9_]{1,40}$"},
        {"type": "string", "maxLength": 4},
    ],
)
@pytest.mark.parametrize(
    "attack",
    [
        "1 OR 1=1",
        "1'; DROP TABLE users--",
        "<script>alert(1)</script>",
        "$(cat /etc/passwd)",
        "name; rm -rf /tmp",
        "../../../etc/passwd",
        "{{7*7}}${7*7}",
        "http://169.254.169.254/latest",
    ],
)
def test_injections(world: Any, declare: Any, schema: Any, attack: str) -> None:
    """M12: typed and bounded parameters leave injections no room; it is the schema that stops them, no signature."""
    subject = world(declare("query", "x", schema), declare("query", "free", {"type": "string"}))
    quoted = "".join(f"%{byte:02X}" for byte in attack.encode())
    assert wheres(subject.parameters(f"/things?x={quoted}")) == ["query: x"]
    assert subject.parameters(f"/things?free={quoted}") is None  # and this is what a schema cannot promise


@pytest.mark.parametrize("query", ["limit=1&limit=1", "limit=1&limit=2"])
def test_repeated_scalar(world: Any, declare: Any, query: str) -> None:
    """FORM-01: a scalar that comes twice is refused, equal or not (parameter pollution)."""
    assert wheres(world(declare("query", "limit", INTEGER)).parameters(f"/things?{query}")) == ["query: limit"]


@pytest.mark.parametrize("unknown", ["refuse", "strip", "pass"])
def test_case_variant(world: Any, declare: Any, unknown: str) -> None:
    """FORM-02: a declared name in another case is refused, whatever becomes of unknown names."""
    subject = world(declare("query", "limit", INTEGER), table={"unknown_query": unknown})
    assert wheres(subject.parameters("/things?LIMIT=1")) == ["query: LIMIT"]
    assert wheres(subject.parameters("/things?limit=1&Limit=1")) == ["query: Limit"]


def test_unknown_refused(world: Any, declare: Any) -> None:
    """FORM-03: an undeclared name is refused by default; a long or unprintable one is not repeated."""
    subject = world(declare("query", "limit", INTEGER))
    assert wheres(subject.parameters("/things?debug=1")) == ["query: debug"]
    assert wheres(subject.parameters("/things?" + "x" * 200 + "=1")) == ["query: ?"]
    assert wheres(world().parameters("/things?a=1")) == ["query: a"]


@pytest.mark.parametrize(
    ("query", "target"),
    [
        ("limit=1", None),
        ("limit=1&debug=1", b"/things?limit=1"),
        ("debug=1", b"/things"),
        ("a=1&limit=1&b=2&&c", b"/things?limit=1"),
        ("de%62ug=1&limit=1", b"/things?limit=1"),
    ],
)
def test_unknown_stripped(world: Any, declare: Any, query: str, target: bytes | None) -> None:
    """FORM-04: with `strip` the target goes on without undeclared names, the rest as it was checked."""
    subject = world(declare("query", "limit", INTEGER), table={"unknown_query": "strip"})
    assert subject.parameters(f"/things?{query}") == target


def test_unknown_passed(world: Any, declare: Any) -> None:
    """FORM-05: with `pass` undeclared names stay."""
    subject = world(declare("query", "limit", INTEGER), table={"unknown_query": "pass"})
    assert subject.parameters("/things?debug=1&debug=2&limit=1") is None


@pytest.mark.parametrize("unknown", ["refuse", "strip", "pass"])
@pytest.mark.parametrize("query", ["id=7", "id=8", "ID=7", "i%64=7", "a=1&id=7"])
def test_path_04(world: Any, declare: Any, unknown: str, query: str) -> None:
    """PATH-04: an id that stands in the path and again in the query is refused, equal or different."""
    subject = world(declare("path", "id", {"type": "string"}), path="/things/{id}", table={"unknown_query": unknown})
    refusal = subject.parameters(f"/things/7?{query}", {"id": "7"})
    assert f"query: {'ID' if 'ID' in query else 'id'}" in wheres(refusal)
    assert subject.parameters("/things/7", {"id": "7"}) is None


def test_path_04_without_contract(world: Any) -> None:
    """PATH-04: the rule holds without an OpenAPI document too; other names pass."""
    subject = world(path="/things/{id}", contract=False)
    assert wheres(subject.parameters("/things/7?id=8", {"id": "7"})) == ["query: id"]
    assert subject.parameters("/things/7?other=8", {"id": "7"}) is None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer"},
        {"enum": ["a"]},
        {"pattern": "^a$"},
        {"maxLength": 3},
        {"format": "uuid"},
        OBJECT,
        INTEGERS,
    ],
)
def test_values_stay_out(world: Any, declare: Any, schema: Any) -> None:
    """EXP-03: the offending value is in no part of the refusal."""
    subject = world(declare("query", "x", schema, style="form", explode=False))
    refusal = subject.parameters("/things?x=hunter2zz")
    assert wheres(refusal) == ["query: x"]
    assert "hunter" not in f"{refusal!r}{refusal.remedy}{refusal.faults}{refusal.problem()!r}"


def test_all_faults_at_once(world: Any, declare: Any) -> None:
    """M11: every parameter that is wrong is told, at most twenty."""
    subject = world(
        declare("query", "a", INTEGER),
        declare("header", "b", INTEGER),
        declare("query", "c", {}, required=True),
    )
    refusal = subject.parameters("/things?a=x", headers={"b": "y"})
    assert wheres(refusal) == ["query: a", "query: c", "header: b"]
    assert {fault.expected for fault in refusal.faults} >= {"an integer"}
    many = "&".join(f"z{number}=1" for number in range(50))
    assert len(subject.parameters(f"/things?{many}").faults) == 20


def test_nothing_to_check(world: Any) -> None:
    """M11: an operation without a contract is not checked; one without parameters passes."""
    assert world(contract=False).parameters("/things?x=1", length=5) is None
    assert world().parameters() is None


def test_unsupported_styles_are_findings(world: Any, declare: Any) -> None:
    """M11: what cannot be checked is said at load."""
    subject = world(
        declare("path", "x", INTEGER, style="matrix"),
        declare("query", "y", INTEGER, style="simple"),
        path="/things/{x}",
    )
    assert [finding.code for finding in subject.validation.findings] == ["parameter-unchecked"] * 2
    assert "openapi.yaml:42" in str(subject.validation.findings[0].rule)


@pytest.mark.parametrize(
    ("table", "modes", "mode"),
    [
        ({}, {}, "enforce"),
        ({"mode": "shadow"}, {}, "shadow"),
        ({"request": "shadow"}, {}, "shadow"),
        ({}, {"validation": "shadow"}, "shadow"),
        ({"mode": "shadow"}, {"validation": "enforce"}, "shadow"),
        ({"mode": "off"}, {}, None),
        ({"request": "off"}, {"validation": "enforce"}, None),
        ({}, {"validation": "off"}, None),
    ],
)
def test_modes(world: Any, declare: Any, table: Any, modes: Any, mode: str | None) -> None:
    """MODE: the weaker of table and route counts; off checks nothing."""
    outcome = world(declare("query", "a", INTEGER), table=table, modes=modes).parameters("/things?a=x")
    assert (outcome.mode if outcome is not None else None) == mode


def test_status_422(world: Any, declare: Any) -> None:
    """M11: 422 by choice."""
    assert world(declare("query", "a", INTEGER), table={"status": 422}).parameters("/things?a=x").status == 422


@settings(max_examples=200, deadline=None)
@given(st.integers(-(10**25), 10**25) | st.floats() | st.text(max_size=8))
def test_integer_texts(world: Any, declare: Any, value: Any) -> None:
    """M11: exactly the JSON integers within 2^53 pass as integers."""
    subject = world(declare("path", "x", {"type": "integer"}), path="/things/{x}")
    text = str(value)
    expected = (
        text.isascii()
        and text.removeprefix("-").isdigit()
        and (text in ("0", "-0") or text.removeprefix("-")[0] != "0")
    )
    expected = expected and abs(int(text)) <= 2**53
    assert (subject.parameters("/things/1", {"x": text}) is None) == expected
