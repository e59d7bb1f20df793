"""Who calls: `known` for a credential verified before, `who` for every other."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final, NamedTuple, Protocol

from sixfold.decision import Refusal, Rule
from sixfold.identity import ANONYMOUS, Identity
from sixfold.layers.authentication.api_key import ApiKeyStore, checksum, well_formed
from sixfold.layers.authentication.cache import Cache
from sixfold.layers.authentication.jwk import Verify
from sixfold.layers.authentication.jwks import FOREVER, KeyRing, KeyRings, Missing
from sixfold.layers.authentication.jwt import Candidate, Invalid, Tokens, confirm
from sixfold.layers.authentication.rules import Demand, RuleError, compile_demands, compile_issuers
from sixfold.layers.authentication.words import span
from sixfold.needs import KeySet, Need, Unavailable
from sixfold.policy.model import Operation, Policy
from sixfold.request import SINGLE, Request

_NO_HEADER: Final = b""  # no header has this name, so a look-up never finds one
_SCHEMES: Final = (
    "basic",
    "digest",
    "dpop",
    "negotiate",
    "hoba",
    "mutual",
    "scram-sha-256",
    "vapid",
    "apikey",
    "token",
)


class Source(Protocol):
    """What vouches for a credential: a key ring, or the store of API keys."""

    generation: int

    @property
    def usable_until(self) -> int:
        """Microseconds since the epoch."""


class Entry(NamedTuple):
    """A verified credential, and what each hit must check again."""

    identity: Identity
    until: int  # microseconds since the epoch
    source: KeyRing | ApiKeyStore
    generation: int


class Authentication:
    """The fourth layer. One per policy; its cache of verified credentials starts empty with each.

    Arguments:
        policy: compiled.
        keys: key rings of the policy's issuers; they outlive the policy.
        api_keys: the store behind `[authentication.api_keys]`, None if the policy has no such table.

    Raises:
        RuleError: the policy cannot be enforced as written.
    """

    def __init__(self, policy: Policy, keys: KeyRings, api_keys: ApiKeyStore | None) -> None:
        table = policy.document.authentication
        self._demands = compile_demands(policy)
        self._off = frozenset(index for index, demand in enumerate(self._demands) if demand.off)
        issuers = compile_issuers(policy) if table.mode != "off" else {}
        self._rings = {issuer: _ring(policy, keys, issuer) for issuer in issuers}
        self._rule = policy.rule("authentication.issuers" if table.issuers else "authentication")
        self._tokens = Tokens(
            issuers, limit=table.max_token, leeway=int(table.leeway * 1_000_000), rule=self._rule
        )
        self._cache: Cache[Entry] = Cache(table.cache)
        self._keys = ApiKeys(policy, api_keys) if table.api_keys and table.mode != "off" else None
        self._key_header = self._keys.header if self._keys else _NO_HEADER

    def known(self, request: Request, operation: Operation) -> Identity | None:
        """Return the caller if the same credential was verified before, ANONYMOUS if none is sent and none is needed.

        Every hit checks again what may have changed: expiry, the keys of the issuer, a second credential (RS-17). None
        means that `who` must decide.
        """
        first = request.fields.first
        header = first.get(b"authorization")
        if header is None:
            return self._known_without_token(request, operation)
        entry = self._cache.get(header)
        if entry is None or self._key_header in first:
            return ANONYMOUS if operation.index in self._off else None
        identity, until, source, generation = entry
        now = request.now
        if now >= until or now >= source.usable_until or generation != source.generation:
            return ANONYMOUS if operation.index in self._off else None
        return identity if operation.index not in self._off else ANONYMOUS

    def who(self, request: Request, operation: Operation) -> Generator[Need, Any, Identity | Refusal]:
        """Find out who calls.

        Yields:
            KeySet, if the issuer's keys are not there or do not hold the token's key.

        Returns:
            Identity, ANONYMOUS for a public operation without a credential, or Refusal. A credential that is sent is
            never ignored: a bad one is refused on public operations too (RFC 6750 section 3.1).
        """
        demand = self._demands[operation.index]
        fields = request.fields
        header = fields.first.get(b"authorization")
        keys = self._keys
        count = (header is not None) + (keys.count(request) if keys else 0)
        if demand.off or (count == 0 and demand.open):
            return ANONYMOUS
        if count == 0:
            return self._nothing_sent(request, demand)
        if count > 1:
            return self._refuse(
                demand,
                "credentials-ambiguous",
                self._rule,
                f"{count} credentials in one request",
                "send only one",
            )
        try:
            if header is None:
                assert keys is not None  # noqa: S101 (narrowing: count is 1 and it is not the token)
                return keys.who(request)
            return (yield from self._bearer(header, request.now))
        except Invalid as problem:
            return self._refuse(demand, problem.code, problem.rule, problem.reason, problem.remedy)

    def _known_without_token(self, request: Request, operation: Operation) -> Identity | None:
        keys = self._keys
        if keys is not None and keys.header in request.fields.first and operation.index not in self._off:
            return keys.known(request)
        return ANONYMOUS if self._demands[operation.index].open else None

    def _bearer(self, header: bytes, now: int) -> Generator[Need, Any, Identity]:
        candidate = self._tokens.read(_token(header, self._rule), now)
        ring = self._rings[candidate.rules.issuer]
        verify = yield from _key(ring, candidate, now)
        generation = ring.generation
        identity = confirm(candidate, verify)
        self._cache.put(header, Entry(identity, candidate.expires, ring, generation))
        return identity

    def _nothing_sent(self, request: Request, demand: Demand) -> Refusal:
        reason, remedy = "no credential was sent", "send an access token: `Authorization: Bearer <token>`"
        if b"access_token=" in request.query:
            reason = "no credential was sent in a header; a token in the query does not count"  # RS-16
        if self._keys:
            remedy += f", or an API key: `{self._keys.header.decode()}: <key>`"
        return self._refuse(demand, "credentials-missing", demand.rule, reason, remedy)

    def _refuse(self, demand: Demand, code: str, rule: Rule, reason: str, remedy: str) -> Refusal:
        headers = demand.challenge.errors[code]
        return Refusal(code, rule, reason=reason, remedy=remedy, headers=headers, mode=demand.mode)


class ApiKeys:
    """API keys in their header.

    Arguments:
        store: the hashed keys.
    """

    def __init__(self, policy: Policy, store: ApiKeyStore | None) -> None:
        table = policy.document.authentication.api_keys
        assert table is not None  # noqa: S101 (the caller looked)
        self._rule = policy.rule("authentication.api_keys")
        if store is None:
            raise RuleError(
                self._rule, "API keys are configured, but their file was not opened", "open `file`"
            )
        self.header = table.header.lower().encode("ascii")
        if self.header in (b"authorization", b"cookie", b"host"):
            raise RuleError(
                policy.rule("authentication.api_keys.header"),
                "this header has another meaning",
                'write "x-api-key"',
            )
        self._single = self.header in SINGLE  # then the request's own rule lets none pass that came twice
        self._form = well_formed(table.prefix)
        self._prefix = table.prefix
        self._store = store
        self._cache: Cache[Entry] = Cache(policy.document.authentication.cache)

    def count(self, request: Request) -> int:
        """Return how many keys a request carries."""
        if self._single:
            return self.header in request.fields.first
        return len(request.fields.all(self.header))

    def known(self, request: Request) -> Identity | None:
        """Return the caller if the same key was verified before."""
        entry = self._cache.get(request.fields.first[self.header])
        if entry is None or request.now >= entry.until or entry.generation != self._store.generation:
            return None
        return entry.identity if self._single or self.count(request) == 1 else None

    def who(self, request: Request) -> Identity:
        """Verify a key: form and checksum first, they cost no look-up.

        Raises:
            Invalid: with the refusal's code.
        """
        key = request.fields.first[self.header]
        if self._form.fullmatch(key) is None or checksum(key[:-6]).encode() != key[-6:]:
            raise Invalid(
                "api-key-invalid",
                f"not of the form `{self._prefix}_...`, or its checksum is wrong",
                "the key was mistyped or cut; copy it again",
                self._rule,
            )
        generation = self._store.generation
        found = self._store.find(key)
        if found is None:
            raise Invalid(
                "api-key-invalid",
                "well-formed, but no such key is in the file",
                "it was revoked, or made for another environment; make one with `sixfold keys`",
                self._rule,
            )
        identity, name = found
        if identity.expires and request.now >= identity.expires:
            ago = span(request.now - identity.expires)
            raise Invalid(
                "api-key-expired",
                f"the key `{name}` expired {ago} ago",
                "make a new one with `sixfold keys`",
                self._rule,
            )
        self._cache.put(key, Entry(identity, identity.expires or FOREVER, self._store, generation))
        return identity


def _key(ring: KeyRing, candidate: Candidate, now: int) -> Generator[Need, Any, Verify]:
    """Return the key for a token, asking for fresh keys at most once, and only if the issuer may be asked now."""
    header = candidate.header
    found = ring.find(header.kid, header.alg, now)
    if type(found) is Missing and found.ask and ring.may_ask(now):
        answer = yield KeySet(ring.source.issuer, header.kid)
        found = ring.find(header.kid, header.alg, now)
        if type(found) is Missing and type(answer) is Unavailable:
            found = found._replace(reason=f"{found.reason}; asking the issuer failed: {answer.reason}")
    if isinstance(found, Missing):
        raise Invalid(found.code, found.reason, found.remedy, candidate.rules.rules["jwks"])
    return found


def _token(header: bytes, rule: Rule) -> bytes:
    """Return the token of an `Authorization` header; the scheme is compared without case (RFC 9110 section 11.1)."""
    scheme, _, token = header.partition(b" ")
    if scheme.lower() == b"bearer":
        return token.lstrip(b" ")
    name = scheme.decode("latin-1").lower()
    found = f"the scheme `{name}`" if name in _SCHEMES else "an unknown scheme, or none"
    raise Invalid(
        "token-type",
        f"`Authorization` uses {found}; Bearer is expected",
        "send `Authorization: Bearer <token>`",
        rule,
    )


def _ring(policy: Policy, keys: KeyRings, issuer: str) -> KeyRing:
    ring = keys.get(issuer)
    if ring is None:
        raise RuleError(
            policy.rule("authentication.issuers"),
            "the key rings are of another policy",
            "use `KeyRings.adopt(policy)`",
        )
    return ring
