"""Conditions on one request: `path.user_id == token.sub and token.tenant == header.x-tenant` (OWASP API1).

    expression = term { "or" term }
    term       = factor { "and" factor }
    factor     = "not" factor | "(" expression ")" | operand ( "==" | "!=" | "in" ) operand
    operand    = path.name | query.name | header.name | token.claim.path
               | identity.subject | identity.client_id | identity.tenant | 'text' | "text"

A fact that is missing makes a comparison neither true nor false, also under `not` (Kleene's logic): only what
is known to hold lets a request pass. Scalars are compared as text, exactly. `in` looks into a list
of the token.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from sixfold.identity import Identity
from sixfold.layers.authorization.roles import suggest
from sixfold.request import Request

Facts = tuple[Request, Identity, Mapping[str, str]]
Operand = Callable[[Facts], Any]
Truth = Callable[[Facts], bool | None]
Condition = Callable[[Request, Identity, Mapping[str, str]], bool]

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<text>'[^']*'|"[^"]*")|(?P<sign>==|!=|\(|\))|(?P<word>[A-Za-z_][A-Za-z0-9_.:/-]*))""",
    re.ASCII,
)
_SOURCES: Final = ("path", "query", "header", "token", "identity")
_IDENTITY: Final = ("subject", "client_id", "tenant")
_KEYWORDS: Final = frozenset(("and", "or", "not", "in"))
_MAX_LENGTH: Final = 1000
_MAX_DEPTH: Final = 20


class ConditionError(ValueError):
    """A text that is no condition; the message says where and what to write."""


def compile_condition(text: str, path_names: Iterable[str]) -> Condition:
    """Return the function that decides whether a condition holds.

    Arguments:
        text: as written.
        path_names: parameters of the path template.

    Raises:
        ConditionError: the text cannot be read; the message names the column.
    """
    truth = _Parser(text, tuple(path_names)).whole()
    return lambda request, identity, parameters: truth((request, identity, parameters)) is True


class _Parser:
    """Recursive descent, one method per rule of the grammar."""

    def __init__(self, text: str, path_names: tuple[str, ...]) -> None:
        if len(text) > _MAX_LENGTH:
            raise ConditionError(f"a condition has at most {_MAX_LENGTH} characters")
        self.text = text
        self.path_names = path_names
        self.depth = 0
        self.place = 0
        self.kind: str | None = ""
        self.word = ""
        self.column = 1
        self.advance()

    def advance(self) -> None:
        """Read the next token; at the end `kind` is None."""
        match = _TOKEN.match(self.text, self.place)
        if match is None:
            rest = self.text[self.place :].lstrip()
            self.column = len(self.text) - len(rest) + 1
            if rest:
                raise self.error("a name, a text in quotes, an operator or a parenthesis")
            self.kind, self.word = None, ""
            return
        self.kind = match.lastgroup
        self.word = match[self.kind or 0]
        self.column = match.start(self.kind or 0) + 1
        self.place = match.end()

    def error(self, expected: str) -> ConditionError:
        found = f"`{self.word}`" if self.word else "the end" if self.kind is None else "something else"
        return ConditionError(f"`{self.text}`, column {self.column}: expected {expected}, found {found}")

    def takes(self, word: str) -> bool:
        if self.word == word and self.kind != "text":
            self.advance()
            return True
        return False

    def whole(self) -> Truth:
        truth = self.expression()
        if self.kind is not None:
            raise self.error("`and`, `or` or the end")
        return truth

    def expression(self) -> Truth:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise ConditionError(f"`{self.text}`: nested more than {_MAX_DEPTH} deep")
        terms = [self.term()]
        while self.takes("or"):
            terms.append(self.term())
        self.depth -= 1
        return terms[0] if len(terms) == 1 else _any(terms)

    def term(self) -> Truth:
        factors = [self.factor()]
        while self.takes("and"):
            factors.append(self.factor())
        return factors[0] if len(factors) == 1 else _all(factors)

    def factor(self) -> Truth:
        negations = 0
        while self.takes("not"):
            negations += 1
        truth = self.group() if self.takes("(") else self.comparison()
        return _not(truth) if negations % 2 else truth

    def group(self) -> Truth:
        truth = self.expression()
        if not self.takes(")"):
            raise self.error("`)`")
        return truth

    def comparison(self) -> Truth:
        left = self.operand()
        if self.takes("=="):
            return _equal(left, self.operand())
        if self.takes("!="):
            return _not(_equal(left, self.operand()))
        if self.takes("in"):
            if not self.word.startswith("token."):
                raise self.error("a list of the token, like `token.groups`, after `in`")
            return _member(left, self.operand())
        raise self.error("`==`, `!=` or `in`")

    def operand(self) -> Operand:
        if self.kind == "text":
            text = self.word[1:-1]
            self.advance()
            return lambda facts: text
        if self.kind != "word" or self.word in _KEYWORDS:
            raise self.error("an operand like `path.id`, `token.sub` or a text in quotes")
        operand = self.named(*self.word.partition(".")[::2])
        self.advance()
        return operand

    def named(self, source: str, name: str) -> Operand:
        if source not in _SOURCES or not name or name.endswith("."):
            raise self.error(f"one of {', '.join(f'`{known}.name`' for known in _SOURCES)}")
        if source == "path":
            return self.path(name)
        if source == "query":
            return _query(name)
        if source == "header":
            header = name.lower().encode()
            return lambda facts: _text(_single(facts[0].fields.all(header)))
        if source == "token":
            return _claim(name)
        if name not in _IDENTITY:
            raise self.error(
                f"`identity.subject`, `identity.client_id` or `identity.tenant` ({suggest(name, _IDENTITY)})"
            )
        return lambda facts: getattr(facts[1], name) or None

    def path(self, name: str) -> Operand:
        if name not in self.path_names:
            raise self.error(f"a parameter of the path ({suggest(name, self.path_names)})")
        return lambda facts: facts[2].get(name)


