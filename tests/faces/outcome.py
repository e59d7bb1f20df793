"""How a case ended on a face, and what must be so."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from sixfold.decision import CODES, Refusal

from .book import Expected, Forwarded

Headers = list[tuple[str, str]]
# Written by whoever frames the message, so each face has its own.
_FRAMING = frozenset(("connection", "content-length", "date", "transfer-encoding", "keep-alive"))
_COUNTING = re.compile(r"(?:x-)?ratelimit(?:-\w+)?|retry-after")
_NUMBER = re.compile(r"\d+")


@dataclass
class Seen:
    """What the API got.

    Arguments:
        target: path and query.
        address: of the client, as the API is told.
        caller: subject, as the API is told; "" for nobody.
    """

    target: str
    headers: Headers
    body: bytes
    address: str = ""
    caller: str = ""

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass
class Outcome:
    """How a case ended.

    Arguments:
        headers: of the answer, names in lower case.
        told: codes of what was refused in shadow mode.
    """

    status: int
    headers: Headers
    body: bytes
    refusal: Refusal | None = None
    told: list[str] = field(default_factory=list)
    seen: Seen | None = None

    @property
    def code(self) -> str:
        return self.refusal.code if self.refusal is not None else ""

    @property
    def pointers(self) -> list[str]:
        return [fault.where for fault in self.refusal.faults] if self.refusal is not None else []

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name.lower()]

    def comparable(self) -> dict[str, object]:
        """Return what every face must agree on; numbers of limits depend on the moment."""
        seen = self.seen
        return {
            "status": self.status,
            "code": self.code,
            "pointers": self.pointers,
            "told": self.told,
            "headers": sorted(
                (name, _NUMBER.sub("N", value) if _COUNTING.fullmatch(name) else value)
                for name, value in self.headers
                if name not in _FRAMING
            ),
            "target": seen and seen.target,
            "body": seen and seen.body,
            "address": seen and seen.address,
            "caller": seen and seen.caller,
        }


def verify(outcome: Outcome, expected: Expected, *, method: str) -> None:
    """Hold an outcome against what was expected."""
    told = f"{outcome.refusal!r}" if outcome.refusal is not None else f"permitted {outcome.seen}"
    assert (outcome.status, outcome.code) == (expected.status, expected.code), told
    if outcome.refusal is not None:
        _verify_refusal(outcome, outcome.refusal, expected, method)
    for name, pattern in expected.headers.items():
        values = outcome.header(name)
        assert len(values) == 1, f"{name}: {values}"
        assert re.fullmatch(pattern, values[0]), f"{name}: {values[0]}"
    for name in expected.absent_headers:
        assert not outcome.header(name), name
    assert sorted(outcome.told) == sorted(expected.told), f"told {outcome.told}"
    if expected.forwarded is not None:
        assert outcome.seen is not None, "nothing was forwarded"
        _verify_forwarded(outcome.seen, expected.forwarded)
    elif expected.code and CODES[expected.code].layer != "upstream" and expected.code != "response-contract":
        assert outcome.seen is None, "what was refused reached the API"


def _verify_refusal(outcome: Outcome, refusal: Refusal, expected: Expected, method: str) -> None:
    assert expected.layer in (None, refusal.layer)
    assert refusal.reason, "a refusal tells the operator why"
    assert refusal.remedy, "a refusal tells the operator what would help"
    if expected.pointers:
        assert sorted(outcome.pointers) == sorted(expected.pointers), f"{outcome.pointers}"
    if expected.detail is not None:
        assert re.search(expected.detail, refusal.detail), refusal.detail
    if method == "HEAD":
        assert outcome.body == b""
        return
    problem = json.loads(outcome.body)
    assert (problem["status"], problem["code"]) == (expected.status, expected.code)
    assert problem["decision"] == refusal.id
    assert [error.get("pointer", error.get("parameter")) for error in problem.get("errors", [])] == outcome.pointers


def _verify_forwarded(seen: Seen, expected: Forwarded) -> None:
    for name in ("target", "address", "caller"):
        wanted = getattr(expected, name)
        assert wanted is None or getattr(seen, name) == wanted, f"{name}: {getattr(seen, name)}"
    if expected.body is not None:
        assert seen.body.decode() == expected.body
    for name, pattern in expected.headers.items():
        values = seen.header(name)
        assert len(values) == 1, f"{name}: {values}"
        assert re.fullmatch(pattern, values[0]), f"{name}: {values[0]}"
    for name in expected.absent_headers:
        assert not seen.header(name), f"{name}: {seen.header(name)}"
