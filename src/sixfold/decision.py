"""What the flow decides, and how a "no" reads on the wire.

A `Refusal` is a value, not an error. This is the one table that turns what a layer found (a stable *code*) into
an HTTP status and a public text; nothing else in Sixfold picks a status.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, final

import orjson

LayerName = Literal[
    "gateway", "encryption", "rate_limiting", "authentication", "authorization", "validation", "upstream"
]
Mode = Literal["enforce", "shadow", "off"]
Headers = tuple[tuple[bytes, bytes], ...]

IANA: Final = "https://iana.org/assignments/http-problem-types#"


class Code(NamedTuple):
    """One row of the refusal table: who says it, with which status, in which public words."""

    layer: LayerName
    status: int
    title: str
    type: str = ""


CODES: Final[Mapping[str, Code]] = {
    # gateway: which door
    "malformed-request": Code("gateway", 400, "The request is not well-formed HTTP"),
    "malformed-target": Code("gateway", 400, "The request target is not in canonical form"),
    "ambiguous-header": Code("gateway", 400, "A header can be read in two ways"),
    "unknown-operation": Code("gateway", 404, "No operation has this path"),
    "method-not-allowed": Code("gateway", 405, "The path does not have this method"),
    "request-timeout": Code("gateway", 408, "The request did not arrive in time"),
    "body-too-large": Code("gateway", 413, "The body is too large"),
    "target-too-long": Code("gateway", 414, "The request target is too long"),
    "expectation-failed": Code("gateway", 417, "Only Expect: 100-continue is understood"),
    "unknown-host": Code("gateway", 421, "This host is not served here"),
    "headers-too-large": Code("gateway", 431, "The header section is too large"),
    "origin-refused": Code("gateway", 403, "This origin may not call the API from a browser"),
    "internal": Code("gateway", 500, "The request could not be judged, so it was refused"),
    "method-not-implemented": Code("gateway", 501, "This method is not implemented"),
    "transfer-not-implemented": Code("gateway", 501, "This transfer coding is not implemented"),
    "version-not-supported": Code("gateway", 505, "This HTTP version is not supported"),
    "overloaded": Code("gateway", 503, "Too many connections", IANA + "temporary-reduced-capacity"),
    # encryption: by what channel
    "tls-required": Code("encryption", 426, "This API is served over TLS only"),
    # rate limiting: how often
    "rate-exceeded": Code("rate_limiting", 429, "Too many requests", IANA + "quota-exceeded"),
    "quota-exceeded": Code("rate_limiting", 429, "The quota is used up", IANA + "quota-exceeded"),
    "concurrency-exceeded": Code("rate_limiting", 429, "Too many requests at once", IANA + "quota-exceeded"),
    "limits-unavailable": Code("rate_limiting", 503, "Limits cannot be checked at the moment"),
    # authentication: who
    "credentials-missing": Code("authentication", 401, "A credential is needed"),
    "credentials-ambiguous": Code("authentication", 400, "More than one credential was sent"),
    "token-malformed": Code("authentication", 401, "The token is malformed"),
    "token-algorithm": Code("authentication", 401, "The token's algorithm is not accepted"),
    "token-type": Code("authentication", 401, "This kind of token is not accepted here"),
    "token-issuer": Code("authentication", 401, "The token's issuer is not trusted"),
    "token-key": Code("authentication", 401, "The token's key is not known"),
    "token-signature": Code("authentication", 401, "The token's signature is wrong"),
    "token-audience": Code("authentication", 401, "The token was issued for another API"),
    "token-expired": Code("authentication", 401, "The token has expired"),
    "token-not-yet": Code("authentication", 401, "The token is not valid yet"),
    "token-claims": Code("authentication", 401, "A claim of the token is missing or malformed"),
    "token-binding": Code("authentication", 401, "The token is bound to a key that was not shown"),
    "api-key-invalid": Code("authentication", 401, "The API key is not valid"),
    "api-key-expired": Code("authentication", 401, "The API key has expired"),
    "keys-unavailable": Code("authentication", 503, "The issuer's keys cannot be had at the moment"),
    # authorization: may they
    "operation-not-ruled": Code("authorization", 403, "The policy allows nobody to call this operation"),
    "insufficient-authentication": Code("authorization", 401, "A stronger or more recent sign-in is needed"),
    "insufficient-scope": Code("authorization", 403, "A scope or permission is missing"),
    "condition-failed": Code("authorization", 403, "This object belongs to somebody else"),
    # validation: is it well formed
    "invalid-parameters": Code("validation", 400, "The parameters break the contract"),
    "invalid-body": Code("validation", 400, "The body breaks the contract"),
    "malformed-body": Code("validation", 400, "The body cannot be parsed safely"),
    "body-not-allowed": Code("validation", 400, "This operation takes no body"),
    "unsupported-media-type": Code("validation", 415, "The media type is not accepted here"),
    "response-contract": Code("validation", 502, "The API's answer broke its contract and was withheld"),
    # upstream: what stands behind
    "upstream-unreachable": Code("upstream", 502, "The API cannot be reached"),
    "upstream-malformed": Code("upstream", 502, "The API's answer was not well-formed HTTP"),
    "upstream-timeout": Code("upstream", 504, "The API did not answer in time"),
    "upstream-busy": Code("upstream", 503, "The API is busy"),
    "application-failed": Code("upstream", 500, "The API failed before it answered"),
    "draining": Code("upstream", 503, "This node is shutting down"),
}


class Rule(NamedTuple):
    """Where a rule stands, so that the operator can open it: `sixfold.toml:23 [[routes]] POST /orders`."""

    name: str
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        if not self.file:
            return self.name
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place} {self.name}"


class Fault(NamedTuple):
    """One thing that is wrong with an input. The offending *value* is never kept (EXP-03, LOG-01).

    Arguments:
        where: JSON Pointer into the body (`/lines/0/qty`), or a parameter (`query: limit`, `header: x-id`).
        expected: what the contract allows, in words.
        found: the type or kind found, never the value.
    """

    where: str
    expected: str
    found: str = ""

    def public(self) -> dict[str, str]:
        """Return the member of the problem's `errors` array."""
        key = "pointer" if self.where == "" or self.where.startswith("/") else "parameter"
        shown = {key: self.where, "detail": self.expected}
        if self.found:
            shown["found"] = self.found
        return shown


