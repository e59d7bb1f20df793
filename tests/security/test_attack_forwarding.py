"""What a caller writes into forwarding headers that a trusted proxy passes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

POLICY = """
[gateway]
hosts = ["localhost"]
trusted_proxies = {trusted}
forwarded_header = "{header}"
[authentication]
issuer = "dev"
[[routes]]
match = "GET /open"
public = true
"""


@pytest.mark.parametrize(
    "value",
    [
        "for=" + " " * 8000 + '"x',
        "for=" + " " * 8000 + "x y",
        ";" * 8000,
        "; " * 4000,
        "for = " * 1300,
        'for="' * 1600,
        "for=" + "a" * 8000 + " b",
        ";proto=" + " " * 8000 + "x",
        ";proto=https" + " " * 8000 + "x",
    ],
)
def test_no_forwarded_header_takes_long_to_read(
    engine: Callable[..., Any], ask: Callable[..., Any], value: str
) -> None:
    """HDR-04: a `Forwarded` of 8 kB that almost fits costs about as much as any other."""
    built = engine(POLICY.format(trusted=1, header="forwarded"))
    before = time.process_time()
    ask(built, "GET /open", {"Forwarded": value})
    assert time.process_time() - before < 0.1


@pytest.mark.parametrize(
    ("header", "value", "trusted", "address"),
    [
        ("x-forwarded-for", "6.6.6.6, 192.0.2.7", 1, "192.0.2.7"),
        ("x-forwarded-for", "6.6.6.6, 192.0.2.7, 10.0.0.2", 2, "192.0.2.7"),
        ("x-forwarded-for", "6.6.6.6, 192.0.2.7, 10.0.0.2", '["10.0.0.0/8"]', "192.0.2.7"),
        ("x-forwarded-for", "192.0.2.7, 10.0.0.9, 10.0.0.2", '["10.0.0.0/8"]', "192.0.2.7"),
        ("x-forwarded-for", "6.6.6.6, unknown", '["10.0.0.0/8"]', "10.0.0.1"),
        ("x-forwarded-for", "6.6.6.6, ::ffff:192.0.2.7", 1, "192.0.2.7"),
        ("x-forwarded-for", "6.6.6.6,", 1, "10.0.0.1"),
        ("forwarded", 'for="6.6.6.6, for=7.7.7.7;by=", for=192.0.2.7', 1, "192.0.2.7"),
        ("forwarded", 'for=6.6.6.6;for=7.7.7.7, for="[2001:db8::1]:80"', 1, "2001:db8::1"),
        ("forwarded", 'FOR = "192.0.2.7" ; proto=http', 1, "192.0.2.7"),
        ("forwarded", 'for="192.0.2.7', 1, "10.0.0.1"),
        ("x-forwarded-for", "6.6.6.6", "[]", "10.0.0.1"),
    ],
)
def test_the_hops_we_trust_name_the_caller(
    engine: Callable[..., Any], ask: Callable[..., Any], header: str, value: str, trusted: str, address: str
) -> None:
    """HDR-04: what stands left of the nearest hop that is not ours never counts."""
    built = engine(POLICY.format(trusted=trusted, header=header))
    assert ask(built, "GET /open", {header: value}, address="10.0.0.1").address == address