def _query(name: str) -> Operand:
    """Return what reads a parameter; a second spelling of it (`user[]`, `User`) is the same one to some frameworks."""
    stem = _stem(name)
    return lambda facts: _single(
        [value if key == name else None for key, value in facts[0].query_pairs if _stem(key) == stem]
    )


def _stem(name: str) -> str:
    return name.partition("[")[0].lower()


def _single(values: list[Any]) -> Any:
    """Return the only value; one that was sent twice counts as missing, since it can be read in two ways."""
    return values[0] if len(values) == 1 else None


def _text(raw: bytes | None) -> str | None:
    return raw.decode() if raw is not None and raw.isascii() else None


def _claim(path: str) -> Operand:
    steps = path.split(".")

    def read(facts: Facts) -> Any:
        claims = facts[1].claims
        value: Any = claims.get(path)
        if value is None and len(steps) > 1:
            value = claims
            for step in steps:
                value = value.get(step) if isinstance(value, Mapping) else None
        return value

    return read


def _plain(value: Any) -> str | None:
    """Return a scalar as text; floats have no one text, and lists and objects none."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else None


def _equal(left: Operand, right: Operand) -> Truth:
    def truth(facts: Facts) -> bool | None:
        one, other = _plain(left(facts)), _plain(right(facts))
        return None if one is None or other is None else one == other

    return truth


def _member(left: Operand, right: Operand) -> Truth:
    def truth(facts: Facts) -> bool | None:
        one, several = _plain(left(facts)), right(facts)
        if one is None or not isinstance(several, (list, tuple)):
            return None
        return any(one == _plain(item) for item in several)

    return truth


def _not(part: Truth) -> Truth:
    def truth(facts: Facts) -> bool | None:
        value = part(facts)
        return None if value is None else not value

    return truth


def _all(parts: list[Truth]) -> Truth:
    def truth(facts: Facts) -> bool | None:
        values = [part(facts) for part in parts]
        return False if False in values else None if None in values else True

    return truth


def _any(parts: list[Truth]) -> Truth:
    def truth(facts: Facts) -> bool | None:
        values = [part(facts) for part in parts]
        return True if True in values else None if None in values else False

    return truth
