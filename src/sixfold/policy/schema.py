"""The JSON Schema of `sixfold.toml`, printed from the models, for editors and for SchemaStore (CFG-02)."""

from __future__ import annotations

from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from sixfold.policy.document import Document
from sixfold.policy.quantities import parse_duration, parse_size

_TEXTS: Final[dict[Any, str]] = {
    parse_size: r"^\s*[0-9.]+ ?[A-Za-z]*\s*$",
    parse_duration: r"^\s*[0-9.]+ ?[A-Za-z]*\s*$",
}
_REFERENCE: Final = {
    "type": "object",
    "description": "A value that stands elsewhere: in a file, or in an environment variable.",
    "properties": {"file": {"type": "string"}, "env": {"type": "string"}},
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
}


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the file."""
    document = Document.model_json_schema(by_alias=True, schema_generator=_Generator)
    document.pop("title", None)
    # The file names its schema in a comment (`#:schema`), so the grammar needs no key for it.
    return {"$schema": GenerateJsonSchema.schema_dialect, "title": "sixfold.toml", **document}


class _Generator(GenerateJsonSchema):
    """Says what the loader accepts beyond the models: quantities as text, references where text may stand."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        inner = super().function_before_schema(schema)
        pattern = _TEXTS.get(schema["function"]["function"])
        return inner if pattern is None else {"anyOf": [inner, {"type": "string", "pattern": pattern}]}

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        return {"anyOf": [super().str_schema(schema), _REFERENCE]}

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        keys = self.generate_inner(schema["keys_schema"]) if "keys_schema" in schema else {}
        text = keys.get("anyOf", [keys])[0]  # a key is text, never a reference
        return {**super().dict_schema(schema), **({"propertyNames": text} if text else {})}
