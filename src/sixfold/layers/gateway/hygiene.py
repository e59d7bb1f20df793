"""Which headers never pass the gateway, in either direction."""

from __future__ import annotations

from typing import Final

from sixfold.request import FORWARDING, Fields, Pair, encode

HOP_BY_HOP: Final = frozenset(  # RFC 9110 section 7.6.1, and the old ones that people still send
    (
        b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization", b"te",
        b"trailer", b"transfer-encoding", b"upgrade", b"http2-settings",
    )
)  # fmt: skip
METHOD_OVERRIDES: Final = frozenset(
    (b"x-http-method-override", b"x-http-method", b"x-method-override")
)  # HDR-07: they would turn a permitted POST into a DELETE behind our back
REBUILT: Final = frozenset((b"host", b"content-length", b"expect"))
NEVER_UPSTREAM: Final = HOP_BY_HOP | METHOD_OVERRIDES | REBUILT | FORWARDING
# A client cannot use `Connection` to make us drop what protects the API (HDR-06).
PROTECTED: Final = frozenset(
    (b"authorization", b"x-api-key", b"dpop", b"cookie", b"content-type", b"content-length", b"host", b"origin")
)
# What tells an attacker what runs behind, and what only the gateway says.
NEVER_DOWNSTREAM: Final = HOP_BY_HOP | frozenset(
    (
        b"server", b"x-powered-by", b"x-aspnet-version", b"x-aspnetmvc-version", b"x-runtime", b"via", b"alt-svc",
        b"x-generator", b"x-envoy-upstream-service-time", b"strict-transport-security", b"x-content-type-options",
        # which origins may read is the policy's word alone (HDR-03)
        b"access-control-allow-origin", b"access-control-allow-credentials", b"access-control-allow-methods",
        b"access-control-allow-headers", b"access-control-expose-headers", b"access-control-max-age",
    )
)  # fmt: skip
RATE_HEADERS: Final = frozenset(
    (
        b"ratelimit", b"ratelimit-policy", b"ratelimit-limit", b"ratelimit-remaining", b"ratelimit-reset",
        b"x-ratelimit-limit", b"x-ratelimit-remaining", b"x-ratelimit-reset",
    )
)  # fmt: skip
# On every answer, refusals included (HDR-02).
SECURITY: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
# What frames the message, or is signed here, is written by us alone.
UNTOUCHABLE: Final = HOP_BY_HOP | REBUILT | {b"sixfold-identity"}


def is_ours(name: bytes) -> bool:
    """Return whether a header can only come from a gateway: `sixfold-identity`, `x-sixfold-user`, `remote-user`."""
    return name.startswith((b"sixfold-", b"x-sixfold-", b"x-remote-user", b"remote-user"))


def named_by_connection(fields: Fields, protected: frozenset[bytes] = PROTECTED) -> frozenset[bytes]:
    """Return the header names that `Connection` declares hop-by-hop and that may be dropped."""
    if fields.get(b"connection") is None:
        return frozenset()
    named = {name.strip().lower() for value in fields.all(b"connection") for name in value.split(b",") if name.strip()}
    return frozenset(name for name in named - protected if not is_ours(name) and name not in RATE_HEADERS)


class Shape:
    """What becomes of an answer's header section: depends on the names alone, so it is worked out once.

    Arguments:
        names: of the upstream's headers, in order, lower case.
        connection: values of `Connection`, which name further headers to drop.
        security: the headers that every answer carries unless the API says its own.
    """

    __slots__ = ("kept", "lines", "missing")

    def __init__(self, names: tuple[bytes, ...], connection: list[bytes], security: tuple[Pair, ...]) -> None:
        said = {name.strip().lower() for value in connection for name in value.split(b",")}
        dropped = NEVER_DOWNSTREAM | (said - {name for name, _ in security} - {b"content-type", b"content-length"})
        self.kept = tuple([index for index, name in enumerate(names) if name not in dropped and not is_ours(name)])
        present = {names[index] for index in self.kept}
        self.missing = tuple([pair for pair in security if pair[0] not in present])
        self.lines = encode(self.missing)
