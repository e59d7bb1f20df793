"""`sixfold api-keys`: make, list, revoke. A key is shown once; the file holds only its hash (TOK-23)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import App, Group, Parameter

from sixfold.cli.policies import read
from sixfold.cli.talk import FOUND, INVALID, USAGE, Stop, columns, command_name, printable, say, show, show_json

if TYPE_CHECKING:
    from sixfold.layers.authentication import KeyRecord
    from sixfold.policy.document import ApiKeys

app = App(
    name="api-keys", help="Make, list and revoke API keys.", help_format="plaintext", group_parameters=Group("Options")
)
Config = Annotated[Path | None, Parameter(metavar="FILE")]
_ID: Final = 12  # hexadecimal digits of the hash that stand for a key
_SHORTEST: Final = 4


def _table(config: Path | None) -> tuple[ApiKeys, Path]:
    policy = read(config)
    table = policy.document.authentication.api_keys
    if table is None:
        where = policy.rule("authentication")
        raise Stop(
            f'{where}: the policy takes no API keys; write `api_keys = {{ file = "keys.jsonl" }}` there', INVALID
        )
    return table, Path(policy.folder, table.file)


def _records(file: Path) -> list[KeyRecord]:
    from sixfold.layers.authentication import ApiKeyError
    from sixfold.layers.authentication.key_file import records

    try:
        return records(file)
    except ApiKeyError as problem:
        raise Stop(str(problem), INVALID) from None


@app.command
def add(
    owner: str,
    /,
    *,
    name: Annotated[str, Parameter(metavar="TEXT")] = "",
    scope: Annotated[list[str] | None, Parameter(metavar="SCOPE")] = None,
    role: Annotated[list[str] | None, Parameter(metavar="ROLE")] = None,
    client: Annotated[str, Parameter(metavar="NAME")] = "",
    tenant: Annotated[str, Parameter(metavar="NAME")] = "",
    days: int = 365,
    config: Config = None,
) -> int:
    """Make a key and print it, once.

    Running servers take it within a second.

    Parameters
    ----------
    owner: str
        Who answers for the key: the caller that it stands for.
    name: str
        What people call the key.
    scope: list[str]
        What it may do, e.g. `--scope orders:read`; may be repeated.
    role: list[str]
        A role it carries; may be repeated.
    client: str
        The application that uses it; default the owner.
    tenant: str
        Tenant of the owner.
    days: int
        How long it lives; 0 for a key without end.
    config: Path
        The policy file; default `$SIXFOLD_CONFIG`, or sixfold.toml in this folder.
    """
    from pydantic import ValidationError

    from sixfold.layers.authentication import append, make_key

    if not 0 <= days <= 36_500:
        raise Stop("--days is between 0 and 36500", USAGE)
    table, file = _table(config)
    try:
        key, record = make_key(
            table.prefix,
            owner=owner,
            now=time.time_ns() // 1000,
            name=name,
            client_id=client,
            scopes=[one for given in scope or () for one in given.split()],
            roles=role or (),
            tenant=tenant,
            lifetime=days * 86_400 if days else None,
        )
    except ValidationError as problem:
        raise Stop(_wrong(problem.errors(include_input=False)), USAGE) from None
    append(file, record)
    show(key)
    say(f"send it as `{table.header}`; it is not shown again. Running servers take it within a second")
    return 0


def _wrong(errors: Any) -> str:
    """Return what is wrong with a key's facts, without the facts."""
    where = str(errors[0]["loc"][0])
    option = {"owner": "OWNER", "client_id": "--client", "scopes": "--scope", "roles": "--role"}.get(
        where, f"--{where}"
    )
    return f"{option} is 1 to 256 characters without control characters"


@app.command(name="list")
def list_(*, json: bool = False, config: Config = None) -> int:
    """List the keys, never the keys themselves.

    With --json: a list of id, name, owner, client, tenant, scopes, roles, created, expires (null: never).

    Parameters
    ----------
    json: bool
        Print JSON, for programs.
    config: Path
        The policy file; default `$SIXFOLD_CONFIG`, or sixfold.toml in this folder.
    """
    _, file = _table(config)
    found = _records(file)
    if json:
        show_json([_facts(one) for one in found])
        return 0
    rows = [("ID", "OWNER", "NAME", "SCOPES", "ROLES", "EXPIRES")]
    for one in found:
        expires = f"{one.expires:%Y-%m-%d}" if one.expires else "never"
        scopes, roles = " ".join(one.scopes) or "-", " ".join(one.roles) or "-"
        rows.append((one.hash[:_ID], one.owner, one.name or "-", scopes, roles, expires))
    show(columns(rows))
    return 0


def _facts(record: KeyRecord) -> dict[str, Any]:
    return {
        "id": record.hash[:_ID],
        "name": record.name,
        "owner": record.owner,
        "client": record.client_id or record.owner,
        "tenant": record.tenant,
        "scopes": list(record.scopes),
        "roles": list(record.roles),
        "created": record.created.isoformat() if record.created else None,
        "expires": record.expires.isoformat() if record.expires else None,
    }


@app.command
def revoke(identifier: str, /, *, dry_run: bool = False, config: Config = None) -> int:
    """Take a key away.

    Running servers refuse it within a second.

    Parameters
    ----------
    identifier: str
        The ID that `list` shows, or at least four characters of its start.
    dry_run: bool
        Say which key it is, and let it be.
    config: Path
        The policy file; default `$SIXFOLD_CONFIG`, or sixfold.toml in this folder.
    """
    from sixfold.layers.authentication.key_file import remove

    if len(identifier) < _SHORTEST:
        raise Stop(f"an ID has at least {_SHORTEST} characters; see `{command_name()} api-keys list`", USAGE)
    _, file = _table(config)
    found = [one for one in _records(file) if one.hash.startswith(identifier.lower())]
    if len(found) != 1:
        many = "several keys have" if found else "no key has"
        raise Stop(f"{many} an ID that starts so; see `{command_name()} api-keys list`", FOUND)
    if not dry_run:
        remove(file, found[0].hash)
    word = "would revoke" if dry_run else "revoked"
    say(f"{word} {found[0].hash[:_ID]} of {printable(found[0].owner)}")
    return 0
