"""Named fields of a form made into the object that its schema describes (OpenAPI 3.1 section 4.8.15).

A scalar comes once, an array as its style says, an object as JSON. Shared by both kinds of form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from sixfold.decision import Fault
from sixfold.layers.validation.faults import MAX_FAULTS, pointer
from sixfold.layers.validation.media import is_json
from sixfold.layers.validation.schemas import ANY, Node, Schemas
from sixfold.layers.validation.strict_json import Flaw, Parser
from sixfold.layers.validation.styles import Pairs, Reading, Wrong, reading
from sixfold.policy.model import Media

_BINARY_FORMATS: Final = frozenset(("binary",))


class Field(NamedTuple):
    """One declared field.

    Arguments:
        read: turns its texts into a value.
        is_json: it is written as JSON.
        is_file: its bytes are not text.
        content_types: what a part may be declared as, lower case; () for the default of its type.
    """

    read: Reading
    is_json: bool = False
    is_file: bool = False
    content_types: tuple[str, ...] = ()


def compile_fields(media: Media, schemas: Schemas, parser: Parser) -> Mapping[str, Field]:
    """Return the declared fields of a form by name."""
    properties = schemas.properties(schemas.node(media.schema))
    return {name: _field(node, media.encoding.get(name, {}), schemas, parser) for name, node in properties.items()}


def _field(node: Node, encoding: Mapping[str, Any], schemas: Schemas, parser: Parser) -> Field:
    declared = str(encoding.get("contentType", ""))
    content_types = tuple(part.strip().lower().partition(";")[0] for part in declared.split(",") if part.strip())
    types = schemas.types(node)
    item = schemas.items(node) if "array" in types and types != ANY else node
    if _is_file(item, schemas):
        return Field(_file(repeated=item is not node), is_file=True, content_types=content_types)
    if any(map(is_json, content_types)) or ("style" not in encoding and types != ANY and "object" in types):
        return Field(_json(parser), is_json=True, content_types=content_types)
    style = str(encoding.get("style", "form"))
    explode = bool(encoding.get("explode", style == "form"))
    return Field(reading(schemas, node, style, explode), content_types=content_types)


def _is_file(node: Node, schemas: Schemas) -> bool:
    """Return whether a schema means bytes: `format: binary`, another media type, or no type at all."""
    schema = node.schema
    if not isinstance(schema, Mapping):
        return False
    return (
        schema.get("format") in _BINARY_FORMATS
        or ("contentMediaType" in schema and "contentEncoding" not in schema)
        or (schemas.types(node) == ANY and not schema.keys() & {"oneOf", "anyOf", "allOf", "$ref"})
    )


def _file(*, repeated: bool) -> Reading:
    def file(pairs: Pairs) -> tuple[Any, ...] | Wrong:
        if repeated:
            return ([text for _, text in pairs],)
        return (pairs[0][1],) if len(pairs) == 1 else Wrong("one file", "several")

    return file


def _json(parser: Parser) -> Reading:
    def json(pairs: Pairs) -> tuple[Any, ...] | Wrong:
        if len(pairs) > 1:
            return Wrong("one value", "several")
        parsed = parser(pairs[0][1].encode())
        return Wrong(parsed.expected, parsed.found) if isinstance(parsed, Flaw) else (parsed.value,)

    return json


def assemble(fields: Mapping[str, Field], pairs: Sequence[tuple[str, str]]) -> dict[str, Any] | tuple[Fault, ...]:
    """Return the object that the fields make, or what is wrong with them.

    Arguments:
        fields: the declared ones.
        pairs: (name, text) in the order sent. A field that is not declared stays text; the schema decides
            about it.
    """
    grouped: dict[str, list[tuple[str, str]]] = {}
    for name, text in pairs:
        grouped.setdefault(name, []).append(("", text))
    value: dict[str, Any] = {}
    faults = []
    for name, texts in grouped.items():
        field = fields.get(name)
        found = field.read(texts) if field is not None else _undeclared(texts)
        if isinstance(found, Wrong):
            faults.append(Fault(pointer((name,)), *found))
        else:
            value[name] = found[0]
    return tuple(faults[:MAX_FAULTS]) if faults else value


def _undeclared(pairs: Pairs) -> tuple[Any, ...] | Wrong:
    return (pairs[0][1],) if len(pairs) == 1 else Wrong("one value", "several")
