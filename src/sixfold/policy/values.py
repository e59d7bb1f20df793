"""Values that stand elsewhere: `${ENV}`, `{ file = "..." }`, `{ env = "X" }` (CFG-03, CFG-04).

Nothing here ever tells a value; a problem names the key and the variable or file that is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any, Final

from sixfold.policy import grammar
from sixfold.policy.grammar import Options
from sixfold.policy.tree import Path

_VARIABLE: Final = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?")
_MAX_SECRET: Final = 64 * 1024  # bytes


class Resolver:
    """Replaces variables and references in a tree.

    Arguments:
        environ: the process environment.
        folder: where relative file names start.

    Afterwards `problems` holds (path, text) of what could not be found.
    """

    def __init__(self, environ: Mapping[str, str], folder: FilePath) -> None:
        self.environ = environ
        self.folder = folder
        self.problems: list[tuple[Path, str]] = []

    def resolve(self, value: Any, here: Options, path: Path = ()) -> Any:
        """Return a copy with everything replaced; `here` is what the grammar allows at its place."""
        if isinstance(value, str):
            return self._expand(value, path)
        if isinstance(value, list):
            return [self.resolve(item, grammar.below(here, "0"), (*path, str(i))) for i, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        if is_reference(value, here):
            return self._reference(value, path)
        return {key: self.resolve(item, grammar.below(here, key), (*path, key)) for key, item in value.items()}

    def _expand(self, text: str, path: Path) -> str:
        return _VARIABLE.sub(lambda match: self._variable(match, path), text) if "$" in text else text

    def _variable(self, match: re.Match[str], path: Path) -> str:
        if match[0] == "$${":
            return "${"
        name, default = match.groups()
        if name is None:
            self.problems.append((path, "`${` without a variable; write `${NAME}`, `${NAME:-default}`, or `$${`"))
            return ""
        return self.environ.get(name) or self._default(name, default, path)

    def _default(self, name: str, default: str | None, path: Path) -> str:
        if default is None and name not in self.environ:
            self.problems.append((path, f"the variable `{name}` is not set; set it, or write `${{{name}:-default}}`"))
        return default or ""

    def _reference(self, value: dict[str, str], path: Path) -> str:
        ((kind, name),) = value.items()
        name = self._expand(name, path)
        if kind == "env":
            if name not in self.environ:
                self.problems.append((path, f"the variable `{name}` is not set"))
            return self.environ.get(name, "")
        try:
            with (self.folder / name).open("rb") as file:
                raw = file.read(_MAX_SECRET + 1)
            if len(raw) > _MAX_SECRET:
                self.problems.append((path, f"`{name}` is larger than {_MAX_SECRET} bytes"))
            return raw.decode().removesuffix("\n").removesuffix("\r")
        except OSError as problem:
            self.problems.append((path, f"`{name}` cannot be read: {(problem.strerror or 'no reason given').lower()}"))
        except UnicodeDecodeError:
            self.problems.append((path, f"`{name}` is not UTF-8 text"))
        return ""


def is_reference(value: Any, here: Options) -> bool:
    """Return whether a value is `{ file = "..." }` or `{ env = "X" }` where text, and no table, may stand."""
    return (
        isinstance(value, dict)
        and len(value) == 1
        and isinstance(value.get("file", value.get("env")), str)
        and grammar.takes_text(here)
        and not grammar.takes_table(here)
    )
