"""API keys: `<prefix>_<27 random characters><6 of checksum>`, kept only as SHA-256 (TOK-21, TOK-22, TOK-23).

The prefix lets secret scanners find a leaked key, the checksum tells a typo from a revoked key without a look-up. A key
has 160 random bits, so a plain hash protects it at rest: there is nothing to guess.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

from pydantic import AwareDatetime, Field, StringConstraints, ValidationError

from sixfold.identity import Identity
from sixfold.policy.document import Name, Table

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM: Final = 27  # 62 ** 27 > 2 ** 160
_CHECKSUM: Final = 6  # 62 ** 6 > 2 ** 32
_SECOND: Final = 1_000_000
_FOREVER: Final = 2**63 - 1
_PRINTABLE: Final = StringConstraints(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")


class KeyRecord(Table):
    """What is kept of a key: one line of JSON in the key file.

    Arguments:
        hash: SHA-256 of the whole key, 64 hexadecimal digits.
        name: what people call the key.
        owner: who answers for it; the `subject` of its Identity.
        client_id: the application, the owner if it is empty.
        expires: None for never.
    """

    hash: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    name: Annotated[str, _PRINTABLE] = ""
    owner: Annotated[str, _PRINTABLE, Field(min_length=1)]
    client_id: Annotated[str, _PRINTABLE] = ""
    scopes: list[Name] = []
    roles: list[Name] = []
    tenant: Annotated[str, _PRINTABLE] = ""
    created: AwareDatetime | None = None
    expires: AwareDatetime | None = None


def make_key(
    prefix: str,
    *,
    owner: str,
    now: int,
    name: str = "",
    client_id: str = "",
    scopes: Iterable[str] = (),
    roles: Iterable[str] = (),
    tenant: str = "",
    lifetime: int | None = None,
) -> tuple[str, KeyRecord]:
    """Make a key. It is shown once; only the record is kept (`append`).

    Arguments:
        prefix: `[authentication.api_keys] prefix`.
        now: microseconds since the epoch.
        lifetime: seconds, None for a key without end.
    """
    body = prefix + "_" + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    key = body + checksum(body.encode())
    record = KeyRecord(
        hash=fingerprint(key.encode()),
        name=name,
        owner=owner,
        client_id=client_id,
        scopes=list(scopes),
        roles=list(roles),
        tenant=tenant,
        created=_moment(now),
        expires=None if lifetime is None else _moment(now + lifetime * _SECOND),
    )
    return key, record


def append(file: Path, record: KeyRecord) -> None:
    """Add a record to a key file, which is made with mode 0600 if it is not there."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "wb") as stream:
        stream.write(record.model_dump_json(exclude_defaults=True).encode() + b"\n")


def fingerprint(key: bytes) -> str:
    """Return what is stored of a key."""
    return sha256(key).hexdigest()


def checksum(body: bytes) -> str:
    """Return the six characters of CRC-32 that end a key; they protect against typos, not against anybody."""
    value = zlib.crc32(body)
    digits = ""
    for _ in range(_CHECKSUM):
        value, digit = divmod(value, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits


def well_formed(prefix: str) -> re.Pattern[bytes]:
    """Return the form of keys with a prefix."""
    return re.compile(re.escape(prefix).encode() + rb"_[0-9A-Za-z]{%d}" % (_RANDOM + _CHECKSUM))


class ApiKeyError(ValueError):
    """A key file that cannot be read; the message names file and line."""


class ApiKeyStore:
    """The keys of one file. `generation` changes with every reload, so that nothing cached outlives a revoked key.

    Arguments:
        file: one JSON record per line; empty lines and lines that start with `#` are skipped.

    Raises:
        ApiKeyError: the file is missing, or a line is no record.
    """

    usable_until: Final = _FOREVER  # a file does not go stale; see KeyRing

    def __init__(self, file: Path) -> None:
        self.file = file
        self.generation = 0
        self._stamp, self._entries = self._read()

    def find(self, key: bytes) -> tuple[Identity, str] | None:
        """Return the identity behind a key and the key's name, or None. Whether it has expired is for the caller."""
        found = fingerprint(key)
        entry = self._entries.get(found)
        # The look-up is by hash, so its time says nothing about a key; the comparison keeps the rule all the same.
        if entry is None or not hmac.compare_digest(entry[0], found):
            return None
        return entry[1], entry[2]

    def reload_if_changed(self) -> bool:
        """Read the file again if it changed; a face's ticker calls this every second or so.

        Returns:
            whether other keys are in force now.

        Raises:
            ApiKeyError: the file is missing or broken; the keys held stay in force.
        """
        if self._stat() == self._stamp:
            return False
        self._stamp, self._entries = self._read()
        self.generation += 1
        return True

    def _stat(self) -> tuple[int, int, int]:
        try:
            status = self.file.stat()
        except OSError as problem:
            raise ApiKeyError(f"{self.file}: {problem.strerror}; `sixfold keys` makes the file") from None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> tuple[tuple[int, int, int], dict[str, tuple[str, Identity, str]]]:
        stamp = self._stat()  # before reading: a change in between is seen the next time
        entries: dict[str, tuple[str, Identity, str]] = {}
        for number, line in enumerate(self.file.read_bytes().splitlines(), start=1):
            if not line.strip() or line.startswith(b"#"):
                continue
            try:
                record = KeyRecord.model_validate_json(line, strict=False)
            except ValidationError as problem:
                first = problem.errors(include_url=False, include_input=False)[0]
                where = ".".join(str(part) for part in first["loc"])
                raise ApiKeyError(f"{self.file}:{number}: {where or 'record'}: {first['msg']}") from None
            if record.hash in entries:
                raise ApiKeyError(
                    f"{self.file}:{number}: hash: this key stands twice; delete one of the lines"
                )
            entries[record.hash] = (record.hash, _identity(record), record.name)
        return stamp, entries


def _identity(record: KeyRecord) -> Identity:
    client = record.client_id or record.owner
    claims = {
        "sub": record.owner,
        "client_id": client,
        "scope": " ".join(record.scopes),
        "roles": record.roles,
    }
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


def _moment(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds // _SECOND, UTC)
