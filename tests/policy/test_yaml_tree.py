"""YAML by the core schema of 1.2, with lines, and without anything that constructs."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sixfold.policy import yaml_tree
from sixfold.policy.tree import Unreadable


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("NO", "NO"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("12", 12),
        ("-3", -3),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ('"12"', "12"),
        ("!!str 12", "12"),
        ("!!int '12'", 12),
        ("=", "="),
        ("[a, 1]", ["a", 1]),
    ],
)
def test_scalars(text: str, value: Any) -> None:
    """CFG-01: YAML means what JSON would mean; `no` is Norway, not false."""
    read = yaml_tree.read(text).value
    assert read == value
    assert type(read) is type(value)


def test_keys_are_text_and_have_lines() -> None:
    tree = yaml_tree.read("responses:\n  200:\n    on: 1\n  '404': [a,\n    b]\n")
    assert tree.value == {"responses": {"200": {"on": 1}, "404": ["a", "b"]}}
    lines = {".".join(path): line for path, line in tree.lines.items()}
    assert lines == {
        "responses": 1,
        "responses.200": 2,
        "responses.200.on": 3,
        "responses.404": 4,
        "responses.404.0": 4,
        "responses.404.1": 5,
    }


def test_lines_stop_at_the_depth_that_was_asked_for() -> None:
    assert set(yaml_tree.read("a: {b: {c: 1}}", depth=2).lines) == {("a",), ("a", "b")}


BILLION = "a: &a [1]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 40)}]\n" for n in range(9)
)


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "twice"),
        ("a:\n  1: x\n  '1': y\n", 3, "twice"),
        ("a: !!python/object/apply:os.system [ls]", 1, "tag"),
        ("a: !x 1", 1, "tag"),
        ("a: !!binary aGk=", 1, "tag"),
        ("x: &x {a: 1}\ny:\n  <<: *x\n", 3, "merges"),
        ("? [a, b]\n: 1", 1, "not text"),
        ("a: [1\nb: 2", 2, "not YAML"),
        ("a: *b", 1, "not YAML"),
        ("a: 1\n---\nb: 2", 2, "not YAML"),
        ("a: &x [*x]", 1, "inside itself"),
        ("a: .nan", 1, "number"),
        ("a: -.inf", 1, "number"),
        ("a: \x07", 0, "character"),
        ("[" * 150 + "]" * 150, 1, "deeply"),
        (BILLION, 0, "deeply"),
    ],
)
def test_refused(text: str, line: int, word: str) -> None:
    """CFG-01: duplicate keys, tags, merges and bombs are refused, with the line."""
    with pytest.raises(Unreadable, match=word) as caught:
        yaml_tree.read(text)
    assert line in (0, caught.value.line)


TREES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("aé:#-\"' \n1."),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab: 1", min_size=1), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(TREES)
def test_reads_what_another_tool_wrote(value: Any) -> None:
    # PyYAML writes for YAML 1.1; quoting all text leaves no room for a difference.
    text = yaml.safe_dump(value, default_style='"', allow_unicode=True)
    assert yaml_tree.read(text).value == value
