"""The policy that `protect` starts with: in memory, or written down by `--save`."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from sixfold.cli.discovery import Found
from sixfold.cli.talk import USAGE, Stop, command_name, counted, printable, say, show

if TYPE_CHECKING:
    from sixfold.policy import Operation, Policy

Validation = Literal["enforce", "shadow", "off"]
_LISTED: Final = 20  # operations named when a policy is saved


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a person said on the command line.

    Arguments:
        origin: scheme and authority of the API.
        listen, admin: addresses.
        resource: the API's own URL as callers see it (RFC 9728), or "".
        tls: serve TLS with the local CA.
        public: `match` of operations that are open to anybody.
        validation: mode of requests.
        described: there is an OpenAPI document.
        openapi: file of the document, as the policy names it; None if it was fetched.
        log: access log.
    """

    origin: str
    listen: str
    admin: str
    resource: str
    tls: bool
    public: tuple[str, ...]
    validation: Validation
    described: bool
    openapi: str | None = None
    log: str = "off"

    def text(self, *, saved: bool) -> str:
        """Return the policy as it stands in a file.

        Arguments:
            saved: closed by default; in memory any signed-in caller may call what has no rule (FIRST-06).
        """
        lines = [
            *(["#:schema sixfold.schema.json"] if saved else []),
            "[gateway]",
            f"listen   = {_quoted(self.listen)}",
            f"admin    = {_quoted(self.admin)}",
            f"upstream = {_quoted(self.origin)}",
            *([f"openapi  = {_quoted(self.openapi)}"] if self.openapi else []),
            "",
            "[encryption]",
            'mode = "dev"                       # this machine only; for others: mode = "tls" and a certificate',
            *(["tls  = true"] if self.tls else []),
            "",
            "[authentication]",
            'issuer   = "dev"                   # `sixfold token` makes tokens; for others: [[authentication.issuers]]',
            'audience = "sixfold-dev"',
            *([f"resource = {_quoted(self.resource)}   # the API's own URL, named in each 401"] * bool(self.resource)),
            "",
            "[authorization]",
            f'default = "{"deny" if saved else "authenticated"}"',
            "",
            "[rate_limiting]",
            'default   = "600/minute per client"',
            'anonymous = "60/minute per address"',
            "",
            "[validation]",
            f'request = "{self.validation}"',
            *(["", "[log]", f"access = {_quoted(self.log)}"] if self.log != "off" else []),
        ]
        for match in self.public:
            lines += ["", "[[routes]]", f"match  = {_quoted(match)}", "public = true"]
        if not self.described:
            lines += ["", "[[routes]]", 'match = "* /**"                    # no OpenAPI document: it stands for all']
            lines += ["deny = true                        # say who may, or describe the API"] * saved
            lines += ["authenticated = true"] * (not saved)
        return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _document_file(path: Path, found: Found) -> Path:
    """Return where a document stands that a saved policy names: where it is, or beside the policy.

    Raises:
        Stop: another file is in the way.
    """
    if found.content is None:
        return Path(found.name)
    file = path.parent / ("openapi.json" if found.content.lstrip().startswith(b"{") else "openapi.yaml")
    if file.exists() and file.read_bytes() != found.content:
        raise Stop(f"{file} exists and differs; use it with --openapi {file}, or move it away", USAGE)
    return file


def save(path: Path, start: Start, found: Found | None, *, dry_run: bool) -> int:
    """Write the policy, and the document beside it if it was fetched; say what is closed by it (FIRST-06).

    Raises:
        Stop: a file is in the way, or its folder is missing.
        PolicyError: the API's document cannot be used; then nothing is written.
    """
    from sixfold.policy import compile_policy, load_text

    if path.suffix in (".yaml", ".yml"):
        raise Stop("--save writes TOML; name a file like sixfold.toml", USAGE)
    if path.exists():
        raise Stop(f"{path} exists; nothing was overwritten", USAGE)
    if not path.parent.is_dir():
        raise Stop(f"{path.parent} is no folder; make it first", USAGE)
    document = None if found is None else _document_file(path, found)
    if document is not None:
        start = replace(start, openapi=os.path.relpath(document, path.parent))
    text = start.text(saved=True)
    documents = {str(start.openapi): found.content} if found is not None and found.content is not None else {}
    loaded = load_text(text, file=str(path), folder=path.parent, environ={})
    policy = compile_policy(loaded, openapi_documents=documents)
    if dry_run:
        show(text.rstrip())
    else:
        say(f"Wrote    {', '.join(_write(path, text, document, found))}")
    _say_closed(policy)
    for finding in policy.findings:
        if finding.severity == "warning":
            say(f"Note     {printable(f'{finding.rule}: {finding.text}')}")
    if not dry_run:
        config = "" if str(path) == "sixfold.toml" else f" --config {path}"
        say(f"Next     {command_name()} check{config}    then    {command_name()} serve{config}")
    return 0


def _write(path: Path, text: str, document: Path | None, found: Found | None) -> list[str]:
    written = [str(path)]
    if document is not None and found is not None and found.content is not None and not document.exists():
        document.write_bytes(found.content)
        written.append(str(document))
    with path.open("x", encoding="utf-8") as stream:
        stream.write(text)
    return written


def _say_closed(policy: Policy) -> None:
    closed = [one for one in policy.operations if one.access == "default"]
    if not policy.titles:
        say("Closed   every path: without an OpenAPI document no operation is known; name them in `[[routes]]`")
    elif closed:
        say(f"Closed   {counted(len(closed), 'operation')} without a rule, until `[[routes]]` says who may call:")
        for one in closed[:_LISTED]:
            say(f"         {_name(one)}")
        if len(closed) > _LISTED:
            say(f"         and {len(closed) - _LISTED} more; see them: {command_name()} routes")


def _name(operation: Operation) -> str:
    return printable(f"{operation.method} {operation.path}")
