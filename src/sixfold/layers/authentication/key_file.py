"""The file of API keys: one JSON record per line, hashes only (TOK-23)."""

from __future__ import annotations

import hmac
import os
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, BinaryIO, Final

from pydantic import AwareDatetime, StringConstraints, ValidationError

from sixfold.identity import Identity
from sixfold.policy.document import Name, Table
from sixfold.policy.model import Policy

_FOREVER: Final = 2**63 - 1
_SECOND: Final = 1_000_000
Text = Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
Some = Annotated[Text, StringConstraints(min_length=1)]


class KeyRecord(Table):
    """What is kept of a key.

    Arguments:
        hash: SHA-256 of the whole key, 64 hexadecimal digits.
        name: what people call the key.
        owner: who answers for it; the `subject` of its Identity.
        client_id: the application; the owner if it is empty.
        expires: None for never.
    """

    hash: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    name: Text = ""
    owner: Some
    client_id: Text = ""
    scopes: tuple[Name, ...] = ()
    roles: tuple[Name, ...] = ()
    tenant: Text = ""
    created: AwareDatetime | None = None
    expires: AwareDatetime | None = None


def fingerprint(key: bytes) -> str:
    """Return what is stored of a key."""
    return sha256(key).hexdigest()


def append(file: Path, record: KeyRecord) -> None:
    """Add a record to a key file, which is made with mode 0600 if it is not there."""
    line = record.model_dump_json(exclude_defaults=True).encode() + b"\n"
    with os.fdopen(os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "r+b") as stream:
        if not _ends_with_a_line_end(stream):
            line = b"\n" + line  # an editor left the last line open
        stream.write(line)


def _ends_with_a_line_end(stream: BinaryIO) -> bool:
    if stream.seek(0, os.SEEK_END) == 0:
        return True
    stream.seek(-1, os.SEEK_END)
    return stream.read(1) == b"\n"


def records(file: Path) -> list[KeyRecord]:
    """Return the records of a key file, in order.

    Raises:
        ApiKeyError: the file is missing, or a line is no record.
    """
    try:
        lines = file.read_bytes().splitlines()
    except OSError as problem:
        raise ApiKeyError(f"{file}: {problem.strerror}; `sixfold api-keys add` makes the file") from None
    return [record for number, line in enumerate(lines, start=1) if (record := _record(file, number, line))]


def remove(file: Path, key_hash: str) -> None:
    """Take a record out of a key file; the file is replaced whole, so no reader meets half of it.

    Arguments:
        file: the key file.
        key_hash: the record's `hash`.
    """
    lines = file.read_bytes().splitlines(keepends=True)
    kept = [
        line for number, line in enumerate(lines, 1) if (r := _record(file, number, line)) is None or r.hash != key_hash
    ]
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(b"".join(kept))
    draft.replace(file)


def _record(file: Path, number: int, line: bytes) -> KeyRecord | None:
    """Read one line; None for a comment or an empty one."""
    if not line.strip() or line.startswith(b"#"):
        return None
    try:
        return KeyRecord.model_validate_json(line)
    except ValidationError as problem:
        raise ApiKeyError(f"{file}:{number}: {_first(problem)}") from None


class ApiKeyError(ValueError):
    """A key file that cannot be read; the message names file and line."""


class ApiKeyStore:
    """The keys of one file. `generation` changes with every reload, so that no cache outlives a revoked key.

    Arguments:
        file: one record per line; empty lines and lines that start with `#` are skipped.

    Raises:
        ApiKeyError: the file is missing, or a line is no record.
    """

    usable_until: Final = _FOREVER  # a file does not go stale, as a key ring does

    def __init__(self, file: Path) -> None:
        self.file = file
        self.generation = 0
        self._stamp, self._held = self._read()

    @classmethod
    def for_policy(cls, policy: Policy, held: ApiKeyStore | None = None) -> ApiKeyStore | None:
        """Open the key file of a policy, None if it has none.

        Arguments:
            policy: compiled.
            held: the store of the policy before; it goes on if the file is the same.

        Raises:
            ApiKeyError: see the class.
        """
        table = policy.document.authentication.api_keys
        if table is None:
            return None
        file = Path(policy.folder, table.file)
        return held if held is not None and held.file == file else cls(file)

    def find(self, key: bytes) -> tuple[Identity, str] | None:
        """Return identity and name of a key, or None. Whether it has expired is for the caller to see."""
        found = fingerprint(key)
        held = self._held.get(found)
        # The look-up is by hash, so its time tells nothing about a key; the comparison keeps the rule all the same.
        if held is None or not hmac.compare_digest(held[0], found):
            return None
        return held[1], held[2]

    def reload_if_changed(self) -> bool:
        """Read the file again if it changed; a face's ticker calls this every second or so.

        Returns:
            whether other keys are in force now.

        Raises:
            ApiKeyError: the file is missing or broken; the keys held stay in force.
        """
        if self._stat() == self._stamp:
            return False
        self._stamp, self._held = self._read()
        self.generation += 1
        return True

    def _stat(self) -> tuple[int, int, int]:
        try:
            status = self.file.stat()
        except OSError as problem:
            raise ApiKeyError(f"{self.file}: {problem.strerror}; `sixfold api-keys add` makes the file") from None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> tuple[tuple[int, int, int], dict[str, tuple[str, Identity, str]]]:
        stamp = self._stat()  # before reading, so that a change in between is seen the next time
        held: dict[str, tuple[str, Identity, str]] = {}
        for number, line in enumerate(self.file.read_bytes().splitlines(), start=1):
            record = _record(self.file, number, line)
            if record is None:
                continue
            if record.hash in held:
                raise ApiKeyError(f"{self.file}:{number}: this key stands twice; delete one of the lines")
            held[record.hash] = (record.hash, _identity(record), record.name)
        return stamp, held


def _first(problem: ValidationError) -> str:
    first = problem.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"`{where}`: {first['msg']}" if where else first["msg"]


def _identity(record: KeyRecord) -> Identity:
    client = record.client_id or record.owner
    claims: dict[str, Any] = {"sub": record.owner, "client_id": client, "scope": " ".join(record.scopes)}
    claims["roles"] = list(record.roles)
    if record.tenant:
        claims["tenant"] = record.tenant
    return Identity(
        record.owner,
        issuer="api-key",
        client_id=client,
        scopes=frozenset(record.scopes),
        roles=frozenset(record.roles),
        tenant=record.tenant,
        claims=MappingProxyType(claims),
        scheme="api-key",
        expires=int(record.expires.timestamp() * _SECOND) if record.expires else 0,
    )
