from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sixfold.policy.load import Loaded
from sixfold.policy.model import Finding, Operation


@dataclass(slots=True)
class Imported:
    """What the OpenAPI documents of a policy say."""

    operations: list[Operation] = field(default_factory=list)
    schemas: dict[str, Any] = field(default_factory=dict)
    titles: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    values: list[Any] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def read(loaded: Loaded, documents: Mapping[str, bytes]) -> Imported:
    return Imported()
