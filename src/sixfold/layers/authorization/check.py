"""Authorization's verb."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sixfold.decision import Refusal
from sixfold.identity import Identity
from sixfold.layers.authorization.rights import Rights
from sixfold.layers.authorization.roles import expand
from sixfold.layers.authorization.rules import Gate, compile_gate, granting
from sixfold.layers.authorization.step_up import StepUp
from sixfold.policy.model import Operation, Policy
from sixfold.request import Request

_ROOM: Final = "authorization"


class Authorization:
    """May they.

    Arguments:
        policy: the compiled policy.

    Raises:
        ValueError: roles, requirements or conditions that cannot work; the text starts with file and line.
    """

    def __init__(self, policy: Policy) -> None:
        self._roles = expand(policy)
        self._rights = Rights(policy, self._roles)
        self._gates = tuple([compile_gate(policy, operation, self._roles) for operation in policy.operations])

    def may(
        self, request: Request, operation: Operation, identity: Identity, parameters: Mapping[str, str]
    ) -> Refusal | None:
        """Return None if the caller may call this operation on this object.

        Arguments:
            request: the canonical request.
            operation: that was asked for.
            identity: who asks.
            parameters: decoded path parameters by name.

        Returns:
            403 `operation-not-ruled`, `insufficient-scope` or `condition-failed`; 401 `insufficient-authentication`.
        """
        gate = self._gates[operation.index]
        if gate is None:
            return None
        try:
            allowed = identity.memo[_ROOM][operation.index]
        except KeyError:
            allowed = self._judge(gate, operation.index, identity)
        if not allowed:
            return self._refuse(gate, identity)
        if gate.step_up is not None and (lacking := gate.step_up.lacking(identity, request.now)):
            return _step_up(gate, gate.step_up, lacking)
        for text, holds in gate.conditions:
            if not holds(request, identity, parameters):
                return _condition_failed(gate, text)
        return None

    def _judge(self, gate: Gate, index: int, identity: Identity) -> bool:
        """Decide by access and requirement; nothing else counts, so the identity keeps the verdict."""
        allowed = gate.access == "public" or (
            bool(identity)
            and (
                gate.access == "authenticated"
                or any(not self._rights.missing(identity, names) for names in gate.require)
            )
        )
        if identity:  # nobody is one constant for all policies, so nothing is kept there
            identity.memo.setdefault(_ROOM, {})[index] = allowed
        return allowed

    def _refuse(self, gate: Gate, identity: Identity) -> Refusal:
        if gate.access == "require":
            return self._insufficient(gate, identity)
        if gate.access == "authenticated":
            reason, remedy = "nobody is signed in", "send a credential"
        elif gate.said:
            reason, remedy = (
                "the policy denies this operation to everybody",
                "remove `deny = true` from the route",
            )
        else:
            reason = f'no rule for `{gate.name}`, and `[authorization] default` is "deny"'
            remedy = f'add [[routes]] with match = "{gate.name}" and `require`, `authenticated` or `public`'
        return Refusal("operation-not-ruled", gate.rule, reason=reason, remedy=remedy, mode=gate.mode)

    def _insufficient(self, gate: Gate, identity: Identity) -> Refusal:
        """Name what is missing of the alternative that is nearest (M6, RS-20)."""
        lacking = min((self._rights.missing(identity, names) for names in gate.require), key=len, default=[])
        shown = " and ".join(f"role `{name[1:]}`" if name[0] == "@" else f"`{name}`" for name in lacking)
        roles = granting(self._roles, lacking)
        return Refusal(
            "insufficient-scope",
            gate.rule,
            reason=f"missing {shown}; the caller has {_held(identity)}",
            remedy=_remedy(shown, roles),
            detail=f"missing: {shown}",
            headers=() if identity.scheme == "api-key" else gate.challenge,
            mode=gate.mode,
        )


def _held(identity: Identity) -> str:
    roles = ", ".join(sorted(identity.roles)) or "none"
    scopes = ", ".join(sorted(identity.scopes)) or "none"
    return f"roles: {roles}; scopes: {scopes}"


def _remedy(shown: str, roles: list[str]) -> str:
    if not roles:
        return f"grant {shown} to a role, or issue a token with that scope"
    named = " or ".join(f"`{role}`" for role in roles)
    return f"give the caller role {named}, and a token whose scopes leave room for it"


def _step_up(gate: Gate, step_up: StepUp, lacking: str) -> Refusal:
    return Refusal(
        "insufficient-authentication",
        gate.rule,
        reason=lacking,
        remedy="let the user sign in again as the challenge says, or change `acr` and `max_age` of the route",
        headers=step_up.challenge,
        mode=gate.mode,
    )


def _condition_failed(gate: Gate, text: str) -> Refusal:
    return Refusal(
        "condition-failed",
        gate.rule,
        reason=f"`{text}` does not hold, or a fact it needs is missing",
        remedy="call with an object of one's own, or change `when` of the route",
        mode=gate.mode,
    )
