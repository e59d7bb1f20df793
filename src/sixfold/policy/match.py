"""Path templates and the `match` of a route: `POST /orders`, `GET|HEAD /orders/{id}`, `* /files/**`."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from sixfold.policy.errors import did_you_mean

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY")
EVERY: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")  # `*` where no document names the methods

_PARAMETER: Final = re.compile(r"\{([^{}/]+)\}")
_MATCH: Final = re.compile(r"(\S+)[ \t]+(\S+)")
# A request path is matched decoded, and never holds these once it is canonical (PATH-01).
_NEVER: Final = re.compile(r"[\x00-\x20\x7f?#%\\;]")


class Match(NamedTuple):
    """What a route answers for.

    Arguments:
        methods: as written; empty for `*`.
        path: template, perhaps with a final `/**`.
    """

    methods: tuple[str, ...]
    path: str


def parse(text: str) -> Match:
    """Read the `match` of a route.

    Raises:
        ValueError: says what is wrong and what to write.
    """
    found = _MATCH.fullmatch(text.strip())
    if found is None:
        raise ValueError("not a method and a path; write `GET /orders`, `GET|HEAD /orders/{id}` or `* /files/**`")
    verbs, path = found.groups()
    methods = () if verbs == "*" else tuple(dict.fromkeys(verbs.split("|")))
    for method in methods:
        if method not in METHODS:
            raise ValueError(f"not a method that can be ruled{did_you_mean(method.upper(), METHODS)}")
    if wrong := flaw(path, wildcard=True):
        raise ValueError(wrong)
    return Match(methods, path)


def flaw(path: str, *, wildcard: bool = False) -> str:
    """Return what keeps a template from ever matching a canonical request path, or ""."""
    if not path.startswith("/"):
        return "a path starts with `/`"
    if _NEVER.search(path):
        return "a path holds no blank, `?`, `#`, `%`, `;` or backslash; write it decoded and without the query"
    segments = path.split("/")[1:]
    if wildcard and segments[-1] == "**":
        segments = segments[:-1]
    names = _PARAMETER.findall(path)
    if len(set(names)) != len(names):
        return "the same parameter twice in one path"
    for index, segment in enumerate(segments):
        if segment in (".", "..") or (segment == "" and index < len(segments) - 1):
            return "a path has no empty and no dot segments"
        if any(mark in _PARAMETER.sub("", segment) for mark in "{}*"):
            return "only `{name}` and a final `/**` stand for something else"
    return ""


def shape(path: str) -> str:
    """Return a template without its parameter names: two templates of one shape match the same paths."""
    return _PARAMETER.sub("{}", path) if "{" in path else path


def is_wide(path: str) -> bool:
    """Return whether a template ends in `/**`."""
    return path.endswith("/**")


def covers(wide: str, path: str) -> bool:
    """Return whether every path that a template matches is matched by a wider one, which ends in `/**`."""
    head = shape(wide).split("/")[:-1]
    segments = shape(path).split("/")
    if is_wide(path) and len(segments) <= len(head):
        return False
    return len(head) <= len(segments) and all(
        mine == theirs or (mine == "{}" and theirs not in ("", "**"))
        for mine, theirs in zip(head, segments, strict=False)
    )


def weight(path: str) -> tuple[int, ...]:
    """Return how specific a template is, for comparison: text beats a parameter, the end beats `/**`."""
    weights = tuple(_segment_weight(segment) for segment in path.split("/")[1:])
    return weights if is_wide(path) else (*weights, 1)


def _segment_weight(segment: str) -> int:
    if segment == "**":
        return 0
    if "{" not in segment:
        return 3
    return 1 if _PARAMETER.fullmatch(segment) else 2


def parameters(path: str) -> list[str]:
    """Return the names of a template's parameters."""
    return _PARAMETER.findall(path)
