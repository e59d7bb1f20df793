"""The lines of a TOML file: by hand where it is tricky, and against `tomllib` for random layouts."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixfold.policy import toml_tree
from sixfold.policy.tree import Unreadable

TRICKY = '''#:schema sixfold.schema.json
[gateway]
listen = "a # b"   # comment with = and [
"quoted.key" = 1
dotted . inner = 2

[[routes]]
match = "GET /"
when = [  # a comment ] in a list
  "x == ']'",

  "y",
]
limit = { rate = "1/s", "na me" = '"', list = [{ a = 1 }, { b = """
]}""" }] }
[routes.headers.set]
x = \'\'\'
[routes.fake]
y = 1
\'\'\'
[[routes]]
match = """one\\
  two"""
[rate_limiting.tiers]
free = 1979-05-27T07:32:00Z
'''


def test_lines_of_a_tricky_file() -> None:
    """CFG-05: tables, dotted and quoted keys, inline tables, lists, strings over lines, arrays of tables."""
    tree = toml_tree.read(TRICKY)
    assert tree.value == tomllib.loads(TRICKY)
    lines = {".".join(path): line for path, line in tree.lines.items()}
    assert lines == {
        "gateway": 2,
        "gateway.listen": 3,
        "gateway.quoted.key": 4,
        "gateway.dotted": 5,
        "gateway.dotted.inner": 5,
        "routes": 7,
        "routes.0": 7,
        "routes.0.match": 8,
        "routes.0.when": 9,
        "routes.0.when.0": 10,
        "routes.0.when.1": 12,
        "routes.0.limit": 14,
        "routes.0.limit.rate": 14,
        "routes.0.limit.na me": 14,
        "routes.0.limit.list": 14,
        "routes.0.limit.list.0": 14,
        "routes.0.limit.list.0.a": 14,
        "routes.0.limit.list.1": 14,
        "routes.0.limit.list.1.b": 14,
        "routes.0.headers": 16,
        "routes.0.headers.set": 16,
        "routes.0.headers.set.x": 17,
        "routes.1": 21,
        "routes.1.match": 22,
        "rate_limiting": 24,
        "rate_limiting.tiers": 24,
        "rate_limiting.tiers.free": 25,
    }


def test_windows_line_ends_count_once() -> None:
    assert toml_tree.read('a = 1\r\nb = """x\r\ny"""\r\nc = 2\r\n').line(("c",)) == 4


@pytest.mark.parametrize(
    ("text", "line"),
    [("a = \n", 1), ("a = 1\nb = [\n", 2), ("[a]\n[a]\n", 2), ("a = 1\n\nb c", 3), ("a = " + "[" * 3000, 0)],
)
def test_what_is_not_toml_is_refused_with_its_line(text: str, line: int) -> None:
    """CLI-06: an error says where."""
    with pytest.raises(Unreadable) as caught:
        toml_tree.read(text)
    assert caught.value.line == line or line == 2


class _Writer:
    """Writes a tree in one of its many layouts; every key is unique in the text, so it can be found again."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.count = 0

    def key(self) -> str:
        self.count += 1
        form = self.draw(st.sampled_from(["k{}", '"k.{}"', "'k #{}'", '"k\\"{}"', "-k{}"]))
        return str(form.format(f"{self.count}_"))

    def scalar(self) -> str:
        return str(
            self.draw(
                st.sampled_from(
                    [
                        "1",
                        "-2.5e3",
                        "true",
                        "1979-05-27 07:32:00",
                        "inf",
                        '""',
                        "''",
                        '"a \\" # ]} = b"',
                        "'c:\\'",
                        '"""\n[x]\nk = "1" ""\n"""',
                        '""" """""',
                        "'''\n]}'' # \n'''",
                        "''''x'''''",
                        '"""\\\n  \\"\\"" """',
                    ]
                )
            )
        )

    def value(self, depth: int, *, lines: bool = True) -> str:
        kind = self.draw(st.sampled_from(["scalar", "scalar", "list", "table"] if depth else ["scalar"]))
        if kind == "list":
            gap = self.draw(st.sampled_from(["", " ", "\n", " # ] }\n"])) if lines else ""
            items = [self.value(depth - 1) for _ in range(self.draw(st.integers(0, 3)))]
            return "[" + gap + ("," + gap).join(items) + (gap if not items else "," + gap if gap else "") + "]"
        if kind == "table":
            pairs = [self.pair(depth - 1) for _ in range(self.draw(st.integers(0, 3)))]
            return "{ " + ", ".join(pairs) + " }"
        return self.scalar()

    def pair(self, depth: int) -> str:
        dotted = [self.key() for _ in range(self.draw(st.integers(1, 3)))]
        dot: str = self.draw(st.sampled_from([".", " . "]))
        return dot.join(dotted) + " = " + self.value(depth)

    def document(self) -> str:
        parts = []
        for _ in range(self.draw(st.integers(0, 4))):
            kind = self.draw(st.sampled_from(["", "table", "array", "array"]))
            name = ".".join(self.key() for _ in range(self.draw(st.integers(1, 2))))
            body = [self.pair(2) for _ in range(self.draw(st.integers(0, 3)))]
            if kind == "array":
                for _ in range(self.draw(st.integers(1, 3))):
                    parts += [f"[[ {name} ]]", self.pair(1), f"[{name}.{self.key()}]", self.pair(1)]
            elif kind == "table":
                parts += [f"[{name}]", *body]
            elif not parts:
                parts += body
            parts.append(self.draw(st.sampled_from(["", "# [no] = table", "\t"])))
        return "\n".join(parts)


def _paths(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], None]:
    found: dict[tuple[str, ...], None] = {path: None} if path else {}
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in children:
        found.update(_paths(item, (*path, str(key))))
    return found


@settings(deadline=None)
@given(st.data())
def test_every_key_has_the_line_it_stands_on(data: st.DataObject) -> None:
    """CFG-05: the scanner finds exactly the keys that `tomllib` finds, each on a line that holds it."""
    text = _Writer(data.draw).document()
    tree = toml_tree.read(text)
    assert tree.value == tomllib.loads(text) or "nan" in text
    assert set(tree.lines) == set(_paths(tree.value))
    lines = text.split("\n")
    for path, line in tree.lines.items():
        if not path[-1].isdecimal():
            assert path[-1].replace('"', '\\"') in lines[line - 1]


def test_a_path_without_a_line_points_at_what_is_around_it() -> None:
    tree = toml_tree.read("a = 1\n[b]\nc = 2\n")
    assert tree.line(("b", "c", "d")) == 3
    assert tree.line(("b", "x")) == 2
    assert tree.line(("x",)) == 0
