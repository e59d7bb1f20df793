"""Reads `sixfold.toml` (or the same tree as YAML): text, then environment, then grammar.

Rules CFG-01, CFG-03, CFG-04. Own loader for the sake of its messages: each names file, line and a remedy
(CFG-05).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Final

from pydantic import ValidationError

from sixfold.decision import Rule
from sixfold.policy import environment, toml_tree, wording, yaml_tree
from sixfold.policy.document import Document
from sixfold.policy.errors import PolicyError, Problem
from sixfold.policy.model import Finding
from sixfold.policy.tree import Path, Tree, Unreadable
from sixfold.policy.values import Resolver

_MAX_FILE: Final = 4 * 1024 * 1024  # bytes
_PASSWORD: Final = re.compile(r"[a-z][a-z0-9+.\-]*://[^/@\s]*:[^/@\s]+@", re.IGNORECASE)
_CREDENTIALS: Final = frozenset(("authorization", "proxy-authorization", "cookie", "x-api-key"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A policy file that is well formed.

    Arguments:
        file: path as given, or a name like "(protect)".
        folder: absolute folder that relative file names start from.
        document: what the file says.
        lines: dotted key to line.
        origins: dotted key to the environment variable that brought its value.
        findings: literal secrets.
    """

    document: Document
    file: str = "(policy)"
    folder: str = ""
    lines: Mapping[str, int] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def load(path: FilePath, *, environ: Mapping[str, str]) -> Loaded:
    """Read a policy file; `.yaml` and `.yml` are YAML, everything else is TOML.

    Arguments:
        path: of the file, as messages should show it.
        environ: for `${ENV}`, `{ env = "X" }` and `SIXFOLD_SECTION__KEY`; usually `os.environ`.

    Raises:
        PolicyError: the file cannot be read, or breaks the grammar; holds every problem at once.
    """
    file = str(path)
    try:
        with path.open("rb") as opened:
            raw = opened.read(_MAX_FILE + 1)
    except OSError as problem:
        reason = (problem.strerror or "no reason given").lower()
        raise PolicyError(Problem(f"cannot be read: {reason}", file=file)) from None
    if len(raw) > _MAX_FILE:
        raise PolicyError(Problem(f"larger than {_MAX_FILE} bytes", file=file))
    try:
        text = raw.decode()
    except UnicodeDecodeError as problem:
        line = raw.count(b"\n", 0, problem.start) + 1
        raise PolicyError(Problem("not UTF-8 text", file=file, line=line)) from None
    yaml = path.suffix in (".yaml", ".yml")
    return load_text(text, file=file, folder=path.absolute().parent, environ=environ, yaml=yaml)


def load_text(
    text: str,
    *,
    file: str = "(policy)",
    folder: FilePath | None = None,
    environ: Mapping[str, str] | None = None,
    yaml: bool = False,
) -> Loaded:
    """Read a policy that is at hand as text.

    Arguments:
        text: TOML.
        file: the name that messages use.
        folder: where relative file names start; the working directory if None.
        environ: as for `load`; nothing if None.
        yaml: the text is YAML instead.

    Raises:
        PolicyError: as for `load`.
    """
    try:
        tree = yaml_tree.read(text) if yaml else toml_tree.read(text)
    except Unreadable as problem:
        raise PolicyError(Problem(problem.text, file=file, line=problem.line)) from None
    if tree.value is None:
        tree = Tree({}, {})
    if not isinstance(tree.value, dict):
        raise PolicyError(Problem(f"expected a table, found {wording.kind(tree.value)}", file=file, line=1))
    return _Loader(tree, file, (folder or FilePath()).absolute()).load(environ or {})


class _Loader:
    def __init__(self, tree: Tree, file: str, folder: FilePath) -> None:
        self.tree = tree
        self.file = file
        self.folder = folder
        self.origins: dict[Path, str] = {}

    def load(self, environ: Mapping[str, str]) -> Loaded:
        resolver = Resolver(environ, self.folder)
        value = resolver.resolve(self.tree.value, (Document,))
        problems = [Problem(text, ".".join(path), *self.place(path)) for path, text in resolver.problems]
        for name, path, override in environment.overrides(environ):
            self.origins[path] = name
            if wrong := environment.put(value, path, override):
                problems.append(Problem(wrong, ".".join(path), f"environment variable {name}"))
        if problems:
            raise PolicyError(*problems)
        try:
            document = Document.model_validate(value)
        except ValidationError as error:
            raise PolicyError(*wording.problems(error, value, self.place, (Document,))) from None
        return Loaded(
            document=document,
            file=self.file,
            folder=str(self.folder),
            lines={".".join(path): line for path, line in self.tree.lines.items()},
            origins={".".join(path): name for path, name in self.origins.items()},
            findings=tuple(self.literal_secrets()),
        )

    def place(self, path: Path) -> tuple[str, int]:
        """Return where the value of a path comes from."""
        for origin, name in self.origins.items():
            if path[: len(origin)] == origin or origin[: len(path)] == path:
                return f"environment variable {name}", 0
        return self.file, self.tree.line(path)

    def literal_secrets(self) -> Iterator[Finding]:
        for path, value in _texts(self.tree.value, ()):
            if "${" not in value and path not in self.origins and _is_secret(path, value):
                yield Finding(
                    severity="warning",
                    code="literal-secret",
                    rule=Rule(".".join(path), *self.place(path)),
                    text=f"`{path[-1]}` is a secret and stands in the file itself",
                    remedy='write { env = "NAME" }, { file = "/run/secrets/name" } or ${NAME}',
                )


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, (*path, str(index)))
    elif isinstance(value, str):
        yield path, value


def _is_secret(path: Path, value: str) -> bool:
    if path[-1] == "secret" and path[0] == "authentication":
        return True
    if path[-1] in ("store", "upstream"):
        return _PASSWORD.match(value) is not None
    return path[-2:-1] == ("set",) and path[-1].lower() in _CREDENTIALS and "{" not in value
