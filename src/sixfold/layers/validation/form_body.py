"""An `application/x-www-form-urlencoded` body: decoded once, checked as an object, forwarded re-encoded.

WHATWG URL section 5; defence against parameter pollution: one separator, one decoding, one value per scalar.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote_from_bytes

import orjson
from jsonschema_rs import Draft202012Validator

from sixfold.decision import Fault
from sixfold.layers.validation.faults import Breach, body_faults
from sixfold.layers.validation.fields import Field, assemble
from sixfold.layers.validation.media import MediaType
from sixfold.target import Malformed, query_pairs

_SAFE: Final = "*-._"


class FormBody:
    """The check of a form.

    Arguments:
        fields: declared ones.
        validator: of the object they make, or None if every object will do.
        max_fields: number of fields.
        canonical: forward what was understood instead of what was sent.
    """

    __slots__ = ("_canonical", "_fields", "_max_fields", "_validator")

    def __init__(
        self,
        fields: Mapping[str, Field],
        validator: Draft202012Validator | None,
        max_fields: int,
        *,
        canonical: bool,
    ) -> None:
        self._fields = fields
        self._validator = validator
        self._max_fields = max_fields
        self._canonical = canonical

    def check(self, raw: bytes, _media: MediaType) -> bytes | Breach | None:
        """Return the canonical bytes, None if the original will do, or what is wrong."""
        if raw.count(b"&") >= self._max_fields:
            fault = Fault("", f"at most {self._max_fields} fields", "more fields")
            return Breach("malformed-body", (fault,), "too many form fields", "max_fields")
        try:
            pairs = query_pairs(raw, multiline=True)
        except Malformed as problem:
            fault = Fault("", "a form that can be decoded in one way only", problem.reason)
            return Breach("malformed-body", (fault,), f"form: {problem.reason}")
        value = assemble(self._fields, pairs)
        if isinstance(value, tuple):
            return Breach("invalid-body", value, "a field breaks its schema")
        validator = self._validator
        if validator is not None and not validator.is_valid(value):
            return Breach(
                "invalid-body",
                body_faults(validator, value, orjson.dumps(value)),
                "the form breaks its schema",
            )
        return _encoded(pairs) if self._canonical else None


def _encoded(pairs: tuple[tuple[str, str], ...]) -> bytes:
    return "&".join(f"{_quoted(name)}={_quoted(text)}" for name, text in pairs).encode()


def _quoted(text: str) -> str:
    return quote_from_bytes(text.encode(), safe=_SAFE).replace("%20", "+")
