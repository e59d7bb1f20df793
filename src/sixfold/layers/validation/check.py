"""Validation: is it well formed; does the answer keep its contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from sixfold.decision import Fault, Headers, Refusal
from sixfold.layers.validation.faults import Breach, body_faults
from sixfold.layers.validation.media import best_match, is_json, parse_media_type
from sixfold.layers.validation.parameters import cookie_faults, header_faults, path_faults
from sixfold.layers.validation.rules import AnswerRules, Compiler, RequestRules
from sixfold.needs import TooLarge, Unavailable
from sixfold.policy.model import Finding, Operation, Policy
from sixfold.request import Request

_REMEDIES: Final[Mapping[str, str]] = {
    "invalid-parameters": "send the parameters as the contract says, or correct the OpenAPI document",
    "invalid-body": "send the body as the contract says, or correct the OpenAPI document",
    "malformed-body": "send one well-formed text that every parser reads alike",
    "body-not-allowed": "send no body, or declare a `requestBody` for this operation",
    "unsupported-media-type": "send one `Content-Type` that the operation declares, in UTF-8, uncompressed",
    "body-too-large": "send less, or raise the limit",
    "request-timeout": "send the whole body in time",
    "response-contract": 'correct the API or its document; `[validation] response = "shadow"` only reports',
}
_CONFIGURABLE: Final = frozenset(("invalid-parameters", "invalid-body"))
_PANIC: Final = "PanicException"  # of a Rust library; derives from BaseException and cannot be imported


class Validation:
    """The validation layer of one policy.

    Arguments:
        policy: compiled; contracts come from OpenAPI documents.

    Raises:
        ValueError: a schema that cannot be used; the text has file, line and remedy.
    """

    def __init__(self, policy: Policy) -> None:
        compiler = Compiler(policy)
        self._policy = policy
        self._status = policy.document.validation.status
        self._max_response = policy.document.validation.max_response
        self._requests = tuple(compiler.request(operation) for operation in policy.operations)
        self._answers = tuple(compiler.answer(operation) for operation in policy.operations)
        self.findings: tuple[Finding, ...] = tuple(compiler.schemas.findings)

    def parameters(
        self, request: Request, operation: Operation, path_parameters: Mapping[str, str]
    ) -> bytes | Refusal | None:
        """Check the parameters, and from its head whether the body may come at all.

        Arguments:
            request: the canonical request.
            operation: that it asks for.
            path_parameters: decoded, by name.

        Returns:
            None if nothing changes, the request target without stripped query parameters, or a refusal:
            `invalid-parameters`, `body-not-allowed`, `unsupported-media-type`, `invalid-body` (a required one
            is missing).
        """
        rules = self._requests[operation.index]
        if rules is None or (rules.quiet and not request.query and request.length == 0):
            return None
        declared = rules.declared
        faults: tuple[Fault, ...] = ()
        target: bytes | None = None
        if declared.path:
            faults = path_faults(declared.path, path_parameters)
        if request.query or declared.query.needed:
            wrong, target = declared.query.check(request)
            faults += wrong
        if declared.headers:
            faults += header_faults(declared.headers, request)
        if declared.cookies:
            faults += cookie_faults(declared.cookies, request)
        if faults:
            breach = Breach("invalid-parameters", faults, "parameters break the contract")
            return self._refusal(breach, rules)
        if (request.length != 0 or rules.body_required) and (refusal := self._head(request, rules)):
            return refusal
        return target

    def _head(self, request: Request, rules: RequestRules) -> Refusal | None:
        """Judge a body by what the head says about it, before a byte of it is read."""
        if request.length == 0:
            fault = Fault("", "a body: it is required", "nothing")
            return self._refusal(Breach("invalid-body", (fault,), "the required body is missing"), rules)
        if not rules.takes_body:
            return self._refusal(Breach("body-not-allowed", (), "a body where the contract has none"), rules)
        if rules.accepts is None:
            return None
        # One coding would need caps on output and ratio (SLOW-08); APIs rarely need compressed requests, so
        # none passes.
        if any(coding.strip().lower() != b"identity" for coding in request.fields.all(b"content-encoding")):
            breach = Breach("unsupported-media-type", (), "a `Content-Encoding` other than identity")
            return self._refusal(breach, rules, ((b"accept-encoding", b"identity"),))
        if rules.accepts.choose(request.fields.get(b"content-type")) is None:
            breach = Breach("unsupported-media-type", (), "a `Content-Type` that is missing, malformed or not declared")
            return self._refusal(breach, rules, ((b"accept", rules.accepts.listed.encode("latin-1", "replace")),))
        return None

    def reads_body(self, request: Request, operation: Operation) -> int | None:
        """Return how many bytes of body `body` needs at most; None if the body is passed on unread."""
        if request.length == 0:
            return None
        rules = self._requests[operation.index]
        if rules is None or rules.accepts is None:
            return None
        choice = rules.accepts.choose(request.fields.get(b"content-type"))
        return rules.cap if choice is not None and choice[0] is not None else None

    def body(
        self, request: Request, operation: Operation, raw: bytes | Unavailable | TooLarge
    ) -> bytes | Refusal | None:
        """Check a whole body.

        Arguments:
            request: the canonical request.
            operation: that it asks for.
            raw: the answer to `needs.Body`.

        Returns:
            the canonical bytes to forward, None to forward the original, or a refusal:
            `malformed-body`, `invalid-body`, `body-too-large`, `request-timeout`.
        """
        rules = self._requests[operation.index]
        choice = rules.accepts.choose(request.fields.get(b"content-type")) if rules and rules.accepts else None
        if rules is None or choice is None or choice[0] is None:
            return None
        if not isinstance(raw, bytes):
            return self._not_there(raw, rules)
        if not raw and request.length is None:  # chunked, and nothing came
            return self._head_of_nothing(rules)
        try:
            outcome = choice[0].check(raw, choice[1])
        except BaseException as problem:
            outcome = _exhausted(problem)
        return self._refusal(outcome, rules) if isinstance(outcome, Breach) else outcome

    def _head_of_nothing(self, rules: RequestRules) -> Refusal | None:
        if not rules.body_required:
            return None
        fault = Fault("", "a body: it is required", "nothing")
        return self._refusal(Breach("invalid-body", (fault,), "the required body is missing"), rules)

    def _not_there(self, answer: Unavailable | TooLarge, rules: RequestRules) -> Refusal:
        """Refuse, whatever the mode: a body that is not there can be neither checked nor forwarded."""
        if isinstance(answer, TooLarge):
            code, reason = "body-too-large", f"the body is larger than {rules.cap} bytes"
        else:
            code, reason = "request-timeout", answer.reason
        rule = self._policy.rule("gateway.max_body" if code == "body-too-large" else "gateway.body_timeout")
        return Refusal(code, rule, reason=reason, remedy=_REMEDIES[code], close=True)

    def reads_answer(self, operation: Operation, status: int, content_type: bytes | None) -> int | None:
        """Return how many bytes of it `answer` needs at most; None if the answer is passed on unread."""
        rules = self._answers[operation.index]
        declared = rules.declared(status) if rules is not None else None
        if declared is None:
            return None
        known, validator = _answer_validator(declared, content_type)
        return self._max_response if not known or validator is not None else None

    def answer(self, operation: Operation, status: int, content_type: bytes | None, body: bytes) -> Refusal | None:
        """Check the API's answer against its contract (API3: nothing undeclared leaves).

        Returns:
            None, or the refusal `response-contract`. A status that the contract does not name is not checked,
            nor is an answer without content.
        """
        rules = self._answers[operation.index]
        declared = rules.declared(status) if rules is not None else None
        if rules is None or declared is None or not body:
            return None
        known, validator = _answer_validator(declared, content_type)
        if not known:
            return self._broken_answer(rules, (), "the answer's media type is not declared for its status")
        if validator is None:
            return None
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            return self._broken_answer(rules, (), "the answer is not JSON")
        if validator.is_valid(value):
            return None
        return self._broken_answer(rules, body_faults(validator, value, body), "the answer breaks its schema")

    def _broken_answer(self, rules: AnswerRules, faults: tuple[Fault, ...], reason: str) -> Refusal:
        """The faults are the operator's to know: the caller is not told how the API fails."""
        places = "; ".join(f"{fault.where or '/'}: {fault.expected}" for fault in faults)
        return Refusal(
            "response-contract",
            rules.rule,
            reason=f"{reason}: {places}" if places else reason,
            remedy=_REMEDIES["response-contract"],
            mode=rules.mode,
        )

    def _refusal(self, breach: Breach, rules: RequestRules, headers: Headers = ()) -> Refusal:
        places = ", ".join(fault.where or "/" for fault in breach.faults)
        return Refusal(
            breach.code,
            self._policy.rule(f"validation.{breach.limit}") if breach.limit else rules.rule,
            reason=f"{breach.reason} at {places}" if places else breach.reason,
            remedy=f"raise `[validation] {breach.limit}`, or send less" if breach.limit else _REMEDIES[breach.code],
            headers=headers,
            faults=breach.faults,
            status=self._status if breach.code in _CONFIGURABLE else 0,
            mode=rules.mode,
        )


def _answer_validator(declared: Mapping[str, Any], content_type: bytes | None) -> tuple[bool, Any]:
    """Return whether the media type is declared, and its validator (None if its content is not checked)."""
    media = parse_media_type(content_type) if content_type is not None else None
    offer = best_match(media.name, declared) if media is not None else None
    if media is None or offer is None:
        return False, None
    return True, declared[offer] if is_json(media.name) else None


def _exhausted(problem: BaseException) -> Breach:
    """Return the breach of an input that exhausted the libraries below or made them panic; raise a bug."""
    if not isinstance(problem, (RecursionError, MemoryError)) and type(problem).__name__ != _PANIC:
        raise problem
    fault = Fault("", "a body that can be checked with little memory")
    return Breach("malformed-body", (fault,), "the check gave up")
