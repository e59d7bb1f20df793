"""`sixfold explain`: why was this refused, or would it be? (EXP-01, CLI-09)"""

from __future__ import annotations

import http.client
import re
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from sixfold.cli.imagine import Caller, imagine
from sixfold.cli.talk import FOUND, UNREACHABLE, USAGE, Stop, command_name, printable, show, show_json
from sixfold.state_folder import running, state_folder

_ID: Final = re.compile(r"d-[0-9A-Z]{1,8}|[0-9A-Z]{2,8}", re.IGNORECASE)
_METHOD: Final = re.compile(r"(?i:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|QUERY)")
_LISTED: Final = 20
_TIMEOUT: Final = 3.0  # seconds


def explain(
    what: str,
    /,
    *,
    as_: Annotated[list[str] | None, Parameter(metavar="ROLE")] = None,
    scope: Annotated[list[str] | None, Parameter(metavar="SCOPE")] = None,
    token: Annotated[str | None, Parameter(metavar="-", allow_leading_hyphen=True)] = None,
    body: Annotated[str | None, Parameter(metavar="JSON", allow_leading_hyphen=True)] = None,
    header: Annotated[list[str] | None, Parameter(metavar="TEXT")] = None,
    config: Annotated[Path | None, Parameter(metavar="FILE")] = None,
    admin: Annotated[str | None, Parameter(metavar="ADDRESS")] = None,
    json: bool = False,
) -> int:
    """Tell why a request was refused, or whether it would be.

    A decision id is asked of the servers that run here; a request like "GET /orders" is judged by the policy file, and
    nothing is sent. With --json: a list of decision, time, method, path, address, caller, result (refused, would refuse
    or permitted), status, code, layer, title, detail, rule (name, file, line), reason, remedy, errors.

    Parameters
    ----------
    what: str
        A decision id (`d-7Q2R`, its start is enough), or a request: "GET /orders".
    as_: list[str]
        A role of the imagined caller; may be repeated.
    scope: list[str]
        A scope of the imagined caller; may be repeated.
    token: str
        `-` reads a token or an API key from standard input and judges it; it is neither sent nor stored.
    body: str
        JSON body of the imagined request.
    header: list[str]
        `Name: value` of the imagined request; may be repeated.
    config: Path
        Policy of the imagined request; default `$SIXFOLD_CONFIG`, or sixfold.toml in this folder.
    admin: str
        Admin listener to ask about an id; default: of every server of this user.
    json: bool
        Print JSON, for programs.
    """
    words = what.split()
    if len(words) == 1 and _ID.fullmatch(words[0]) and not _METHOD.fullmatch(words[0]):
        return _remembered(words[0], admin, json=json)
    if len(words) != 2:
        raise Stop(f'WHAT is neither a decision id (d-7Q2R) nor a request ("GET /orders"): {printable(what)}', USAGE)
    caller = Caller(roles=tuple(as_ or ()), scopes=tuple(scope or ()), token=token)
    stories = imagine(" ".join(words), config, caller, header or [], body)
    if json:
        show_json(stories)
    else:
        show("\n".join(map(tell, stories)))
    return FOUND if stories[-1]["result"] == "refused" else 0


def tell(story: dict[str, Any]) -> str:
    """Return a decision in words for the operator."""
    rule = story["rule"]
    place = f"{rule['file']}:{rule['line']}" if rule["line"] else rule["file"]
    title = f"{story['title']} ({story['code']})"
    by = f"with {story['status']} by {story['layer'].replace('_', ' ')}: {title}"
    head = {"refused": f"Refused {by}", "would refuse": f"Would be refused {by}", "permitted": "Permitted"}
    lines = [
        head[story["result"]],
        f"  request  {story['method']} {story['path']}".rstrip()
        + (f"   from {story['address']}" if story["address"] else "")
        + (f"   caller {story['caller']}" if story["caller"] else "")
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
    return "\n".join(map(printable, lines))


def _remembered(prefix: str, admin: str | None, *, json: bool) -> int:
    stories = _ask(prefix, admin)
    if json:
        show_json(stories)
        return FOUND if stories else UNREACHABLE
    if not stories:
        raise Stop(
            f"no running sixfold remembers `{prefix}`: what was permitted is in the access log only, and a refusal is "
            "kept until the process ends or ten thousand newer ones came",
            UNREACHABLE,
        )
    if len(stories) > 1:
        for story in stories[:_LISTED]:
            line = f"{story['decision']}  {story['time']}  {story['status']}  {story['method']} {story['path']}"
            show(printable(line))
        raise Stop(f"{len(stories)} decisions start with `{prefix}`; name one of them", USAGE)
    show(tell(stories[0]))
    return FOUND


def _ask(prefix: str, admin: str | None) -> list[dict[str, Any]]:
    """Ask the admin listeners, past any proxy that the environment names."""
    addresses = [_address(admin)] if admin else [one["admin"] for one in running(state_folder()) if one.get("admin")]
    if not addresses:
        raise Stop(
            "no sixfold runs here; start one, name its admin listener with --admin, or imagine a request: "
            f'{command_name()} explain "GET /orders"',
            UNREACHABLE,
        )
    answers = [_get(address, f"/-/decisions/{prefix}") for address in addresses]
    if all(answer is None for answer in answers):
        raise Stop(f"no answer from the admin listener at {', '.join(addresses)}", UNREACHABLE)
    return [story for answer in answers for story in answer or ()]


def _address(given: str) -> str:
    """Return host and port; `http://127.0.0.1:8401/` is understood as well."""
    address = given.removeprefix("http://").rstrip("/")
    if re.fullmatch(r"[^\s/]+:[0-9]{1,5}", address) is None:
        raise Stop("--admin is an address like 127.0.0.1:8401", USAGE)
    return address


def _get(address: str, path: str) -> list[dict[str, Any]] | None:
    """Return the stories that one process remembers, None if it gives no answer."""
    import orjson

    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=_TIMEOUT)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        found: list[dict[str, Any]] = orjson.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return found
