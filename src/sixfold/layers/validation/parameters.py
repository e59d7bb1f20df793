"""Parameters of path, query, header and cookie against the contract (OpenAPI 3.1 section 4.8.12; PATH-04).

What the contract does not declare is refused, stripped or passed as the policy says; a declared name in
another case, a scalar that comes twice, an id of the path that stands in the query again are refused always.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal

from jsonschema_rs import Draft202012Validator

from sixfold.decision import Fault, Rule
from sixfold.layers.validation.bounds import unbounded
from sixfold.layers.validation.faults import MAX_FAULTS, parameter_faults, shown
from sixfold.layers.validation.schemas import ANY, Node, Schemas
from sixfold.layers.validation.strict_json import SAFE_INTEGER, Flaw, Parser, large_integers
from sixfold.layers.validation.styles import Pairs, Reading, Wrong, reading
from sixfold.policy.model import Finding, Parameter
from sixfold.request import Request

Unknown = Literal["refuse", "strip", "pass"]

# OpenAPI leaves these to the protocol: a declaration of them does not count.
_PROTOCOL_HEADERS: Final = frozenset(("accept", "content-type", "authorization"))
_STYLES: Final[Mapping[str, frozenset[str]]] = {
    "path": frozenset(("simple", "label")),
    "query": frozenset(("form", "spaceDelimited", "pipeDelimited", "deepObject")),
    "header": frozenset(("simple",)),
    "cookie": frozenset(("form",)),
}
_SHORT_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,14})", re.ASCII)
_ANNOTATIONS: Final = frozenset(("type", "description", "title", "default", "example", "examples", "deprecated"))


class Check:
    """One declared parameter.

    Arguments:
        parameter: as declared.
        read: turns its texts into values.
        validator: of the schema, or None if every value will do.
    """

    __slots__ = ("_read", "_validator", "name", "quick", "required", "trivial", "where")

    def __init__(self, parameter: Parameter, read: Reading, validator: Draft202012Validator | None) -> None:
        self.quick = _quick(parameter)
        self.name = parameter.name
        self.required = parameter.required or parameter.location == "path"
        # A part of the path comes exactly once, so one that may hold any text cannot be wrong.
        self.trivial = validator is None and parameter.location == "path" and parameter.style == "simple"
        self.where = f"{parameter.location}: {parameter.name}"
        self._read = read
        self._validator = validator

    def faults(self, pairs: Pairs) -> tuple[Fault, ...]:
        """Return what is wrong with the texts under this name; () if nothing is."""
        values = self._read(pairs)
        if type(values) is Wrong:
            return (Fault(self.where, *values),)
        validator = self._validator
        for value in values:
            if validator is None or validator.is_valid(value):
                if (
                    type(value) is not str
                    and _may_be_large(value)
                    and unbounded(validator, value, tuple(large_integers(value)))
                ):
                    return (Fault(self.where, "integers between -2^53 and 2^53", "a larger integer"),)
                return ()
        assert validator is not None  # noqa: S101 (narrowing: without one the first value was taken)
        return parameter_faults(validator, values[0], self.where)

    def missing(self) -> tuple[Fault, ...]:
        """Return the fault of a parameter that did not come; () if it need not."""
        return (Fault(self.where, "a value: the parameter is required", "nothing"),) if self.required else ()


def _quick(parameter: Parameter) -> Callable[[str], bool] | None:
    """Return a test that a good text of the commonest schemas passes, or None.

    It never says that a text is wrong: what does not pass is checked in full.
    """
    schema = parameter.schema
    if not isinstance(schema, Mapping) or parameter.media_type or parameter.style not in ("form", "simple"):
        return None
    if parameter.location not in ("path", "query"):
        return None
    bounds = {key: value for key, value in schema.items() if key not in _ANNOTATIONS}
    if any(type(value) is not int for value in bounds.values()):
        return None
    if schema.get("type") == "string" and bounds.keys() <= {"minLength", "maxLength"}:
        least, most = bounds.get("minLength", 0), bounds.get("maxLength", 2**31)
        return lambda text: least <= len(text) <= most
    if schema.get("type") == "integer" and bounds.keys() <= {"minimum", "maximum"}:
        low, high = bounds.get("minimum", -SAFE_INTEGER), bounds.get("maximum", SAFE_INTEGER)
        low, high = max(low, -SAFE_INTEGER), min(high, SAFE_INTEGER)
        return lambda text: _SHORT_INTEGER.fullmatch(text) is not None and low <= int(text) <= high
    return None


def _may_be_large(value: Any) -> bool:
    if type(value) is int:
        return not -SAFE_INTEGER <= value <= SAFE_INTEGER
    return isinstance(value, (list, dict))


class Declared:
    """The parameters of an operation, compiled.

    Arguments:
        path, headers, cookies: checks by location.
        query: checks of the query, with the way to them by name.
    """

    __slots__ = ("cookies", "headers", "path", "query")

    def __init__(
        self,
        checks: Iterable[tuple[Parameter, Check, Iterable[str]]],
        path_names: Iterable[str],
        unknown: Unknown,
    ):
        by_place: dict[str, list[Check]] = {"path": [], "query": [], "header": [], "cookie": []}
        routes: dict[str, tuple[Check, str]] = {}
        deep: dict[str, Check] = {}
        for parameter, check, properties in checks:
            by_place[parameter.location].append(check)
            if parameter.location == "query":
                if parameter.style == "deepObject":
                    deep[parameter.name] = check
                for name in properties:
                    routes[name] = (check, name)
                if not properties:
                    routes[parameter.name] = (check, "")
        self.path = tuple(check for check in by_place["path"] if not check.trivial)
        self.headers = tuple((check, check.name.lower().encode("latin-1", "replace")) for check in by_place["header"])
        self.cookies = tuple(by_place["cookie"])
        self.query = Query(tuple(by_place["query"]), routes, deep, path_names, unknown)


class Query:
    """The declared part of a query.

    Arguments:
        checks: of each parameter.
        routes: name in the query to its parameter, and to the property if an object is spread over several
            names.
        deep: parameters written `name[property]`.
        path_names: names of the path's parameters: an id has one source (PATH-04).
        unknown: what becomes of other names.
    """

    __slots__ = ("_checks", "_deep", "_lowered", "_path_names", "_quick", "_required", "_routes", "_unknown", "needed")

    def __init__(
        self,
        checks: tuple[Check, ...],
        routes: Mapping[str, tuple[Check, str]],
        deep: Mapping[str, Check],
        path_names: Iterable[str],
        unknown: Unknown,
    ) -> None:
        self._checks = checks
        self._routes = routes
        self._deep = deep
        self._lowered = {name.lower(): name for name in (*routes, *deep)}
        self._path_names = frozenset(name.lower() for name in path_names)
        self._unknown = unknown
        self.needed = any(check.required for check in checks)
        self._required = frozenset(check.name for check in checks if check.required)
        self._quick = {
            name: check.quick for name, (check, part) in routes.items() if not part and check.quick is not None
        }

    def check(self, request: Request) -> tuple[tuple[Fault, ...], bytes | None]:
        """Return faults, and the target without the names that were stripped (None if it stays as it is)."""
        if self._plainly_good(request.query_pairs):
            return (), None
        faults: list[Fault] = []
        groups: dict[Check, list[tuple[str, str]]] = {}
        stripped: set[str] = set()
        for name, text in request.query_pairs:
            route = self._routes.get(name) or self._route_deep(name)
            if route is not None:
                groups.setdefault(route[0], []).append((route[1], text))
            elif fault := self._undeclared(name):
                faults.append(fault)
            elif self._unknown == "strip":
                stripped.add(name)
        for check in self._checks:
            pairs = groups.get(check)
            faults.extend(check.missing() if pairs is None else check.faults(pairs))
        return tuple(faults[:MAX_FAULTS]), _without(request, stripped) if stripped else None

    def _plainly_good(self, pairs: tuple[tuple[str, str], ...]) -> bool:
        """Return whether each name is declared, came once, and holds a text that is seen to be good at once."""
        seen = set()
        for name, text in pairs:
            quick = self._quick.get(name)
            if quick is None or not quick(text):
                return False
            seen.add(name)
        return len(seen) == len(pairs) and self._required <= seen

    def _route_deep(self, name: str) -> tuple[Check, str] | None:
        if not self._deep or not name.endswith("]"):
            return None
        stem, bracket, key = name[:-1].partition("[")
        check = self._deep.get(stem)
        return (check, key) if check is not None and bracket else None

    def _undeclared(self, name: str) -> Fault | None:
        lowered = name.lower()
        where = f"query: {shown(name)}"
        if lowered in self._path_names:
            return Fault(where, "nothing: the path says this, and only the path", "a parameter")
        declared = self._lowered.get(lowered) or self._lowered.get(lowered.partition("[")[0])
        if declared is not None:
            return Fault(where, f"`{declared}`, spelled like this", "another spelling")
        if self._unknown == "refuse":
            return Fault(where, "one of the declared parameters", "an undeclared one")
        return None


def _without(request: Request, stripped: set[str]) -> bytes:
    """Return the target without some names. `query_pairs` skips empty parts, so here they are skipped too."""
    path = request.target.partition(b"?")[0]
    parts = [part for part in request.query.split(b"&") if part]
    kept = [part for part, (name, _) in zip(parts, request.query_pairs, strict=True) if name not in stripped]
    return path + b"?" + b"&".join(kept) if kept else path


def path_faults(checks: tuple[Check, ...], values: Mapping[str, str]) -> tuple[Fault, ...]:
    """Return what is wrong with the path's parameters."""
    faults: tuple[Fault, ...] = ()
    for check in checks:
        text = values.get(check.name)
        if text is not None and check.quick is not None and check.quick(text):
            continue
        faults += check.missing() if text is None else check.faults((("", text),))
    return faults


