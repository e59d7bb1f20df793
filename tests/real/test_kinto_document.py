"""Kinto's own Swagger 2.0 document, taken from a live server."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from sixfold.policy.openapi.swagger2 import upgrade

METHODS = {"get", "put", "post", "delete", "options", "head", "patch"}


def operations(document: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {
        (path, method, operation["operationId"])
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def test_no_operation_is_lost(kinto_document: dict[str, Any]) -> None:
    before = deepcopy(kinto_document)
    result = upgrade(kinto_document)
    assert kinto_document == before
    assert operations(result) == operations(kinto_document)
    assert len(operations(result)) > 35


def test_the_base_path_is_kept(kinto_document: dict[str, Any]) -> None:
    (server,) = upgrade(kinto_document)["servers"]
    assert server["url"].endswith("/v1")


def test_each_body_keeps_its_media_types(kinto_document: dict[str, Any]) -> None:
    result = upgrade(kinto_document)["paths"]
    for path, method, _ in operations(kinto_document):
        before = kinto_document["paths"][path][method]
        bodies = [entry for entry in before.get("parameters", ()) if entry["in"] == "body"]
        body = result[path][method].get("requestBody")
        assert (body is not None) == bool(bodies)
        if body is not None:
            assert list(body["content"]) == before["consumes"]
            assert body["required"] is bodies[0]["required"]


def test_each_other_parameter_stays(kinto_document: dict[str, Any]) -> None:
    result = upgrade(kinto_document)["paths"]
    for path, method, _ in operations(kinto_document):
        before = kinto_document["paths"][path][method].get("parameters", ())
        after = result[path][method].get("parameters", ())
        assert [(entry["name"], entry["in"]) for entry in after] == [
            (entry["name"], entry["in"]) for entry in before if entry["in"] != "body"
        ]
        assert all("schema" in entry for entry in after)
