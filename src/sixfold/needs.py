"""What the engine may lack. A layer yields a Need; a face fetches it and sends the answer in.

A fact that cannot be had is an answer too (`Unavailable`): the layer knows its stance, the driver does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class KeySet:
    """The signing keys of an issuer. Answer: None once the key cache was refreshed, or `Unavailable`.

    Arguments:
        issuer: the configured issuer (a key of the policy, never a value from a token).
        kid: the key id that is missing from the cached set, or "" if there is no set yet.
    """

    issuer: str
    kid: str = ""


@dataclass(frozen=True, slots=True)
class Body:
    """The whole request body. Answer: bytes, or `Unavailable` if it did not arrive whole.

    Arguments:
        limit: largest size in bytes; the face answers `TooLarge` beyond it.
    """

    limit: int


@dataclass(frozen=True, slots=True)
class Counters:
    """Shared counters, all of one request at once. Answer: what `LimitStore.spend` returns, or `Unavailable`.

    Arguments:
        charges: the charges to make, committed only if all of them pass.
        now: microseconds since the epoch.
    """

    charges: tuple[Any, ...]
    now: int


Need = KeySet | Body | Counters


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The answer to a Need that cannot be met, with the reason for the operator."""

    reason: str


class TooLarge:
    """The answer to `Body` when the body goes beyond the limit."""

    __slots__ = ()


TOO_LARGE: Final = TooLarge()
