"""Which tier a caller has: by client, by a claim, or by the role of the same name (M8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from sixfold.identity import Identity
from sixfold.layers.rate_limiting.rate import Rate
from sixfold.policy.model import Policy

_CLAIM: Final = "claim:"


def tier_of(policy: Policy, tiers: Mapping[str, Sequence[Rate]]) -> Callable[[Identity], str]:
    """Return the function that names the tier of a caller, "" for none. A client's own row comes first.

    Arguments:
        policy: the compiled policy.
        tiers: rates by tier. Of several tiers that fit, the most generous counts.

    Raises:
        ValueError: `tier` cannot be read, or a client has a tier that does not exist; with file and line.
    """
    table = policy.document.rate_limiting
    for client, tier in table.clients.items():
        if tier not in tiers:
            close = get_close_matches(tier, tiers, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(tiers) or 'none'}"
            raise ValueError(f"{policy.rule(f'rate_limiting.clients.{client}')}: no tier is named `{tier}`; {hint}")
    ranked = tuple(sorted(tiers, key=lambda name: _pace(tiers[name]), reverse=True))
    names = _names(policy)
    clients = dict(table.clients)

    def find(identity: Identity) -> str:
        tier = clients.get(identity.client_id)
        if tier is not None:
            return tier
        held = names(identity)
        return next((name for name in ranked if name in held), "")

    return find


def _pace(rates: Sequence[Rate]) -> float:
    """Return requests a second in the long run: the tightest of a tier's limits."""
    return min((rate.amount / rate.seconds for rate in rates if rate.seconds), default=0)


def _names(policy: Policy) -> Callable[[Identity], frozenset[str]]:
    """Return the function that finds the names a caller carries, among which a tier is looked for."""
    tier = policy.document.rate_limiting.tier
    if tier is None or tier == "role":
        return lambda identity: identity.roles
    if tier == "client":
        return lambda identity: frozenset()
    path = tier.removeprefix(_CLAIM)
    if path == tier or not path:
        where = policy.rule("rate_limiting.tier")
        raise ValueError(
            f'{where}: `{tier}` does not say where the tier stands; write "role", "client" or "claim:plan"'
        )
    return lambda identity: _claim(identity.claims, path)


def _claim(claims: Mapping[str, Any], path: str) -> frozenset[str]:
    value: Any = claims.get(path)
    if value is None:
        value = claims
        for step in path.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        return frozenset((value,))
    return (
        frozenset(item for item in value if isinstance(item, str)) if isinstance(value, (list, tuple)) else frozenset()
    )