def header_faults(checks: tuple[tuple[Check, bytes], ...], request: Request) -> tuple[Fault, ...]:
    """Return what is wrong with declared headers; others are not looked at."""
    faults: tuple[Fault, ...] = ()
    for check, name in checks:
        if request.fields.get(name) is None:
            faults += check.missing()
            continue
        try:
            pairs = [("", line.decode("utf-8")) for line in request.fields.all(name)]
        except UnicodeDecodeError:
            faults += (Fault(check.where, "text in UTF-8", "other bytes"),)
            continue
        faults += check.faults(pairs)
    return faults


def cookie_faults(checks: tuple[Check, ...], request: Request) -> tuple[Fault, ...]:
    """Return what is wrong with declared cookies; others are not looked at (RFC 6265 section 4.2.1)."""
    jar: dict[str, list[tuple[str, str]]] = {}
    for line in request.fields.all(b"cookie"):
        for part in line.decode("latin-1").split(";"):
            name, equals, text = part.strip(" \t").partition("=")
            if equals:
                jar.setdefault(name, []).append(("", text))
    faults: tuple[Fault, ...] = ()
    for check in checks:
        pairs = jar.get(check.name)
        faults += check.missing() if pairs is None else check.faults(pairs)
    return faults


def compile_parameters(
    parameters: Iterable[Parameter],
    path_names: frozenset[str],
    schemas: Schemas,
    parser: Parser,
    rule: Rule,
    unknown: Unknown,
) -> Declared:
    """Return the compiled parameters of an operation.

    Arguments:
        parameters: as declared.
        path_names: names in the path's template.
        schemas: build the validators.
        parser: for parameters that are written as JSON.
        rule: where the contract stands.
        unknown: what becomes of undeclared names in the query.

    Raises:
        ValueError: a schema that cannot be used, with file, line and remedy.
    """
    checks = []
    for parameter in parameters:
        if parameter.location == "header" and parameter.name.lower() in _PROTOCOL_HEADERS:
            continue
        if reason := _unsupported(parameter, path_names):
            schemas.findings.append(
                Finding(
                    severity="warning",
                    code="parameter-unchecked",
                    rule=rule,
                    text=f"{parameter.location} parameter `{parameter.name}`: {reason}",
                )
            )
            continue
        checks.append(_compile(parameter, schemas, parser, rule))
    return Declared(checks, path_names, unknown)


