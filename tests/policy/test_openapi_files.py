"""One OpenAPI document in several files: read from its folder, and from nowhere else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from sixfold.policy import PolicyError, compile_policy, load_text, read_policy

DATA = Path(__file__).parent / "data"


def write(folder: Path, **files: Any) -> None:
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))


def compiled(folder: Path, name: str = "api.json") -> Any:
    return compile_policy(load_text(f'[gateway]\nopenapi = "{name}"', file="sixfold.toml", folder=folder))


def refused(folder: Path, name: str = "api.json") -> str:
    with pytest.raises(PolicyError) as caught:
        compiled(folder, name)
    return str(caught.value)


def api(reference: str) -> dict[str, Any]:
    body = {"content": {"application/json": {"schema": {"$ref": reference}}}}
    return {"openapi": "3.1.0", "info": {}, "paths": {"/x": {"post": {"requestBody": body}}}}


def test_references_across_files() -> None:
    """M11: paths, parameters and schemas in files of their own, in circles, YAML and JSON mixed."""
    policy = read_policy(DATA / "orders.toml", {})
    contract: Any = policy.operations[2].contract
    registry = jsonschema_rs.Registry(list(policy.schemas.items()))
    schema = contract.body.content["application/json"].schema
    accepts = jsonschema_rs.Draft202012Validator(schema, registry=registry).is_valid
    assert accepts({"qty": 1, "note": None, "parent": {"qty": 2}, "payer": {"name": "n", "pin": "1"}})
    for wrong in (
        {"qty": 0},
        {"qty": 1, "id": "x"},
        {"qty": 1, "parent": {"qty": 1, "z": 1}},
        {"qty": 1, "payer": {"z": 1}},
    ):
        assert not accepts(wrong)


def test_the_version_of_the_main_document_counts_for_its_parts(tmp_path: Path) -> None:
    """M11: a file without `openapi` speaks the version of the file that refers to it."""
    part = {"T": {"type": "string", "nullable": True}}
    for version, kinds in (("3.0.3", ["string", "null"]), ("3.1.0", "string")):
        write(tmp_path, api_json={**api("part.json#/T"), "openapi": version}, part_json=part)
        schemas = compiled(tmp_path).schemas
        assert schemas["urn:sixfold:1:request"]["$defs"]["0"]["type"] == kinds


@pytest.mark.parametrize(
    "reference", ["sub/a.json", "./sub/../sub/a.json", "sub/a.json#", "sub/a.json#/", "sub%2Fa.json"]
)
def test_what_stays_in_the_folder_is_read(tmp_path: Path, reference: str) -> None:
    write(tmp_path, api_json=api(reference), sub__a_json={"": {"type": "string"}, "type": "string"})
    assert compiled(tmp_path).operations


@pytest.mark.parametrize(
    "reference",
    ["../secret.json", "sub/../../secret.json", "%2e%2e/secret.json", "link.json", "folder/secret.json",
     "/etc/hostname", "..", "../api/../secret.json#/a"],
)  # fmt: skip
def test_what_leaves_the_folder_is_refused(tmp_path: Path, reference: str) -> None:
    """API7: no `..` out of the folder, no absolute path, no symbolic link out of it."""
    (tmp_path / "secret.json").write_text('{"type": "string"}')
    folder = tmp_path / "api"
    write(folder, api_json=api(reference))
    (folder / "link.json").symlink_to(tmp_path / "secret.json")
    (folder / "folder").symlink_to(tmp_path)
    assert "leaves the document's folder" in refused(folder)


def test_a_folder_with_a_longer_name_is_not_inside(tmp_path: Path) -> None:
    """API7: `/api-other` does not stand in `/api`."""
    write(tmp_path / "api", api_json=api("../api-other/x.json"))
    write(tmp_path / "api-other", x_json={"type": "string"})
    assert "leaves the document's folder" in refused(tmp_path / "api")


def test_a_link_inside_the_folder_is_fine(tmp_path: Path) -> None:
    write(tmp_path, api_json=api("link.json"), real_json={"type": "string"})
    (tmp_path / "link.json").symlink_to("real.json")
    assert compiled(tmp_path).operations


def test_the_document_itself_is_not_read_twice(tmp_path: Path) -> None:
    write(
        tmp_path,
        api_json={
            **api("api.json#/components/schemas/A"),
            "components": {"schemas": {"A": {"type": "null"}}},
        },
    )
    assert list(compiled(tmp_path).schemas) == ["urn:sixfold:0:request"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"openapi": "3.1.0",\n"openapi": "3.1.0"}', "api.json:2: not JSON: the same key twice"),
        ('{"openapi": }', "api.json:1: not JSON: a value was expected"),
        ("openapi: 3.1.0\na: 1\na: 2", "api.json:3: the same key twice"),
        ("just text", "api.json:1: not an OpenAPI document"),
        ("[]", "api.json:1: not an OpenAPI document"),
        ("{}", "api.json:1: not an OpenAPI document: `openapi` is missing"),
        ('{\n"openapi": "4.0.0"}', "api.json:2: this version of OpenAPI is not understood"),
        ('{\n"openapi": "3.10.0"}', "api.json:2: this version of OpenAPI is not understood"),
        ('{"swagger": "1.2"}', "api.json:1: not an OpenAPI document"),
        ('{"openapi": "3.1.0",\n"jsonSchemaDialect": "http://json-schema.org/draft-07/schema#"}',
         "api.json:2: `jsonSchemaDialect` is not understood"),
    ],
)  # fmt: skip
def test_what_is_not_openapi_is_refused(tmp_path: Path, content: str, message: str) -> None:
    """CLI-06: file and line of what cannot be read."""
    write(tmp_path, api_json=content)
    assert refused(tmp_path).startswith(message)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.json", "none.json: cannot be read: no such file"),
        ("https://example.com/openapi.json", "https://example.com/openapi.json: is not fetched here"),
    ],
)
def test_a_document_that_is_not_there(tmp_path: Path, name: str, message: str) -> None:
    assert refused(tmp_path, name).startswith(message)


@pytest.mark.parametrize("version", ["3.0.0", "3.0.4", "3.1.0", "3.1.2", "3.2.0", "3.1"])
def test_versions(tmp_path: Path, version: str) -> None:
    write(tmp_path, api_json={"openapi": version, "paths": {"/a": {"get": {}}}, "jsonSchemaDialect":
          "https://spec.openapis.org/oas/3.1/dialect/base"})  # fmt: skip
    assert len(compiled(tmp_path).operations) == 1


def test_swagger_2_is_converted_first(tmp_path: Path) -> None:
    """M11: documents of the old format are understood, with their own lines."""
    parameter = {"name": "n", "in": "query", "type": "integer", "format": "int32"}
    path = {"get": {"parameters": [parameter], "responses": {"200": {"description": "d"}}}}
    write(
        tmp_path,
        api_json={
            "swagger": "2.0",
            "info": {"title": "t", "version": "1"},
            "basePath": "/v1",
            "paths": {"/a": path},
        },
    )
    (one,) = compiled(tmp_path).operations
    assert (one.path, one.rule.line) == ("/v1/a", 10)
    assert one.contract.parameters[0].schema == {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}


def test_what_swagger_2_cannot_say_is_refused(tmp_path: Path) -> None:
    write(tmp_path, api_json={"swagger": "2.0", "info": {}, "paths": {"/a": 5}})
    assert refused(tmp_path).startswith("api.json: Swagger 2.0: ")


def test_several_documents(tmp_path: Path) -> None:
    """CFG-01: `openapi` may be a list; the same operation in two of them is an error naming both."""
    write(
        tmp_path,
        a_json={**api("#/x"), "x": {"type": "string"}},
        b_yaml="openapi: 3.1.0\npaths:\n  /y:\n    get: {}\n",
    )
    loaded = load_text('[gateway]\nopenapi = ["a.json", "b.yaml"]', folder=tmp_path)
    policy = compile_policy(loaded)
    assert [(one.path, one.rule.file, one.rule.line) for one in policy.operations] == [
        ("/x", "a.json", 6),
        ("/y", "b.yaml", 4),
    ]
    assert policy.titles == {"a.json": ("", "", 1), "b.yaml": ("", "", 1)}
    (tmp_path / "b.yaml").write_text("openapi: 3.1.0\npaths:\n  /x: {post: {}}\n")
    with pytest.raises(PolicyError) as caught:
        compile_policy(loaded)
    assert str(caught.value) == "b.yaml:3: openapi POST /x: matches the same requests as a.json:6; keep one of the two"


def test_a_fetched_document_stands_in_for_the_file_of_its_name(tmp_path: Path) -> None:
    loaded = load_text('[gateway]\nopenapi = "api.json"', folder=tmp_path)
    raw = b'{"openapi": "3.1.0", "paths": {"/a": {"get": {}}}}'
    assert len(compile_policy(loaded, openapi_documents={"api.json": raw}).operations) == 1
    assert compile_policy(loaded, openapi_documents={"api.json": b"\xef\xbb\xbf" + raw}).titles
    with pytest.raises(PolicyError, match="not UTF-8"):
        compile_policy(loaded, openapi_documents={"api.json": b"\xff"})
