"""`sixfold protect URL`: the proxy in one line, configuration in memory; `--save` writes down what it used."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sixfold.cli import discovery
from sixfold.cli.serving import make_log, run_worker
from sixfold.cli.talk import USAGE, Stop, columns, command_name, paint, say
from sixfold.state_folder import state_folder

if TYPE_CHECKING:
    from sixfold.policy import Loaded, Policy
    from sixfold.proxy.worker import Worker
    from sixfold.watch import Record

NAME = "(protect)"


def protect(
    url: str,
    /,
    *,
    listen: str = "127.0.0.1:8400",
    admin: str = "127.0.0.1:8401",
    openapi: str | None = None,
    config: Path | None = None,
    public: list[str] | None = None,
    validation: str | None = None,
    tls: bool = False,
    save: Path | None = None,
    log: str = "off",
) -> int:
    """Put Sixfold before an API. Nothing is written into your project unless you ask for it.

    Parameters
    ----------
    url: str
        Where the API answers, e.g. http://localhost:8000 or http://localhost:8888/v1.
    listen: str
        Where callers come in; loopback only, as developer keys are accepted.
    admin: str
        Health, metrics and decisions; loopback only.
    openapi: str
        File or path of the OpenAPI document; default: looked for at the usual places of the API.
    config: Path
        A sixfold.toml whose rules count; only the upstream comes from URL.
    public: list[str]
        Operations open to anybody, e.g. `--public "GET /health"`.
    validation: str
        enforce, shadow or off; default shadow without --config.
    tls: bool
        Serve TLS with a local CA.
    save: Path
        Write the policy there, closed by default, and exit.
    log: str
        Access log as JSON: stdout, stderr or a file.
    """
    from sixfold.policy import compile_policy
    from sixfold.watch import Watch

    parts = urlsplit(url if "//" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Stop(f"`{url}` is not an address; write http://localhost:8000", USAGE)
    if validation not in (None, "enforce", "shadow", "off"):
        raise Stop("--validation is enforce, shadow or off", USAGE)
    origin = f"{parts.scheme}://{parts.netloc}"
    found = discovery.find(origin, parts.path, openapi)
    documents = {found.name: found.content} if found is not None else {}
    if save is not None:
        return _save(save, origin, found, public or [])
    if config is None:
        text = policy_text(
            origin, listen=listen, admin=admin, tls=tls, public=public or [], described=found is not None,
            validation=validation or "shadow",
        )  # fmt: skip
        loaded = _in_memory(text)
    else:
        loaded = _from_file(config, origin, listen, admin, validation, tls=tls)
        if loaded.document.gateway.openapi is not None:
            documents = {}
    policy = compile_policy(loaded, openapi_documents=documents)
    printer = _Printer()
    watch = Watch(make_log(log), printer.refused)  # type: ignore[arg-type]
    watch.answered = printer.answered

    def ready(worker: Worker) -> None:
        _banner(worker, policy, found, origin, mentioned=config)

    return run_worker(lambda: policy, folder=state_folder(), watch=watch, files=lambda _policy: [], ready=ready)


def policy_text(
    origin: str,
    *,
    listen: str,
    admin: str,
    tls: bool,
    public: list[str],
    described: bool,
    validation: str,
    default: str = "authenticated",
    openapi: str | None = None,
) -> str:
    """Return the policy of `protect` as the text it would have in a file."""
    lines = [
        "#:schema sixfold.schema.json",
        "[gateway]",
        f'listen   = "{listen}"',
        f'admin    = "{admin}"',
        f'upstream = "{origin}"',
        *([f'openapi  = "{openapi}"'] if openapi else []),
        "",
        "[encryption]",
        f'mode = "dev"{"                       # loopback only" if not tls else ""}',
        *(["tls  = true"] if tls else []),
        "",
        "[authentication]",
        'issuer   = "dev"',
        'audience = "sixfold-dev"',
        "",
        "[authorization]",
        f'default = "{default}"',
        "",
        "[rate_limiting]",
        'default   = "600/minute per client"',
        'anonymous = "60/minute per address"',
        "",
        "[validation]",
        f'request = "{validation}"',
    ]
    for match in public:
        lines += ["", "[[routes]]", f'match  = "{match}"', "public = true"]
    if not described:
        lines += ["", "[[routes]]                 # no OpenAPI document: every path is passed on", 'match = "* /**"']
        lines += ["authenticated = true"] if default == "authenticated" else ["deny = true"]
    return "\n".join(lines) + "\n"


def _in_memory(text: str) -> Loaded:
    from sixfold.policy import load_text

    return load_text(text, file=NAME, environ=os.environ)


def _from_file(
    config: Path, origin: str, listen: str, admin: str, validation: str | None, *, tls: bool
) -> Loaded:
    """Read a policy file; what the command line says replaces what the file says."""
    from sixfold.policy import load

    loaded = load(config, environ=os.environ)
    document = loaded.document
    gateway = document.gateway.model_copy(update={"upstream": origin, "listen": listen, "admin": admin})
    encryption = document.encryption
    if encryption.mode != "dev" or tls:
        encryption = encryption.model_copy(update={"mode": "dev", "tls": True})
    authentication = document.authentication
    if not authentication.issuers and authentication.issuer is None:
        authentication = authentication.model_copy(update={"issuer": "dev"})
    checked = document.validation
    if validation is not None:
        checked = checked.model_copy(update={"request": validation})
    update = {"gateway": gateway, "encryption": encryption, "authentication": authentication, "validation": checked}
    return replace(loaded, document=document.model_copy(update=update))


def _save(path: Path, origin: str, found: discovery.Found | None, public: list[str]) -> int:
    if path.exists():
        raise Stop(f"{path} exists; nothing was overwritten", USAGE)
    described = None
    if found is not None:
        described = path.parent / f"openapi{'.yaml' if found.name.endswith(('.yaml', '.yml')) else '.json'}"
        if not described.exists():
            described.write_bytes(found.content)
    text = policy_text(
        origin, listen="127.0.0.1:8400", admin="127.0.0.1:8401", tls=False, public=public, described=found is not None,
        validation="enforce", default="deny", openapi=described.name if described else None,
    )  # fmt: skip
    path.write_text(text, encoding="utf-8")
    say(f"Wrote    {path}" + (f"  {described}" if described else ""))
    say(f"Closed   every operation without a rule (`default = \"deny\"`); see them:  {command_name()} routes --config {path}")
    return 0


def _banner(
    worker: Worker, policy: Policy, found: discovery.Found | None, origin: str, *, mentioned: Path | None
) -> None:
    """Print what is guarded, by what, and what is not (FIRST-03, FIRST-05)."""
    document = policy.document
    me = command_name()
    https = worker.channel.context is not None
    base = f"{'https' if https else 'http'}://{worker.address}"
    operations = policy.operations
    scoped = sum(operation.access == "require" for operation in operations)
    unruled = sum(operation.access == "default" for operation in operations)
    if found is not None:
        say(f"Found    OpenAPI at {found.name}: {len(operations)} operations, {scoped} with scopes")
    else:
        say("Found    no OpenAPI document: paths, parameters and bodies are not checked. Name one with --openapi PATH")
    for finding in policy.findings[:5]:
        say(f"Note     {finding.rule}: {finding.text}")
    say(f"Guarding {base} -> {origin}" + (f"        admin http://{worker.admin_address}" if worker.admin_address else ""))
    say("")
    default = "any signed-in caller" if document.authorization.default == "authenticated" else "nobody"
    limits = [one if isinstance(one, str) else one.rate for one in (document.rate_limiting.default, document.rate_limiting.anonymous) if one]
    rows = [
        ("gateway", document.gateway.mode, f"size, header and time limits; bodies up to {document.gateway.max_body // 1024} kB"),
        ("encryption", "dev", "TLS 1.3 with a local certificate" if https else "plain HTTP on loopback only; --tls for a local certificate"),
        ("rate limiting", document.rate_limiting.mode, ", ".join(limits) or "no limits"),
        ("authentication", document.authentication.mode, "developer keys kept in your user folder" if document.authentication.issuer == "dev" else "issuers of the policy"),
        ("authorization", document.authorization.mode, f"{scoped} operations by scope; {unruled} without a rule: {default}"),
        ("validation", document.validation.request, _validation_words(document.validation.request, described=found is not None)),
    ]  # fmt: skip
    say(columns(rows, indent="  "))
    say("")
    sample = next((one.path for one in operations if one.method == "GET" and "{" not in one.path and "*" not in one.path), "/")
    scopes = sorted({name for one in operations if one.path == sample for names in one.require for name in names})
    wanted = "".join(f" --scope {name}" for name in scopes)
    trust = f" --cacert {worker.channel.authority}" if worker.channel.authority else ""
    say(f"Try it:  curl -i{trust} {base}{sample}")
    token = f'-H "Authorization: Bearer $({me} token{wanted}{_audience(policy, mentioned)})"'
    say(f"         curl -i{trust} {base}{sample} {token}")
    say(f"Open:    {origin} still answers without protection; limits are in this process's memory; keys are for development")
    if mentioned is None:
        say(f"Keep it: {me} protect {origin} --save sixfold.toml")
    say("")


def _audience(policy: Policy, config: Path | None) -> str:
    from sixfold.layers.authentication import DEV_AUDIENCE

    said = policy.document.authentication.audience
    return f" --config {config}" if config is not None and said not in (None, DEV_AUDIENCE) else ""


def _validation_words(mode: str, *, described: bool) -> str:
    if not described:
        return "nothing to check against without an OpenAPI document"
    return {
        "enforce": "parameters and bodies against OpenAPI; unknown properties refused",
        "shadow": "parameters and bodies against OpenAPI; nothing is refused yet (--validation enforce)",
        "off": "not checked",
    }[mode]


class _Printer:
    """One line per request on the terminal."""

    def refused(self, record: Record) -> None:
        """Print a refusal, real or in shadow."""
        refusal = record.refusal
        shadow = refusal.mode != "enforce"
        word = paint("would refuse", "yellow", stream=sys.stderr) if shadow else paint(str(refusal.status), "red", stream=sys.stderr)
        faults = "; ".join(f"{one.where or 'body'}: {one.expected}" for one in refusal.faults[:2])
        why = faults or refusal.reason
        layer = refusal.layer.replace("_", " ") + (" (shadow)" if shadow else "")
        say(f"{_clock()} {word} {record.method} {record.path}   {why[:100]}   {refusal.id}  {layer}")

    def answered(self, exchange: Any, duration: int) -> None:
        """Print an answer of the upstream."""
        permit = exchange.permit
        if permit is None or exchange.code:
            return
        request = exchange.request
        caller = permit.identity.subject or "anonymous"
        status = paint(str(exchange.status), "green", stream=sys.stderr)
        say(f"{_clock()} {status} {request.method} {request.path}   {caller}   {duration / 1000:.0f} ms")


def _clock() -> str:
    return time.strftime("%H:%M:%S")