def _unsupported(parameter: Parameter, path_names: frozenset[str]) -> str:
    if parameter.location == "path" and parameter.name not in path_names:
        return "the path has no such part"
    if parameter.style == "matrix":
        return "style `matrix` needs `;`, which is refused in every path; use `simple`"
    if not parameter.media_type and parameter.style not in _STYLES[parameter.location]:
        known = " or ".join(sorted(_STYLES[parameter.location]))
        return f"style `{parameter.style}` does not exist here; use {known}"
    return ""


def _compile(
    parameter: Parameter, schemas: Schemas, parser: Parser, rule: Rule
) -> tuple[Parameter, Check, tuple[str, ...]]:
    what = f"{parameter.location} parameter `{parameter.name}`"
    node = schemas.node(parameter.schema)
    validator = None if _is_plain_text(node) else schemas.validator(parameter.schema, rule, what)
    if parameter.media_type:
        parsed = Check(parameter, _json_reading(parser), schemas.validator(parameter.schema, rule, what))
        parsed.trivial = False
        return parameter, parsed, ()
    style = "simple" if parameter.style == "label" else parameter.style
    read = reading(schemas, node, style, parameter.explode)
    if parameter.style == "label":
        read = _label(read, parameter.explode)
    if parameter.location == "header":
        read = _lines(read, "array" in schemas.types(node))
    types = schemas.types(node)
    spread = parameter.style == "form" and parameter.explode and "object" in types and types != ANY
    return parameter, Check(parameter, read, validator), tuple(schemas.properties(node)) if spread else ()


def _is_plain_text(node: Node) -> bool:
    """Return whether every text fits a schema, so that nothing need be asked."""
    schema = node.schema
    return isinstance(schema, Mapping) and schema.get("type") == "string" and schema.keys() <= _ANNOTATIONS


def _json_reading(parser: Parser) -> Reading:
    def read(pairs: Pairs) -> tuple[Any, ...] | Wrong:
        if len(pairs) > 1:
            return Wrong("one value", "several")
        parsed = parser(pairs[0][1].encode())
        return Wrong(parsed.expected, parsed.found) if isinstance(parsed, Flaw) else (parsed.value,)

    return read


def _label(read: Reading, explode: bool) -> Reading:
    """Read `.a.b` as `a,b` (RFC 6570 section 3.2.5); without `explode` items stand between commas."""

    def label(pairs: Pairs) -> tuple[Any, ...] | Wrong:
        text = pairs[0][1]
        if not text.startswith("."):
            return Wrong("a value that starts with `.`")
        return read((("", text[1:].replace(".", ",") if explode else text[1:]),))

    return label


def _lines(read: Reading, is_list: bool) -> Reading:
    """Join the lines of a list header and drop blanks around its commas (RFC 9110 sections 5.2, 5.3)."""

    def lines(pairs: Pairs) -> tuple[Any, ...] | Wrong:
        if not is_list:
            return read(pairs)
        joined = ",".join(text for _, text in pairs)
        return read((("", ",".join(item.strip(" \t") for item in joined.split(","))),))

    return lines
