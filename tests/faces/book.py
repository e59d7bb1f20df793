"""The book of cases: `cases/<layer>/<name>.toml`, read strictly. What the keys mean says `cases/README.md`."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sixfold.decision import CODES

BOOK = Path(__file__).parents[2] / "cases"
LAYERS = ("gateway", "encryption", "rate_limiting", "authentication", "authorization", "validation")
Face = Literal["engine", "proxy", "asgi"]
Layer = Literal["gateway", "encryption", "rate_limiting", "authentication", "authorization", "validation", "upstream"]
FACES: tuple[Face, ...] = ("engine", "proxy", "asgi")


class Table(BaseModel):
    """A table of a case file; a key nobody knows is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Caller(Table):
    """Whose developer token is sent. `lifetime` in seconds; a negative one has expired."""

    subject: str = "alice"
    scopes: list[str] = []
    roles: list[str] = []
    tenant: str = ""
    claims: dict[str, Any] = {}
    audience: str = "https://orders.example"
    lifetime: int = 600


class Forged(Table):
    """What is changed about an honest token, which is then signed again.

    Times among the claims (`exp`, `nbf`, `iat`) are seconds from now if they are integers.
    """

    header: dict[str, Any] = {}
    claims: dict[str, Any] = {}
    without: list[str] = []
    key: Literal["own", "stranger"] = "own"


class Call(Table):
    """One request."""

    request: str
    headers: dict[str, str | list[str]] = {}
    body: str | None = None
    json_: Any = Field(default=None, alias="json")
    hex: str | None = None  # a body that is no text
    chunked: bool = False  # the body's length is not declared
    as_: Caller | None = Field(default=None, alias="as")
    forged: Forged | None = None
    token: str | None = None  # as it stands, after `Bearer `
    api_key: Literal["reader", "robot", "expired", "revoked", "mistyped"] | None = None
    peer: str = "127.0.0.1"
    tls: bool | None = None  # None: as the policy's listener speaks

    @property
    def method(self) -> str:
        return self.request.partition(" ")[0]

    @property
    def target(self) -> str:
        return self.request.partition(" ")[2]

    @property
    def content(self) -> bytes:
        if self.hex is not None:
            return bytes.fromhex(self.hex)
        if self.json_ is not None:
            return json.dumps(self.json_).encode()
        return (self.body or "").encode()

    @property
    def media_type(self) -> str:
        return "application/json" if self.content and self.json_ is not None else ""


class Before(Call):
    """A request that is sent first, `times` over; how it ends does not count."""

    times: int = 1


class Answer(Table):
    """What the API answers."""

    status: int = 200
    headers: dict[str, str] = {"content-type": "application/json"}
    body: str = '{"ok":true}'


class Forwarded(Table):
    """What the API gets. Values of `headers` are regular expressions."""

    target: str | None = None
    headers: dict[str, str] = {}
    absent_headers: list[str] = []
    body: str | None = None
    address: str | None = None  # of the client, as the API is told
    caller: str | None = None  # subject, as the API is told


class Expected(Table):
    """How it must end. Values of `headers` are regular expressions that match the whole value."""

    status: int
    code: str = ""
    layer: Layer | None = None
    headers: dict[str, str] = {}
    absent_headers: list[str] = []
    pointers: list[str] = []  # of the problem's errors, all of them; parameters as `query: limit`
    detail: str | None = None  # regular expression
    told: list[str] = []  # codes that a shadow mode told
    forwarded: Forwarded | None = None


class Case(Call):
    """One case."""

    name: str
    about: str = ""
    before: list[Before] = []
    repeat: int = 0  # the same call so many times before
    held: int = 0  # the same call so many times before, still without an answer
    answer: Answer = Answer()
    faces: list[Face] = []
    expected: Expected

    @model_validator(mode="after")
    def _sense(self) -> Case:
        expected = self.expected
        if self.faces and not self.about:
            raise ValueError(f"`{self.name}` leaves faces out; `about` says why")
        if expected.code:
            row = CODES.get(expected.code)
            if row is None:
                raise ValueError(f"`{self.name}`: `{expected.code}` is no code of a refusal")
            if expected.layer not in (None, row.layer):
                raise ValueError(f"`{self.name}`: `{expected.code}` is said by {row.layer}")
            if expected.forwarded is not None:
                raise ValueError(f"`{self.name}`: what is refused is not forwarded")
        forwarded = expected.forwarded or Forwarded()
        for pattern in (*expected.headers.values(), *forwarded.headers.values()):
            re.compile(pattern)
        if sum(value is not None for value in (self.body, self.json_, self.hex)) > 1:
            raise ValueError(f"`{self.name}` has more than one body")
        return self


class Chapter(Table):
    """One file: what it is about, the policy, and cases."""

    about: str
    policy: str  # the text, or the name of a file in `cases/policies`
    case: list[Case]


class Entry(NamedTuple):
    """One case with its place in the book."""

    layer: str
    file: Path
    chapter: Chapter
    case: Case

    @property
    def id(self) -> str:
        return f"{self.layer}/{self.file.stem}: {self.case.name}"

    def on(self, face: Face) -> bool:
        return not self.case.faces or face in self.case.faces


def read_chapter(text: str) -> Chapter:
    """Read one file of the book.

    Raises:
        ValueError: it is no TOML, or has a key that nobody knows.
    """
    return Chapter.model_validate(tomllib.loads(text))


@cache
def read_book() -> tuple[Entry, ...]:
    """Return every case, in the order of layers and file names."""
    return tuple(_entries())


def _entries() -> Iterator[Entry]:
    for layer in LAYERS:
        for file in sorted((BOOK / layer).glob("*.toml")):
            try:
                chapter = read_chapter(file.read_text(encoding="utf-8"))
            except ValueError as problem:
                raise ValueError(f"{file.relative_to(BOOK)}: {problem}") from problem
            for case in chapter.case:
                yield Entry(layer, file, chapter, case)
