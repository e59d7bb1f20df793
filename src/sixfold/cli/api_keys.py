"""`sixfold api-keys`: make, list, revoke. A key is shown once; the file holds only its hash."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App

from sixfold.cli.policies import read
from sixfold.cli.talk import FOUND, INVALID, Stop, columns, say, show, show_json

if TYPE_CHECKING:
    from sixfold.policy.document import ApiKeys

app = App(name="api-keys", help="Make, list and revoke API keys.", help_format="plaintext")


def _table(config: Path | None) -> tuple[ApiKeys, Path]:
    policy = read(config)
    table = policy.document.authentication.api_keys
    if table is None:
        raise Stop(
            f'{policy.rule("authentication")}: the policy takes no API keys; add `api_keys = {{ file = "keys.jsonl" }}` there',
            INVALID,
        )
    return table, Path(policy.folder, table.file)


@app.command
def add(
    owner: str,
    /,
    *,
    name: str = "",
    scope: list[str] | None = None,
    role: list[str] | None = None,
    client: str = "",
    tenant: str = "",
    days: int | None = 365,
    config: Path | None = None,
) -> int:
    """Make a key and print it, once.

    Parameters
    ----------
    owner: str
        Who answers for it; the caller's subject.
    name: str
        What people call it.
    scope: list[str]
        What it may do.
    role: list[str]
        Roles it carries.
    client: str
        The application; default the owner.
    tenant: str
        Tenant of the owner.
    days: int
        How long it lives.
    config: Path
        The policy file.
    """
    from sixfold.layers.authentication import append, make_key

    table, file = _table(config)
    key, record = make_key(
        table.prefix,
        owner=owner,
        now=time.time_ns() // 1000,
        name=name,
        client_id=client,
        scopes=scope or (),
        roles=role or (),
        tenant=tenant,
        lifetime=days * 86_400 if days else None,
    )
    append(file, record)
    show(key)
    say(f"send it as `{table.header}`; it is not shown again. Running servers take it within a second")
    return 0


@app.command(name="list")
def list_(*, json: bool = False, config: Path | None = None) -> int:
    """List the keys, never the keys themselves.

    Parameters
    ----------
    json: bool
        For programs.
    config: Path
        The policy file.
    """
    from sixfold.layers.authentication.key_file import records

    _, file = _table(config)
    facts = [
        {"id": one.hash[:12], "name": one.name, "owner": one.owner, "client": one.client_id, "scopes": list(one.scopes),
         "roles": list(one.roles), "created": str(one.created), "expires": str(one.expires or "never")}
        for one in records(file)
    ]  # fmt: skip
    if json:
        show_json(facts)
        return 0
    rows = [("ID", "OWNER", "NAME", "SCOPES", "EXPIRES")]
    rows += [
        (str(one["id"]), str(one["owner"]), str(one["name"]) or "-", " ".join(one["scopes"]) or "-", str(one["expires"]))
        for one in facts
    ]
    show(columns(rows))
    return 0


@app.command
def revoke(identifier: str, /, *, config: Path | None = None) -> int:
    """Take a key away; running servers refuse it within a second.

    Parameters
    ----------
    identifier: str
        The ID that `list` shows, or the start of it.
    config: Path
        The policy file.
    """
    from sixfold.layers.authentication.key_file import records, remove

    _, file = _table(config)
    found = [one for one in records(file) if one.hash.startswith(identifier)]
    if len(found) != 1:
        say(f"{len(found)} keys start with `{identifier}`; see `sixfold api-keys list`")
        return FOUND
    remove(file, found[0].hash)
    say(f"revoked {found[0].hash[:12]} of {found[0].owner}")
    return 0
