"""API keys: `<prefix>_<27 random characters><6 of checksum>` (TOK-21, TOK-22).

The prefix lets secret scanners find a leaked key; the checksum tells a typo from a revoked key without a
look-up. A key has 160 random bits, so a plain hash protects it at rest: there is nothing to guess.
"""

from __future__ import annotations

import re
import secrets
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from sixfold.identity import Identity
from sixfold.layers.authentication.cache import Cache
from sixfold.layers.authentication.invalid import Invalid
from sixfold.layers.authentication.key_file import ApiKeyStore, KeyRecord, fingerprint
from sixfold.layers.authentication.rules import RuleError
from sixfold.layers.authentication.words import span
from sixfold.policy.document import ApiKeys as ApiKeysTable
from sixfold.policy.model import Policy
from sixfold.request import SINGLE, Request

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM: Final = 27  # 62 ** 27 > 2 ** 160
_CHECKSUM: Final = 6  # 62 ** 6 > 2 ** 32
_SECOND: Final = 1_000_000
_TAKEN: Final = frozenset((b"authorization", b"cookie", b"host", b"proxy-authorization"))


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
        owner: who answers for it.
        now: microseconds since the epoch.
        name: what people call the key.
        client_id: the application; empty for the owner.
        scopes: what it may do.
        roles: roles it carries.
        tenant: of the owner, or "".
        lifetime: seconds, None for a key without end.
    """
    body = prefix + "_" + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    key = body + checksum(body.encode())
    record = KeyRecord(
        hash=fingerprint(key.encode()),
        name=name,
        owner=owner,
        client_id=client_id,
        scopes=tuple(scopes),
        roles=tuple(roles),
        tenant=tenant,
        created=_moment(now),
        expires=None if lifetime is None else _moment(now + lifetime * _SECOND),
    )
    return key, record


def checksum(body: bytes) -> str:
    """Return the six characters of CRC-32 that end a key; they protect against typos, not against anybody."""
    value = zlib.crc32(body)
    digits = ""
    for _ in range(_CHECKSUM):
        value, digit = divmod(value, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits


class ApiKeys:
    """API keys as one policy takes them.

    Arguments:
        policy: compiled.
        table: its `[authentication.api_keys]`.
        store: the hashed keys.

    Raises:
        RuleError: no store, or a header that has another meaning.
    """

    def __init__(self, policy: Policy, table: ApiKeysTable, store: ApiKeyStore | None) -> None:
        self._rule = policy.rule("authentication.api_keys")
        if store is None:
            raise RuleError(self._rule, "the file of the API keys was not opened", "use `ApiKeyStore.for_policy`")
        self.header = table.header.lower().encode("ascii")
        if self.header in _TAKEN:
            where = policy.rule("authentication.api_keys.header")
            raise RuleError(where, "this header has another meaning", 'write `header = "x-api-key"`')
        self._single = self.header in SINGLE  # then a request in which it came twice was refused at the door
        self._prefix = table.prefix
        self._form = re.compile(table.prefix.encode() + rb"_[0-9A-Za-z]{%d}" % (_RANDOM + _CHECKSUM))
        self._store = store
        self._cache = Cache(policy.document.authentication.cache)

    def count(self, request: Request) -> int:
        """Return how many keys a request carries."""
        if self._single:
            return self.header in request.fields.first
        return len(request.fields.all(self.header))

    def known(self, request: Request) -> Identity | None:
        """Return the caller if the same key was verified before."""
        identity = self._cache.get(request.fields.first[self.header], request.now)
        return identity if self._single or self.count(request) == 1 else None

    def who(self, request: Request) -> Identity:
        """Verify a key: form and checksum first, they cost no look-up.

        Raises:
            Invalid: with the refusal's code.
        """
        key = request.fields.first[self.header]
        if self._form.fullmatch(key) is None or checksum(key[:-_CHECKSUM]).encode() != key[-_CHECKSUM:]:
            reason = f"not of the form `{self._prefix}_...`, or its checksum is wrong"
            raise self._invalid("api-key-invalid", reason, "the key was mistyped or cut; copy it again")
        found = self._store.find(key)
        if found is None:
            remedy = "it was revoked or made for another environment; `sixfold api-keys add` makes a new one"
            raise self._invalid("api-key-invalid", "well-formed, but no such key is in the file", remedy)
        identity, name = found
        if identity.expires and request.now >= identity.expires:
            reason = f"the key `{name}` expired {span(request.now - identity.expires)} ago"
            raise self._invalid("api-key-expired", reason, "`sixfold api-keys add` makes a new one")
        identity = identity.renewed()  # what layers derive from it belongs to this policy
        self._cache.put(key, identity, identity.expires or self._store.usable_until, self._store)
        return identity

    def _invalid(self, code: str, reason: str, remedy: str) -> Invalid:
        return Invalid(code, reason, remedy, self._rule)


def _moment(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds // _SECOND, UTC)
