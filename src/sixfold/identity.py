"""Who calls."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Identity:
    """A caller whom the authentication layer knows, or `ANONYMOUS`.

    Immutable by agreement: one Identity is shared by all requests that carry the same verified credential.

    Arguments:
        subject: `sub` of the token, or the owner of the API key. "" for nobody.
        issuer: `iss` of the token; "api-key" for keys. A user is issuer + subject, never an e-mail address (RS-22).
        client_id: the application that calls.
        scopes, roles: as the policy's claim mapping found them.
        tenant: of the caller, or "".
        claims: all claims, read-only.
        scheme: "bearer", "api-key", or "" for nobody.
        expires: microseconds since the epoch, 0 for never.
    """

    __slots__ = (
        "claims", "client_id", "expires", "issuer", "key", "memo", "roles", "scheme", "scopes", "subject", "tenant",
    )  # fmt: skip

    def __init__(
        self,
        subject: str,
        *,
        issuer: str = "",
        client_id: str = "",
        scopes: frozenset[str] = frozenset(),
        roles: frozenset[str] = frozenset(),
        tenant: str = "",
        claims: Mapping[str, Any] = _NOTHING,
        scheme: str = "bearer",
        expires: int = 0,
    ) -> None:
        self.subject = subject
        self.issuer = issuer
        self.client_id = client_id
        self.scopes = scopes
        self.roles = roles
        self.tenant = tenant
        self.claims = claims
        self.scheme = scheme
        self.expires = expires
        self.key = f"{issuer}\x1f{subject}" if scheme else ""
        # What layers derive once per credential (permissions, limit keys, signed header), by layer.
        # Dropped with the Identity. A credential gets a new one for each policy, so nothing here outlives its policy.
        self.memo: dict[str, Any] = {}

    def renewed(self) -> Identity:
        """Return the same caller with nothing derived yet, for a policy that may derive something else."""
        return Identity(
            self.subject,
            issuer=self.issuer,
            client_id=self.client_id,
            scopes=self.scopes,
            roles=self.roles,
            tenant=self.tenant,
            claims=self.claims,
            scheme=self.scheme,
            expires=self.expires,
        )

    @property
    def auth_time(self) -> int | None:
        """When the user signed in, in seconds since the epoch (RFC 9068 section 2.2.1)."""
        value = self.claims.get("auth_time")
        return value if isinstance(value, int) else None

    @property
    def acr(self) -> str | None:
        """The authentication context class (RFC 9068 section 2.2.1)."""
        value = self.claims.get("acr")
        return value if isinstance(value, str) else None

    def __bool__(self) -> bool:
        return self.scheme != ""

    def __repr__(self) -> str:
        return f"Identity({self.subject!r} by {self.scheme or 'nobody'})"


ANONYMOUS: Final = Identity("", scheme="")