@final
class Refusal:
    """The rich "no".

    Arguments:
        code: a key of `CODES`; decides layer, status, title.
        rule: the rule that refused, with file and line.
        reason: the private reason, for the operator only. Holds no secret and no offending value.
        remedy: what would have made it pass, for the operator.
        detail: one public sentence more than the title, or "".
        headers: response headers this refusal demands (`WWW-Authenticate`, `Allow`, `Retry-After`).
        faults: one entry per input error.
        members: further members of the problem document (`violated-policies`).
        status: overrides the table's status (validation's 422 by choice).
        mode: of the rule that refused; the flow refuses only in `enforce`.
        close: the connection cannot be used any longer (framing in doubt).
    """

    __slots__ = (
        "close", "code", "detail", "faults", "headers", "layer", "members", "mode", "number", "reason", "remedy",
        "rule", "status",
    )  # fmt: skip

    def __init__(
        self,
        code: str,
        rule: Rule,
        *,
        reason: str = "",
        remedy: str = "",
        detail: str = "",
        headers: Headers = (),
        faults: tuple[Fault, ...] = (),
        members: Mapping[str, Any] | None = None,
        status: int = 0,
        mode: Mode = "enforce",
        close: bool = False,
    ) -> None:
        row = CODES[code]
        self.code = code
        self.layer = row.layer
        self.status = status or row.status
        self.rule = rule
        self.reason = reason
        self.remedy = remedy
        self.detail = detail
        self.headers = headers
        self.faults = faults
        self.members = members
        self.mode = mode
        self.close = close
        self.number = next_number()

    @property
    def id(self) -> str:
        """The decision id, `d-` and eight characters."""
        return decision_id(self.number)

    def problem(self) -> bytes:
        """Return the `application/problem+json` body (RFC 9457): public words only."""
        row = CODES[self.code]
        body: dict[str, Any] = {
            "type": row.type or f"urn:sixfold:{self.code}",
            "title": row.title,
            "status": self.status,
            "code": self.code,
            "decision": self.id,
        }
        if self.detail:
            body["detail"] = self.detail
        if self.faults:
            body["errors"] = [fault.public() for fault in self.faults]
        if self.members:
            body.update(self.members)
        return orjson.dumps(body)

    def __repr__(self) -> str:
        return f"Refusal({self.status} {self.code} by {self.rule}: {self.reason})"


@final
class Reply:
    """An answer that Sixfold gives itself: a CORS preflight, a metadata document. Nothing is forwarded.

    Arguments:
        status: HTTP status.
        headers: names in lower case.
        body: bytes.
    """

    __slots__ = ("body", "headers", "number", "status")

    def __init__(self, status: int, headers: Headers, body: bytes = b"") -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.number = next_number()

    @property
    def id(self) -> str:
        """The decision id."""
        return decision_id(self.number)


# Decision numbers count up in a process; the id scrambles them (a bijection on 40 bits, seeded per process), so that
# a short prefix is usually enough to name one decision and two workers hardly ever share an id.
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford: no I, L, O, U
_MASK: Final = (1 << 40) - 1
_ODD: Final = 0x9E3779B97F
_seed = int.from_bytes(os.urandom(5), "big")
_count = 0


def next_number() -> int:
    """Return the next decision number of this process."""
    global _count
    _count += 1
    return _count


def decision_id(number: int) -> str:
    """Return the id of a decision number: `d-` and eight Crockford base32 characters."""
    value = (number * _ODD + _seed) & _MASK
    return "d-" + "".join(_ALPHABET[(value >> shift) & 31] for shift in range(35, -1, -5))
