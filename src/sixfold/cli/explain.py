"""`sixfold explain`: why was this refused, or would it be? (EXP-01, CLI-09)"""

from __future__ import annotations

import re
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from sixfold.cli.talk import FOUND, UNREACHABLE, USAGE, Stop, show, show_json
from sixfold.state_folder import running, state_folder

_ID = re.compile(r"(?:d-)?[0-9A-Z]{2,8}", re.IGNORECASE)


def explain(
    what: str,
    /,
    *,
    config: Path | None = None,
    as_: list[str] | None = None,
    scope: list[str] | None = None,
    token: str | None = None,
    body: str | None = None,
    header: list[str] | None = None,
    admin: str | None = None,
    json: bool = False,
) -> int:
    """Tell why a request was refused: by its decision id, or imagined.

    Parameters
    ----------
    what: str
        A decision id (`d-7Q2R`, its start is enough), or a request: "GET /orders".
    config: Path
        Policy file for an imagined request; default `sixfold.toml` in this folder.
    as_: list[str]
        Roles of the imagined caller.
    scope: list[str]
        Scopes of the imagined caller.
    token: str
        `-` reads a token from stdin and judges it; it is neither sent nor stored.
    body: str
        JSON body of the imagined request.
    header: list[str]
        `Name: value` of the imagined request.
    admin: str
        Address of the admin listener to ask; default: every process of this user.
    json: bool
        For programs.
    """
    if " " in what.strip():
        return _imagine(what, config, as_, scope, token, body, header, json=json)
    if _ID.fullmatch(what.strip()) is None:
        raise Stop(f'`{what}` is neither a decision id (d-7Q2R) nor a request ("GET /orders")', USAGE)
    stories = _ask(what.strip(), admin)
    if json:
        show_json(stories)
        return FOUND if stories else UNREACHABLE
    if not stories:
        raise Stop(
            f"no running sixfold remembers `{what}`: permitted requests are in the access log only, and refusals are kept "
            "until the process ends or ten thousand newer ones came",
            FOUND,
        )
    if len(stories) > 1:
        for story in stories[:20]:
            show(f"{story['decision']}  {story['time']}  {story['status']}  {story['method']} {story['path']}")
        raise Stop(f"{len(stories)} decisions start with `{what}`; name one of them", USAGE)
    show(tell(stories[0]))
    return FOUND


def tell(story: dict[str, Any]) -> str:
    """Return a refusal in words for the operator."""
    rule = story["rule"]
    place = f"{rule['file']}:{rule['line']}" if rule["line"] else rule["file"]
    verb = "Refused" if story["result"] == "refused" else "Would be refused"
    lines = [
        f"{verb} with {story['status']} by {story['layer'].replace('_', ' ')}: {story['title']} ({story['code']})",
        f"  request  {story['method']} {story['path']}".rstrip()
        + (f"   from {story['address']}" if story["address"] else "")
        + (f"   caller {story['caller']}" if story.get("caller") else "")
        + (f"   at {story['time']}" if story["time"] else ""),
        f"  rule     {rule['name']}" + (f"   {place}" if place else ""),
    ]
    if story["reason"]:
        lines.append(f"  reason   {story['reason']}")
    for error in story["errors"]:
        where = error.get("pointer", error.get("parameter", ""))
        found = f", found {error['found']}" if error.get("found") else ""
        lines.append(f"  input    {where or '(the whole body)'}: {error['detail']}{found}")
    if story["remedy"]:
        lines.append(f"  remedy   {story['remedy']}")
    return "\n".join(lines)


def _ask(prefix: str, admin: str | None) -> list[dict[str, Any]]:
    import orjson

    addresses = [admin] if admin else [one["admin"] for one in running(state_folder()) if one.get("admin")]
    if not addresses:
        raise Stop("no sixfold runs here; give --admin ADDRESS, or imagine a request: explain \"GET /orders\"", UNREACHABLE)
    found: list[dict[str, Any]] = []
    reached = False
    for address in addresses:
        try:
            with urllib.request.urlopen(f"http://{address}/-/decisions/{prefix}", timeout=3) as answer:
                found += orjson.loads(answer.read())
                reached = True
        except (OSError, urllib.error.URLError, ValueError):
            continue
    if not reached:
        raise Stop(f"no answer from the admin listener at {', '.join(addresses)}", UNREACHABLE)
    return found


def _imagine(
    line: str,
    config: Path | None,
    roles: list[str] | None,
    scopes: list[str] | None,
    token: str | None,
    body: str | None,
    header: list[str] | None,
    *,
    json: bool,
) -> int:
    import orjson

    from sixfold.assembly import make_state
    from sixfold.cli.policies import read
    from sixfold.decision import Refusal
    from sixfold.flow import Permit
    from sixfold.policy import PolicyError, Problem
    from sixfold.policy.document import As
    from sixfold.rehearsal import Rehearsal
    from sixfold.watch import Record

    policy = read(config)
    try:
        state = make_state(policy, state_folder())
    except ValueError as problem:
        raise PolicyError(Problem(str(problem))) from problem
    headers: dict[str, str] = {}
    for given in header or ():
        name, colon, value = given.partition(":")
        if not colon:
            raise Stop(f"`{given}` is not a header; write `Name: value`", USAGE)
        headers[name.strip()] = value.strip()
    caller: As | str = "anonymous"
    if token is not None:
        if token != "-":
            raise Stop("a token is a secret and no argument; use `--token -` and pipe it in", USAGE)
        headers["Authorization"] = "Bearer " + sys.stdin.readline().strip()
    elif roles or scopes:
        caller = As(roles=roles or [], scopes=[name for one in scopes or () for name in one.split()])
    raw = None
    if body is not None:
        try:
            raw = orjson.loads(body)
        except ValueError:
            raise Stop("--body is not JSON", USAGE) from None
    if token is not None:
        _fetch_keys(state)
    decision = Rehearsal(policy, state).decide(line, caller, headers, raw)
    if isinstance(decision, Permit):
        decision.close()
        operation = decision.door.operation
        if json:
            show_json({"result": "permitted", "rule": str(operation.rule)})
        else:
            show(f"Permitted   {line}   rule {operation.rule}")
        return 0
    if isinstance(decision, Refusal):
        story = Record(decision, 0, None).story()
        method, _, path = line.strip().partition(" ")
        story.update(method=method, path=path.partition("?")[0], time="", decision="")
        show_json(story) if json else show(tell(story))
        return FOUND
    show(f"Answered by Sixfold itself with {decision.status}")
    return 0


def _fetch_keys(state: Any) -> None:
    """Get the issuers' keys, so that a token can be judged."""
    import asyncio
    import time

    async def fetch() -> None:
        now = time.time_ns() // 1000
        for issuer in state.keys.due(now):
            await state.keys.refresh(issuer, "", now)

    asyncio.run(fetch())

