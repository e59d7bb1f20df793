"""The last refusals of this process, for `sixfold explain ID` (EXP-01). Bounded, in memory, newest win."""

from __future__ import annotations

import datetime
from typing import Any, Final

from sixfold.decision import CODES, Refusal
from sixfold.request import Request

KEPT: Final = 10_000
_PATH: Final = 500  # characters kept of a path


class Record:
    """One refusal with its circumstances; turned into words only when somebody asks.

    Arguments:
        refusal: what was said.
        now: microseconds since the epoch.
        method, path, address: of the request; empty where it could not be read.
        caller: subject of the caller, where known.
    """

    __slots__ = ("address", "caller", "method", "now", "path", "refusal")

    def __init__(
        self, refusal: Refusal, now: int, request: Request | None, caller: str = "", address: str = ""
    ) -> None:
        self.refusal = refusal
        self.now = now
        self.method = request.method if request is not None else ""
        self.path = request.path[:_PATH] if request is not None else ""
        self.address = request.address if request is not None else address
        self.caller = caller

    def story(self) -> dict[str, Any]:
        """Return everything the operator may know."""
        refusal = self.refusal
        rule = refusal.rule
        return {
            "decision": refusal.id,
            "time": moment(self.now),
            "method": self.method,
            "path": self.path,
            "address": self.address,
            "caller": self.caller,
            "result": "refused" if refusal.mode == "enforce" else "would refuse",
            "status": refusal.status,
            "code": refusal.code,
            "layer": refusal.layer,
            "title": CODES[refusal.code].title,
            "detail": refusal.detail,
            "rule": {"name": rule.name, "file": rule.file, "line": rule.line},
            "reason": refusal.reason,
            "remedy": refusal.remedy,
            "errors": [fault.public() for fault in refusal.faults],
        }


class Decisions:
    """The last `KEPT` refusals by decision id."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}

    def add(self, record: Record) -> None:
        """Remember a refusal, and forget the oldest."""
        self._records[record.refusal.id] = record
        if len(self._records) > KEPT:
            del self._records[next(iter(self._records))]

    def find(self, prefix: str) -> list[Record]:
        """Return the records whose id starts with the prefix (upper or lower case, with or without `d-`)."""
        wanted = "d-" + prefix.removeprefix("d-").removeprefix("D-").upper()
        record = self._records.get(wanted)
        if record is not None:
            return [record]
        return [record for identifier, record in self._records.items() if identifier.startswith(wanted)]

    def last(self, count: int) -> list[Record]:
        """Return the newest records, newest first."""
        return list(self._records.values())[: -count - 1 : -1]


def moment(now: int) -> str:
    """Return a time in RFC 3339, UTC, milliseconds."""
    stamp = datetime.datetime.fromtimestamp(now / 1_000_000, datetime.UTC)
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")
