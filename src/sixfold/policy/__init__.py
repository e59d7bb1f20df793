"""The policy: what is allowed, compiled once into one immutable value.

`load` reads the file, `compile_policy` merges it with the OpenAPI documents; `read_policy` does both.
`schema` prints the grammar, `expect` runs the tests that a policy carries.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sixfold.policy.compile import compile_policy
from sixfold.policy.errors import PolicyError, Problem
from sixfold.policy.load import Loaded, load, load_text
from sixfold.policy.model import Finding, Operation, Policy

__all__ = [
    "Finding",
    "Loaded",
    "Operation",
    "Policy",
    "PolicyError",
    "Problem",
    "compile_policy",
    "load",
    "load_text",
    "read_policy",
]


def read_policy(path: Path, environ: Mapping[str, str]) -> Policy:
    """Read and compile a policy file.

    Arguments:
        path: of `sixfold.toml` or its YAML twin.
        environ: the process environment.

    Raises:
        PolicyError: every problem at once.
    """
    return compile_policy(load(path, environ=environ))
