"""A text body with a schema: UTF-8, then the schema of a string. Forwarded as it came."""

from __future__ import annotations

from jsonschema_rs import Draft202012Validator

from sixfold.decision import Fault
from sixfold.layers.validation.faults import Breach, body_faults
from sixfold.layers.validation.media import MediaType
from sixfold.layers.validation.text import Reader


class TextBody:
    """The check of a `text/*` body.

    Arguments:
        read: turns the text into what the schema wants.
        validator: of the schema.
    """

    __slots__ = ("_read", "_validator")

    def __init__(self, read: Reader, validator: Draft202012Validator) -> None:
        self._read = read
        self._validator = validator

    def check(self, raw: bytes, _media: MediaType) -> bytes | Breach | None:
        """Return None, or what is wrong."""
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            return Breach("malformed-body", (Fault("", "text in UTF-8", "other bytes"),), "not UTF-8")
        values = self._read(text)
        if any(self._validator.is_valid(value) for value in values):
            return None
        faults = body_faults(self._validator, values[0] if values else text, raw)
        return Breach("invalid-body", faults, "the body breaks its schema")
