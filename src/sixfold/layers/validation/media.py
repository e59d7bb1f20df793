"""Media types: one `Content-Type`, parsed strictly, never guessed. RFC 9110 sections 8.3 and 12.5.1."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,127}"
_TYPE: Final = re.compile(rf"({_WORD}/{_WORD})(.*)", re.DOTALL)
_PARAMETER: Final = re.compile(rf'[ \t]*;[ \t]*(?:({_WORD})=(?:({_WORD})|"((?:[^"\\\x00-\x1f\x7f]|\\.)*)"))?')
_ESCAPED: Final = re.compile(r"\\(.)")
_UTF8: Final = frozenset(("utf-8", "utf8", "us-ascii"))  # ASCII is UTF-8 too


class MediaType(NamedTuple):
    """A media type: `type/subtype` in lower case, and its parameters, names in lower case."""

    name: str
    parameters: Mapping[str, str]

    @property
    def in_utf8(self) -> bool:
        """Whether text of it is UTF-8: nothing else was said."""
        return self.parameters.get("charset", "utf-8").lower() in _UTF8


def parse_media_type(value: bytes) -> MediaType | None:
    """Return the media type of a header value, or None if it is malformed or says a parameter twice.

    `name*` and `name*0` (RFC 2231) are further spellings of `name`, which some parsers obey and others do not know.
    """
    match = _TYPE.fullmatch(value.decode("latin-1"))
    if match is None:
        return None
    parameters: dict[str, str] = {}
    rest, at = match[2].rstrip(" \t"), 0
    while at < len(rest):
        found = _PARAMETER.match(rest, at)
        if found is None:
            return None
        at = found.end()
        name, token, quoted = found.groups()
        if name is None:
            continue  # an empty parameter, as in `text/plain;`
        if name.lower() in parameters or "*" in name:
            return None
        parameters[name.lower()] = token if token is not None else _ESCAPED.sub(r"\1", quoted)
    return MediaType(match[1].lower(), parameters)


def best_match(name: str, offered: Iterable[str]) -> str | None:
    """Return the offer that fits a media type best: itself, then `type/*`, then `*/*`; None if none fits."""
    offers = set(offered)
    for candidate in (name, name.partition("/")[0] + "/*", "*/*"):
        if candidate in offers:
            return candidate
    return None


def is_json(name: str) -> bool:
    """Return whether a media type is JSON (RFC 6839 section 3.1: the suffix `+json`)."""
    return name == "application/json" or name.endswith("+json")
