"""Attacks: on Sixfold over real sockets as in `tests/proxy`, or on the engine in this process."""

from __future__ import annotations

from ..proxy.conftest import guard, guarding, make_upstream, until_fixture, upstream  # noqa: TID252 (beside this one)

__all__ = ["guard", "guarding", "make_upstream", "until_fixture", "upstream"]
