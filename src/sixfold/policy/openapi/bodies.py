"""Parameters, bodies and responses: OpenAPI's objects around the schemas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sixfold.policy.model import BodyContract, Media, Parameter, Schema
from sixfold.policy.openapi.facts import items, table
from sixfold.policy.openapi.files import File, Flaw
from sixfold.policy.openapi.schemas import REQUEST, RESPONSE, Schemas, View

_STYLES: Final[Mapping[str, tuple[str, ...]]] = {
    "path": ("simple", "label", "matrix"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form", "cookie"),
}
# Described elsewhere in an operation, so a parameter of this name does not count (OpenAPI Parameter Object).
_NOT_PARAMETERS: Final = frozenset(("accept", "content-type", "authorization"))
_ENCODING: Final = ("contentType", "style", "explode", "allowReserved")


class Unsupported(ValueError):
    """Something that Sixfold cannot judge although it is OpenAPI: the operation is closed."""


def parameters(schemas: Schemas, *lists: tuple[File, Any]) -> tuple[Parameter, ...]:
    """Return the parameters of an operation; a later list replaces what an earlier one said of the same name.

    Arguments:
        schemas: converts.
        lists: those of the path, then those of the operation, each with its file.

    Raises:
        Flaw: a parameter that cannot be understood.
        Unsupported: a parameter in a place that Sixfold does not read.
    """
    found: dict[tuple[str, str], Parameter] = {}
    for file, entries in lists:
        for entry in items(entries):
            there, node = schemas.files.follow(file, entry)
            parameter = _parameter(schemas, there, node)
            if parameter is not None:
                found[parameter.location, parameter.name] = parameter
    return tuple(found.values())


def _parameter(schemas: Schemas, file: File, node: Any) -> Parameter | None:
    node = table(node)
    name, location = node.get("name"), node.get("in")
    if location == "querystring":
        raise Unsupported("a parameter that is the whole query string")
    if not isinstance(name, str) or location not in ("path", "query", "header", "cookie"):
        raise Flaw("a parameter needs `name`, and `in` as path, query, header or cookie", file.name)
    if location == "header" and name.lower() in _NOT_PARAMETERS:
        return None
    style = node.get("style", _STYLES[location][0])
    if style not in _STYLES[location]:
        raise Flaw(f"`style` of a parameter in {location} is one of {', '.join(_STYLES[location])}", file.name)
    media_type, schema = _content(schemas, file, node)
    return Parameter(
        name=name.lower() if location == "header" else name,
        location=location,
        required=node.get("required") is True or location == "path",
        schema=schema,
        style=style,
        explode=bool(node.get("explode", style in ("form", "cookie"))),
        media_type=media_type,
        deprecated=node.get("deprecated") is True,
    )


def _content(schemas: Schemas, file: File, node: dict[str, Any]) -> tuple[str, Schema]:
    for media_type, media in table(node.get("content")).items():
        there, node = schemas.files.follow(file, media)
        return essence(media_type), schemas.convert(there, table(node).get("schema", True), REQUEST)
    return "", schemas.convert(file, node.get("schema", True), REQUEST)


def body(schemas: Schemas, file: File, node: Any) -> BodyContract | None:
    """Return what a Request Body Object says, or None if the operation takes no body."""
    if node is None:
        return None
    file, node = schemas.files.follow(file, node)
    if not isinstance(node, dict):
        raise Flaw("`requestBody` is an object", file.name)
    content = _media(schemas, file, node.get("content"), REQUEST)
    return BodyContract(required=node.get("required") is True, content=content)


def responses(schemas: Schemas, file: File, node: Any) -> dict[str, dict[str, Media]]:
    """Return what a Responses Object says, by status: "200", "4XX" or "default"."""
    found = {}
    for status, entry in table(node).items():
        if not status.startswith("x-"):
            there, response = schemas.files.follow(file, entry)
            name = status if status == "default" else status.upper()
            found[name] = _media(schemas, there, table(response).get("content"), RESPONSE)
    return found


def _media(schemas: Schemas, file: File, content: Any, view: View) -> dict[str, Media]:
    found: dict[str, Media] = {}
    for name, there, node in _entries(schemas, file, content):
        media = Media(
            schema=schemas.convert(there, node.get("schema", True), view),
            encoding=_encoding(node.get("encoding")),
        )
        other = found.setdefault(name, media)
        if other is not media:  # told apart only by parameters such as `version=2`, which do not choose a contract
            found[name] = Media(schema={"anyOf": [other.schema, media.schema]}, encoding=other.encoding)
    return found


def _entries(schemas: Schemas, file: File, content: Any) -> Iterator[tuple[str, File, dict[str, Any]]]:
    for media_type, entry in table(content).items():
        there, node = schemas.files.follow(file, entry)
        yield essence(media_type), there, table(node)


def _encoding(node: Any) -> dict[str, dict[str, Any]]:
    return {
        name: {key: entry[key] for key in _ENCODING if key in entry}
        for name, entry in table(node).items()
        if isinstance(entry, dict)
    }


def essence(media_type: str) -> str:
    """Return a media type in lower case, without parameters (RFC 9110 section 8.3.1)."""
    return media_type.partition(";")[0].strip().lower()
