"""Schemathesis attacks a FastAPI application through Sixfold: what reaches it keeps its contract.

The application writes down what it receives. Each line is judged here anew, straight from the OpenAPI
document and by rules of this file alone: no code of Sixfold takes part.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

POLICY = """
[gateway]
openapi = "shop.json"
[authentication]
issuer = "dev"
[authorization]
default = "authenticated"
[rate_limiting]
default = "1000000/minute per client"
anonymous = "1000000/minute per address"
"""
EXAMPLES = 25  # per operation and mode
OPERATIONS = (
    ("GET", "/orders"),
    ("POST", "/orders"),
    ("GET", "/orders/{order_id}"),
    ("PUT", "/orders/{order_id}/lines/{sku}"),
)
QUIET = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
# Fits the schema, and is refused on purpose: a second parser could read it in another way.
STRICTER = {"malformed-target", "malformed-body", "malformed-request", "ambiguous-header"}


@pytest.fixture(scope="module")
def upstream(app: Callable[[str], Any]) -> Any:
    return app("shop")


@pytest.fixture(scope="module")
def document(upstream: Any, call: Callable[..., Any]) -> dict[str, Any]:
    result: dict[str, Any] = call(f"{upstream.url}/openapi.json").json()
    return result


@pytest.fixture(scope="module")
def guarded(upstream: Any, document: dict[str, Any], sixfold: Callable[..., Any]) -> Any:
    return sixfold(POLICY, upstream.url, {"shop.json": json.dumps(document)})


@pytest.fixture
def recorded(upstream: Any) -> Callable[[], list[dict[str, Any]]]:
    """Return what the application has received since the test began."""
    file: Path = upstream.log.parent / "recorded.jsonl"
    start = file.stat().st_size if file.exists() else 0

    def read() -> list[dict[str, Any]]:
        with file.open() as opened:
            opened.seek(start)
            return [json.loads(line) for line in opened]

    return read


def cases(document: dict[str, Any], method: str, path: str, mode: GenerationMode) -> st.SearchStrategy[Any]:
    return schemathesis.openapi.from_dict(document)[path][method].as_strategy(generation_mode=mode)


def attack(strategy: st.SearchStrategy[Any], url: str, token: str) -> list[tuple[int, str]]:
    """Send every case and return (status, code of Sixfold's refusal or "")."""
    answers: list[tuple[int, str]] = []

    @QUIET
    @given(strategy)
    def run(case: Any) -> None:
        answer = case.call(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=20)
        ours = answer.headers.get("content-type", [""])[0].startswith("application/problem+json")
        answers.append((answer.status_code, answer.json()["code"] if ours else ""))

    run()
    return answers


class Judge:
    """Says what is wrong with a recorded request, by the document alone."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    def faults(self, request: Mapping[str, Any]) -> list[str]:
        path, operation, values = self.operation(request)
        if operation is None:
            return [f"no operation: {request['method']} {request['path']}"]
        declared = [*self.document["paths"][path].get("parameters", ()), *operation.get("parameters", ())]
        found = self.parameters(declared, request, values)
        return found + self.body(operation.get("requestBody"), request)

    def operation(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any] | None, dict[str, str]]:
        for path, item in self.document["paths"].items():
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)
            match = re.fullmatch(pattern, request["path"])
            if match and request["method"].lower() in item:
                values = {name: unquote(value, errors="strict") for name, value in match.groupdict().items()}
                return path, item[request["method"].lower()], values
        return "", None, {}

    def parameters(
        self, declared: list[dict[str, Any]], request: Mapping[str, Any], path_values: dict[str, str]
    ) -> list[str]:
        query: dict[str, list[str]] = {}
        for name, value in parse_qsl(request["query"], keep_blank_values=True, strict_parsing=bool(request["query"])):
            query.setdefault(name, []).append(value)
        found = [
            f"unknown query parameter {name!r}"
            for name in query
            if name not in {entry["name"] for entry in declared if entry["in"] == "query"}
        ]
        for entry in declared:
            name = entry["name"]
            given_values = {
                "query": query.get(name, []),
                "path": [path_values[name]] if name in path_values else [],
                "header": [request["headers"][name.lower()]] if name.lower() in request["headers"] else [],
            }[entry["in"]]
            if not given_values:
                found += [f"{name} is missing"] if entry.get("required") else []
            elif not any(self.valid(entry["schema"], candidate) for candidate in readings(entry, given_values)):
                found.append(f"{entry['in']} {name}: {given_values!r}")
        return found

    def body(self, declared: dict[str, Any] | None, request: Mapping[str, Any]) -> list[str]:
        raw = base64.b64decode(request["body"])
        if declared is None:
            return ["a body where none is declared"] if raw else []
        if request["headers"].get("content-type", "").partition(";")[0].strip() != "application/json":
            return ["a body of another media type"]
        try:
            value = json.loads(raw, object_pairs_hook=without_duplicates, parse_constant=no_constant)
        except ValueError as problem:
            return [f"a body that is not strict JSON: {problem}"]
        schema = declared["content"]["application/json"]["schema"]
        return [] if self.valid(closed(schema), value) else [f"a body that breaks its schema: {value!r}"]

    def valid(self, schema: Any, value: Any) -> bool:
        schemas = self.document["components"]["schemas"]
        root = {**schema, "components": {"schemas": {name: closed(schemas[name]) for name in schemas}}}
        return jsonschema_rs.Draft202012Validator(root, validate_formats=True).is_valid(value)


def readings(entry: dict[str, Any], values: list[str]) -> list[Any]:
    """Return every way in which a parameter's text may be meant; one of them must be valid."""
    schemas = [entry["schema"], *entry["schema"].get("anyOf", ())]
    kinds = {schema.get("type") for schema in schemas}
    if "array" in kinds:
        return [values]
    if len(values) > 1:
        return []
    (text,) = values
    result: list[Any] = [text]
    if "integer" in kinds and re.fullmatch(r"-?\d+", text, re.ASCII):
        result = [int(text)]
    elif "boolean" in kinds:
        result = [{"true": True, "false": False}.get(text)]
    return result


def closed(schema: Any) -> Any:
    """Return an object schema with unknown properties forbidden, which is Sixfold's default."""
    if isinstance(schema, dict) and "properties" in schema:
        return {"additionalProperties": False, **schema}
    return schema


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a duplicate key")
    return dict(pairs)


def no_constant(name: str) -> Any:
    raise ValueError(name)


EACH_OPERATION = pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=lambda value: str(value).strip("/"))


