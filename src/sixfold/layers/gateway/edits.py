"""Header edits that the policy declares, compiled: remove, rename, set; values may name facts of the call."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from sixfold.identity import Identity
from sixfold.layers.gateway.hygiene import UNTOUCHABLE, is_ours
from sixfold.policy.document import HeaderEdits
from sixfold.request import Pair, Request

Value = Callable[[Request, Identity], str | None]
_FACT: Final = re.compile(r"\{([a-z_]+)(?::([^{}]+))?\}")
_UNSAFE: Final = re.compile(r"[^\t\x20-\x7e]")


class Edits:
    """One table of edits.

    Raises:
        ValueError: a `{fact}` that does not exist, or a header that only Sixfold writes.
    """

    def __init__(self, *tables: HeaderEdits | None) -> None:
        given = [table for table in tables if table is not None]
        self.removed = frozenset(name.lower().encode() for table in given for name in table.remove)
        self.renamed = {
            old.lower().encode(): new.lower().encode() for table in given for old, new in table.rename.items()
        }
        values = {name.lower().encode(): text for table in given for name, text in table.set.items()}
        self._values = tuple((name, _compile(text)) for name, text in values.items())
        self.names = frozenset(values)
        forged = {name for name in self.renamed.values() if is_ours(name)}
        if untouchable := sorted((self.names | {*self.renamed.values()}) & UNTOUCHABLE | forged):
            raise ValueError(
                f"no edit may write `{untouchable[0].decode()}`, which only Sixfold itself writes; take it out"
            )

    def __bool__(self) -> bool:
        return bool(self.removed or self.renamed or self._values)

    def apply(self, headers: list[Pair], request: Request, identity: Identity) -> list[Pair]:
        """Return the edited headers. A header that is set never keeps a copy from elsewhere."""
        names, removed, renamed = self.names, self.removed, self.renamed
        kept = [
            (renamed.get(name, name), value) for name, value in headers if name not in removed and name not in names
        ]
        for name, value in self._values:
            text = value(request, identity)
            if text is not None:
                kept.append((name, text.encode("ascii")))
        return kept


def _compile(text: str) -> Value:
    if _UNSAFE.search(text):
        raise ValueError("a header value holds printable ASCII only")
    parts = _FACT.split(text)
    if len(parts) == 1:
        return lambda _request, _identity: text
    pieces: list[Value] = []
    for literal, name, argument in zip(parts[0::3], [*parts[1::3], ""], [*parts[2::3], None], strict=True):
        if literal:
            pieces.append(lambda _request, _identity, literal=literal: literal)  # type: ignore[misc]
        if name:
            pieces.append(_fact(name, argument))
    return lambda request, identity: _join([piece(request, identity) for piece in pieces])


def _join(pieces: list[str | None]) -> str | None:
    """Join the pieces; a fact that is missing, or that no header can hold, leaves the whole header out."""
    if any(piece is None for piece in pieces):
        return None
    text = "".join(piece for piece in pieces if piece)
    return None if _UNSAFE.search(text) else text


def _fact(name: str, argument: str | None) -> Value:
    if name == "claim" and argument:
        path = tuple(argument.split("."))
        return lambda _request, identity: _claim(identity.claims, path)
    if argument is None and name in ("subject", "client_id", "tenant"):
        return lambda _request, identity: getattr(identity, name) or None
    if argument is None and name == "address":
        return lambda request, _identity: request.address or None
    raise ValueError(
        f"`{{{name}}}` is not a fact of the call; write {{claim:NAME}}, {{subject}}, {{client_id}}, {{tenant}} or "
        "{address}"
    )


def _claim(claims: Any, path: tuple[str, ...]) -> str | None:
    for step in path:
        claims = claims.get(step) if hasattr(claims, "get") else None
    if isinstance(claims, bool):
        return "true" if claims else "false"
    return str(claims) if isinstance(claims, (str, int)) else None
