"""The tests that a policy carries: `[[expect]]`, run by `sixfold check` and before every reload (CFG-06)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sixfold.policy.document import As, Expect
from sixfold.policy.match import METHODS

Caller = As | Literal["anonymous"]
Judge = Callable[[str, Caller, Mapping[str, str], Any], tuple[int, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one expectation ended.

    Arguments:
        index: its row, from 0; `policy.rule(f"expect.{index}")` says where it stands.
        expect: what was expected.
        status: what the policy answers; 200 if it lets the request through.
        code: the refusal's code, or "".
    """

    index: int
    expect: Expect
    status: int
    code: str

    @property
    def met(self) -> bool:
        """Whether the policy does what was expected; below 400 every status means "let through"."""
        wanted = self.expect.result
        same = self.status < 400 if wanted < 400 else self.status == wanted
        return same and self.expect.code in (None, self.code)

    def __str__(self) -> str:
        expect = self.expect
        wanted = f"{expect.result} {expect.code or ''}".rstrip()
        got = f"{self.status} {self.code}".rstrip()
        return f"{expect.request} as {caller(expect.as_)}: expected {wanted}, got {got}"


def run(expectations: Iterable[Expect], judge: Judge) -> list[Outcome]:
    """Ask for a judgement on each expectation.

    Arguments:
        expectations: `policy.document.expect`.
        judge: takes request line, caller, headers, and body (None for none; text as it is, anything else as
            JSON); returns status (200 for a permit) and the refusal's code or "".
    """
    return [_outcome(index, expect, judge) for index, expect in enumerate(expectations)]


def _outcome(index: int, expect: Expect, judge: Judge) -> Outcome:
    status, code = judge(expect.request, expect.as_, expect.headers, expect.body)
    return Outcome(index=index, expect=expect, status=status, code=code)


def request_line(text: str) -> tuple[str, str]:
    """Return method and target of an expectation's `request`.

    Raises:
        ValueError: it is not `METHOD /target`.
    """
    method, _, target = text.strip().partition(" ")
    target = target.strip()
    if method not in METHODS or not target.startswith("/") or " " in target:
        raise ValueError("not a method and a target; write `POST /orders`")
    return method, target


def caller(as_: Caller) -> str:
    """Return who an expectation imagines, in words."""
    if as_ == "anonymous" or isinstance(as_, str):
        return "anonymous"
    scopes = as_.scopes.split() if isinstance(as_.scopes, str) else as_.scopes
    named = [*(f"@{role}" for role in as_.roles), *scopes]
    return f"{as_.subject} ({', '.join(named)})" if named else as_.subject
