from __future__ import annotations

import pytest

from sixfold.layers.rate_limiting.address import grouping


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("2001:db8:1:2::1", "2001:db8:1:2ff:ffff::1", False),
        ("2001:db8:1:201::1", "2001:db8:1:2ff:ffff::1", True),
        ("2001:DB8:1:201::1", "2001:db8:1:201::1", True),
        ("2001:db8:1:301::1", "2001:db8:1:201::1", False),
        ("fe80::1%eth0", "fe80::1%eth1", True),
        ("", "", True),
    ],
)
def test_addresses_that_share_a_bucket(one: str, other: str, same: bool) -> None:
    """Defence 2.2: IPv4 whole, IPv6 by /56, mapped addresses as what they are."""
    group = grouping(32, 56)
    assert (group(one) == group(other)) == same


def test_prefixes_by_choice() -> None:
    """Defence 2.2: the prefix is the operator's choice."""
    group = grouping(24, 128)
    assert group("192.0.2.1") == group("192.0.2.200") == group("::ffff:192.0.2.7")
    assert group("2001:db8::1") != group("2001:db8::2")
