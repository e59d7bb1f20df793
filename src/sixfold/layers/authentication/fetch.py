"""Getting a key set: the only I/O of this layer, never on the path of a known key (JWKS-01, F-30)."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

MAX_SIZE: Final = 256 * 1024  # bytes
MAX_TIME: Final = 5.0  # seconds, from the first packet to the last byte


class Failed(Exception):
    """The key set could not be had; the message is for the operator."""


def read(file: Path) -> bytes:
    """Read a key file.

    Raises:
        Failed: not readable, or larger than `MAX_SIZE`.
    """
    try:
        with file.open("rb") as stream:
            body = stream.read(MAX_SIZE + 1)
    except OSError as problem:
        raise Failed(f"the key file cannot be read: {problem.strerror}") from None
    _check_size(body)
    return body


async def get(url: str, context: ssl.SSLContext) -> bytes:
    """Fetch a key set: one GET, no redirect, status 200 only, capped in size and time.

    Arguments:
        url: as the policy says it, already checked; never from a token.
        context: TLS context.

    Raises:
        Failed: whatever went wrong.
    """
    import httpx2  # late: half a command line never fetches anything

    client = httpx2.AsyncClient(
        verify=context,
        follow_redirects=False,
        timeout=MAX_TIME,
        trust_env=not is_loopback(urlsplit(url).hostname),  # a company's proxy counts, but not for this machine
        headers={"accept": "application/jwk-set+json, application/json", "accept-encoding": "identity"},
    )
    try:
        async with asyncio.timeout(MAX_TIME), client, client.stream("GET", url) as response:
            if response.status_code != 200:
                raise Failed(f"the issuer answered {response.status_code}; redirects are not followed")
            if "content-encoding" in response.headers:
                raise Failed("the issuer sent a content coding that was not asked for")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                _check_size(body)
            return bytes(body)
    except TimeoutError:
        raise Failed(f"the issuer did not answer within {MAX_TIME:g} s") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as problem:
        raise Failed(f"the issuer cannot be reached ({type(problem).__name__})") from None


def is_loopback(host: str | None) -> bool:
    """Return whether a host of a URL is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _check_size(body: bytes | bytearray) -> None:
    if len(body) > MAX_SIZE:
        raise Failed(f"the key set is larger than {MAX_SIZE} bytes")
