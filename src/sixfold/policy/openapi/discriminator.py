"""The Discriminator Object (OpenAPI 3.x section 4.8.25): a property whose value says which schema is meant.

Sixfold dispatches by it instead of trying every alternative, and refuses a value that stands for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sixfold.policy.openapi.facts import items
from sixfold.policy.openapi.files import File, Files, Flaw

_PREFIX = "#/components/schemas/"


@dataclass(slots=True)
class Plan:
    """How to dispatch.

    Arguments:
        name: the property.
        values: its value to the reference of the schema it means; None for the schema itself.
        keyword: "oneOf" or "anyOf", which the dispatch replaces; "" for an inheritance.
        default: reference of the schema that counts where no value fits (OpenAPI 3.2), or "".
        file: where references start.
    """

    name: str
    values: dict[str, str | None]
    keyword: str
    default: str
    file: File

    def references(self) -> list[tuple[str, str]]:
        """Return the values that mean another schema, with the reference of that."""
        return [(value, reference) for value, reference in self.values.items() if reference is not None]


def plan(files: Files, file: File, schema: dict[str, Any]) -> Plan | None:
    """Return how to dispatch on a schema, or None if it has no discriminator or that cannot decide."""
    said = schema.get("discriminator")
    if not isinstance(said, dict) or not isinstance(said.get("propertyName"), str):
        return None
    mapping = said.get("mapping") if isinstance(said.get("mapping"), dict) else {}
    explicit = {str(value): _reference(files, file, target) for value, target in (mapping or {}).items()}
    default = said.get("defaultMapping")
    default = _reference(files, file, default) if isinstance(default, str) else ""
    keyword = next((key for key in ("oneOf", "anyOf") if schema.get(key)), "")
    if keyword:
        members = items(schema[keyword])
        if not all(isinstance(member, dict) and isinstance(member.get("$ref"), str) for member in members):
            return None  # an alternative without a name: only trying decides
        values = _values(files, file, explicit, [member["$ref"] for member in members])
        return Plan(said["propertyName"], values, keyword, default, file)
    own = next((name for name, other in _components(file) if other is schema), None)
    found = _children(file, own) if own is not None else []
    if own is None or not (explicit or found):
        return None
    inherited = _values(files, file, explicit, found)
    itself = [value for value, ref in inherited.items() if ref and files.resolve(file, ref).node is schema] or [own]
    return Plan(said["propertyName"], inherited | dict.fromkeys(itself), "", default, file)


def rules(name: str, branches: list[tuple[str, Any]], default: Any = None) -> list[dict[str, Any]]:
    """Return the members of an `allOf` that dispatch: one that knows every value, and one per value.

    Arguments:
        name: the property.
        branches: value to schema.
        default: the schema where no value fits; None refuses that.
    """
    known = {"properties": {name: {"enum": [value for value, _ in branches]}}, "required": [name]}
    first = known if default is None else {"if": known, "else": default}
    return [first] + [
        {"if": {"properties": {name: {"const": value}}, "required": [name]}, "then": branch}
        for value, branch in branches
    ]


def _values(files: Files, file: File, explicit: dict[str, str], members: list[str]) -> dict[str, str | None]:
    """Return every value: those of the mapping, and for members that it leaves out their own names."""
    mapped = {id(files.resolve(file, reference).node) for reference in explicit.values()}
    values: dict[str, str | None] = dict(explicit)
    for member in members:
        if id(files.resolve(file, member).node) not in mapped:
            values.setdefault(member.rpartition("/")[2].removesuffix(".yaml").removesuffix(".json"), member)
    return values


def _reference(files: Files, file: File, target: Any) -> str:
    """Return the reference that a mapping means: the name of a schema, or a reference."""
    if not isinstance(target, str):
        raise Flaw("a discriminator's mapping holds something that is not text", file.name)
    if "/" not in target and "#" not in target and any(name == target for name, _ in _components(file)):
        return _PREFIX + target
    files.resolve(file, target)
    return target


def _children(file: File, own: str) -> list[str]:
    """Return references to the schemas that contain one by `allOf`, children of children included."""
    found: list[str] = []
    parents = [own]
    while parents:
        reference = {"$ref": _PREFIX + parents.pop()}
        for name, other in _components(file):
            members = other.get("allOf") if isinstance(other, dict) else None
            if isinstance(members, list) and reference in members and _PREFIX + name not in found:
                found.append(_PREFIX + name)
                parents.append(name)
    return found


def _components(file: File) -> list[tuple[str, Any]]:
    components = file.value.get("components") if isinstance(file.value, dict) else None
    schemas = components.get("schemas") if isinstance(components, dict) else None
    return list(schemas.items()) if isinstance(schemas, dict) else []
