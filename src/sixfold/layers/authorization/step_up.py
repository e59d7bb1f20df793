"""How and when the user must have signed in, and the challenge that asks for it again (RFC 9470, RS-23)."""

from __future__ import annotations

import re
from typing import Final

from sixfold.decision import Headers
from sixfold.identity import Identity
from sixfold.policy.model import Operation

_SECOND: Final = 1_000_000
_SKEW: Final = 60  # seconds by which an issuer's clock may be ahead
_ACR: Final = re.compile(r"[!#-\[\]-~]+", re.ASCII)  # what a quoted list of words can hold


class StepUp:
    """What one operation demands of the sign-in behind a token.

    Arguments:
        operation: with `acr` or `max_age`.

    Raises:
        ValueError: a value that no challenge can name, or an operation open to anybody; with file and line.
    """

    __slots__ = ("_acr", "_max_age", "challenge")

    def __init__(self, operation: Operation) -> None:
        if operation.access == "public":
            raise ValueError(f"{operation.rule}: `acr` and `max_age` need a signed-in caller; remove `public`")
        for name in operation.acr:
            if _ACR.fullmatch(name) is None:
                raise ValueError(f"{operation.rule}: an `acr` value is one word of printable ASCII")
        self._acr = frozenset(operation.acr)
        self._max_age = None if operation.max_age is None else int(operation.max_age)
        parts = ['error="insufficient_user_authentication"']
        if operation.acr:
            parts.append(f'acr_values="{" ".join(operation.acr)}"')
        if self._max_age is not None:
            parts.append(f'max_age="{self._max_age}"')
        self.challenge: Headers = ((b"www-authenticate", f"Bearer {', '.join(parts)}".encode()),)

    def lacking(self, identity: Identity, now: int) -> str:
        """Return what the caller's sign-in lacks, in words; "" if it will do.

        Arguments:
            now: microseconds since the epoch.
        """
        if self._acr and identity.acr not in self._acr:
            return "`acr` is not one of those the route names"
        if self._max_age is not None:
            signed_in = identity.auth_time
            if signed_in is None or isinstance(signed_in, bool):
                return "`auth_time` is missing, so nobody knows when the user signed in"
            age = now // _SECOND - signed_in
            if age > self._max_age:
                return f"the user signed in {age} s ago; {self._max_age} s are allowed"
            if age < -_SKEW:
                return "`auth_time` lies in the future"
        return ""
