"""The bare engine: request, flow, answer, without any protocol."""

from __future__ import annotations

import time
from typing import Any

from sixfold.decision import Refusal, Reply
from sixfold.engine import Engine
from sixfold.flow import Permit, drive
from sixfold.needs import TOO_LARGE, Body, Need, Unavailable
from sixfold.policy import Policy
from sixfold.request import Pair, Peer, Request

from .book import Answer, Call, Entry
from .outcome import Headers, Outcome, Seen
from .stage import Stage


class EngineFace:
    """Asks the engine directly.

    Arguments:
        stage: policies and keys.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def play(self, entry: Entry) -> Outcome:
        """Play a case."""
        case = entry.case
        policy = self._stage.policy(entry)
        engine = self._stage.engine(policy)
        for call in case.before:
            for _ in range(call.times):
                self._ask(engine, policy, call, case.answer)
        for _ in range(case.repeat):
            self._ask(engine, policy, case, case.answer)
        held = [self._decide(engine, policy, case)[1] for _ in range(case.held)]
        outcome = self._ask(engine, policy, case, case.answer)
        for decision in held:
            assert isinstance(decision, Permit)
            decision.close()
        return outcome

    def _decide(self, engine: Engine, policy: Policy, call: Call) -> tuple[Request | None, Permit | Refusal | Reply]:
        pairs = [(name.lower().encode(), value.encode()) for name, value in self._stage.headers(policy, call)]
        fields = engine.canonicaliser.fields(pairs)
        if isinstance(fields, Refusal):
            return None, fields
        body = call.content
        peer = Peer(call.peer, tls=self._stage.speaks_tls(policy, call))
        length = None if call.chunked else len(body)
        request = engine.canonicaliser.request(
            call.method.encode(), call.target.encode(), fields, peer, time.time_ns() // 1000, length
        )
        if isinstance(request, Refusal):
            return None, request

        def fetch(need: Need) -> Any:
            if isinstance(need, Body):
                return body if len(body) <= need.limit else TOO_LARGE
            return Unavailable("the bare engine fetches nothing")

        return request, drive(engine.check(request), fetch)

    def _ask(self, engine: Engine, policy: Policy, call: Call, answer: Answer) -> Outcome:
        request, decision = self._decide(engine, policy, call)
        if not isinstance(decision, Permit):
            return _own(engine, request, decision)
        seen = _seen(engine, decision, call)
        told = [refusal.code for refusal in decision.told]
        if len(seen.body) > decision.door.max_body:
            decision.close()
            return _own(engine, request, engine.gateway.too_large(decision.door), told)
        refusal = _broken(engine, decision, answer)
        if refusal is not None and refusal.mode != "enforce":
            told.append(refusal.code)
        if refusal is not None and refusal.mode == "enforce":
            outcome = _own(engine, request, refusal, told)
        else:
            pairs: list[Pair] = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
            headers = _text(decision.finish(pairs))
            outcome = Outcome(answer.status, headers, answer.body.encode(), None, told)
        decision.close()
        outcome.seen = seen
        return outcome


def _own(engine: Engine, request: Request | None, decision: Refusal | Reply, told: list[str] | None = None) -> Outcome:
    status, headers, body = engine.render(decision, request)
    if request is not None and request.method == "HEAD":
        body = b""
    refusal = decision if isinstance(decision, Refusal) else None
    return Outcome(status, _text(headers), body, refusal, told or [])


def _seen(engine: Engine, permit: Permit, call: Call) -> Seen:
    headers = engine.gateway.forward(permit.request, permit.door, permit.identity)
    body = call.content if permit.body is None else permit.body
    return Seen(permit.target.decode(), _text(headers), body, permit.request.address, permit.identity.subject)


def _broken(engine: Engine, permit: Permit, answer: Answer) -> Refusal | None:
    """Return what an answer breaks of its contract."""
    if engine.answer_mode == "off":
        return None
    operation, kind = permit.door.operation, answer.headers.get("content-type", "").encode()
    limit = engine.validation.reads_answer(operation, answer.status, kind)
    if limit is None:
        return None
    return engine.validation.answer(operation, answer.status, kind, answer.body.encode())


def _text(pairs: list[Pair]) -> Headers:
    return [(name.decode().lower(), value.decode("latin-1")) for name, value in pairs]
