"""How reasons show what a token says of itself: `aud`, `iss`, `alg` are no secrets, nor trusted text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

_LENGTH: Final = 100
_ITEMS: Final = 4


def shown(value: Any) -> str:
    """Return a value in quotes: printable ASCII, at most 100 characters; of a list the first four."""
    if isinstance(value, list):
        more = ", ..." if len(value) > _ITEMS else ""
        return "[" + ", ".join(shown(item) for item in value[:_ITEMS]) + more + "]"
    text = str(value)
    clean = "".join(sign if " " <= sign <= "~" and sign not in '"\\`' else "?" for sign in text[:_LENGTH])
    return f'"{clean}{"..." if len(text) > _LENGTH else ""}"'


def expected(values: Iterable[str]) -> str:
    """Return alternatives as `"a", "b" or "c"`."""
    names = [shown(value) for value in sorted(values)]
    if len(names) < 2:
        return names[0] if names else "nothing: no issuer is configured"
    return f"{', '.join(names[:-1])} or {names[-1]}"


def span(microseconds: int) -> str:
    """Return a length of time in its largest fitting unit: `40 s`, `5 min`, `3 h`, `2 d`."""
    seconds = max(microseconds // 1_000_000, 0)
    for limit, size, unit in ((120, 1, "s"), (7_200, 60, "min"), (172_800, 3_600, "h")):
        if seconds < limit:
            return f"{seconds // size} {unit}"
    return f"{seconds // 86_400} d"
