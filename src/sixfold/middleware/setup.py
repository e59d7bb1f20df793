"""Where an application's policy comes from: `sixfold.toml`, then `SIXFOLD_*` variables, or the developer's policy."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from sixfold.policy import Loaded, Policy, PolicyError, Problem, load, load_text
from sixfold.policy.document import Document

NAMES: Final = ("sixfold.toml", "sixfold.yaml", "sixfold.yml")
_DEVELOPER: Final = """\
[encryption]
mode = "dev"

[authentication]
issuer   = "dev"
audience = "sixfold-dev"

[authorization]
default = "deny"

[rate_limiting]
default   = "600/minute per client"
anonymous = "60/minute per address"
"""


class Setup:
    """Finds and reads the policy file, again for each reload.

    Arguments:
        config: the file; None looks at `$SIXFOLD_CONFIG`, then for `sixfold.toml` in the working directory.
        environ: the process environment.
        dev: without a file, the developer's policy stands in; with one, developer keys are accepted if the file
            names no other way to sign in. Loopback only.
    """

    def __init__(self, config: Path | str | None, environ: Mapping[str, str], *, dev: bool = False) -> None:
        self._environ = environ
        self._dev = dev
        chosen = config or environ.get("SIXFOLD_CONFIG")
        found = [Path(chosen)] if chosen else [Path(name) for name in NAMES if Path(name).exists()]
        self.path: Path | None = found[0] if found else None

    def loaded(self) -> Loaded:
        """Read the policy.

        Raises:
            PolicyError: it cannot be read, or nothing says who may call.
        """
        if self.path is not None:
            loaded = load(self.path, environ=self._environ)
        else:
            text, name = (_DEVELOPER, "(developer policy)") if self._dev else ("", "(environment)")
            loaded = load_text(text, file=name, environ=self._environ)
        if _signs_in(loaded.document):
            return loaded
        if self._dev:
            table = loaded.document.authentication.model_copy(update={"issuer": "dev"})
            return replace(loaded, document=loaded.document.model_copy(update={"authentication": table}))
        if self.path is None:
            raise PolicyError(Problem(_NO_POLICY))
        return loaded

    def files(self, policy: Policy) -> list[Path]:
        """Return the files that decide, to be watched."""
        table = policy.document.gateway
        named = [table.openapi] if isinstance(table.openapi, str) else table.openapi or []
        keys = [one.jwks for one in policy.document.authentication.issuers if one.jwks and ":" not in one.jwks]
        own = [self.path] if self.path is not None else []
        return [*own, *(Path(policy.folder, name) for name in (*named, *keys))]


_NO_POLICY: Final = (
    "there is no sixfold.toml here and no SIXFOLD_* variable says who may sign in, so nobody could call; "
    "write one, name it (`config=` or SIXFOLD_CONFIG), or start with `dev=True` on your own machine"
)


def _signs_in(document: Document) -> bool:
    table = document.authentication
    return table.issuer is not None or bool(table.issuers) or table.api_keys is not None or table.mode == "off"


def local_only(policy: Policy) -> bool:
    """Return whether only this machine may call: plain HTTP or developer keys are for development."""
    document = policy.document
    return document.encryption.mode == "dev" or document.authentication.issuer == "dev"


def siblings(environ: Mapping[str, str], arguments: Sequence[str] = ()) -> int:
    """Return how many workers this process seems to be one of, as far as it can be seen (UX-02).

    Arguments:
        environ: `WEB_CONCURRENCY`, which uvicorn, gunicorn and hypercorn heed.
        arguments: the command line; `--workers 4` and `-w 4` are understood.
    """
    words = list(arguments or sys.argv)
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in ("--workers", "-w"):
            value = value if equals else next(iter(words[index + 1 :]), "")
            if value.isdecimal():
                return int(value)
    value = environ.get("WEB_CONCURRENCY", "")
    return int(value) if value.isdecimal() else 1


def multiplied(policy: Policy, workers: int) -> str:
    """Return the warning that limits count per process, or "" if they hold."""
    table = policy.document.rate_limiting
    limits = [table.default, table.anonymous, *(one for operation in policy.operations for one in operation.limits)]
    first = next((one for one in limits if one is not None), None)
    if workers < 2 or table.store != "memory" or table.mode == "off" or first is None:
        return ""
    rate = first if isinstance(first, str) else first.rate
    return (
        f"limits are counted in the memory of each process: with {workers} workers the real limit is up to "
        f"{workers} x `{rate}`; share them with `[rate_limiting] store`, or run one worker"
    )
