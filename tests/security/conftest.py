"""Attacks: on Sixfold over real sockets as in `tests/proxy`, or on the engine in this process."""

from __future__ import annotations

from ..proxy.conftest import guard, guarding, make_upstream, upstream  # noqa: TID252 (a folder beside this one)

__all__ = ["guard", "guarding", "make_upstream", "upstream"]
