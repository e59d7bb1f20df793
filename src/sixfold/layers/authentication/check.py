"""Who calls: `known` for a credential that was verified before, `who` for every other."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from sixfold.decision import Refusal, Rule
from sixfold.identity import ANONYMOUS, Identity
from sixfold.layers.authentication.api_key import ApiKeys
from sixfold.layers.authentication.cache import Cache
from sixfold.layers.authentication.invalid import Invalid
from sixfold.layers.authentication.jwk import Verify
from sixfold.layers.authentication.jwks import KeyRings
from sixfold.layers.authentication.jwt import Candidate, Tokens, confirm
from sixfold.layers.authentication.key_file import ApiKeyStore
from sixfold.layers.authentication.key_ring import KeyRing, Missing
from sixfold.layers.authentication.rules import Demand, RuleError, compile_demands, compile_issuers
from sixfold.needs import KeySet, Need, Unavailable
from sixfold.policy.model import Operation, Policy
from sixfold.request import Request

_SCHEMES: Final = frozenset(["basic", "digest", "dpop", "negotiate", "hoba", "mutual", "vapid", "apikey", "token"])
_SECOND: Final = 1_000_000


class Authentication:
    """The fourth layer. One per policy: its caches of verified credentials start empty with each.

    Arguments:
        policy: compiled.
        keys: key rings of the policy's issuers; they outlive the policy.
        api_keys: the store behind `[authentication.api_keys]`, None if the policy has no such table.

    Raises:
        RuleError: the policy cannot be enforced as written.
    """

    def __init__(self, policy: Policy, keys: KeyRings, api_keys: ApiKeyStore | None) -> None:
        table = policy.document.authentication
        off = table.mode == "off"
        self._demands = compile_demands(policy)
        self._off = frozenset(index for index, demand in enumerate(self._demands) if demand.off)
        self._rule = policy.rule("authentication.issuers" if table.issuers else "authentication")
        issuers = {} if off else compile_issuers(policy)
        self._rings = {issuer: _ring(policy, keys, issuer) for issuer in issuers}
        leeway = int(table.leeway * _SECOND)
        self._tokens = Tokens(issuers, limit=table.max_token, leeway=leeway, rule=self._rule)
        self._cache = Cache(table.cache)
        self._keys = None if off or table.api_keys is None else ApiKeys(policy, table.api_keys, api_keys)

    def known(self, request: Request, operation: Operation) -> Identity | None:
        """Return the caller if the credential was verified before; ANONYMOUS if none is sent and none needed.

        Every hit checks again what may have changed: expiry, the issuer's keys, a second credential (RS-17).

        Returns:
            None if `who` must decide.
        """
        if operation.index in self._off:
            return ANONYMOUS
        first = request.fields.first
        header = first.get(b"authorization")
        keys = self._keys
        if keys is not None and keys.header in first:
            return keys.known(request) if header is None else None
        if header is None:
            return ANONYMOUS if self._demands[operation.index].open else None
        return self._cache.get(header, request.now)

    def who(self, request: Request, operation: Operation) -> Generator[Need, Any, Identity | Refusal]:
        """Find out who calls.

        Yields:
            KeySet, if the issuer's keys are not there yet or the token's key is not among them.

        Returns:
            Identity, ANONYMOUS for a public operation without a credential, or Refusal. A credential that
            was sent is never ignored: a bad one is refused on public operations too (RFC 6750 section 3.1).
        """
        demand = self._demands[operation.index]
        if demand.off:
            return ANONYMOUS
        header = request.fields.first.get(b"authorization")
        keys = self._keys
        try:
            if keys is not None and (sent := keys.count(request)):
                if sent > 1 or header is not None:
                    raise self._ambiguous()
                return keys.who(request)
            if header is not None:
                return (yield from self._bearer(header, request.now))
            if demand.open:
                return ANONYMOUS
            raise self._nothing_sent(request, demand)
        except Invalid as no:
            headers = demand.challenge[no.code]
            return Refusal(no.code, no.rule, reason=no.reason, remedy=no.remedy, headers=headers, mode=demand.mode)

    def _bearer(self, header: bytes, now: int) -> Generator[Need, Any, Identity]:
        token = _token(header, self._rule)
        candidate = self._tokens.read(token, now)
        ring = self._rings[candidate.rules.issuer]
        identity = confirm(candidate, (yield from _key(ring, candidate, now)))
        if len(header) == len(token) + len("Bearer "):  # with more blanks, one token would have thousands of spellings
            self._cache.put(header, identity, candidate.expires, ring)
        return identity

    def _ambiguous(self) -> Invalid:
        remedy = "send one: a token or one API key"
        return Invalid("credentials-ambiguous", "more than one credential in one request", remedy, self._rule)

    def _nothing_sent(self, request: Request, demand: Demand) -> Invalid:
        reason, remedy = "no credential was sent", "send an access token: `Authorization: Bearer <token>`"
        if b"access_token=" in request.query:
            reason = "no credential was sent in a header; a token in the query does not count"
        if self._keys:
            remedy += f", or an API key: `{self._keys.header.decode()}: <key>`"
        return Invalid("credentials-missing", reason, remedy, demand.rule)


def _key(ring: KeyRing, candidate: Candidate, now: int) -> Generator[Need, Any, Verify]:
    """Return the key for a token; fresh keys are asked for at most once, and only if that may help now."""
    header = candidate.header
    found = ring.find(header.kid, header.alg, now)
    if isinstance(found, Missing) and found.ask and ring.may_ask(now):
        answer = yield KeySet(ring.source.issuer, header.kid)
        found = ring.find(header.kid, header.alg, now)
        if isinstance(found, Missing) and isinstance(answer, Unavailable):
            found = found._replace(reason=f"{found.reason}; asking the issuer failed: {answer.reason}")
    if isinstance(found, Missing):
        raise Invalid(found.code, found.reason, found.remedy, candidate.rules.rules["jwks"])
    return found


def _token(header: bytes, rule: Rule) -> bytes:
    """Return the token of an `Authorization` header; the scheme has no case (RFC 9110 section 11.1).

    Another scheme counts as no credential of ours, so the answer names no error (RFC 6750 section 3.1).
    """
    scheme, _, token = header.partition(b" ")
    if scheme.lower() == b"bearer":
        return token.lstrip(b" ")
    name = scheme.decode("latin-1").lower()
    found = f"the scheme `{name}`" if name in _SCHEMES else "an unknown scheme, or none"
    reason = f"`Authorization` uses {found}; Bearer is expected"
    raise Invalid("credentials-missing", reason, "send `Authorization: Bearer <token>`", rule)


def _ring(policy: Policy, keys: KeyRings, issuer: str) -> KeyRing:
    ring = keys.get(issuer)
    if ring is None:
        rule = policy.rule("authentication.issuers")
        raise RuleError(rule, "the key rings are of another policy", "use `KeyRings.adopt(policy)`")
    return ring
