"""The printed grammar agrees with the loader."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from sixfold.policy import PolicyError, load_text, yaml_tree
from sixfold.policy.schema import schema

DATA = Path(__file__).parent / "data"
ROOT = Path(__file__).parents[2]
VALIDATOR = jsonschema_rs.Draft202012Validator(schema())


def examples() -> list[Path]:
    folders = [ROOT / "examples", DATA]
    return sorted(path for folder in folders for path in folder.rglob("*.toml") if path.name != "pyproject.toml")


@pytest.mark.parametrize("path", examples(), ids=lambda path: path.name)
def test_the_schema_accepts_every_example(path: Path) -> None:
    """CFG-02: what an editor accepts is what the loader accepts."""
    document = tomllib.loads(path.read_text())
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []


def test_the_schema_accepts_the_yaml_twin() -> None:
    assert VALIDATOR.is_valid(yaml_tree.read((DATA / "orders.twin.yaml").read_bytes()).value)


@pytest.mark.parametrize(
    ("source", "accepted"),
    [
        ("", True),
        ('[gateway]\nmax_body = "1 MiB"\nidle_timeout = "5 minutes"', True),
        ("[gateway]\nmax_body = 5\nidle_timeout = 0.5", True),
        ('[[authentication.issuers]]\nissuer = "a"\nsecret = { env = "X" }', True),
        ('[gateway.response_headers.set]\nx-a = { file = "secret" }', True),
        ("[encryption]\nhsts = false", True),
        ('[[expect]]\nrequest = "GET /"\nas = "anonymous"\nresult = 401', True),
        ("[gateway]\nlistn = 1", False),
        ('[gateway]\nmode = "enforced"', False),
        ('[gateway]\nmax_body = "much"', False),
        ("[gateway]\nmax_headers = 1", False),
        ("[[routes]]\ncost = 1", False),
        ('[gateway.response_headers.set]\n"x a" = "b"', False),
        ('[[authentication.issuers]]\nissuer = "a"\nsecret = { vault = "x" }', False),
    ],
)
def test_the_schema_and_the_loader_agree(tmp_path: Path, source: str, accepted: bool) -> None:
    """CFG-02: one grammar, two readers."""
    (tmp_path / "secret").write_text("s")
    assert VALIDATOR.is_valid(tomllib.loads(source)) is accepted
    try:
        load_text(source, environ={"X": "s"}, folder=tmp_path)
    except PolicyError:
        assert not accepted
    else:
        assert accepted


def test_it_says_what_things_are() -> None:
    """CFG-02: title and descriptions come from the models."""
    printed: dict[str, Any] = schema()
    assert printed["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert printed["title"] == "sixfold.toml"
    assert printed["$defs"]["Gateway"]["description"].startswith("Which door")
    assert set(printed["properties"]) >= {
        "gateway",
        "encryption",
        "authentication",
        "authorization",
        "routes",
        "expect",
    }
