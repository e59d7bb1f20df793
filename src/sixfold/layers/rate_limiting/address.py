"""Which addresses share a bucket: IPv4 whole, IPv6 by prefix.

One household or server owns 2^64 IPv6 addresses and more; each could be a fresh bucket.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network


def grouping(ipv4_prefix: int, ipv6_prefix: int) -> Callable[[str], str]:
    """Return the function that turns a client address into the name of its bucket.

    Arguments:
        ipv4_prefix: length in bits.
        ipv6_prefix: length in bits.
    """
    # Few addresses call often; the cache is small, so that many addresses cannot fill the memory.
    parse = lru_cache(maxsize=8192)(lambda text: _group(text, ipv4_prefix, ipv6_prefix))
    if ipv4_prefix < 32:
        return parse
    return lambda text: parse(text) if ":" in text else text


def _group(text: str, ipv4_prefix: int, ipv6_prefix: int) -> str:
    try:
        address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    except ValueError:
        return ""  # a Unix socket, or a server that does not know: one bucket for all of them
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    prefix = ipv4_prefix if address.version == 4 else ipv6_prefix
    if prefix == address.max_prefixlen:
        return str(address)
    return str(ip_network((address, prefix), strict=False))
