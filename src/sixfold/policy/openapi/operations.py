"""The paths of an OpenAPI document, as operations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from sixfold.decision import Rule
from sixfold.policy import match, wording
from sixfold.policy.document import Route
from sixfold.policy.errors import PolicyError, Problem
from sixfold.policy.model import Contract, Finding, Operation
from sixfold.policy.openapi import bodies
from sixfold.policy.openapi.bodies import Unsupported
from sixfold.policy.openapi.facts import table
from sixfold.policy.openapi.files import File, Flaw
from sixfold.policy.openapi.schemas import Schemas
from sixfold.policy.openapi.security import Access, access
from sixfold.policy.refine import alternatives, refine
from sixfold.policy.tree import Path

EXTENSION: Final = "x-sixfold"

_METHODS: Final = ("get", "head", "post", "put", "patch", "delete", "options", "query")


class Importer:
    """Turns one document into operations.

    Arguments:
        file: the document.
        schemas: converts its schemas.
        base_path: replaces the path of the document's servers; None keeps it.

    Afterwards `operations`, `problems` and `findings` hold what was found.
    """

    def __init__(self, file: File, schemas: Schemas, base_path: str | None) -> None:
        self.file = file
        self.root = table(file.value)
        self.schemas = schemas
        self.base_path = base_path
        self.operations: list[Operation] = []
        self.problems: list[Problem] = []
        self.findings: list[Finding] = []

    def run(self) -> None:
        """Read every path."""
        for path, entry in table(self.root.get("paths")).items():
            if path.startswith("x-"):
                continue
            try:
                file, item = self.schemas.files.follow(self.file, entry)
                where: Path = ("paths", path) if file is self.file else ()
                for method, node in self._methods(path, table(item)):
                    self._operation(_Place(file, table(item), path, method, (*where, method)), table(node))
            except Flaw as flaw:
                self._flaw(flaw, path, self.file.tree.line(("paths", path)))

    def _methods(self, path: str, item: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        yield from ((method, item[method]) for method in _METHODS if method in item)
        for method, node in table(item.get("additionalOperations")).items():
            if method.lower() in _METHODS:
                yield method.lower(), node
            else:
                self._note("method-not-supported", f"{method.upper()[:20]} {path}", self.file, ("paths", path))

    def _operation(self, place: _Place, node: dict[str, Any]) -> None:
        try:
            path = self._base(place, node).rstrip("/") + place.path
            if wrong := match.flaw(path):
                self._note("path-not-supported", f"{place.name}: {wrong}", place.file, place.where)
                return
            operation = self._described(place, node, path)
            if EXTENSION in node and operation.access != "deny":
                operation = self._extended(operation, node[EXTENSION], place)
            self.operations.append(operation)
        except Flaw as flaw:
            self._flaw(flaw, place.name, place.line)
        except PolicyError as error:
            self.problems.extend(error.problems)

    def _described(self, place: _Place, node: dict[str, Any], path: str) -> Operation:
        rule = Rule(f"openapi {place.verb} {path}", place.file.name, place.line)
        allowed: Access = access(place.file, node.get("security", self.root.get("security")))
        self._schemes(allowed, rule)
        contract, closed = self._contract(place, node, rule)
        return Operation(
            index=len(self.operations),
            method=place.verb,
            path=path,
            rule=rule,
            contract_rule=rule,
            operation_id=node["operationId"] if isinstance(node.get("operationId"), str) else "",
            access="deny" if closed else allowed.access,
            require=() if closed else allowed.require,
            contract=contract,
            deprecated=node.get("deprecated") is True,
        )

    def _contract(self, place: _Place, node: dict[str, Any], rule: Rule) -> tuple[Contract, bool]:
        """Return the contract, and whether the operation must stay closed because it cannot be judged."""
        try:
            lists = ((place.file, place.item.get("parameters")), (place.file, node.get("parameters")))
            names = set(match.parameters(rule.name))
            parameters = tuple(
                one for one in bodies.parameters(self.schemas, *lists) if one.location != "path" or one.name in names
            )
            return (
                Contract(
                    parameters=parameters,
                    body=bodies.body(self.schemas, place.file, node.get("requestBody")),
                    responses=bodies.responses(self.schemas, place.file, node.get("responses")),
                ),
                False,
            )
        except Unsupported as reason:
            self._note("not-supported", f"{place.name}: {reason}", place.file, place.where)
            return Contract(parameters=(), body=None, responses={}), True

    def _extended(self, operation: Operation, node: Any, place: _Place) -> Operation:
        """Apply `x-sixfold`, which has the keys of a `[[routes]]` row without `match`."""
        prefix = f"{place.name}: {EXTENSION}"
        problem = Problem("", prefix, place.file.name, place.line)
        if not isinstance(node, dict):
            raise PolicyError(problem._replace(text=f"expected a table, found {wording.kind(node)}"))
        if "match" in node:
            raise PolicyError(problem._replace(text="`match` is the operation itself; leave it out"))
        try:
            route = Route.model_validate({"match": "", **node})
        except ValidationError as error:
            where = (place.file.name, place.line)
            raise PolicyError(*wording.problems(error, node, lambda _: where, (Route,), prefix)) from None
        if route.require is not None and not all(alternatives(route.require)):
            raise PolicyError(problem._replace(text="`require` names nothing; write `authenticated: true`"))
        return refine(operation, route, operation.rule)

    def _schemes(self, allowed: Access, rule: Rule) -> None:
        known = table(table(self.root.get("components")).get("securitySchemes"))
        for name in sorted(allowed.schemes - known.keys()):
            self.findings.append(
                Finding(
                    severity="warning",
                    code="unknown-scheme",
                    rule=rule,
                    text=f"`security` names the scheme `{name}`, which the document does not describe",
                    remedy="describe it in `components.securitySchemes`",
                )
            )

    def _base(self, place: _Place, node: dict[str, Any]) -> str:
        if self.base_path is not None:
            return self.base_path
        for holder in (node, place.item, self.root):
            if isinstance(holder.get("servers"), list) and holder["servers"]:
                return server_path(table(holder["servers"][0]))
        return ""

    def _note(self, code: str, text: str, file: File, where: Path) -> None:
        self.findings.append(
            Finding(
                severity="warning",
                code=code,
                rule=Rule(text, file.name, file.tree.line(where)),
                text=f"{text} cannot be judged, so it stays closed",
                remedy="describe it in another way, or give it a `[[routes]]` row of its own",
            )
        )

    def _flaw(self, flaw: Flaw, name: str, line: int) -> None:
        file = flaw.file or self.file.name
        self.problems.append(Problem(flaw.text, name, file, line if file == self.file.name else flaw.line))


class _Place:
    """Where an operation stands."""

    def __init__(self, file: File, item: dict[str, Any], path: str, method: str, where: Path) -> None:
        self.file = file
        self.item = item
        self.path = path
        self.verb = method.upper()
        self.where = where
        self.name = f"{self.verb} {path}"
        self.line = file.tree.line(where)


def server_path(server: Mapping[str, Any]) -> str:
    """Return the path of a Server Object, its variables at their defaults; "" for the root."""
    url = str(server.get("url", ""))
    for name, variable in table(server.get("variables")).items():
        url = url.replace(f"{{{name}}}", str(table(variable).get("default", "")))
    return "/" + unquote(urlsplit(url).path).strip("/") if urlsplit(url).path.strip("/") else ""
