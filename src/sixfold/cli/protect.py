"""`sixfold protect URL`: the proxy in one line, configuration in memory; `--save` writes down what it used."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from sixfold.cli import discovery
from sixfold.cli.banner import Printer, banner
from sixfold.cli.discovery import Api, Found
from sixfold.cli.serving import check_listen, free_address, make_log, run_worker
from sixfold.cli.starter import Start, Validation
from sixfold.cli.starter import save as save_policy
from sixfold.cli.talk import USAGE, Stop, command_name
from sixfold.state_folder import state_folder

if TYPE_CHECKING:
    from sixfold.policy import Loaded, Policy
    from sixfold.proxy.worker import Worker

NAME: Final = "(protect)"
_SAID: Final = ("SIXFOLD_GATEWAY__LISTEN", "SIXFOLD_GATEWAY__ADMIN", "SIXFOLD_GATEWAY__UPSTREAM")


def protect(
    url: str,
    /,
    *,
    listen: Annotated[str, Parameter(metavar="ADDRESS")] = "127.0.0.1:8400",
    admin: Annotated[str | None, Parameter(metavar="ADDRESS")] = None,
    openapi: Annotated[str | None, Parameter(metavar="FILE|PATH")] = None,
    public: Annotated[list[str] | None, Parameter(metavar="MATCH")] = None,
    validation: Validation | None = None,
    tls: bool = False,
    config: Annotated[Path | None, Parameter(metavar="FILE")] = None,
    save: Annotated[Path | None, Parameter(metavar="FILE")] = None,
    dry_run: bool = False,
    log: Annotated[str, Parameter(metavar="FILE")] = "off",
) -> int:
    """Put Sixfold before an API, in one line, with nothing to configure.

    Nothing is written into your project unless you ask for it with --save. Ctrl-C ends it.

    Parameters
    ----------
    url: str
        Where the API answers, e.g. http://localhost:8000 or http://localhost:8888/v1.
    listen: str
        Where callers come in; this machine only, as developer tokens are accepted.
    admin: str
        Health, metrics and decisions; default the port after --listen.
    openapi: str
        The API's OpenAPI document: a file, or a path on the API; default: looked for at the usual places.
    public: list[str]
        An operation open to anybody, e.g. `--public "GET /health"`; may be repeated.
    validation: str
        What becomes of parameters and bodies that break the document; default shadow, which only tells; with --save
        enforce.
    tls: bool
        Serve TLS with a local certificate.
    config: Path
        A policy file whose rules count; addresses and API are those of this command line.
    save: Path
        Write the policy there, closed by default, and exit.
    dry_run: bool
        With --save: print the policy instead of writing it.
    log: str
        Access log as JSON: stdout, stderr or a file.
    """
    api = discovery.parse(url)
    _consistent(public, config, save, dry_run=dry_run)
    host, port = check_listen(listen)
    beside = f"{host}:{int(port) + 1 if port not in ('0', '65535') else 0}"
    check_listen(admin or beside, "--admin")
    for match in public or ():
        _check_match(match)
    found = _document(api, openapi, config)
    start = Start(
        origin=api.origin,
        listen=listen,
        admin=admin or beside,
        resource=f"{'https' if tls else 'http'}://{listen}" if port != "0" else "",
        tls=tls,
        public=tuple(public or ()),
        validation=validation or ("shadow" if save is None else "enforce"),
        described=found is not None,
        openapi=found.name if found is not None and found.content is None else None,
        log=log,
    )
    if save is not None:
        return save_policy(save, start, found, dry_run=dry_run)
    return _serve(start, _load(start, found, config, openapi, validation), config, _again(url, start, openapi))


def _consistent(public: list[str] | None, config: Path | None, save: Path | None, *, dry_run: bool) -> None:
    if save is not None and config is not None:
        raise Stop("--save writes a new policy, --config uses one that is there: keep one of the two", USAGE)
    if public and config is not None:
        raise Stop("--public is for a start without a file; write `public = true` into a `[[routes]]` row", USAGE)
    if dry_run and save is None:
        raise Stop("--dry-run goes with --save; without it nothing is written anyway", USAGE)


def _check_match(match: str) -> None:
    from sixfold.policy.match import parse

    try:
        parse(match)
    except ValueError as problem:
        raise Stop(f"--public {shlex.quote(match)}: {problem}", USAGE) from None


def _document(api: Api, given: str | None, config: Path | None) -> Found | None:
    """Return the document to be used; None if there is none, or if the policy file names its own."""
    if config is not None and given is None:
        from sixfold.policy import load

        if load(config, environ=os.environ).document.gateway.openapi is not None:
            discovery.reach(api)
            return None
    found = discovery.find(api, given)
    if found is not None and found.content is None:  # a file: does the API answer at all?
        discovery.reach(api)
    return found


def _load(
    start: Start, found: Found | None, config: Path | None, openapi: str | None, validation: Validation | None
) -> Callable[[], Policy]:
    """Return what loads the policy, at start and whenever the file has changed."""
    from sixfold.policy import compile_policy, load_text

    documents = {found.name: found.content} if found is not None and found.content is not None else {}
    environ = {name: value for name, value in os.environ.items() if name not in _SAID}  # said on the command line

    def load() -> Policy:
        if config is None:
            loaded = load_text(start.text(saved=False), file=NAME, environ=environ)
        else:
            loaded = _from_file(config, start, openapi, validation)
        return compile_policy(loaded, openapi_documents=documents)

    return load


def _from_file(config: Path, start: Start, openapi: str | None, validation: Validation | None) -> Loaded:
    """Read a policy file; what the command line says replaces what the file says."""
    from sixfold.policy import load

    loaded = load(config, environ=os.environ)
    document = loaded.document
    changed = {"upstream": start.origin, "listen": start.listen, "admin": start.admin}
    if openapi is not None:
        changed["openapi"] = str(Path(start.openapi).absolute()) if start.openapi else None  # type: ignore[assignment]
    encryption = document.encryption
    if encryption.mode != "dev" or start.tls:
        encryption = encryption.model_copy(update={"mode": "dev", "tls": True})
    authentication = document.authentication
    if not authentication.issuers and authentication.issuer is None and authentication.api_keys is None:
        authentication = authentication.model_copy(update={"issuer": "dev"})
    checked = document.validation
    if validation is not None:
        checked = checked.model_copy(update={"request": validation})
    update = {
        "gateway": document.gateway.model_copy(update=changed),
        "encryption": encryption,
        "authentication": authentication,
        "validation": checked,
    }
    return replace(loaded, document=document.model_copy(update=update))


def _serve(start: Start, load: Callable[[], Policy], config: Path | None, again: str) -> int:
    from sixfold.watch import Watch

    printer = Printer()
    watch = Watch(make_log(start.log), printer.refused)
    watch.answered = printer.answered

    def ready(worker: Worker) -> None:
        banner(
            worker,
            start.origin,
            config="" if config is None else str(config),
            again="" if config is not None else f"{again} --save sixfold.toml",
        )

    def advise(_policy: Policy, key: str, address: str) -> str:
        host, _, port = address.rpartition(":")
        if key == "gateway.admin":
            return f"choose another one: --admin {free_address(host, int(port) + 1)}"
        return f"stop what serves there, or: {again} --listen {free_address(host, int(port) + 2)}"

    return run_worker(
        load,
        folder=state_folder(),
        watch=watch,
        files=lambda _policy: [] if config is None else [config],
        ready=ready,
        advise=advise,
    )


def _again(url: str, start: Start, openapi: str | None) -> str:
    """Return the command without its addresses, as it can be typed again."""
    words = [command_name(), "protect", shlex.quote(url)]
    words += ["--openapi", shlex.quote(openapi)] if openapi else []
    for match in start.public:
        words += ["--public", shlex.quote(match)]
    return " ".join([*words, *(["--tls"] if start.tls else [])])
