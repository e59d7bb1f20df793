"""Cross-origin access for browsers (Fetch standard, HDR-03). It lets browsers in; it keeps nobody out (M18)."""

from __future__ import annotations

from typing import Final

from sixfold.decision import Refusal, Reply, Rule
from sixfold.policy.document import Cors
from sixfold.request import Pair, Request

SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))


class CorsRules:
    """Exact origins, compiled. Without a `[gateway.cors]` table no foreign origin is let in.

    Arguments:
        table: the policy's table, or None.
        rule: where it stands.
    """

    def __init__(self, table: Cors | None, rule: Rule) -> None:
        self._rule = rule
        self._origins = frozenset(origin.encode() for origin in table.origins) if table else frozenset()
        self._methods = frozenset(table.methods) if table else frozenset()
        self._headers = frozenset(name.lower() for name in table.headers) if table else frozenset()
        extra: list[Pair] = []
        preflight: list[Pair] = []
        if table:
            if table.credentials:
                extra.append((b"access-control-allow-credentials", b"true"))
            preflight = [
                (b"access-control-allow-methods", ", ".join(table.methods).encode()),
                (b"access-control-allow-headers", ", ".join(sorted(self._headers)).encode()),
                (b"access-control-max-age", str(int(table.max_age)).encode()),
            ]
            if table.expose:
                extra.append((b"access-control-expose-headers", ", ".join(table.expose).encode()))
        self._extra = tuple(extra)
        self._preflight = tuple(preflight)

    @property
    def varies(self) -> bool:
        """Whether answers depend on `Origin`, so that caches must know."""
        return bool(self._origins)

    def preflight(self, request: Request, origin: bytes) -> Reply | Refusal:
        """Answer a preflight: no credential needed, and an origin that is not on the list learns nothing."""
        wanted = request.fields.get(b"access-control-request-headers") or b""
        names = {name.strip().lower() for name in wanted.decode("latin-1").split(",") if name.strip()}
        method = (request.fields.get(b"access-control-request-method") or b"").decode("latin-1")
        if origin not in self._origins or method not in self._methods or not names <= self._headers:
            return self._refuse("a preflight for an origin, method or header that is not on the list")
        vary = (b"vary", b"access-control-request-method, access-control-request-headers")
        return Reply(204, (*self._preflight, vary))  # `headers` adds the origin, as to every answer

    def foreign(self, request: Request, origin: bytes) -> Refusal | None:
        """Refuse a state-changing call that a browser makes from a page of a foreign origin."""
        if request.method in SAFE or origin in self._origins:
            return None
        if origin.decode("latin-1") == f"{request.scheme}://{request.host}":
            return None
        return self._refuse("a state-changing call from a page of an origin that is not on the list")

    def headers(self, origin: bytes | None, headers: list[Pair]) -> None:
        """Add what lets an allowed origin read the answer; `Vary: Origin` always."""
        headers.append((b"vary", b"origin"))
        if origin is not None and origin in self._origins:
            headers.append((b"access-control-allow-origin", origin))
            headers.extend(self._extra)

    def _refuse(self, reason: str) -> Refusal:
        return Refusal(
            "origin-refused", self._rule, reason=reason, remedy="add the exact origin to `[gateway.cors] origins`"
        )
