"""Compiles `[authentication]`: per issuer what a token must be, per operation what a caller must show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sixfold.decision import Headers, Mode, Rule
from sixfold.identity import Identity
from sixfold.layers.authentication.challenge import Challenger, check_resource
from sixfold.layers.authentication.claims import mapper
from sixfold.policy.document import ClaimMapping, Issuer
from sixfold.policy.model import Operation, Policy, weaker

DEV_ISSUER: Final = "https://dev.sixfold.localhost"
DEV_AUDIENCE: Final = "sixfold-dev"
# Kinds of JWT that are never an access token, whatever a policy says (JWT-05).
NEVER_ACCESS: Final = frozenset(
    (
        "dpop+jwt", "logout+jwt", "secevent+jwt", "oauth-authz-req+jwt", "client-authentication+jwt",
        "token-introspection+jwt", "id+jwt",
    )
)  # fmt: skip


class RuleError(ValueError):
    """A policy that cannot be enforced as written: rule (file, line), reason and remedy."""

    def __init__(self, rule: Rule, reason: str, remedy: str) -> None:
        super().__init__(f"{rule}: {reason}; {remedy}")
        self.rule = rule
        self.reason = reason
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class IssuerRules:
    """What a token of one issuer must be.

    Arguments:
        algorithms: allow-list (RS-01).
        typ: media types in lower case without `application/`; "jwt" stands for an absent `typ` as well.
        audience: a token must be for one of these (RS-08).
        client_as_audience: `client_id` stands in for a missing `aud` (Amazon Cognito's access tokens have none).
        identity: claims, issuer, expiry in microseconds to Identity; raises `BadClaim`.
        rules: where each key stands: "issuer", "algorithms", "typ", "audience", "claims", "jwks".
    """

    issuer: str
    algorithms: frozenset[str]
    typ: frozenset[str]
    audience: frozenset[str]
    client_as_audience: bool
    identity: Callable[[dict[str, Any], str, int], Identity]
    rules: Mapping[str, Rule]


class Demand(NamedTuple):
    """What one operation asks of a caller.

    Arguments:
        open: without a credential the caller is ANONYMOUS.
        off: nothing is checked here at all.
        challenge: headers of each refusal, by code.
        rule: where the operation says so.
    """

    open: bool
    off: bool
    mode: Mode
    challenge: Mapping[str, Headers]
    rule: Rule


def compile_issuers(policy: Policy) -> dict[str, IssuerRules]:
    """Compile the issuers of a policy.

    Raises:
        RuleError: no audience at all, an algorithm that does not fit the kind of key, an issuer that stands twice.
    """
    table = policy.document.authentication
    common = _names(table.audience)
    compiled: dict[str, IssuerRules] = {}
    if table.issuer == "dev":
        rules = _rules(policy, "authentication")
        audience = common or frozenset((DEV_AUDIENCE,))
        compiled[DEV_ISSUER] = IssuerRules(
            DEV_ISSUER,
            frozenset(("ES256",)),
            frozenset(("at+jwt",)),
            audience,
            False,
            mapper(ClaimMapping()),
            rules,
        )
    for number, issuer in enumerate(table.issuers):
        rules = _rules(policy, f"authentication.issuers.{number}")
        if issuer.audience is None:
            rules["audience"] = policy.rule("authentication.audience")
        if issuer.issuer in compiled:
            raise RuleError(rules["issuer"], "this issuer stands twice", "keep one table per issuer")
        compiled[issuer.issuer] = _compile_issuer(issuer, common, rules)
    return compiled


def _compile_issuer(issuer: Issuer, common: frozenset[str], rules: Mapping[str, Rule]) -> IssuerRules:
    audience = _names(issuer.audience) or common
    if not audience:
        raise RuleError(
            rules["audience"],
            "no audience is set, so tokens for any other API would pass",
            "write the identifier of this API as `[authentication] audience`",
        )
    typ = frozenset(media_type(name) for name in issuer.typ)
    if bad := sorted(typ & NEVER_ACCESS):
        raise RuleError(rules["typ"], f"`{bad[0]}` is never an access token", 'write `typ = ["at+jwt"]`')
    return IssuerRules(
        issuer.issuer,
        _algorithms(issuer, rules),
        typ,
        audience,
        issuer.claims.audience == "client_id",
        mapper(issuer.claims),
        rules,
    )


def _algorithms(issuer: Issuer, rules: Mapping[str, Rule]) -> frozenset[str]:
    """Return the allow-list; a secret and public keys never stand side by side (RS-03)."""
    if issuer.secret is not None and issuer.jwks is not None:
        raise RuleError(
            rules["jwks"],
            "`secret` and `jwks` contradict each other",
            "keep `jwks`; the issuer signs by a key pair",
        )
    if issuer.secret is None and issuer.jwks is None:
        raise RuleError(
            rules["jwks"],
            "neither `jwks` nor `secret` is set, so no token could be verified",
            "write `jwks` with the `jwks_uri` of the issuer's discovery document",
        )
    said = "algorithms" in issuer.model_fields_set
    if issuer.secret is not None:
        if said and issuer.algorithms != ["HS256"]:
            raise RuleError(rules["algorithms"], "a secret verifies HS256 only", 'write `algorithms = ["HS256"]`')
        return frozenset(("HS256",))
    if "HS256" in issuer.algorithms:
        raise RuleError(
            rules["algorithms"],
            "HS256 beside public keys lets anybody sign with them",
            "remove HS256 from the list",
        )
    if not issuer.algorithms:
        raise RuleError(rules["algorithms"], "an empty list accepts no token", "leave `algorithms` out")
    return frozenset(issuer.algorithms)


def compile_demands(policy: Policy) -> tuple[Demand, ...]:
    """Compile what each operation asks, by `operation.index`.

    Raises:
        RuleError: a `resource` that is no resource identifier.
    """
    table = policy.document.authentication
    if table.resource is not None and (wrong := check_resource(table.resource)):
        raise RuleError(policy.rule("authentication.resource"), wrong, "write the API's public base URL")
    tokens = table.issuer is not None or bool(table.issuers)
    challenger = Challenger(table.resource, tokens=tokens, key_header=table.api_keys.header if table.api_keys else "")
    return tuple(_demand(operation, table.mode, challenger) for operation in policy.operations)


def _demand(operation: Operation, table_mode: Mode, challenger: Challenger) -> Demand:
    mode = weaker(table_mode, operation.modes.get("authentication", "enforce"))
    off = mode == "off"
    challenge = challenger.challenge(operation)
    return Demand(off or operation.access == "public", off, mode, challenge, operation.rule)


def media_type(name: str) -> str:
    """Return a `typ` as it is compared: lower case, without `application/` (RFC 7515 section 4.1.9)."""
    return name.lower().removeprefix("application/")


def _names(value: str | list[str] | None) -> frozenset[str]:
    if value is None:
        return frozenset()
    return frozenset((value,)) if isinstance(value, str) else frozenset(value)


def _rules(policy: Policy, table: str) -> dict[str, Rule]:
    keys = ("issuer", "algorithms", "typ", "audience", "claims", "jwks")
    return {key: policy.rule(f"{table}.{key}") for key in keys}
