"""Encryption's verbs."""

from __future__ import annotations

from sixfold.decision import Refusal
from sixfold.layers.encryption.rules import check_channel, hsts_value
from sixfold.policy.model import Policy
from sixfold.request import Pair, Request, encode


class Encryption:
    """By what channel.

    Arguments:
        policy: the compiled policy.

    Raises:
        ValueError: a combination that would only look encrypted.
    """

    def __init__(self, policy: Policy) -> None:
        check_channel(policy)
        table = policy.document.encryption
        self._plain_allowed = table.mode == "dev"
        self._rule = policy.rule("encryption.mode")
        self._hsts = (b"strict-transport-security", hsts_value(table.hsts)) if table.hsts else None
        self._line = encode([self._hsts]) if self._hsts is not None else b""

    def channel(self, request: Request) -> Refusal | None:
        """Refuse a request that came in clear; only mode "dev" (loopback) lets one pass."""
        if request.scheme == "https" or self._plain_allowed:
            return None
        return plain_http(self._rule)

    def headers(self, request: Request | None, headers: list[Pair], *, tls: bool = False) -> None:
        """Add HSTS, over TLS only (RFC 6797 section 7.2, HDR-01).

        Arguments:
            request: None when it could not even be read; then `tls` says how its connection is encrypted.
        """
        if self._hsts is not None and (request.scheme == "https" if request is not None else tls):
            headers.append(self._hsts)

    def line(self, request: Request) -> bytes:
        """Return the same as a header line, or nothing."""
        return self._line if request.scheme == "https" else b""


def plain_http(rule: object) -> Refusal:
    """Return the answer to a request in clear: 426, never a redirect (TLS-10, ASVS 4.1.2).

    Raising the version in the `Upgrade` header is what RFC 9110 section 15.5.22 asks for.
    """
    return Refusal(
        "tls-required",
        rule,  # type: ignore[arg-type]
        reason="the request came in clear, so its credential is no secret any more",
        remedy="call the https URL; replace a token that was sent in clear",
        headers=((b"upgrade", b"TLS/1.3, HTTP/1.1"), (b"connection", b"upgrade, close")),
        close=True,
    )
