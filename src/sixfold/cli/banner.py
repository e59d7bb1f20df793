"""What `protect` prints: what is guarded, by what, and what is not (FIRST-03, FIRST-05); then a line per request."""

from __future__ import annotations

import shlex
import sys
import time
from typing import TYPE_CHECKING, Final

from sixfold.cli.talk import columns, command_name, counted, paint, printable, say
from sixfold.policy.errors import did_you_mean
from sixfold.policy.model import weaker

if TYPE_CHECKING:
    from sixfold.policy import Operation, Policy
    from sixfold.policy.document import Authentication, RateLimiting
    from sixfold.proxy.worker import Worker
    from sixfold.watch import Record
    from sixfold.watch.watch import Served

_LOOKS_PUBLIC: Final = frozenset(("health", "healthz", "live", "livez", "ping", "ready", "readyz", "docs", "version"))
_FINDINGS: Final = 5  # shown at start; `check` shows the rest


def banner(worker: Worker, origin: str, *, config: str, again: str) -> None:
    """Print what is guarded.

    Arguments:
        worker: that serves.
        origin: of the API.
        config: the policy file, "" without one.
        again: the command that writes the policy down, "" if there is a file already.
    """
    policy = worker.edge.engine.policy
    base = f"{'https' if worker.channel.context is not None else 'http'}://{worker.address}"
    _say_found(policy)
    _say_notes(policy, in_memory=not config)
    admin = f"        admin http://{worker.admin_address}" if worker.admin_address else ""
    say(f"Guarding {base} -> {origin}{admin}")
    say("")
    say(columns(_rows(policy), indent="  "))
    say("")
    trust = f" --cacert {shlex.quote(str(worker.channel.authority))}" if worker.channel.authority else ""
    _say_try(policy, base, trust, config)
    dev = policy.document.authentication.issuer == "dev"
    say(f"Open:    {origin} itself still answers anybody; counters are in this process's memory")
    if dev:
        say("         developer keys are for this machine: for others use a certificate and an issuer")
    if again:
        say(f"Keep it: {again}")
    say("")


def _say_found(policy: Policy) -> None:
    if not policy.titles:
        say("Found    no OpenAPI document, so paths, parameters and bodies are not checked; name one with --openapi")
    for name, (_, _, count) in policy.titles.items():
        scoped = sum(one.access == "require" for one in policy.operations)
        say(f"Found    OpenAPI at {printable(name)}: {counted(count, 'operation')}, {scoped} with scopes")


def _say_notes(policy: Policy, *, in_memory: bool) -> None:
    described = [f"{one.method} {one.path}" for one in policy.operations if one.contract is not None]
    shown = [one for one in policy.findings if one.severity == "warning"]
    for finding in shown[:_FINDINGS]:
        if in_memory and finding.code == "route-matches-nothing":
            match = finding.rule.name.removeprefix("[[routes]] ")
            text = f"{match}: the OpenAPI document has no such operation, so nothing is checked there"
            say(f"Note     --public {printable(text + did_you_mean(match, described))}")
        else:
            say(f"Note     {printable(f'{finding.rule}: {finding.text}')}")
    for one in policy.operations if in_memory else ():
        if one.access == "default" and one.method == "GET" and one.path.rpartition("/")[2] in _LOOKS_PUBLIC:
            match = printable(shlex.quote(f"GET {one.path}"))
            say(f"Note     {printable(one.path)} looks public, yet asks for a token; open it with --public {match}")


def _rows(policy: Policy) -> list[tuple[str, str, str]]:
    document = policy.document
    validation = weaker(document.validation.mode, document.validation.request)
    words = {
        "gateway": f"size, header and time limits; bodies up to {document.gateway.max_body // 1024} kB",
        "encryption": _channel(tls=document.encryption.tls),
        "rate_limiting": _rates(document.rate_limiting),
        "authentication": _credentials(document.authentication),
        "authorization": _who(policy),
        "validation": _contract(validation, described=bool(policy.titles)),
    }
    modes = {name: getattr(document, name).mode for name in words} | {"validation": validation}
    return [(name.replace("_", " "), modes[name], words[name]) for name in words]


def _channel(*, tls: bool) -> str:
    return "TLS 1.3 with a local certificate" if tls else "plain HTTP on loopback only; --tls for a local certificate"


def _rates(table: RateLimiting) -> str:
    return ", ".join(one if isinstance(one, str) else one.rate for one in (table.default, table.anonymous) if one)


