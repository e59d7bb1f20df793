"""THE FLOW: six layers, in the order a request meets them.

`check` is a generator. The common case yields nothing; where the engine lacks a fact it yields a `Need`, and the driver
(below: sync and async; the proxy has its own) fetches it and sends the answer in. Only this module makes a Permit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, final

from sixfold.decision import Refusal, Reply, Rule, decision_id, next_number
from sixfold.identity import ANONYMOUS, Identity
from sixfold.needs import Body, Need
from sixfold.request import Pair, Request

if TYPE_CHECKING:
    from sixfold.engine import Engine
    from sixfold.layers.gateway.check import Door
    from sixfold.layers.rate_limiting.check import Ledger

Decision = "Permit | Refusal | Reply"
Flow = Generator[Need, Any, "Permit | Refusal | Reply"]


@final
class Permit:
    """The proof that every layer agreed. Whatever forwards a request takes one; only `check` makes one.

    Arguments:
        request, door, identity: what was asked, which operation it is, who asks.
        ledger: what rate limiting charged.
        target: the bytes to forward as request target.
        body: the canonical body to forward, or None to forward what the client sent.
        told: refusals of layers in shadow mode.
    """

    __slots__ = ("body", "door", "engine", "identity", "ledger", "number", "request", "target", "told")

    def __init__(
        self,
        engine: Engine,
        request: Request,
        door: Door,
        identity: Identity,
        ledger: Ledger,
        target: bytes,
        body: bytes | None,
        told: tuple[Refusal, ...],
    ) -> None:
        self.engine = engine
        self.request = request
        self.door = door
        self.identity = identity
        self.ledger = ledger
        self.target = target
        self.body = body
        self.told = told
        self.number = next_number()

    @property
    def id(self) -> str:
        """The decision id."""
        return decision_id(self.number)

    def finish(self, headers: list[Pair]) -> list[Pair]:
        """Run the answer's side of the layers over the upstream's headers (names in lower case).

        Returns:
            the headers to send to the client.
        """
        engine = self.engine
        headers = engine.gateway.answer(self.request, self.door, self.identity, headers)
        engine.encryption.headers(self.request, headers)
        engine.rate_limiting.headers(self.ledger, self.request, headers)
        return headers

    def finish_lines(self, headers: list[Pair], memo: dict[str, Any]) -> bytes:
        """Return the same as `finish`, as header lines: what the proxy sends.

        Arguments:
            memo: of these headers; keeps what depends on them alone.
        """
        engine, request = self.engine, self.request
        return (
            engine.gateway.answer_lines(request, self.door, self.identity, headers, memo)
            + engine.encryption.line(request)
            + engine.rate_limiting.lines(self.ledger, request)
        )

    def close(self) -> None:
        """Say that the exchange is over, however it ended: gives back what was held (concurrency)."""
        if self.ledger.held is not None:
            self.engine.rate_limiting.release(self.ledger)


def check(engine: Engine, request: Request) -> Flow:  # noqa: C901 (one list, on purpose: this is the order)
    """Decide on a request.

    Returns:
        Permit, Refusal, or Reply (an answer of our own). A refusal of a layer or rule in shadow mode does not end the
        flow; the Permit tells it.
    """
    told: list[Refusal] = []

    door = engine.gateway.route(request)  # which door
    if type(door) is Refusal:
        if door.mode == "enforce":
            return door
        if door.mode == "shadow":
            told.append(door)
        door = engine.gateway.beyond(request)
    elif type(door) is Reply:
        return door
    operation = door.operation

    refusal = engine.encryption.channel(request)  # by what channel
    if refusal is not None and _stands(refusal, told):
        return refusal

    authentication, limiting = engine.authentication, engine.rate_limiting
    known = authentication.known(request, operation)  # verified before: one look-up
    if known is not None:
        identity = known
    else:
        refusal = limiting.admit(request, operation)  # how often, by address, before any signature is computed
        if refusal is not None and _stands(refusal, told):
            return refusal
        who = yield from authentication.who(request, operation)  # who
        if type(who) is Refusal:
            limiting.blame(request)  # charged to the address, never to somebody's account
            if _stands(who, told):
                return who
            identity = ANONYMOUS
        else:
            identity = who

    ledger = limiting.spend(request, operation, identity)  # how often, by caller
    if ledger.need is not None:
        ledger = limiting.settle(ledger, (yield ledger.need))
    if ledger.refusal is not None and _stands(ledger.refusal, told):
        return ledger.refusal

    try:
        refusal = engine.authorization.may(request, operation, identity, door.parameters)  # may they
        if refusal is not None and _stands(refusal, told):
            limiting.release(ledger)
            return refusal

        validation = engine.validation  # is it well formed
        target: bytes = request.target
        body: bytes | None = None
        accepted = validation.parameters(request, operation, door.parameters)
        if accepted is not None:
            if type(accepted) is not Refusal:
                target = accepted
            elif _stands(accepted, told):
                limiting.release(ledger)
                return accepted
        limit = validation.reads_body(request, operation)
        if limit is not None:
            outcome = validation.body(request, operation, (yield Body(limit)))
            if type(outcome) is not Refusal:
                body = outcome
            elif _stands(outcome, told):
                limiting.release(ledger)
                return outcome
    except BaseException:  # a bug, or the caller went away while the body was awaited
        limiting.release(ledger)
        raise
    return Permit(engine, request, door, identity, ledger, target, body, tuple(told))


def _stands(refusal: Refusal, told: list[Refusal]) -> bool:
    """Return whether a refusal ends the flow; one in shadow mode is told instead."""
    if refusal.mode == "enforce":
        return True
    told.append(refusal)
    return False


def failed(problem: BaseException) -> Refusal:
    """Turn a bug into a refusal: failure of a part never means open.

    A panic of a Rust library derives from BaseException, so drivers catch that and raise again what asks them to stop.
    """
    if isinstance(problem, (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)):
        raise problem
    return Refusal("internal", Rule("flow"), reason=f"{type(problem).__name__} while judging", remedy="report this bug")


def _untold(problem: BaseException) -> None:
    """Tell nobody."""


def drive(flow: Flow, fetch: Callable[[Need], Any]) -> Permit | Refusal | Reply:
    """Run a flow to its end, fetching synchronously."""
    answer: Any = None
    while True:
        try:
            need = flow.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        except BaseException as problem:
            return failed(problem)
        answer = fetch(need)


async def drive_async(
    flow: Flow, fetch: Callable[[Need], Awaitable[Any]], bug: Callable[[BaseException], None] = _untold
) -> Permit | Refusal | Reply:
    """Run a flow to its end, fetching asynchronously; `bug` is told about a failure of our own."""
    answer: Any = None
    while True:
        try:
            need = flow.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        except BaseException as problem:
            refusal = failed(problem)
            bug(problem)
            return refusal
        answer = await fetch(need)