@EACH_OPERATION
def test_nothing_invalid_reaches_the_application(
    method: str,
    path: str,
    document: dict[str, Any],
    guarded: Any,
    recorded: Callable[[], list[dict[str, Any]]],
    token: Callable[..., str],
) -> None:
    attack(cases(document, method, path, GenerationMode.NEGATIVE), guarded.url, token())
    judge = Judge(document)
    for request in recorded():
        assert judge.faults(request) == []


@EACH_OPERATION
def test_valid_data_gets_through(
    method: str,
    path: str,
    document: dict[str, Any],
    guarded: Any,
    recorded: Callable[[], list[dict[str, Any]]],
    token: Callable[..., str],
) -> None:
    meant = deepcopy(document)
    schemas = meant["components"]["schemas"]
    schemas.update({name: closed(schema) for name, schema in schemas.items()})
    answers = attack(cases(meant, method, path, GenerationMode.POSITIVE), guarded.url, token())
    assert {code for _, code in answers} - {""} <= STRICTER
    passed = recorded()
    assert len(passed) >= len(answers) / 2
    judge = Judge(document)
    for request in passed:
        assert judge.faults(request) == []
        assert "authorization" not in request["headers"]
        assert request["headers"]["sixfold-identity"].count(".") == 2


def test_the_judge_sees_what_would_come_without_sixfold(
    document: dict[str, Any], upstream: Any, recorded: Callable[[], list[dict[str, Any]]]
) -> None:
    """The same attack without protection: a judge that finds nothing here would prove nothing above."""
    for method, path in OPERATIONS:
        attack(cases(document, method, path, GenerationMode.NEGATIVE), upstream.url, "")
    judge = Judge(document)
    assert sum(1 for request in recorded() if judge.faults(request)) > EXAMPLES
