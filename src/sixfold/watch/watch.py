"""The one thing faces talk to."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from sixfold.decision import Refusal, Reply, decision_id
from sixfold.flow import Permit
from sixfold.request import Peer, Request
from sixfold.watch.access_log import AccessLog
from sixfold.watch.decisions import Decisions, Record, moment
from sixfold.watch.metrics import Metrics


class Served(Protocol):
    """What a face knows at the end of an exchange."""

    request: Request
    permit: Permit | None
    status: int
    sent: int
    code: str


class Watch:
    """Counts, logs and remembers.

    Arguments:
        log: the access log, or None.
        tail: called with each refusal's record, for a terminal; or None.
    """

    def __init__(self, log: AccessLog | None = None, tail: Callable[[Record], None] | None = None) -> None:
        self.metrics = Metrics()
        self.decisions = Decisions()
        self.log = log
        self.tail = tail
        self.answered: Callable[[Served, int], None] | None = None  # each answer with its duration in microseconds

    def refused(self, request: Request, refusal: Refusal) -> None:
        """A request was refused."""
        self._remember(Record(refusal, request.now, request))

    def told(self, permit: Permit) -> None:
        """A request was permitted although layers in shadow mode would have refused it."""
        for refusal in permit.told:
            self._remember(Record(refusal, permit.request.now, permit.request, permit.identity.subject))

    def answer_told(self, permit: Permit, refusal: Refusal) -> None:
        """An upstream's answer broke its contract, in shadow mode."""
        if refusal.mode != "enforce":  # in enforce mode it becomes the answer, and `refused` tells it
            self._remember(Record(refusal, permit.request.now, permit.request, permit.identity.subject))

    def unread(self, peer: Peer, refusal: Refusal) -> None:
        """Bytes came that are no canonical request."""
        now = time.time_ns() // 1000
        self._remember(Record(refusal, now, None, address=peer.address))
        self.metrics.served("", "", refusal.status, 0)
        if self.log is not None:
            self.log.add(
                {"time": moment(now), "status": refusal.status, "address": peer.address, "code": refusal.code,
                 "decision": refusal.id}
            )  # fmt: skip

    def served(self, exchange: Served, decision: Refusal | Reply | None) -> None:
        """An exchange is over."""
        request, permit = exchange.request, exchange.permit
        duration = time.time_ns() // 1000 - request.now
        route = permit.door.operation.path if permit is not None else ""
        self.metrics.served(request.method, route, exchange.status, duration)
        log = self.log
        if log is not None and not (log.refused_only and permit is not None and not permit.told):
            log.add(_line(exchange, decision, duration, route))
        if self.answered is not None:
            self.answered(exchange, duration)

    def turned_away(self) -> None:
        """A connection over the cap of its address was closed."""
        self.metrics.turned_away += 1

    def handshake_failed(self) -> None:
        """A TLS handshake failed."""
        self.metrics.handshakes_failed += 1

    def _remember(self, record: Record) -> None:
        refusal = record.refusal
        decision = "refuse" if refusal.mode == "enforce" else "would_refuse"
        self.metrics.decided(refusal.layer, decision, refusal.code, refusal.mode)
        self.decisions.add(record)
        if self.tail is not None:
            self.tail(record)


def _line(exchange: Served, decision: Refusal | Reply | None, duration: int, route: str) -> dict[str, Any]:
    request, permit = exchange.request, exchange.permit
    number = decision.number if decision is not None else permit.number if permit is not None else 0
    line: dict[str, Any] = {
        "time": moment(request.now),
        "method": request.method,
        "path": request.path,
        "route": route,
        "status": exchange.status,
        "bytes": exchange.sent,
        "ms": duration / 1000,
        "address": request.address,
        "decision": decision_id(number) if number else "",
    }
    if permit is not None and permit.identity:
        line["subject"] = permit.identity.subject
        line["client"] = permit.identity.client_id
    if exchange.code:
        line["code"] = exchange.code
    if permit is not None and permit.told:
        line["would_refuse"] = [refusal.code for refusal in permit.told]
    return line
