"""Swagger 2.0 turned into OpenAPI 3.0.3, so that the importer knows one family of documents only.

The two formats differ in where things stand, hardly in what can be said; what 3.0 has no word for is refused,
never guessed. Sources: Swagger 2.0 specification; OpenAPI 3.0.3 section 4.7; RFC 6901 for pointers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]

_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch")
_TYPES: Final = frozenset(("string", "number", "integer", "boolean", "array", "object", "file"))
_FORMS: Final = ("multipart/form-data", "application/x-www-form-urlencoded")
# A document that mixes both formats would lose these without a word.
_FOREIGN: Final = frozenset(("callbacks", "components", "requestBody", "servers", "webhooks"))
_PARAMETER_KEYS: Final = ("name", "in", "description", "required", "allowEmptyValue")
_OPERATION_KEYS: Final = (
    "tags", "summary", "description", "externalDocs", "operationId", "deprecated", "security",
)  # fmt: skip
_REFS: Final = {
    "#/definitions/": "#/components/schemas/",
    "#/parameters/": "#/components/parameters/",
    "#/responses/": "#/components/responses/",
}
_FLOWS: Final = {
    "implicit": "implicit",
    "password": "password",
    "application": "clientCredentials",
    "accessCode": "authorizationCode",
}
_FLOW_KEYS: Final = ("authorizationUrl", "tokenUrl", "scopes")
# (style, explode) of an array. `tsv` has no successor, and only a query or form can repeat a name.
_STYLES: Final[Mapping[str, Mapping[str, tuple[str, bool]]]] = {
    "query": {
        "csv": ("form", False),
        "ssv": ("spaceDelimited", False),
        "pipes": ("pipeDelimited", False),
        "multi": ("form", True),
    },
    "path": {"csv": ("simple", False)},
    "header": {"csv": ("simple", False)},
}
# Matches null and nothing else: in 3.0 `nullable` counts only beside a `type`.
_NULL: Final = {"type": "object", "nullable": True, "enum": [None]}


@dataclass(frozen=True, slots=True)
class _Source:
    """What the document says once for all operations."""

    document: Json
    consumes: list[str]
    produces: list[str]
    parameters: Json
    responses: Json


def upgrade(document: Json) -> Json:
    """Return the OpenAPI 3.0.3 document that says what a Swagger 2.0 document says.

    Arguments:
        document: parsed JSON or YAML with `swagger: "2.0"`; left as it is.

    Raises:
        ValueError: something that cannot be converted; the text starts with its JSON Pointer (RFC 6901).
    """
    try:
        return _document(deepcopy(document))
    except RecursionError:  # a YAML anchor may contain itself
        raise ValueError("#: the document is nested too deeply") from None


def _document(document: Json) -> Json:
    if document.get("swagger") != "2.0":
        raise ValueError('#/swagger: expected "2.0"')
    _refuse_foreign(document, "#")
    source = _Source(
        document,
        consumes=_strings(document, "consumes", "#"),
        produces=_strings(document, "produces", "#"),
        parameters=_object(document.get("parameters", {}), "#/parameters"),
        responses=_object(document.get("responses", {}), "#/responses"),
    )
    result: Json = {"openapi": "3.0.3", "info": document.get("info", {}), "servers": _servers(document, "#")}
    result.update(_kept(document, ("security", "tags", "externalDocs")))
    paths, extensions = _apart(document, "paths", "#")
    result["paths"] = _each(paths, "#/paths", lambda item, where: _path_item(item, where, source))
    result["paths"].update(extensions)
    result["components"] = _components(source)
    return result


def _components(source: _Source) -> Json:
    document = source.document
    plain = {name: value for name, value in source.parameters.items() if not _makes_body(value)}
    return {
        "schemas": _each(document.get("definitions", {}), "#/definitions", _schema),
        "parameters": _each(plain, "#/parameters", _parameter),
        "responses": _each(
            source.responses, "#/responses", lambda value, where: _response(value, where, source.produces)
        ),
        "securitySchemes": _each(document.get("securityDefinitions", {}), "#/securityDefinitions", _security_scheme),
    }


def _servers(document: Json, where: str, schemes: list[str] | None = None) -> list[Json]:
    """Return one server per scheme; a document without host is served where it was found."""
    base, host = document.get("basePath", "/"), document.get("host", "")
    if not isinstance(base, str) or not base.startswith("/") or "{" in base:
        raise ValueError(f"{where}/basePath: expected a path that starts with `/`, without templates")
    if not isinstance(host, str) or "{" in host or "/" in host:
        raise ValueError(f"{where}/host: expected a host name with an optional port, without templates")
    path = base.rstrip("/") or "/"
    if not host:
        return [{"url": path}]
    schemes = schemes or _strings(document, "schemes", where)
    return [{"url": f"{scheme}://{host}{path}"} for scheme in schemes] or [{"url": f"//{host}{path}"}]


def _path_item(value: Any, where: str, source: _Source) -> Json:
    item = _object(value, where)
    if "$ref" in item:
        raise ValueError(f"{where}/$ref: a path item in another place cannot be converted; write it here")
    shared = _list(item.get("parameters", []), f"{where}/parameters")
    result = _kept(item, ())
    plain = [
        _parameter_or_ref(entry, f"{where}/parameters/{index}")
        for index, entry in enumerate(shared)
        if not _makes_body(_resolved(entry, f"{where}/parameters/{index}", source))
    ]
    if plain:
        result["parameters"] = plain
    for key, entry in item.items():
        if key in _METHODS:
            result[key] = _operation(entry, f"{where}/{key}", source, shared, where)
        elif key != "parameters" and not _is_extension(key):
            raise ValueError(f"{where}/{_escape(key)}: not a method of Swagger 2.0")
    return result


def _operation(value: Any, where: str, source: _Source, shared: list[Any], above: str) -> Json:
    operation = _object(value, where)
    _refuse_foreign(operation, where)
    consumes = _strings(operation, "consumes", where) if "consumes" in operation else source.consumes
    produces = _strings(operation, "produces", where) if "produces" in operation else source.produces
    result = _kept(operation, _OPERATION_KEYS)
    if operation.get("security") == [] and "security" not in source.document:
        # An empty list takes back what the document says for all. Generators also write it where nothing was said,
        # and that opens no operation to the world.
        del result["security"]
    if "schemes" in operation:
        result["servers"] = _servers(source.document, "#", _strings(operation, "schemes", where))
    plain: list[Json] = []
    own: list[tuple[Json, str]] = []
    for index, entry in enumerate(_list(operation.get("parameters", []), f"{where}/parameters")):
        place = f"{where}/parameters/{index}"
        if _makes_body(resolved := _resolved(entry, place, source)):
            own.append((resolved, place))
        else:
            plain.append(_parameter_or_ref(entry, place))
    if plain:
        result["parameters"] = plain
    inherited = (
        (_resolved(entry, f"{above}/parameters/{index}", source), f"{above}/parameters/{index}")
        for index, entry in enumerate(shared)
    )
    if makers := _body_makers(own, inherited):
        result["requestBody"] = _request_body(makers, consumes)
    responses, extensions = _apart(operation, "responses", where)
    result["responses"] = {
        str(status): _response_or_ref(entry, f"{where}/responses/{_escape(status)}", source, produces)
        for status, entry in responses.items()
    }
    result["responses"].update(extensions)
    return result


def _resolved(entry: Any, where: str, source: _Source) -> Json:
    """Return the parameter itself, looked up if it is a reference."""
    parameter = _object(entry, where)
    if "$ref" not in parameter:
        return parameter
    return _looked_up(parameter["$ref"], where, "#/parameters/", source.parameters)


def _looked_up(reference: Any, where: str, prefix: str, table: Json) -> Json:
    name = str(reference).removeprefix(prefix).replace("~1", "/").replace("~0", "~")
    if not str(reference).startswith(prefix) or name not in table:
        raise ValueError(f"{where}/$ref: expected the name of an entry of {prefix[:-1]}")
    return _object(table[name], f"{prefix}{_escape(name)}")


def _makes_body(parameter: Any) -> bool:
    return isinstance(parameter, dict) and parameter.get("in") in ("body", "formData")


def _parameter_or_ref(entry: Json, where: str) -> Json:
    return {"$ref": _reference(entry["$ref"], where)} if "$ref" in entry else _parameter(entry, where)


def _parameter(value: Any, where: str) -> Json:
    """Convert a parameter of path, query or header."""
    parameter = _object(value, where)
    location = str(parameter.get("in"))
    if location not in _STYLES:
        raise ValueError(f"{where}/in: expected path, query, header, formData or body")
    if "type" not in parameter or parameter["type"] == "file":
        raise ValueError(f"{where}/type: a {location} parameter needs a type other than file")
    result = _kept(parameter, _PARAMETER_KEYS)
    result.pop("x-nullable", None)  # it speaks of the value: see the schema
    result["schema"] = _value_schema(parameter, where)
    if style := _style(parameter, where, location):
        result["style"], result["explode"] = style
    return result


def _value_schema(parameter: Json, where: str) -> Json:
    """Return the schema of a value whose keywords stand beside its name, not under `schema`."""
    keywords = {
        key: value
        for key, value in parameter.items()
        if key not in (*_PARAMETER_KEYS, "collectionFormat") and (not _is_extension(key) or key == "x-nullable")
    }
    items = keywords.get("items")
    if isinstance(items, dict):
        if items.get("type") == "array":
            raise ValueError(f"{where}/items: an array of arrays cannot be written into one parameter")
        keywords["items"] = {key: value for key, value in items.items() if key != "collectionFormat"}
    return _schema(keywords, where)


def _style(parameter: Json, where: str, location: str) -> tuple[str, bool] | None:
    if parameter.get("type") != "array":
        return None
    written = parameter.get("collectionFormat", "csv")
    styles = _STYLES[location]
    if not isinstance(written, str) or written not in styles:
        raise ValueError(f"{where}/collectionFormat: expected one of {', '.join(styles)} in a {location}")
    return styles[written]


def _body_makers(own: list[tuple[Json, str]], inherited: Iterable[tuple[Json, str]]) -> list[tuple[Json, str]]:
    """Return what makes the body: parameters of the operation, and those of its path not replaced."""
    names = [(entry.get("in"), entry.get("name")) for entry, _ in own]
    has_body = any(place == "body" for place, _ in names)
    return own + [
        (entry, where)
        for entry, where in inherited
        if _makes_body(entry)
        and (entry.get("in"), entry.get("name")) not in names
        and not (has_body and entry["in"] == "body")
    ]


def _request_body(makers: list[tuple[Json, str]], consumes: list[str]) -> Json:
    first, where = makers[0]
    if all(entry["in"] == "formData" for entry, _ in makers):
        return _form(makers, consumes)
    if len(makers) > 1:
        raise ValueError(f"{makers[1][1]}: an operation has one body, or form fields, not both")
    if "schema" not in first:
        raise ValueError(f"{where}/schema: a body needs a schema")
    schema = _schema(first["schema"], f"{where}/schema")
    result = _kept(first, ("description", "required"))
    # Swagger 2.0 gives no default for `consumes`; JSON is what its tools send.
    result["content"] = {media_type: {"schema": schema} for media_type in consumes or ["application/json"]}
    return result


def _form(fields: list[tuple[Json, str]], consumes: list[str]) -> Json:
    """Gather form fields into one object; a file among them makes it multipart.

    `allowEmptyValue` has no successor in a body: an empty value is judged by the field's schema.
    """
    properties: Json = {}
    encoding: Json = {}
    for field, where in fields:
        name = field.get("name")
        if not isinstance(name, str) or "type" not in field:
            raise ValueError(f"{where}: a form field needs a name and a type")
        properties[name] = _value_schema(field, where)
        if "description" in field:
            properties[name]["description"] = field["description"]
        if style := _style(field, where, "query"):  # a form is written like a query
            encoding[name] = {"style": style[0], "explode": style[1]}
    required = [field["name"] for field, _ in fields if field.get("required") is True]
    schema: Json = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    media: Json = {"schema": schema}
    if encoding:
        media["encoding"] = encoding
    if any(field["type"] == "file" for field, _ in fields):
        media_types: tuple[str, ...] = _FORMS[:1]
    else:
        media_types = tuple(kind for kind in consumes if kind in _FORMS) or _FORMS[1:]
    return {
        "required": bool(required),
        "content": {media_type: deepcopy(media) for media_type in media_types},
    }


def _response_or_ref(value: Any, where: str, source: _Source, produces: list[str]) -> Json:
    response = _object(value, where)
    if "$ref" not in response:
        return _response(response, where, produces)
    shared = _looked_up(response["$ref"], where, "#/responses/", source.responses)
    if produces == source.produces:
        return {"$ref": _reference(response["$ref"], where)}
    return _response(shared, where, produces)  # its media types are the operation's, so it cannot be shared


def _response(value: Any, where: str, produces: list[str]) -> Json:
    response = _object(value, where)
    result = _kept(response, ())
    result["description"] = response.get("description", "")
    if "headers" in response:
        result["headers"] = _each(response["headers"], f"{where}/headers", _response_header)
    examples = _object(response.get("examples", {}), f"{where}/examples")
    if "schema" not in response and not examples:
        return result
    schema = _schema(response.get("schema", {}), f"{where}/schema")
    result["content"] = {kind: {"schema": schema} for kind in produces or examples or ["*/*"]}
    for kind, example in examples.items():
        result["content"].setdefault(kind, {"schema": schema})["example"] = example
    return result


def _response_header(value: Any, where: str) -> Json:
    header = _object(value, where)
    result = _kept(header, ("description",))
    result["schema"] = _value_schema(header, where)
    if style := _style(header, where, "header"):
        result["style"], result["explode"] = style
    return result


def _security_scheme(value: Any, where: str) -> Json:
    scheme = _object(value, where)
    kept = _kept(scheme, ("description",))
    match scheme.get("type"):
        case "basic":
            return {"type": "http", "scheme": "basic", **kept}
        case "apiKey":
            return {"type": "apiKey", **_kept(scheme, ("name", "in")), **kept}
        case "oauth2" if name := _FLOWS.get(str(scheme.get("flow"))):
            flow = {"scopes": {}, **{key: scheme[key] for key in _FLOW_KEYS if key in scheme}}
            return {"type": "oauth2", "flows": {name: flow}, **kept}
        case "oauth2":
            raise ValueError(f"{where}/flow: expected one of {', '.join(_FLOWS)}")
    raise ValueError(f"{where}/type: expected basic, apiKey or oauth2")


def _schema(value: Any, where: str) -> Json:
    """Convert a schema and all below it. Pointers into it stay valid, since no keyword moves."""
    schema = _object(value, where)
    if "$ref" in schema:  # its siblings do not count, in either version
        result: Json = {"$ref": _reference(schema["$ref"], where)}
    else:
        result = {key: _keyword(key, entry, f"{where}/{_escape(key)}") for key, entry in schema.items()}
        result.pop("x-nullable", None)
        _settle_type(result, where)
    return _or_null(result) if schema.get("x-nullable") is True else result


def _keyword(key: str, value: Any, where: str) -> Any:
    match key:
        case "properties":
            return _each(value, where, _schema)
        case "allOf" | "anyOf" | "oneOf":  # the last two are not of 2.0, yet often written and never misread
            return [_schema(entry, f"{where}/{index}") for index, entry in enumerate(_list(value, where))]
        case "additionalProperties" if isinstance(value, bool):
            return value
        case "items" | "not" | "additionalProperties":
            return _schema(value, where)
        case "discriminator" if isinstance(value, str):
            return {"propertyName": value}
        case "$ref" | "discriminator":
            raise ValueError(f"{where}: expected a string")
    return value


def _settle_type(schema: Json, where: str) -> None:
    """Write `type` as 3.0 does: one word; a file is a string of bytes, and "null" in a list is `nullable`."""
    kind = schema.get("type")
    if isinstance(kind, list) and "null" in kind and len(kind) == 2:
        kind = next((word for word in kind if word != "null"), None)
        schema["type"] = kind
        schema["nullable"] = True
    if kind == "file":
        schema["type"], schema["format"] = "string", "binary"
    elif "type" in schema and (not isinstance(kind, str) or kind not in _TYPES):
        raise ValueError(f"{where}/type: expected one of {', '.join(sorted(_TYPES))}")


def _or_null(schema: Json) -> Json:
    """Let null pass as well: what `x-nullable: true` means to all who write it."""
    if "type" in schema:
        schema["nullable"] = True
        if "enum" in schema and None not in schema["enum"]:
            schema["enum"] = [*schema["enum"], None]
        return schema
    return {"anyOf": [schema, deepcopy(_NULL)]} if schema else schema


def _reference(reference: Any, where: str) -> str:
    for old, new in _REFS.items():
        if isinstance(reference, str) and reference.startswith(old):
            return new + reference.removeprefix(old)
    raise ValueError(f"{where}/$ref: expected a place below {', '.join(old[:-1] for old in _REFS)} of this document")


def _refuse_foreign(value: Json, where: str) -> None:
    for key in value:
        if key in _FOREIGN:
            raise ValueError(f"{where}/{key}: a word of OpenAPI 3 in a Swagger 2.0 document")


def _kept(value: Json, keys: tuple[str, ...]) -> Json:
    """Return what both versions write alike, vendor extensions included."""
    return {key: entry for key, entry in value.items() if key in keys or _is_extension(key)}


def _apart(value: Json, key: str, where: str) -> tuple[Json, Json]:
    """Return the entries of a table, and its vendor extensions."""
    entries = _object(value.get(key, {}), f"{where}/{key}")
    extensions = {name: entry for name, entry in entries.items() if _is_extension(name)}
    return {name: entry for name, entry in entries.items() if name not in extensions}, extensions


def _is_extension(key: Any) -> bool:
    return isinstance(key, str) and key.startswith("x-")


def _each(value: Any, where: str, convert: Callable[[Any, str], Json]) -> Json:
    entries = _object(value, where)
    return {key: convert(entry, f"{where}/{_escape(key)}") for key, entry in entries.items()}


def _object(value: Any, where: str) -> Json:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected an object")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{where}: expected a list")
    return value


def _strings(value: Json, key: str, where: str) -> list[str]:
    entries = _list(value.get(key, []), f"{where}/{key}")
    if not all(isinstance(entry, str) for entry in entries):
        raise ValueError(f"{where}/{key}: expected a list of strings")
    return entries


def _escape(key: Any) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")
