"""An imagined request, judged by the policy file: nothing is sent, nothing is stored."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sixfold.cli.policies import read, state_of
from sixfold.cli.talk import USAGE, Stop

if TYPE_CHECKING:
    from sixfold.decision import Reply
    from sixfold.engine import State
    from sixfold.flow import Permit
    from sixfold.policy import Policy
    from sixfold.policy.document import As

_HEADER: Final = re.compile(r"([!#$%&'*+.^`|~0-9A-Za-z-]+):[ \t]*([ -~\x80-\U0010ffff]*)")
_SECRET: Final = ("authorization", "cookie", "proxy-authorization")


class Caller(NamedTuple):
    """Who is imagined to call; nobody known if nothing is said.

    Arguments:
        roles, scopes: as given, several scopes may stand in one text.
        token: "-" to read a credential from standard input.
    """

    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    token: str | None = None


def imagine(
    line: str, config: Path | None, caller: Caller, header: Sequence[str], body: str | None
) -> list[dict[str, Any]]:
    """Return what the policy would say, as stories like those of decisions; what decides comes last.

    Arguments:
        line: `GET /orders`.
        config: policy file, None for the usual one.
        caller: who is imagined to call.
        header: `Name: value` each.
        body: JSON text.

    Raises:
        Stop: an argument is wrong.
        PolicyError: the policy cannot be used.
    """
    if caller.token is not None and (caller.roles or caller.scopes):
        raise Stop("--token brings its own roles and scopes: leave out --as and --scope", USAGE)
    if caller.token not in (None, "-"):
        raise Stop("a token is a secret and no argument: write `--token -` and pipe it in", USAGE)
    raw = _json(body)
    policy = read(config)
    headers = _headers(policy, header)
    state = state_of(policy)
    if caller.token is not None:
        headers |= _credential(policy, _secret())
        _fetch_keys(state)
    return _judge(policy, state, line, _supposed(caller), headers, raw)


def _judge(
    policy: Policy, state: State, line: str, caller: As | str, headers: dict[str, str], body: Any
) -> list[dict[str, Any]]:
    from sixfold.decision import Refusal
    from sixfold.flow import Permit
    from sixfold.rehearsal import Rehearsal
    from sixfold.watch import Record

    decision = Rehearsal(policy, state).decide(line, caller, headers, body)
    method, _, target = line.partition(" ")
    request = {"decision": "", "time": "", "method": method, "path": target.partition("?")[0]}
    if isinstance(decision, Refusal):
        return [Record(decision, 0, None).story() | request]
    told = decision.told if isinstance(decision, Permit) else ()
    stories = [Record(refusal, 0, None).story() | request for refusal in told]
    return [*stories, request | _permitted(decision)]


def _permitted(decision: Permit | Reply) -> dict[str, Any]:
    from sixfold.decision import Rule
    from sixfold.flow import Permit

    if isinstance(decision, Permit):
        decision.close()
        rule, caller, status, reason = decision.door.operation.rule, decision.identity.subject, 200, ""
    else:
        rule, caller, status, reason = Rule("gateway"), "", decision.status, "Sixfold answers this itself"
    return {
        "address": "",
        "caller": caller,
        "result": "permitted",
        "status": status,
        "code": "",
        "layer": "",
        "title": "",
        "detail": "",
        "rule": {"name": rule.name, "file": rule.file, "line": rule.line},
        "reason": reason,
        "remedy": "",
        "errors": [],
    }


def _supposed(caller: Caller) -> As | str:
    from sixfold.policy.document import As

    if not caller.roles and not caller.scopes:
        return "anonymous"
    return As(roles=list(caller.roles), scopes=[name for one in caller.scopes for name in one.split()])


def _json(body: str | None) -> Any:
    import orjson

    if body is None:
        return None
    try:
        orjson.loads(body)
    except ValueError:
        raise Stop("--body is not JSON", USAGE) from None
    return body  # as it was written: a name that stands twice is validation's to refuse


def _headers(policy: Policy, given: Sequence[str]) -> dict[str, str]:
    keys = policy.document.authentication.api_keys
    secret = (*_SECRET, keys.header.lower()) if keys is not None else _SECRET
    headers: dict[str, str] = {}
    for one in given:
        found = _HEADER.fullmatch(one)
        if found is None:
            raise Stop('--header is "Name: value" in one line', USAGE)
        if found[1].lower() in secret:
            raise Stop(f"`{found[1]}` carries a secret and is no argument: write `--token -` and pipe it in", USAGE)
        headers[found[1]] = found[2].strip()
    return headers


def _secret() -> str:
    """Read a credential; a terminal does not show it."""
    if sys.stdin is None:
        given = ""
    elif sys.stdin.isatty():
        import getpass

        given = getpass.getpass("token or API key: ")
    else:
        given = sys.stdin.readline()
    given = given.strip().removeprefix("Bearer ")
    if not given or not given.isascii() or not given.isprintable():
        raise Stop("no token came on standard input: pipe it in, one line", USAGE)
    return given


def _credential(policy: Policy, secret: str) -> dict[str, str]:
    keys = policy.document.authentication.api_keys
    if keys is not None and secret.startswith(f"{keys.prefix}_"):
        return {keys.header: secret}
    return {"Authorization": f"Bearer {secret}"}


def _fetch_keys(state: State) -> None:
    """Get the issuers' keys, so that a token can be judged."""
    import asyncio
    import time

    async def fetch() -> None:
        now = time.time_ns() // 1000
        for issuer in state.keys.due(now):
            await state.keys.refresh(issuer, "", now)

    asyncio.run(fetch())
