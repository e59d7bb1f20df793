"""A JSON body: parsed strictly, checked by its schema, forwarded in its canonical form (M11, API3)."""

from __future__ import annotations

from jsonschema_rs import Draft202012Validator

from sixfold.decision import Fault
from sixfold.layers.validation.bounds import unbounded
from sixfold.layers.validation.faults import MAX_FAULTS, Breach, body_faults, pointer
from sixfold.layers.validation.media import MediaType
from sixfold.layers.validation.strict_json import Flaw, Parsed, Parser


class JsonBody:
    """The check of one media type's body.

    Arguments:
        parser: with the policy's limits.
        validator: of the schema, or None if every value will do.
        canonical: forward what was understood instead of what was sent.
    """

    __slots__ = ("_canonical", "_parser", "_validator")

    def __init__(self, parser: Parser, validator: Draft202012Validator | None, *, canonical: bool) -> None:
        self._parser = parser
        self._validator = validator
        self._canonical = canonical

    def check(self, raw: bytes, _media: MediaType) -> bytes | Breach | None:
        """Return the canonical bytes, None if the original will do, or what is wrong."""
        parsed = self._parser(raw)
        if type(parsed) is Flaw:
            return broken(parsed)
        assert type(parsed) is Parsed  # noqa: S101 (narrowing for the type checker only)
        value, canonical, large = parsed
        validator = self._validator
        if validator is not None and not validator.is_valid(value):
            return Breach("invalid-body", body_faults(validator, value, canonical), "the body breaks its schema")
        if large and (breach := too_large(validator, parsed)):
            return breach
        return canonical if self._canonical and canonical != raw else None


def broken(flaw: Flaw) -> Breach:
    """Return the breach of a text that cannot be read in one way only."""
    return Breach(
        "malformed-body", (Fault("", flaw.expected, flaw.found),), f"strict JSON: {flaw.expected}", flaw.limit
    )


def too_large(validator: Draft202012Validator | None, parsed: Parsed) -> Breach | None:
    """Return the breach of integers that the schema does not bound."""
    places = unbounded(validator, parsed.value, parsed.large)[:MAX_FAULTS]
    if not places:
        return None
    expected = "an integer between -2^53 and 2^53, or a contract that bounds it (`format: int64`)"
    faults = tuple(Fault(pointer(place), expected, "a larger integer") for place in places)
    return Breach("invalid-body", faults, "an integer that not every parser reads exactly")