def _credentials(table: Authentication) -> str:
    return "developer keys kept in your user folder" if table.issuer == "dev" else "issuers and keys of the policy"


def _who(policy: Policy) -> str:
    if not policy.titles and not policy.document.routes:
        return "no path is known, so nothing may be called"
    count = dict.fromkeys(("require", "authenticated", "public", "deny", "default"), 0)
    for one in policy.operations:
        count[one.access] += 1
    default = "any signed-in caller" if policy.document.authorization.default == "authenticated" else "nobody"
    if not policy.titles:
        return f"every path, for {default}" if count["authenticated"] else "by the routes of the policy"
    parts = [f"{counted(count['require'], 'operation')} by scope"]
    parts += [f"{count['authenticated']} for any signed-in caller"] * bool(count["authenticated"])
    parts += [f"{count['public']} public"] * bool(count["public"])
    parts += [f"{count['deny']} closed"] * bool(count["deny"])
    parts += [f"{count['default']} without a rule: {default}"] * bool(count["default"])
    return "; ".join(parts)


def _contract(mode: str, *, described: bool) -> str:
    if not described:
        return "nothing to check against without an OpenAPI document"
    return {
        "enforce": "parameters and bodies against OpenAPI; unknown properties refused",
        "shadow": "parameters and bodies against OpenAPI; nothing is refused yet (--validation enforce)",
        "off": "not checked",
    }[mode]


def _say_try(policy: Policy, base: str, trust: str, config: str) -> None:
    """Print commands that work as printed: names in a document are somebody else's, so a shell gets them quoted."""
    sample = _sample(policy)
    path = sample.path if sample is not None and "*" not in sample.path else "/"
    url = shlex.quote(base + path)
    say(f"Try it:  curl -i{trust} {url}")
    if policy.document.authentication.issuer != "dev":
        say('         with a token of your issuer:  -H "Authorization: Bearer $TOKEN"')
    elif sample is not None and sample.access != "public":
        names = sorted(sample.require[0]) if sample.require else []
        roles = "".join(f" --role {shlex.quote(name[1:])}" for name in names if name.startswith("@"))
        scopes = "".join(f" --scope {shlex.quote(name)}" for name in names if not name.startswith("@"))
        audience = f" --config {shlex.quote(config)}" if config else ""
        token = f"$({command_name()} token{scopes}{roles}{audience})"
        say(f'         curl -i{trust} {url} -H "Authorization: Bearer {token}"')


def _sample(policy: Policy) -> Operation | None:
    """Return an operation that can be called with a token and nothing else; one that asks for it, if there is any."""
    closed = ("deny", "default") if policy.document.authorization.default == "deny" else ("deny",)
    plain = [
        one for one in policy.operations
        if one.method == "GET" and "{" not in one.path and not one.when and one.access not in closed
        and one.path.isascii() and one.path.isprintable()
        and not (one.contract is not None and any(parameter.required for parameter in one.contract.parameters))
    ]  # fmt: skip
    guarded = [one for one in plain if one.access != "public"]
    return next(iter([one for one in guarded if one.require] or guarded or plain), None)


class Printer:
    """One line per request on the terminal."""

    def refused(self, record: Record) -> None:
        """Print a refusal, real or in shadow."""
        refusal = record.refusal
        shadow = refusal.mode != "enforce"
        word = "would refuse" if shadow else str(refusal.status)
        word = paint(word, "yellow" if shadow else "red", stream=sys.stderr)
        faults = "; ".join(f"{one.where or 'body'}: {one.expected}" for one in refusal.faults[:2])
        why = printable(faults or refusal.reason)[:100]
        layer = refusal.layer.replace("_", " ") + (" (shadow)" if shadow else "")
        say(f"{_clock()} {word} {printable(f'{record.method} {record.path}')}   {why}   {refusal.id}  {layer}")

    def answered(self, exchange: Served, duration: int) -> None:
        """Print an answer of the upstream; `duration` in microseconds."""
        permit = exchange.permit
        if permit is None or exchange.code:
            return
        request = exchange.request
        caller = permit.identity.subject or "anonymous"
        status = paint(str(exchange.status), "green", stream=sys.stderr)
        what = printable(f"{request.method} {request.path}   {caller}")
        say(f"{_clock()} {status} {what}   {duration / 1000:.0f} ms")


def _clock() -> str:
    return time.strftime("%H:%M:%S")
