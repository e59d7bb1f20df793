"""What encryption compiles from the policy."""

from __future__ import annotations

from sixfold.policy.document import Hsts
from sixfold.policy.model import Policy


def hsts_value(hsts: Hsts) -> bytes:
    """Return the value of Strict-Transport-Security (RFC 6797 section 6.1)."""
    value = f"max-age={int(hsts.max_age)}"
    if hsts.include_subdomains:
        value += "; includeSubDomains"
    if hsts.preload:
        value += "; preload"
    return value.encode()


def check_channel(policy: Policy) -> None:
    """Refuse combinations that only look encrypted.

    Raises:
        ValueError: with file, line and remedy.
    """
    document = policy.document
    mode = document.encryption.mode
    where = policy.rule("encryption.mode")
    if mode == "behind-proxy" and document.gateway.trusted_proxies in ([], 0):
        raise ValueError(f'{where}: mode "behind-proxy" needs `[gateway] trusted_proxies`: who ends TLS for us?')
    if mode == "dev":
        address = document.gateway.listen.rpartition(":")[0].strip("[]")
        if not document.gateway.listen.startswith("unix:") and address not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError(
                f'{policy.rule("gateway.listen")}: mode "dev" listens on loopback only, not on `{address}`; '
                'use mode "tls" with a certificate'
            )
