"""OpenAPI schemas turned into JSON Schema 2020-12, once for requests and once for responses (defence 3.3).

A schema comes in two forms. *Whole*: it describes a value of its own; in a request an object that names
its properties is closed then. *Part*: it stands inside an `allOf` and the like, where its neighbours may name
more; there the outermost schema closes the object. Under `not`, `if` and `contains` the schema is *plain*:
closing it, or hiding properties, would turn the meaning round.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from urllib.parse import quote

from sixfold.policy.model import Schema
from sixfold.policy.openapi import discriminator
from sixfold.policy.openapi.facts import Facts, Place, items
from sixfold.policy.openapi.files import File, Files, Flaw
from sixfold.policy.tree import MAX_DEPTH, Path

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_DROPPED: Final = frozenset(
    (
        "$anchor", "$comment", "$defs", "$dynamicAnchor", "$id", "$schema", "$vocabulary", "contentSchema",
        "definitions", "deprecated", "description", "discriminator", "example", "examples", "externalDocs",
        "nullable", "xml",
    )
)  # fmt: skip
_LISTS: Final = frozenset(("allOf", "anyOf", "oneOf"))
_PLAIN: Final = frozenset(("not", "if", "contains", "propertyNames"))
_VALUE: Final = frozenset(("items", "additionalProperties", "unevaluatedItems", "unevaluatedProperties"))
_CLOSING: Final = frozenset(("additionalProperties", "unevaluatedProperties"))
_CONDITIONAL: Final = frozenset(("then", "else", "dependentSchemas"))
_BOUNDS: Final = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
_EXCLUSIVE: Final = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}
_SHAPES: Final[dict[str, type]] = dict.fromkeys((*_LISTS, "prefixItems", "required", "enum"), list) | dict.fromkeys(
    ("properties", "patternProperties", "dependentSchemas"), dict
)
_NOBODY: Final = frozenset[str]()


class View(NamedTuple):
    """From which side, and in which form, a schema is seen.

    Arguments:
        side: "request", "response" or "plain".
        hidden: the annotation of properties that do not exist on this side.
        whole: see above.
    """

    side: str
    hidden: str
    whole: bool

    @property
    def name(self) -> str:
        """Its name in URIs."""
        return self.side if self.whole or self is PLAIN else f"{self.side}:part"

    def as_part(self) -> View:
        """Return the same side, as part of a composition."""
        return _PARTS[self.side]

    def inside(self) -> View:
        """Return the same side, for a value inside this one."""
        return _WHOLE[self.side]


REQUEST: Final = View("request", "readOnly", whole=True)
RESPONSE: Final = View("response", "writeOnly", whole=True)
PLAIN: Final = View("plain", "", whole=False)
_WHOLE: Final = {view.side: view for view in (REQUEST, RESPONSE, PLAIN)}
_PARTS: Final = {view.side: view._replace(whole=False) for view in (REQUEST, RESPONSE)} | {"plain": PLAIN}


class Schemas:
    """Converts schemas and keeps those that are referred to, as documents by URI.

    Arguments:
        files: resolves references.
        documents: where converted schemas go.
        close: `additional_properties = "refuse"`.
    """

    def __init__(self, files: Files, documents: dict[str, Any], *, close: bool) -> None:
        self.files = files
        self.facts = Facts(files)
        self.documents = documents
        self.close = close
        self._known: dict[tuple[int, Path, View], str] = {}
        self._pending: list[tuple[Place, View, dict[str, Any], str]] = []

    def convert(self, file: File, schema: Any, view: View) -> Schema:
        """Return a schema as JSON Schema 2020-12; what it refers to is found in `documents`.

        Raises:
            Flaw: something that cannot be understood.
        """
        try:
            converted = self.schema(file, schema, view)
            while self._pending:
                (there, node), seen, place, name = self._pending.pop()
                place[name] = self.schema(there, node, seen)
        except RecursionError:
            raise Flaw("a schema is nested too deeply", file.name) from None
        return converted

    def reference(self, file: File, reference: str, view: View) -> dict[str, Any]:
        """Return a reference into `documents`; the schema there is converted later, so cycles do no harm."""
        target = self.files.resolve(file, reference)
        key = (target.file.index, target.path, view)
        uri = self._known.get(key)
        if uri is None:
            uri = self._known[key] = self._keep(target.file, target.path, target.node, view)
        return {"$ref": uri}

    def _keep(self, file: File, path: Path, node: Any, view: View) -> str:
        base = f"urn:sixfold:{file.index}:{view.name}"
        document = self.documents.setdefault(base, {"$schema": DIALECT})
        if path[:2] == ("components", "schemas") and len(path) == 3:
            place = document.setdefault("components", {}).setdefault("schemas", {})
            name = path[2]
            fragment = "/components/schemas/" + quote(name.replace("~", "~0").replace("/", "~1"), safe="~")
        else:  # inside something else, which its own surroundings may change: kept apart
            place = document.setdefault("$defs", {})
            name = str(len(place))
            fragment = f"/$defs/{name}"
        place[name] = True  # `convert` fills it in
        self._pending.append(((file, node), view, place, name))
        return f"{base}#{fragment}"

    def schema(self, file: File, schema: Any, view: View, relieved: frozenset[str] = _NOBODY, depth: int = 0) -> Schema:
        """Return one schema converted, without what it refers to.

        Arguments:
            file: where the schema stands.
            schema: as written.
            view: what it is for.
            relieved: names that need not be there, because a neighbour in an `allOf` hides them on this side.
            depth: of nesting so far.
        """
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            raise Flaw("a schema is an object, `true` or `false`", file.name)
        if depth > MAX_DEPTH:
            raise Flaw("a schema is nested too deeply", file.name)
        if "$dynamicRef" in schema or "$recursiveRef" in schema:
            raise Flaw("`$dynamicRef` is not supported; use `$ref`", file.name)
        if isinstance(schema.get("$ref"), str) and (file.old or _DROPPED.issuperset(schema.keys() - {"$ref"})):
            return self._referred(file, schema["$ref"], view, relieved, depth)
        return _One(self, file, schema, view, relieved, depth).convert()

    def _referred(self, file: File, reference: str, view: View, relieved: frozenset[str], depth: int) -> Schema:
        if relieved:
            target = self.files.resolve(file, reference)
            needed = self.facts.required(target.file, target.node) & relieved
            if needed - self.facts.hidden(target.file, target.node, view.hidden):
                return self.schema(target.file, target.node, view, relieved, depth + 1)  # a copy of its own
        return self.reference(file, reference, view)


class _One:
    """The conversion of one schema object."""

    def __init__(
        self,
        every: Schemas,
        file: File,
        source: dict[str, Any],
        view: View,
        relieved: frozenset[str],
        depth: int,
    ) -> None:
        self.every = every
        self.facts = every.facts
        self.file = file
        self.source = source
        self.view = view
        self.depth = depth
        self.members = list(self.facts.members(file, source))
        if (self.members or "not" in source or "if" in source) and self.facts.contains_itself(file, source):
            raise Flaw("a schema contains itself, so no value could ever be judged by it", file.name)
        self.hidden = self.facts.hidden(file, source, view.hidden) if view.hidden else _NOBODY
        self.relieved = relieved | self.hidden
        self.inner = view if self._passes_on() else view.as_part()
        self.result: dict[str, Any] = {}

    def convert(self) -> dict[str, Any]:
        for key, value in self.source.items():
            if key not in _DROPPED and not key.startswith("x-"):
                self._keyword(key, value)
        self._numbers()
        if self.file.old and self.source.get("nullable") is True and isinstance(self.result.get("type"), str):
            self.result["type"] = [self.result["type"], "null"]
        plan = discriminator.plan(self.every.files, self.file, self.source) if self.view.hidden else None
        if plan is not None and plan.keyword:
            self._choose(plan)
        if self.view.whole and not self.inner.whole:
            self._close()
        return self._inherit(plan) if plan is not None and not plan.keyword else self.result

    def _passes_on(self) -> bool:
        """Return whether one member that can be an object says everything: then that one is closed."""
        if not self.view.whole or not self.source.keys().isdisjoint(_CLOSING | _CONDITIONAL | {"properties"}):
            return False
        capable = [member for member in self.members if self.facts.may_be_object(*member)]
        return len(capable) == 1 and not self._is_child_of(*capable[0])

    def _is_child_of(self, file: File, member: Any) -> bool:
        """Return whether a member chooses among its children, and this schema is one of them."""
        there, parent = self.every.files.follow(file, member)
        if not self.facts.is_inherited(there, parent):
            return False
        plan = discriminator.plan(self.every.files, there, parent)
        targets = [self.every.files.resolve(plan.file, ref) for _, ref in plan.references()] if plan else []
        return any(self.facts.is_part_of(self.source, target.file, target.node) for target in targets)

    def _below(self, schema: Any, view: View, relieved: frozenset[str] = _NOBODY) -> Schema:
        return self.every.schema(self.file, schema, view, relieved, self.depth + 1)

    def _keyword(self, key: str, value: Any) -> None:
        shape = _SHAPES.get(key)
        if shape is not None and not isinstance(value, shape):
            raise Flaw(f"`{key}` is {'a list' if shape is list else 'an object'}", self.file.name)
        result, inside = self.result, self.view.inside()
        if key == "properties":
            result[key] = {
                name: False if name in self.hidden else self._below(item, inside) for name, item in value.items()
            }
        elif key == "required":
            result[key] = [name for name in value if not (isinstance(name, str) and name in self.relieved)]
        elif key in _LISTS:
            relieved = self.relieved if key == "allOf" else _NOBODY
            result[key] = [self._below(item, self.inner, relieved) for item in value]
        elif key in ("then", "else"):
            result[key] = self._below(value, self.inner)
        elif key == "dependentSchemas":
            result[key] = {name: self._below(item, self.inner) for name, item in value.items()}
        elif key == "$ref" and isinstance(value, str):
            result.update(self.every.reference(self.file, value, self.inner))
        elif key in _PLAIN:
            result[key] = self._below(value, PLAIN)
        elif key == "patternProperties":
            result[key] = {name: self._below(item, inside) for name, item in value.items()}
        elif key == "prefixItems":
            result[key] = [self._below(item, inside) for item in value]
        elif key in _VALUE:
            result[key] = self._below(value, inside)
        else:
            result[key] = value

    def _numbers(self) -> None:
        result = self.result
        for exclusive, bound in _EXCLUSIVE.items():
            if isinstance(result.get(exclusive), bool) and result.pop(exclusive) and bound in result:
                result[exclusive] = result.pop(bound)
        said, types = result.get("format"), result.get("type")
        if said in ("int32", "int64") and (types == "integer" or "integer" in items(types)):
            low, high = _BOUNDS[said]
            del result["format"]
            result["minimum"] = max(low, _number(result.get("minimum"), low))
            result["maximum"] = min(high, _number(result.get("maximum"), high))
        elif said == "byte":
            result.setdefault("contentEncoding", "base64")

    def _choose(self, plan: discriminator.Plan) -> None:
        """Replace `oneOf` or `anyOf` by the choice that the discriminator makes."""
        del self.result[plan.keyword]
        # An alternative that says everything is closed by itself; beside others it is closed from here.
        alone = self.view.whole and self.source.keys().isdisjoint(
            _LISTS - {plan.keyword} | _CONDITIONAL | _CLOSING | {"properties", "$ref"}
        )
        view = self.view if alone else self.view.as_part()
        if alone:
            self.inner = self.view
        choose = [(value, self.every.reference(plan.file, ref, view)) for value, ref in plan.references()]
        default = self.every.reference(plan.file, plan.default, view) if plan.default else None
        chosen = discriminator.rules(plan.name, choose, default)
        self.result["allOf"] = [*items(self.result.get("allOf")), *chosen]
        self.result["discriminator"] = {"propertyName": plan.name}

    def _inherit(self, plan: discriminator.Plan) -> dict[str, Any]:
        """Choose among the schema itself and its children, each of which contains it as a part."""
        if not self.view.whole:
            return self.result
        choose: list[tuple[str, Any]] = [
            (value, self.every.reference(plan.file, reference, self.view)) for value, reference in plan.references()
        ]
        choose.extend((value, self.result) for value, reference in plan.values.items() if reference is None)
        default = self.result if plan.default else None
        return {
            "allOf": discriminator.rules(plan.name, choose, default),
            "discriminator": {"propertyName": plan.name},
        }

    def _close(self) -> None:
        if not self.every.close or self.view is not REQUEST or not _CLOSING.isdisjoint(self.source):
            return
        if any(self.facts.declares(*member) for member in self.members):
            self._free_branches()
            self.result["unevaluatedProperties"] = False
        elif "properties" in self.source:
            self.result["additionalProperties"] = False

    def _free_branches(self) -> None:
        """Let an alternative that means any object go on meaning it, although the whole is closed."""
        if "properties" in self.source:
            return
        for key in ("anyOf", "oneOf"):
            for index, member in enumerate(items(self.source.get(key))):
                if key in self.result and self.facts.is_free(self.file, member):
                    branch = {"allOf": [self.result[key][index]], "additionalProperties": True}
                    self.result[key][index] = branch


def _number(value: Any, default: int) -> int | float:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else default
