"""`SIXFOLD_SECTION__KEY`: every key of the file, from the environment, which wins (CFG-03)."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from sixfold.policy import grammar
from sixfold.policy.grammar import Options
from sixfold.policy.tree import Path

_PREFIX: Final = "SIXFOLD_"


def overrides(environ: Mapping[str, str]) -> Iterator[tuple[str, Path, Any]]:
    """Yield (variable, path, value) of each override, in the order of their names.

    Text is taken as it is where the grammar takes text; elsewhere it is a TOML value: `["a", "b"]`, `false`.
    """
    for name in sorted(environ):
        if name.startswith(_PREFIX) and "__" in name:
            path = tuple(name.removeprefix(_PREFIX).lower().split("__"))
            yield name, path, _value(environ[name], grammar.at(path))


def put(tree: dict[str, Any], path: Path, value: Any) -> str:
    """Set a value in a tree, making tables on the way. Returns what is wrong, or ""."""
    node: Any = tree
    for key in path[:-1]:
        if isinstance(node, list):
            if not key.isdecimal() or int(key) >= len(node):
                return f"there is no item `{key}` in the list"
            node = node[int(key)]
        elif isinstance(node, dict):
            node = node.setdefault(key, {})
    if isinstance(node, list) and path[-1].isdecimal() and int(path[-1]) < len(node):
        node[int(path[-1])] = value
    elif isinstance(node, dict):
        node[path[-1]] = value
    else:
        return "a key inside something that is not a table"
    return ""


def _value(text: str, here: Options) -> Any:
    if any(_accepts(option, text) for option in here):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text  # the grammar will say what it wants instead


def _accepts(option: Any, text: str) -> bool:
    if get_origin(option) is Annotated and len(get_args(option)) == 1:
        option = grammar.bare(option)
    try:
        TypeAdapter(option).validate_python(text, strict=True)
    except ValidationError:
        return False
    return True
