"""Questions about a schema that need a look through its references and compositions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sixfold.policy.openapi.files import File, Files

Place = tuple[File, Any]

_LISTS: Final = ("allOf", "anyOf", "oneOf")
_CONDITIONAL: Final = ("then", "else")
_JUDGED: Final = ("not", "if")
_OBJECT_ONLY: Final = frozenset(
    ("properties", "required", "additionalProperties", "unevaluatedProperties", "patternProperties")
)


def table(value: Any) -> dict[str, Any]:
    """Return a value if it is an object, else an empty one: a damaged document is refused later, not here."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """Return a value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


class Facts:
    """Answers about schemas, each computed once.

    Arguments:
        files: resolves references.
    """

    def __init__(self, files: Files) -> None:
        self.files = files
        self._hidden: dict[tuple[int, str], frozenset[str]] = {}
        self._declares: dict[int, bool] = {}

    def members(self, file: File, schema: dict[str, Any]) -> Iterator[Place]:
        """Yield the schemas that apply to the same value beside this one, always or under some condition."""
        if isinstance(schema.get("$ref"), str):
            target = self.files.resolve(file, schema["$ref"])
            yield target.file, target.node
            if file.old:  # siblings of `$ref` do not count in 3.0
                return
        for key in _LISTS:
            for member in items(schema.get(key)):
                yield file, member
        for key in _CONDITIONAL:
            if key in schema:
                yield file, schema[key]
        for member in table(schema.get("dependentSchemas")).values():
            yield file, member

    def always(self, file: File, schema: dict[str, Any]) -> Iterator[Place]:
        """Yield the schemas that always apply to the same value."""
        if isinstance(schema.get("$ref"), str):
            target = self.files.resolve(file, schema["$ref"])
            yield target.file, target.node
            if file.old:
                return
        for member in items(schema.get("allOf")):
            yield file, member

    def declares(self, file: File, schema: Any) -> bool:
        """Return whether a schema, or a part of it, names properties."""
        known = self._declares.get(id(schema))
        if known is None:
            known = any("properties" in part for _, part in self.composition(file, schema, every=True))
            self._declares[id(schema)] = known
        return known

    def hidden(self, file: File, schema: Any, word: str) -> frozenset[str]:
        """Return the properties that carry `readOnly` or `writeOnly`, here or in what always applies too."""
        key = (id(schema), word)
        known = self._hidden.get(key)
        if known is None:
            known = self._hidden[key] = frozenset(
                name
                for there, part in self.composition(file, schema)
                for name, value in table(part.get("properties")).items()
                if self.carries(there, value, word)
            )
        return known

    def carries(self, file: File, schema: Any, word: str) -> bool:
        """Return whether a property's schema, or what it refers to, says `readOnly: true` or `writeOnly`."""
        if not isinstance(schema, dict):
            return False
        if "$ref" not in schema and "allOf" not in schema:
            return schema.get(word) is True
        return any(part.get(word) is True for _, part in self.composition(file, schema))

    def required(self, file: File, schema: Any) -> set[str]:
        """Return the names that a schema always requires."""
        parts = self.composition(file, schema)
        return {name for _, part in parts for name in items(part.get("required")) if isinstance(name, str)}

    def may_be_object(self, file: File, schema: Any, depth: int = 0) -> bool:
        """Return whether a schema leaves room for an object."""
        if not isinstance(schema, dict) or depth > 20:
            return schema is not False
        types = schema.get("type")
        if types is not None and "$ref" not in schema:
            return types == "object" or "object" in items(types)
        values = schema.get("enum", [schema["const"]] if "const" in schema else None)
        if isinstance(values, list) and not any(isinstance(value, dict) for value in values):
            return False
        if not all(self.may_be_object(*member, depth + 1) for member in self.always(file, schema)):
            return False
        return all(
            any(self.may_be_object(file, member, depth + 1) for member in items(schema[key]))
            for key in ("anyOf", "oneOf")
            if items(schema.get(key))
        )

    def is_free(self, file: File, schema: Any) -> bool:
        """Return whether a schema means any object at all, so that nothing in it is unknown."""
        file, schema = self.files.follow(file, schema)
        if not isinstance(schema, dict):
            return schema is True
        if not self.may_be_object(file, schema) or not _OBJECT_ONLY.isdisjoint(schema):
            return False
        return not any(self.members(file, schema)) and "enum" not in schema and "const" not in schema

    def is_part_of(self, schema: dict[str, Any], file: File, whole: Any) -> bool:
        """Return whether a schema is, or applies inside, another one that stands in a file."""
        return any(part is schema for _, part in self.composition(file, whole, every=True))

    def is_inherited(self, file: File, schema: Any) -> bool:
        """Return whether a schema has a discriminator that chooses among its children."""
        _, schema = self.files.follow(file, schema)
        return isinstance(schema, dict) and "discriminator" in schema and not ("oneOf" in schema or "anyOf" in schema)

    def contains_itself(self, file: File, schema: dict[str, Any]) -> bool:
        """Return whether judging a value by a schema would ask for the same judgement again, without end."""
        seen: set[int] = set()
        pending: list[Place] = [(file, schema)]
        while pending:
            there, part = pending.pop()
            if not isinstance(part, dict):
                continue
            below = [*self.members(there, part), *((there, part[key]) for key in _JUDGED if key in part)]
            for member in below:
                if member[1] is schema:
                    return True
                if id(member[1]) not in seen:
                    seen.add(id(member[1]))
                    pending.append(member)
        return False

    def composition(self, file: File, schema: Any, *, every: bool = False) -> Iterator[tuple[File, dict[str, Any]]]:
        """Yield a schema and the parts that apply to the same value, always or (`every`) sometimes."""
        seen: set[int] = set()
        pending: list[Place] = [(file, schema)]
        while pending:
            there, part = pending.pop()
            if not isinstance(part, dict) or id(part) in seen:
                continue
            seen.add(id(part))
            pending.extend(self.members(there, part) if every else self.always(there, part))
            if not (there.old and "$ref" in part):
                yield there, part
