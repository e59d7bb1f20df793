"""Builds validators from the policy's schemas: offline, formats asserted, patterns in linear time only.

JSON Schema 2020-12 Core section 8.2 (references) and Validation section 7 (formats). `$ref` finds what the
policy holds and nothing else: no network, no files (SSRF); a pattern that a linear engine cannot run is refused
at load (ReDoS).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import orjson
from jsonschema_rs import (
    Draft202012,
    Draft202012Validator,
    ReferencingError,
    RegexOptions,
    Registry,
    ValidationError,
)

from sixfold.decision import Rule
from sixfold.layers.validation.formats import FORMATS
from sixfold.policy.model import Finding, Policy, Schema

ANY: Final = frozenset(("null", "boolean", "integer", "number", "string", "array", "object"))
_PATTERNS: Final = RegexOptions(size_limit=1 << 20, dfa_size_limit=1 << 20)  # bytes of one compiled pattern
_UNKNOWN_FORMAT: Final = "Unknown format: '"
_MAX_NESTING: Final = 64  # of references and compositions that are looked through


class Node(NamedTuple):
    """A schema and what resolves the references in it."""

    schema: Schema
    resolver: Any


class Schemas:
    """All validators of a policy share one registry, and equal schemas share one validator.

    Arguments:
        policy: its `schemas` are what `$ref` can name.
    """

    def __init__(self, policy: Policy) -> None:
        self._registry = Registry(policy.schemas.items(), draft=Draft202012)
        self._root = self._registry.resolver("")
        self._formats: dict[str, Callable[[str], bool]] = dict(FORMATS)
        self._built: dict[bytes, Draft202012Validator] = {}
        self.findings: list[Finding] = []

    def validator(self, schema: Schema, rule: Rule, what: str) -> Draft202012Validator | None:
        """Return the validator of a schema, or None if the schema allows everything.

        Arguments:
            schema: JSON Schema 2020-12.
            rule: where the contract stands.
            what: which schema of it, in words, for errors.

        Raises:
            ValueError: the schema cannot be used; the text starts with file and line and ends with a remedy.
        """
        if schema is True or schema == {}:
            return None
        key = orjson.dumps(schema, option=orjson.OPT_SORT_KEYS)
        built = self._built.get(key)
        if built is None:
            built = self._built[key] = self._build(schema, rule, what)
        return built

    def _build(self, schema: Schema, rule: Rule, what: str) -> Draft202012Validator:
        while True:
            try:
                return Draft202012Validator(
                    schema,  # type: ignore[arg-type]
                    formats=self._formats,
                    validate_formats=True,
                    ignore_unknown_formats=False,
                    registry=self._registry,
                    pattern_options=_PATTERNS,
                    mask="value",
                    offline=True,
                )
            except ValidationError as problem:
                name = _unknown_format(problem)
                if name is None:
                    raise ValueError(f"{rule}: {what}: {_remedy(problem)}") from None
                self._ignore(name, rule)

    def _ignore(self, name: str, rule: Rule) -> None:
        self._formats[name] = FORMATS["binary"]
        self.findings.append(
            Finding(
                severity="note",
                code="unknown-format",
                rule=rule,
                text=f"the format `{name}` is not known and demands nothing",
                remedy="say it with `pattern`, or leave it out",
            )
        )

    def node(self, schema: Schema) -> Node:
        """Return a schema as a node, references followed."""
        return _followed(Node(schema, self._root))

    def types(self, node: Node) -> frozenset[str]:
        """Return the JSON types a schema can allow: "integer" stands beside "number"."""
        return _types(node, 0)

    def properties(self, node: Node) -> Mapping[str, Node]:
        """Return the declared properties of a schema, those of composed schemas with them."""
        found: dict[str, Node] = {}
        for part in _parts(node, 0):
            for name, schema in _mapping(part.schema.get("properties")).items():
                found.setdefault(name, _followed(Node(schema, part.resolver)))
        return found

    def items(self, node: Node) -> Node:
        """Return the schema of the items of an array; one that allows everything if there is none."""
        for part in _parts(node, 0):
            if "items" in part.schema:
                return _followed(Node(part.schema["items"], part.resolver))
        return Node(True, node.resolver)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _followed(node: Node) -> Node:
    """Follow a `$ref` that stands alone; a broken one is reported when the validator is built."""
    for _ in range(_MAX_NESTING):
        if not isinstance(node.schema, Mapping) or node.schema.keys() != {"$ref"}:
            return node
        try:
            target = node.resolver.lookup(node.schema["$ref"])
        except ReferencingError:
            return Node(True, node.resolver)
        node = Node(target.contents, target.resolver)
    return node


def _parts(node: Node, depth: int) -> Iterator[Any]:
    """Walk a schema and the schemas it is composed of."""
    node = _followed(node)
    if not isinstance(node.schema, Mapping) or depth > _MAX_NESTING:
        return
    yield node
    for schema in (*_members(node.schema), *node.schema.get("anyOf", ()), *node.schema.get("oneOf", ())):
        yield from _parts(Node(schema, node.resolver), depth + 1)


def _members(schema: Mapping[str, Any]) -> tuple[Schema, ...]:
    """Return the schemas that hold beside this one: `allOf`, and a `$ref` with siblings."""
    reference: tuple[Schema, ...] = ({"$ref": schema["$ref"]},) if "$ref" in schema else ()
    return (*reference, *schema.get("allOf", ()))


def _types(node: Node, depth: int) -> frozenset[str]:
    node = _followed(node)
    schema = node.schema
    if not isinstance(schema, Mapping) or depth > _MAX_NESTING:
        return ANY if schema is not False else frozenset()
    found = ANY
    if "type" in schema:
        said = schema["type"]
        found = frozenset((said,) if isinstance(said, str) else said)
        found |= {"integer"} if "number" in found else frozenset()
    if "enum" in schema:
        found &= frozenset(kind for value in schema["enum"] for kind in kinds(value))
    if "const" in schema:
        found &= frozenset(kinds(schema["const"]))
    for part in _members(schema):
        found &= _types(Node(part, node.resolver), depth + 1)
    for keyword in ("anyOf", "oneOf"):
        if schema.get(keyword):
            parts = (_types(Node(part, node.resolver), depth + 1) for part in schema[keyword])
            found &= frozenset().union(*parts)
    return found


def kinds(value: Any) -> tuple[str, ...]:
    """Return the JSON types of a value; an integer is a number too."""
    if value is None:
        return ("null",)
    if isinstance(value, bool):
        return ("boolean",)
    if isinstance(value, int):
        return ("integer", "number")
    if isinstance(value, float):
        return ("number", "integer") if value.is_integer() else ("number",)
    if isinstance(value, str):
        return ("string",)
    return ("object",) if isinstance(value, Mapping) else ("array",)


def _unknown_format(problem: ValidationError) -> str | None:
    message = problem.message
    if not message.startswith(_UNKNOWN_FORMAT):
        return None
    return message[len(_UNKNOWN_FORMAT) :].partition("'. ")[0]


def _remedy(problem: ValidationError) -> str:
    place = "/" + "/".join(str(step) for step in problem.instance_path)
    if problem.kind.name == "format" and problem.kind.value == "regex":
        return (
            f"the pattern at `{place}` does not run in linear time or is malformed; "
            "write it without lookaround and backreferences"
        )
    if problem.kind.name == "$ref":
        return "a `$ref` names nothing that the document holds; correct it"
    return f"not a JSON Schema 2020-12 at `{place}`; correct the document"
