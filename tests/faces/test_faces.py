"""The book of cases through every face: each ends as the book says, and as the bare engine ends it."""

from __future__ import annotations

from typing import Any

import pytest

from .asgi_face import AsgiFace
from .book import Entry, Face, read_book
from .engine_face import EngineFace
from .outcome import Outcome, verify
from .proxy_face import ProxyFace


def cases(face: Face) -> Any:
    entries = [entry for entry in read_book() if entry.on(face)]
    return pytest.mark.parametrize("entry", entries, ids=[entry.id for entry in entries])


def same(outcome: Outcome, other: Outcome) -> None:
    """Hold two faces against each other, in all that every face must agree on."""
    assert outcome.comparable() == other.comparable()


@cases("engine")
def test_engine(engine_face: EngineFace, entry: Entry) -> None:
    verify(engine_face.play(entry), entry.case.expected, method=entry.case.method)


@cases("proxy")
def test_proxy(proxy_face: ProxyFace, engine_face: EngineFace, entry: Entry) -> None:
    outcome = proxy_face.play(entry)
    verify(outcome, entry.case.expected, method=entry.case.method)
    if entry.on("engine"):
        same(outcome, engine_face.play(entry))


@cases("asgi")
def test_asgi(asgi_face: AsgiFace, engine_face: EngineFace, entry: Entry) -> None:
    outcome = asgi_face.play(entry)
    verify(outcome, entry.case.expected, method=entry.case.method)
    if entry.on("engine"):
        same(outcome, engine_face.play(entry))
