"""JSON with the lines of its outer keys."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixfold.policy import json_tree
from sixfold.policy.tree import Unreadable

TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@settings(deadline=None)
@given(TREES, st.sampled_from([None, 0, 2]), st.integers(0, 4))
def test_reads_the_same_value_as_the_standard_library(value: Any, indent: int | None, depth: int) -> None:
    text = json.dumps(value, indent=indent)
    assert json_tree.read(text, depth).value == json.loads(text)


def test_lines_down_to_the_depth() -> None:
    text = '{\n "paths": {\n  "/a": {\n   "get": {"x": {\n}},\n   "post": {}}},\n "z": [1,\n 2], "last": 0}'
    lines = {".".join(path): line for path, line in json_tree.read(text).lines.items()}
    assert lines == {"paths": 2, "paths./a": 3, "paths./a.get": 4, "paths./a.post": 6, "z": 7, "last": 8}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("{", 1),
        ('{"a"\n:1,}', 2),
        ('{"a" 1}', 1),
        ('{"a":1 "b":2}', 1),
        ("{} x", 1),
        ('{"a":}', 1),
        ('{"a":1,\n"a":2}', 2),
        ('{"a":{"b":{"c":{"d":1,"d":2}}}}', 0),
        ('{"a":NaN}', 0),
        ('{"a":-Infinity}', 0),
        ("{a:1}", 1),
        ("[1,]", 1),
        ('"\\x"', 1),
        ("[" * 100_000, 0),
        ("{\n\n'a':1}", 3),
    ],
)
def test_what_is_not_json_is_refused_with_its_line(text: str, line: int) -> None:
    """CLI-06: an error says where; a duplicate key is an error at every depth."""
    with pytest.raises(Unreadable) as caught:
        json_tree.read(text)
    assert caught.value.line == line


@settings(deadline=None)
@given(st.text('{}[]",:ab1 \n', max_size=30))
def test_damage_is_refused_or_read_as_the_standard_library_does(text: str) -> None:
    try:
        value = json_tree.read(text).value
    except Unreadable:
        return
    assert value == json.loads(text)
