"""Imagined calls: the same flow, with a caller who is supposed. Behind `[[expect]]`, `explain` and `acting_as`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import orjson

from sixfold.decision import Refusal, Reply
from sixfold.engine import Engine, State
from sixfold.flow import Permit, drive
from sixfold.identity import Identity
from sixfold.layers.authentication import Authentication
from sixfold.needs import Body, Need, Unavailable
from sixfold.policy import PolicyError, Problem
from sixfold.policy import expect as expectations
from sixfold.policy.document import As
from sixfold.policy.model import Operation, Policy
from sixfold.request import Peer, Request
from sixfold.store.memory import MemoryStore


class Supposed:
    """Stands in for the authentication layer and knows the caller already. No configuration can reach it (API-07)."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def known(self, request: Request, operation: Operation) -> Identity:
        """Return the supposed caller."""
        return self._identity


def identity_of(caller: As) -> Identity:
    """Return the Identity of the caller that an expectation names."""
    scopes = caller.scopes.split() if isinstance(caller.scopes, str) else caller.scopes
    claims: dict[str, Any] = {
        "sub": caller.subject, "client_id": caller.client_id, "scope": " ".join(scopes), **caller.claims,
    }  # fmt: skip
    return Identity(
        caller.subject,
        issuer="urn:sixfold:supposed",
        client_id=caller.client_id,
        scopes=frozenset(scopes),
        roles=frozenset(caller.roles),
        tenant=caller.tenant,
        claims=claims,
    )


class Rehearsal:
    """Judges imagined calls by a policy, with counters of its own.

    Arguments:
        policy: compiled.
        state: of a running engine, or a fresh one; its counters are not touched.
    """

    def __init__(self, policy: Policy, state: State) -> None:
        store = MemoryStore(max_keys=1000)
        own = State(limits=store, keys=state.keys, api_keys=state.api_keys, hosts=None)
        self._engine = Engine(policy, own)
        self._hosts = policy.document.gateway.hosts
        behind = policy.document.encryption.mode == "behind-proxy"
        self._peer = Peer("" if behind else "127.0.0.1", tls=True)
        self._authentication = self._engine.authentication

    def judge(self, line: str, caller: As | str, headers: Mapping[str, str], body: Any = None) -> tuple[int, str]:
        """Return the status the call would get (200 where it would be forwarded) and the refusal's code, or "".

        Arguments:
            line: `GET /orders?limit=1`.
            caller: an imagined caller, or "anonymous".
        """
        decision = self.decide(line, caller, headers, body)
        if isinstance(decision, Permit):
            decision.close()
            return 200, ""
        return decision.status, decision.code if isinstance(decision, Refusal) else ""

    def decide(
        self, line: str, caller: As | str, headers: Mapping[str, str], body: Any = None
    ) -> Permit | Refusal | Reply:
        """Return the decision on an imagined call; see `judge`."""
        method, _, target = line.strip().partition(" ")
        raw = b"" if body is None else body.encode() if isinstance(body, str) else orjson.dumps(body)
        engine = self._engine
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        names = {name for name, _ in pairs}
        if b"host" not in names:
            pairs.append((b"host", (self._hosts[0] if self._hosts else "localhost").encode()))
        if raw and b"content-type" not in names:
            pairs.append((b"content-type", b"application/json"))
        fields = engine.canonicaliser.fields(pairs)
        if isinstance(fields, Refusal):
            return fields
        now = time.time_ns() // 1000
        request = engine.canonicaliser.request(
            method.encode(), target.strip().encode(), fields, self._peer, now, len(raw)
        )
        if isinstance(request, Refusal):
            return request
        supposed: Authentication | Supposed = (
            Supposed(identity_of(caller)) if isinstance(caller, As) else self._authentication
        )
        engine.authentication = supposed  # type: ignore[assignment]

        def fetch(need: Need) -> Any:
            return raw if type(need) is Body else Unavailable("an imagined call fetches nothing")

        return drive(engine.check(request), fetch)


def rehearse(policy: Policy, state: State) -> None:
    """Run the expectations that a policy carries (CFG-06).

    Raises:
        PolicyError: one of them does not hold.
    """
    if not policy.document.expect:
        return
    outcomes = expectations.run(policy.document.expect, Rehearsal(policy, state).judge)
    problems = []
    for outcome in outcomes:
        if not outcome.met:
            rule = policy.rule(f"expect.{outcome.index}")
            problems.append(Problem(str(outcome), key=rule.name, file=rule.file, line=rule.line))
    if problems:
        raise PolicyError(*problems)
