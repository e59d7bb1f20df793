"""The files of one OpenAPI document: read once each, from the document's folder only."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Final
from urllib.parse import unquote

from sixfold.policy import json_tree, yaml_tree
from sixfold.policy.tree import Path, Tree, Unreadable

_MAX_FILE: Final = 64 * 1024 * 1024  # bytes
_MAX_CHAIN: Final = 32  # references that lead to references
_DEPTH: Final = 3  # paths, /orders, get: lines of operations
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:|//")


class Flaw(ValueError):
    """Something in an OpenAPI document that cannot be used.

    Arguments:
        file: name as messages use it.
        line: 0 if unknown.
    """

    def __init__(self, text: str, file: str = "", line: int = 0) -> None:
        super().__init__(text)
        self.text = text
        self.file = file
        self.line = line


@dataclass(slots=True, eq=False)
class File:
    """One file.

    Arguments:
        index: its number among all files of the policy; part of the URIs of its schemas.
        folder: where its relative references start; None if it may not refer to files.
        old: OpenAPI 3.0, whose schemas are not JSON Schema yet.
    """

    index: int
    name: str
    tree: Tree
    folder: FilePath | None
    old: bool = False
    anchors: dict[str, Path] | None = None

    @property
    def value(self) -> Any:
        """The parsed document."""
        return self.tree.value


@dataclass(slots=True)
class Target:
    """Where a reference leads."""

    file: File
    path: Path
    node: Any


@dataclass(slots=True)
class Files:
    """Reads files and resolves references between them.

    Arguments:
        root: the folder that references may not leave; None if there is none.
        first: number of the first file.
    """

    root: FilePath | None
    first: int = 0
    all: dict[str, File] = field(default_factory=dict)

    def add(self, name: str, raw: bytes, folder: FilePath | None) -> File:
        """Parse a document and keep it under a name.

        Raises:
            Flaw: neither JSON nor YAML.
        """
        file = File(self.first + len(self.all), name, parse(name, raw), folder)
        self.all[name] = file
        return file

    def open(self, place: FilePath, name: str) -> File:
        """Return the file of a path, read once.

        Raises:
            Flaw: it cannot be read or parsed.
        """
        if name in self.all:
            return self.all[name]
        try:
            with place.open("rb") as opened:
                raw = opened.read(_MAX_FILE + 1)
        except OSError as problem:
            raise Flaw(f"cannot be read: {(problem.strerror or 'no reason given').lower()}", name) from None
        if len(raw) > _MAX_FILE:
            raise Flaw(f"larger than {_MAX_FILE} bytes", name)
        return self.add(name, raw, place.parent)

    def follow(self, file: File, node: Any) -> tuple[File, Any]:
        """Return the object that a Reference Object means, or the node itself if it is none."""
        for _ in range(_MAX_CHAIN):
            if not isinstance(node, dict) or not isinstance(node.get("$ref"), str):
                return file, node
            target = self.resolve(file, node["$ref"])
            file, node = target.file, target.node
        raise Flaw("a `$ref` leads in a circle", file.name)

    def resolve(self, file: File, reference: str) -> Target:
        """Return what a `$ref` names (RFC 3986 section 5, RFC 6901).

        Raises:
            Flaw: it leads outside, to the network, or nowhere.
        """
        address, _, fragment = reference.partition("#")
        there = self._beside(file, address) if address else file
        fragment = unquote(fragment)
        if fragment and not fragment.startswith("/"):
            path = _anchor(there, fragment)
        else:
            path = tuple(part.replace("~1", "/").replace("~0", "~") for part in fragment.split("/")[1:])
        return Target(there, path, _walk(there, path, reference))

    def _beside(self, file: File, address: str) -> File:
        if _SCHEME.match(address):
            text = "a `$ref` to the network is never fetched; save that document in the folder and name the file"
            raise Flaw(text, file.name)
        if file.folder is None or self.root is None:
            raise Flaw("a `$ref` to another file, in a document that has no folder", file.name)
        root = os.path.realpath(self.root)
        place = os.path.realpath(file.folder / unquote(address))  # resolves `..` and symbolic links
        if place != root and not place.startswith(root.rstrip(os.sep) + os.sep):
            raise Flaw("a `$ref` that leaves the document's folder", file.name)
        name = os.path.relpath(place, root)
        for known in self.all.values():
            if known.folder is not None and os.path.realpath(known.folder / FilePath(known.name).name) == place:
                return known
        there = self.open(FilePath(place), name)
        there.old = file.old if not _names_version(there.value) else _is_old(there.value)
        return there


def parse(name: str, raw: bytes) -> Tree:
    """Parse JSON or YAML, whatever the text is.

    Raises:
        Flaw: it is neither.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Flaw("not UTF-8 text", name) from None
    json = not name.endswith((".yaml", ".yml")) and text.lstrip(" \t\r\n")[:1] in ("{", "[")
    try:
        return json_tree.read(text, _DEPTH) if json else yaml_tree.read(text, _DEPTH)
    except Unreadable as problem:
        raise Flaw(problem.text, name, problem.line) from None


def _names_version(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("openapi"), str)


def _is_old(value: Any) -> bool:
    return str(value["openapi"]).startswith("3.0")


def _walk(file: File, path: Path, reference: str) -> Any:
    node = file.value
    for part in path:
        if isinstance(node, dict) and part in node:
            node = node[part]
        elif isinstance(node, list) and part.isdecimal() and int(part) < len(node):
            node = node[int(part)]
        else:
            raise Flaw(f"`{reference[:200]}` leads nowhere", file.name)
    return node


def _anchor(file: File, name: str) -> Path:
    """Return where a schema with this `$anchor` stands (JSON Schema 2020-12, core section 8.2.2)."""
    if file.anchors is None:
        file.anchors = {anchor: path for path, anchor in _anchors(file.value)}
    if name not in file.anchors:
        raise Flaw(f"there is no `$anchor` `{name[:200]}`", file.name)
    return file.anchors[name]


def _anchors(value: Any) -> Iterator[tuple[Path, str]]:
    pending: list[tuple[Path, Any]] = [((), value)]
    while pending:
        path, node = pending.pop()
        if isinstance(node, dict):
            if isinstance(node.get("$anchor"), str):
                yield path, node["$anchor"]
            pending.extend(((*path, key), item) for key, item in node.items())
        elif isinstance(node, list):
            pending.extend(((*path, str(index)), item) for index, item in enumerate(node))
