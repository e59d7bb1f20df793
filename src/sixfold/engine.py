"""The engine: a policy and the state it works on. Faces ask it; a reload makes a new one over the same state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sixfold.decision import Refusal, Reply
from sixfold.flow import Flow, Permit, check
from sixfold.forwarded import trust
from sixfold.identity import ANONYMOUS
from sixfold.layers.authentication import ApiKeyStore, Authentication, KeyRings, resource_metadata
from sixfold.layers.authorization import Authorization
from sixfold.layers.encryption import Encryption
from sixfold.layers.gateway import Gateway
from sixfold.layers.gateway.check import UNLISTED, unlisted_operation
from sixfold.layers.gateway.identity_header import Signer
from sixfold.layers.rate_limiting import RateLimiting
from sixfold.layers.rate_limiting.store import LimitStore
from sixfold.layers.validation import Validation
from sixfold.policy.errors import PolicyError, Problem
from sixfold.policy.model import Policy, weaker
from sixfold.request import Canonicaliser, Pair, Request

JWKS_PATH = "/.well-known/sixfold/jwks.json"


@dataclass(slots=True)
class State:
    """What outlives a policy.

    Arguments:
        limits: counters.
        keys: signing keys of the issuers.
        api_keys: hashed API keys, or None.
        signer: signs `Sixfold-Identity`, or None.
        hosts: hosts served when the policy names none; None for any.
    """

    limits: LimitStore
    keys: KeyRings
    api_keys: ApiKeyStore | None = None
    signer: Signer | None = None
    hosts: frozenset[str] | None = None


class Engine:
    """Six layers over one policy.

    Arguments:
        policy: compiled.
        state: what outlives it.

    Raises:
        PolicyError: a layer cannot be built from the policy; file, line and remedy are in the text.
    """

    def __init__(self, policy: Policy, state: State) -> None:
        if policy.document.gateway.mode != "enforce" and not _has_unlisted(policy):
            policy = replace(policy, operations=(*policy.operations, unlisted_operation(policy)))
        self.policy = policy
        self.state = state
        table = policy.document.gateway
        self.metadata = _replies(policy, state)
        checked = policy.document.validation
        self.answer_mode = weaker(checked.mode, checked.response)  # whether and how answers are held to their contract
        try:
            self.canonicaliser = Canonicaliser(
                trusted=trust(table.trusted_proxies),
                header=table.forwarded_header,
                max_target=table.max_target,
                max_headers=table.max_headers,
                max_header=table.max_header,
                rule=policy.rule("gateway"),
            )
            self.gateway = Gateway(policy, hosts=state.hosts, signer=state.signer, replies=self.metadata)
            self.encryption = Encryption(policy)
            self.rate_limiting = RateLimiting(policy, state.limits)
            self.authentication = Authentication(policy, state.keys, state.api_keys)
            self.authorization = Authorization(policy)
            self.validation = Validation(policy)
        except ValueError as problem:
            raise PolicyError(Problem(str(problem))) from problem

    def check(self, request: Request) -> Flow:
        """Start the flow for a request."""
        return check(self, request)

    def render(
        self, refusal: Refusal | Reply, request: Request | None, *, tls: bool = False
    ) -> tuple[int, list[Pair], bytes]:
        """Return status, headers and body of an answer that Sixfold gives itself; security headers included.

        Arguments:
            request: None when it could not even be read.
            tls: whether the connection is encrypted, where there is no request to say so.
        """
        headers: list[Pair]
        if type(refusal) is Reply:
            own, body = refusal.headers, refusal.body
            said = {name for name, _ in own} - {b"vary"}
            headers = self.gateway.answer(request, None, ANONYMOUS, [])
            headers = [*own, *(pair for pair in headers if pair[0] not in said)]
        else:
            assert isinstance(refusal, Refusal)  # noqa: S101 (narrowing for the type checker only)
            body = refusal.problem()
            headers = self.gateway.answer(request, None, ANONYMOUS, [(b"content-type", PROBLEM)])
            headers.extend(refusal.headers)
        self.encryption.headers(request, headers, tls=tls)
        return refusal.status, headers, body


PROBLEM = b"application/problem+json; charset=utf-8"


def _has_unlisted(policy: Policy) -> bool:
    return any(operation.operation_id == UNLISTED for operation in policy.operations)


def _replies(policy: Policy, state: State) -> Mapping[str, Reply]:
    """Return the documents that Sixfold serves itself: identity keys, resource metadata (RFC 9728)."""
    kind = (b"content-type", b"application/json; charset=utf-8")
    cached = (b"cache-control", b"public, max-age=300")
    replies: dict[str, Reply] = {}
    if state.signer is not None and policy.document.gateway.identity:
        replies[JWKS_PATH] = Reply(200, (kind, cached), state.signer.jwks)
    metadata = resource_metadata(policy)
    if metadata is not None:
        path, body = metadata
        replies[path] = Reply(200, (kind, cached), body)
    return replies


__all__ = ["Engine", "Flow", "Permit", "State"]
