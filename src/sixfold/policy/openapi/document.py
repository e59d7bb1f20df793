"""The OpenAPI documents of a policy: which there are, which version they speak, what they say together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Final

from sixfold.policy.errors import PolicyError, Problem
from sixfold.policy.load import Loaded
from sixfold.policy.model import Finding, Operation
from sixfold.policy.openapi.facts import table
from sixfold.policy.openapi.files import File, Files, Flaw
from sixfold.policy.openapi.operations import Importer
from sixfold.policy.openapi.schemas import DIALECT, Schemas
from sixfold.policy.openapi.swagger2 import upgrade

_VERSION: Final = re.compile(r"3\.[012](\.[0-9]+)?([.\-+].*)?")
_DIALECTS: Final = re.compile(re.escape(DIALECT) + r"#?|https://spec\.openapis\.org/oas/3\.[12]/.*")


@dataclass(slots=True)
class Imported:
    """What the OpenAPI documents of a policy say.

    Arguments:
        schemas: URI to JSON Schema document.
        titles: name to (title, version, number of operations).
        values: everything that was read, for the version of the policy.
    """

    operations: list[Operation] = field(default_factory=list)
    schemas: dict[str, Any] = field(default_factory=dict)
    titles: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    values: list[Any] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def read(loaded: Loaded, documents: Mapping[str, bytes]) -> Imported:
    """Read the documents that a policy names, and those that were fetched already.

    Arguments:
        loaded: the policy file.
        documents: name to bytes.

    Raises:
        PolicyError: every problem of every document.
    """
    result = Imported()
    problems: list[Problem] = []
    count = 0
    for files, name, raw in _sources(loaded, documents):
        files.first = count
        try:
            file = files.add(name, raw, files.root) if raw is not None else _opened(files, name)
            _version(file)
            importer = _import(file, files, loaded, result)
            problems.extend(importer.problems)
        except Flaw as flaw:
            problems.append(Problem(flaw.text, "", flaw.file or name, flaw.line))
        except PolicyError as error:
            problems.extend(error.problems)
        count += len(files.all)
        result.values.extend(file.value for file in files.all.values())
    if problems:
        raise PolicyError(*problems)
    return result


def _sources(loaded: Loaded, documents: Mapping[str, bytes]) -> Iterator[tuple[Files, str, bytes | None]]:
    said = loaded.document.gateway.openapi
    names = [said] if isinstance(said, str) else said or []
    for name in names:
        if name in documents:
            yield Files(None), name, documents[name]
        else:
            yield Files((FilePath(loaded.folder) / name).parent), name, None
    for name, raw in documents.items():
        if name not in names:
            yield Files(None), name, raw


def _opened(files: Files, name: str) -> File:
    if re.match("https?://", name):
        raise Flaw("is not fetched here; save the document and name the file", name)
    assert files.root is not None  # noqa: S101 (for the type checker: only fetched documents have none)
    return files.open(files.root / FilePath(name).name, name)


def _version(file: File) -> None:
    """Settle which version a document speaks; Swagger 2.0 is converted first.

    Raises:
        Flaw: it is not an OpenAPI document, or of a version that is not understood.
    """
    root = file.value
    if not isinstance(root, dict):
        raise Flaw("not an OpenAPI document", file.name, 1)
    if str(root.get("swagger")) == "2.0":
        try:
            file.tree = file.tree._replace(value=upgrade({**root, "swagger": "2.0"}))
        except ValueError as problem:
            raise Flaw(f"Swagger 2.0: {problem}", file.name) from None
        root = file.value
    version = str(root.get("openapi", ""))
    line = file.tree.line(("openapi",))
    if not version:
        raise Flaw("not an OpenAPI document: `openapi` is missing", file.name, 1)
    if _VERSION.fullmatch(version) is None:
        raise Flaw("this version of OpenAPI is not understood; 2.0, 3.0, 3.1 and 3.2 are", file.name, line)
    file.old = version.startswith("3.0")
    dialect = root.get("jsonSchemaDialect", DIALECT)
    if not isinstance(dialect, str) or _DIALECTS.fullmatch(dialect) is None:
        line = file.tree.line(("jsonSchemaDialect",))
        raise Flaw(f"`jsonSchemaDialect` is not understood; only {DIALECT} is", file.name, line)


def _import(file: File, files: Files, loaded: Loaded, result: Imported) -> Importer:
    document = loaded.document
    close = document.validation.additional_properties == "refuse"
    importer = Importer(file, Schemas(files, result.schemas, close=close), document.gateway.base_path)
    importer.run()
    result.operations.extend(importer.operations)
    result.findings.extend(importer.findings)
    info = table(file.value.get("info"))
    title, version = str(info.get("title", "")), str(info.get("version", ""))
    result.titles[file.name] = (title, version, len(importer.operations))
    return importer
