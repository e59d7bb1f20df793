from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sixfold.layers.authorization import unneeded_grants


def test_grants_that_nobody_requires(bench: Callable[..., Any]) -> None:
    """M6: least privilege; `check` lists grants that no operation needs, with file and line."""
    roles = {
        "viewer": ["orders:read", "orders:list"],
        "admin": ["@viewer", "orders:*", "users:*", "*", "@viewer"],
    }
    b = bench({"roles": roles}, {"require": [["orders:read", "@admin"]]}, {"access": "public"})
    found = [(finding.rule.line, finding.text) for finding in unneeded_grants(b.policy)]
    assert found == [
        (12, "role `viewer` grants `orders:list`, which no operation requires"),
        (13, "role `admin` grants `users:*`, which no operation requires"),
    ]
    assert all(finding.remedy and finding.code == "unneeded-grant" for finding in unneeded_grants(b.policy))
