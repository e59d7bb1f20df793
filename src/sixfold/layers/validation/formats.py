"""Formats of strings that OpenAPI knows and JSON Schema does not (OpenAPI Format Registry).

`date`, `date-time`, `uuid`, `uri`, `email` and the other formats of JSON Schema 2020-12 section 7.3 are
checked by the validator itself. A number's width (`int32`) is a bound by the time a schema comes here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_BASE64URL: Final = re.compile(r"(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2,3})?")

# Said for people or for numbers: as strings they demand nothing.
_SILENT: Final = (
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float", "double", "decimal",
    "decimal128", "double-int", "binary", "password", "html", "commonmark", "media-range", "sf-string",
    "timestamp",
)  # fmt: skip


def _base64(text: str) -> bool:
    return _BASE64.fullmatch(text) is not None


def _base64url(text: str) -> bool:
    return _BASE64URL.fullmatch(text) is not None


def _char(text: str) -> bool:
    return len(text) == 1


def _anything(_: str) -> bool:
    return True


FORMATS: Final[Mapping[str, Callable[[str], bool]]] = {
    **dict.fromkeys(_SILENT, _anything),
    "byte": _base64,
    "base64url": _base64url,
    "char": _char,
}
