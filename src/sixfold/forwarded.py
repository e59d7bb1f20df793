"""Whose word about the caller's address counts (HDR-04, UX-01; RFC 7239): nobody's, unless the policy says so."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final, Literal

# possessive, and no blank where two parts could both take it: a caller's text is tried once, not a thousand times
FOR: Final = re.compile(r'(?:^|;)\s*+for\s*+=\s*+("?)([^";,\s]*+)\1\s*+(?:;|$)', re.IGNORECASE)
PROTO: Final = re.compile(r'(?:^|;)\s*+proto\s*+=\s*+"?(https?)"?\s*+(?:;|$)', re.IGNORECASE)
_PRIVATE: Final = ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7", "fe80::/10")

Trust = Callable[[str], bool]


def trust(proxies: Literal["private"] | int | list[str]) -> Trust | int:
    """Compile `trusted_proxies`: a predicate over addresses, or the number of hops that are ours.

    Raises:
        ValueError: an entry that is no network.
    """
    if isinstance(proxies, int):
        return proxies
    if not proxies:
        return 0
    networks = [ip_network(text, strict=False) for text in (_PRIVATE if proxies == "private" else proxies)]
    return lambda address: _within(address, networks)


def _within(address: str, networks: list[IPv4Network | IPv6Network]) -> bool:
    if not address:
        return True  # a Unix socket: its file mode decides who may connect
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def plain_address(text: str) -> str | None:
    """Return the address of a forwarded hop (`1.2.3.4:80`, `[::1]:80`, quoted), or None for `unknown` and `_name`."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    if "%" in text:
        return None  # a zone may be any text, and means nothing on another machine
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    mapped = getattr(parsed, "ipv4_mapped", None)
    return str(mapped or parsed)


def rightmost(hops: list[str], address: str, trusted: Trust | int) -> str:
    """Walk from the nearest hop outwards and return the first that is not ours; never the leftmost by position."""
    for distance, hop in enumerate(reversed(hops), start=1):
        plain = plain_address(hop)
        if plain is None:
            return address  # `unknown`, obfuscated or forged: the last hop we can name
        address = plain
        if distance >= trusted if isinstance(trusted, int) else not trusted(plain):
            return address
    return address
