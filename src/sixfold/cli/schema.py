"""`sixfold schema`."""

from __future__ import annotations

from sixfold.cli.talk import show_json


def schema() -> int:
    """Print the JSON Schema of sixfold.toml, for editors.

    Keep it as sixfold.schema.json; editors find it by the line `#:schema sixfold.schema.json` of the policy.
    """
    from sixfold.policy.schema import schema as policy_schema

    show_json(policy_schema())
    return 0
