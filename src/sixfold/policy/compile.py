"""Merges the policy file with its OpenAPI documents into one immutable `Policy`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any, Final

import orjson
from pydantic import BaseModel

from sixfold.decision import Rule
from sixfold.policy import match, openapi
from sixfold.policy.document import Document, Route
from sixfold.policy.errors import PolicyError, Problem
from sixfold.policy.expect import request_line
from sixfold.policy.findings import findings
from sixfold.policy.load import Loaded
from sixfold.policy.model import Operation, Policy
from sixfold.policy.refine import alternatives, refine

_FORMAT: Final = 1  # raise it when the same file starts to mean something else


def compile_policy(
    loaded: Loaded | Document,
    *,
    openapi_documents: Mapping[str, bytes] | None = None,
    describe: Callable[[list[Operation]], list[Operation]] | None = None,
) -> Policy:
    """Compile a policy.

    Arguments:
        loaded: from `load`, or a document made in memory.
        openapi_documents: OpenAPI documents that were fetched already, by name; they stand beside the files
            that `[gateway] openapi` names, or instead of one of the same name. A document that came this way
            has no folder, so it cannot refer to other files.
        describe: turns the operations of the documents into those that `[[routes]]` refine; an application
            that knows its own routes puts them in here.

    Raises:
        PolicyError: holds every problem found, in the file and in the OpenAPI documents.
    """
    if isinstance(loaded, Document):
        loaded = Loaded(document=loaded, folder=str(FilePath().absolute()))
    imported = openapi.read(loaded, openapi_documents or {})
    described = describe(imported.operations) if describe else imported.operations
    table = _Table(loaded, described)
    operations = tuple(replace(operation, index=index) for index, operation in enumerate(table.operations()))
    return Policy(
        version=_version(loaded.document, [*imported.values, described if describe else None]),
        file=loaded.file,
        folder=loaded.folder,
        document=loaded.document,
        lines=loaded.lines,
        operations=operations,
        schemas=imported.schemas,
        titles=imported.titles,
        findings=(*loaded.findings, *imported.findings, *findings(loaded, operations, table.unmatched())),
    )


class _Row:
    """One row of `[[routes]]`, read."""

    def __init__(self, route: Route, match_: match.Match, rule: Rule) -> None:
        self.route = route
        self.methods = match_.methods
        self.path = match_.path
        self.shape = match.shape(match_.path)
        self.rule = rule
        # Applied in this order, the widest first, whatever the order in the file.
        self.weight = (match.weight(match_.path), bool(match_.methods))

    def applies(self, operation: Operation) -> bool:
        """Return whether an operation is among those that a final `/**` covers."""
        if not match.is_wide(self.path) or (self.methods and operation.method not in self.methods):
            return False
        return match.covers(self.path, operation.path)


class _Table:
    """Routes and operations, to be merged."""

    def __init__(self, loaded: Loaded, described: list[Operation]) -> None:
        self.loaded = loaded
        self.base: dict[tuple[str, str], Operation] = {}  # method and shape
        self.methods: dict[str, list[str]] = {}  # shape to methods that a document describes
        self.problems: list[Problem] = []
        for operation in described:
            self._describe(operation)
        self.rows = [row for index, route in enumerate(loaded.document.routes) if (row := self._row(index, route))]
        self._twice()
        self._expectations()
        if self.problems:
            raise PolicyError(*self.problems)
        self.exact: dict[tuple[str, str], list[_Row]] = {}  # the widest first
        for row in self.rows:
            for method in row.methods or self.methods.get(row.shape, match.EVERY):
                self.exact.setdefault((method, row.shape), []).append(row)
        for key, rows in self.exact.items():
            rows.sort(key=lambda row: row.weight)
            if key not in self.base and not self._only_refines(rows[-1]):
                self.base[key] = self._made(key[0], rows[-1])
        self.wide = sorted((row for row in self.rows if match.is_wide(row.path)), key=lambda row: row.weight)

    def _only_refines(self, row: _Row) -> bool:
        """Return whether a `/**` row speaks of described operations: then it opens no path that nobody declared."""
        return match.is_wide(row.path) and any(
            row.applies(one) for one in self.base.values() if one.contract is not None
        )

    def operations(self) -> list[Operation]:
        """Return every operation, each refined by its routes."""
        return [self._refined(key, operation) for key, operation in self.base.items()]

    def unmatched(self) -> list[Rule]:
        """Return the routes that no described operation meets; none if nothing is described."""
        described = [operation for operation in self.base.values() if operation.contract is not None]
        return [
            row.rule
            for row in self.rows
            if described and row.shape not in self.methods and not any(map(row.applies, described))
        ]

    def _describe(self, operation: Operation) -> None:
        key = (operation.method, match.shape(operation.path))
        other = self.base.setdefault(key, operation)
        if other is not operation:
            self._collision(operation.contract_rule, other.contract_rule)
        self.methods.setdefault(key[1], []).append(operation.method)

    def _row(self, index: int, route: Route) -> _Row | None:
        key = f"routes.{index}"
        try:
            found = match.parse(route.match)
            if route.require is not None and not all(alternatives(route.require)):
                key = f"{key}.require"
                raise ValueError("names nothing; write `authenticated = true` if any signed-in caller may call")
        except ValueError as problem:
            key = key if key.endswith("require") else f"{key}.match"
            self.problems.append(Problem(str(problem), key, *_place(self.loaded, key)))
            return None
        file, line = _place(self.loaded, key)
        return _Row(route, found, Rule(f"[[routes]] {route.match}", file, line))

    def _expectations(self) -> None:
        for index, expect in enumerate(self.loaded.document.expect):
            try:
                request_line(expect.request)
            except ValueError as problem:
                key = f"expect.{index}.request"
                self.problems.append(Problem(str(problem), key, *_place(self.loaded, key)))

    def _twice(self) -> None:
        seen: dict[tuple[str, str], Rule] = {}
        for row in self.rows:
            for method in row.methods or ("*",):
                other = seen.setdefault((method, row.shape), row.rule)
                if other is not row.rule:
                    self._collision(row.rule, other)

    def _collision(self, rule: Rule, other: Rule) -> None:
        text = f"matches the same requests as {other.file}:{other.line}; keep one of the two"
        self.problems.append(Problem(text, rule.name, rule.file, rule.line))

    def _made(self, method: str, row: _Row) -> Operation:
        get = self.base.get(("GET", row.shape))
        if method == "HEAD" and get is not None and get.contract is not None:
            return replace(get, method=method)  # HEAD is GET without the body of the answer (RFC 9110 section 9.3.2)
        return Operation(index=0, method=method, path=row.path, rule=row.rule, contract_rule=row.rule)

    def _refined(self, key: tuple[str, str], operation: Operation) -> Operation:
        exact = self.exact.get(key, ())
        for row in self.wide:
            if row not in exact and row.applies(operation):
                operation = refine(operation, row.route, row.rule)
        for row in exact:
            operation = refine(operation, row.route, row.rule)
        return operation


def _place(loaded: Loaded, key: str) -> tuple[str, int]:
    parts = key
    while parts and parts not in loaded.lines:
        parts = parts.rpartition(".")[0]
    return loaded.file, loaded.lines.get(parts, 0)


def _version(document: Document, values: list[Any]) -> str:
    """Return the hash of everything that decides.

    Secrets are part of it and the version is shown to operators, so guessing one from the other is made slow.
    """
    decides = document.model_dump(mode="json", exclude={"expect", "log"}, by_alias=True)
    try:
        canonical = orjson.dumps([_FORMAT, decides, values], _plain, orjson.OPT_SORT_KEYS)
    except TypeError:  # a number beyond 64 bits or half a surrogate pair, which only the slow way can write
        canonical = json.dumps([_FORMAT, decides, values], sort_keys=True, default=_plain).encode()
    digest = hashlib.sha256(canonical).digest()
    return hashlib.pbkdf2_hmac("sha256", digest, b"sixfold policy version", 10_000, 6).hex()


def _plain(value: Any) -> Any:
    """Return what stands for a value of the compiled policy in canonical JSON."""
    if isinstance(value, Operation):
        return {key: getattr(value, key) for key in Operation.__slots__}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return list(value)
    return repr(value)
