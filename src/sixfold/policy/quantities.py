"""Sizes and durations as people write them: `"1 MiB"`, `"10s"`, `"5 minutes"`. A bare number is bytes or seconds."""

from __future__ import annotations

import re
from typing import Any, Final

_SIZES: Final = {
    "": 1,
    "b": 1,
    "kb": 1000,
    "kib": 1024,
    "mb": 1000**2,
    "mib": 1024**2,
    "gb": 1000**3,
    "gib": 1024**3,
}
_DURATIONS: Final = {
    "ms": 0.001, "": 1, "s": 1, "second": 1, "seconds": 1, "m": 60, "min": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hour": 3600, "hours": 3600, "d": 86400, "day": 86400, "days": 86400,
}  # fmt: skip
_QUANTITY: Final = re.compile(r"(\d{1,12}(?:\.\d{1,6})?) ?([A-Za-z]*)", re.ASCII)


def parse_size(value: Any) -> Any:
    """Turn `"1 MiB"` into bytes; leave anything but text to the model."""
    if not isinstance(value, str):
        return value
    return int(_parse(value, _SIZES, "size", '"64 kB", "1 MiB" or a number of bytes'))


def parse_duration(value: Any) -> Any:
    """Turn `"5 minutes"` into seconds; leave anything but text to the model."""
    if not isinstance(value, str):
        return value
    return _parse(value, _DURATIONS, "duration", '"500ms", "10s", "5 minutes" or a number of seconds')


def _parse(text: str, units: dict[str, float] | dict[str, int], what: str, allowed: str) -> float:
    match = _QUANTITY.fullmatch(text.strip())
    factor = units.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError(f"not a {what}; write {allowed}")
    return float(match[1]) * factor
