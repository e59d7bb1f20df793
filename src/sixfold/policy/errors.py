"""What is wrong with a policy: every problem at once, one line each, so that one edit can mend them all."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple


class Problem(NamedTuple):
    """One thing that is wrong: the key and what may stand there, never the value that stood there (EXP-03).

    Arguments:
        text: what was found, what is allowed, what to do.
        key: dotted key in the policy file, or place in the OpenAPI document; "" for the whole file.
        file: file as given, or the environment variable that brought the value.
        line: counted from 1; 0 if unknown.
    """

    text: str
    key: str = ""
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.key, self.text) if part)


class PolicyError(Exception):
    """The policy cannot be used; nothing of it is.

    Arguments:
        problems: at least one.
    """

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...?` for the known word that is nearest, or "" if none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean `{near[0]}`?" if near else ""
