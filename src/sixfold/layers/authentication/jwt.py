"""Access tokens as JWT (RFC 9068 section 4, RFC 8725bis, RFC 7519).

Everything that needs no key is checked first, so that a token which cannot pass costs no signature and asks
no issuer for keys. What a token says about itself chooses nothing but the row of the policy it must meet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidSignature

from sixfold.decision import Rule
from sixfold.identity import Identity
from sixfold.layers.authentication.claims import BadClaim, kind
from sixfold.layers.authentication.compact import Malformed, decode, read_object, split
from sixfold.layers.authentication.invalid import Invalid
from sixfold.layers.authentication.jwk import Verify
from sixfold.layers.authentication.rules import IssuerRules, media_type
from sixfold.layers.authentication.words import expected, shown, span

_SECOND: Final = 1_000_000
_LAST_SECOND: Final = 253_402_300_799  # the end of the year 9999; a later expiry is a mistake or an overflow
_HEADERS_KEPT: Final = 256
# Claims of other kinds of JWT. They count only for an issuer that does not say `at+jwt` (RS-06, JWT-05).
_MARKS: Final[Mapping[str, str]] = {
    "nonce": "an ID token", "at_hash": "an ID token", "c_hash": "an ID token", "s_hash": "an ID token",
    "events": "a logout token or security event", "htm": "a DPoP proof", "htu": "a DPoP proof",
    "ath": "a DPoP proof",
    "redirect_uri": "a request object", "response_type": "a request object",
    "token_introspection": "an introspection answer",
}  # fmt: skip
_ACCESS_WORDS: Final = frozenset(("bearer", "at+jwt", "jwt", "access"))  # of the claims `typ` and `token_use`


class Header(NamedTuple):
    """What counts of a JOSE header. `jku`, `jwk`, `x5u` and `x5c` do not (RS-04)."""

    alg: str
    typ: str
    kid: str


class Candidate(NamedTuple):
    """A token that will do if its signature does.

    Arguments:
        rules: of its issuer.
        header: with the key id to look for.
        expires: microseconds since the epoch.
    """

    rules: IssuerRules
    header: Header
    claims: dict[str, Any]
    expires: int
    signature: bytes
    signed: bytes


class Tokens:
    """Judges tokens by the rules of their issuers. One per policy.

    Arguments:
        issuers: by issuer identifier.
        limit: largest token in bytes.
        leeway: microseconds that `nbf` and `iat` may lie ahead. `exp` has none: RFC 9068 section 4 permits a
            little, but a token that is over is refused to the second, as the holder was promised.
        rule: for what belongs to no issuer.
    """

    def __init__(self, issuers: Mapping[str, IssuerRules], *, limit: int, leeway: int, rule: Rule) -> None:
        self._issuers = issuers
        self._limit = limit
        self._leeway = leeway
        self._rule = rule
        self._headers: dict[bytes, Header] = {}

    def read(self, token: bytes, now: int) -> Candidate:
        """Check all of a token but its signature.

        Arguments:
            token: the bytes after `Bearer `.
            now: microseconds since the epoch.

        Raises:
            Invalid: with the refusal's code.
        """
        try:
            encoded, payload, signature, signed = split(token, self._limit)
            header = self._headers.get(encoded) or self._header(encoded)
            claims = read_object(payload, "payload")
        except Malformed as problem:
            raise Invalid("token-malformed", str(problem), _malformed_remedy(token), self._rule) from None
        rules = self._issuer(claims.get("iss"))
        if header.alg not in rules.algorithms:
            raise _algorithm(header.alg, rules)
        _check_kind(header.typ, claims, rules)
        _check_audience(claims, rules)
        return Candidate(rules, header, claims, self._check_times(claims, now, rules), signature, signed)

    def _header(self, encoded: bytes) -> Header:
        """Read a header. All tokens of a key have the same one, so the last few are kept."""
        raw = read_object(decode(encoded, "header"), "header")
        if "crit" in raw or "b64" in raw:
            raise Malformed("the header asks for an extension (`crit`, `b64`) that is not understood")
        for name in ("alg", "typ", "kid"):
            if not isinstance(raw.get(name, ""), str):
                raise Malformed(f"`{name}` of the header is {kind(raw[name])}; a string is expected")
        header = Header(raw.get("alg", ""), media_type(raw.get("typ", "")), raw.get("kid", ""))
        if len(self._headers) >= _HEADERS_KEPT:
            self._headers.clear()
        self._headers[encoded] = header
        return header

    def _issuer(self, iss: Any) -> IssuerRules:
        """Find the issuer by exact comparison (RS-07)."""
        if type(iss) is not str:
            reason = "`iss` is missing" if iss is None else f"`iss` is {kind(iss)}; a string is expected"
            raise Invalid("token-claims", reason, "use an access token of the configured issuer", self._rule)
        rules = self._issuers.get(iss)
        if rules is None:
            raise _unknown_issuer(iss, self._issuers, self._rule)
        return rules

    def _check_times(self, claims: dict[str, Any], now: int, rules: IssuerRules) -> int:
        """Check `exp`, `nbf` and `iat` (RS-09, RS-10); return the expiry in microseconds."""
        expires = _time(claims, "exp", rules)
        if expires is None:
            raise Invalid("token-claims", "`exp` is missing", "an access token must end", rules.rules["issuer"])
        if expires <= now:
            raise Invalid(
                "token-expired",
                f"`exp` was {span(now - expires)} ago",
                "get a new token; if it is fresh, compare the clocks of issuer and gateway",
                rules.rules["issuer"],
            )
        for name in ("nbf", "iat"):
            start = _time(claims, name, rules)
            if start is not None and start > now + self._leeway:
                raise Invalid(
                    "token-not-yet",
                    f"`{name}` is {span(start - now)} ahead; {span(self._leeway)} of leeway are allowed",
                    "compare the clocks of issuer and gateway",
                    rules.rules["issuer"],
                )
        return expires


def confirm(candidate: Candidate, verify: Verify) -> Identity:
    """Check the signature and build the Identity.

    Raises:
        Invalid: a wrong signature, or a claim that the mapping cannot read.
    """
    rules = candidate.rules
    try:
        verify(candidate.signature, candidate.signed)
    except InvalidSignature:
        raise Invalid(
            "token-signature",
            f"the signature does not verify with the key of {shown(rules.issuer)}",
            "the token was altered, cut, or signed by another key with the same `kid`",
            rules.rules["jwks"],
        ) from None
    try:
        return rules.identity(candidate.claims, rules.issuer, candidate.expires)
    except BadClaim as problem:
        raise Invalid(
            "token-claims",
            str(problem),
            "correct `claims` of this issuer in the policy",
            rules.rules["claims"],
        ) from None


def _check_kind(typ: str, claims: dict[str, Any], rules: IssuerRules) -> None:
    """Refuse what is no access token (RS-06, JWT-05) or is bound to a key that cannot be checked (RS-15)."""
    if (typ or "jwt") not in rules.typ:
        found = f"`typ` is {shown(typ)}" if typ else "`typ` is missing"
        raise Invalid(
            "token-type",
            f"{found}, expected {expected(rules.typ)}",
            "send the access token, not the ID token; for an issuer that marks access tokens otherwise "
            'say so in its table: `typ = ["JWT"]`',
            rules.rules["typ"],
        )
    if typ != "at+jwt":
        _check_marks(claims, rules)
    if "cnf" in claims:
        raise Invalid(
            "token-binding",
            "the token has `cnf`: it is bound to a key (DPoP or mutual TLS), which cannot be checked here",
            "ask the issuer for a plain bearer token for this API",
            rules.rules["issuer"],
        )


def _check_marks(claims: dict[str, Any], rules: IssuerRules) -> None:
    mark = next((f"`{name}`, the mark of {what}" for name, what in _MARKS.items() if name in claims), "")
    for name in ("typ", "token_use"):  # Keycloak's and Cognito's own words for the kind of token
        word = claims.get(name, "access")
        if not isinstance(word, str) or word.lower() not in _ACCESS_WORDS:
            mark = f"`{name}` with a word for another kind of token"
    if mark:
        raise Invalid(
            "token-type", f"the token has {mark}", "send the access token, not another of this issuer",
            rules.rules["typ"],
        )  # fmt: skip


def _check_audience(claims: dict[str, Any], rules: IssuerRules) -> None:
    """Check that the token is for this API (RS-08)."""
    found = claims.get("aud")
    if found is None and rules.client_as_audience and "aud" not in claims:
        found = claims.get("client_id")
    if type(found) is str:
        fits = found in rules.audience
    elif type(found) is list and all(type(item) is str for item in found):
        fits = not rules.audience.isdisjoint(found)
    elif found is None and "aud" not in claims:
        fits = False
    else:
        raise Invalid(
            "token-claims", f"`aud` is {kind(found)}; a string or a list of strings is expected",
            "use an access token for this API", rules.rules["audience"],
        )  # fmt: skip
    if not fits:
        wanted = expected(rules.audience)
        raise Invalid(
            "token-audience",
            f"aud is {shown(found) if found is not None else 'missing'}, expected {wanted}",
            f"the token is for another API: ask the issuer for audience {wanted} "
            "(the client's parameter `audience` or `resource`)",
            rules.rules["audience"],
        )


def _time(claims: dict[str, Any], name: str, rules: IssuerRules) -> int | None:
    """Read a NumericDate (RFC 7519 section 2) as microseconds. A string or a boolean is no number (F-27)."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if type(value) is int and 0 <= value <= _LAST_SECOND:
        return value * _SECOND
    if type(value) is float and 0 <= value <= _LAST_SECOND:
        return int(value * _SECOND)
    found = "out of range" if type(value) in (int, float) else kind(value)
    raise Invalid(
        "token-claims", f"`{name}` is {found}; seconds since 1970 as a number are expected",
        "the issuer must send times as JSON numbers", rules.rules["issuer"],
    )  # fmt: skip


def _algorithm(alg: str, rules: IssuerRules) -> Invalid:
    unsigned = alg.lower() in ("none", "")
    return Invalid(
        "token-algorithm",
        f"alg is {shown(alg)}, expected {expected(rules.algorithms)}",
        "unsigned tokens are never accepted"
        if unsigned
        else "let the issuer sign with one of these, or add the algorithm to `algorithms` of this issuer",
        rules.rules["algorithms"],
    )


def _unknown_issuer(iss: str, issuers: Mapping[str, IssuerRules], rule: Rule) -> Invalid:
    close = next((known for known in issuers if known.rstrip("/") == iss.rstrip("/")), None)
    remedy = "use a token of a configured issuer, or add a table `[[authentication.issuers]]` for this one"
    if close is not None:
        remedy = "only the final slash differs: write `issuer` in the policy exactly as the token has it"
    return Invalid("token-issuer", f"iss is {shown(iss)}, expected {expected(issuers)}", remedy, rule)


def _malformed_remedy(token: bytes) -> str:
    if b"." not in token:
        return "an opaque token cannot be checked here: ask the issuer for a JWT (usually by naming an audience)"
    return "send the access token exactly as the issuer gave it: `Authorization: Bearer <token>`"
