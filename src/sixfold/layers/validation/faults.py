"""Turns what a schema objects to into words: where, what is expected, which type was found; never the value.

JSON Pointer: RFC 6901. A property name that a client made up is shown only if it is short and printable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from jsonschema_rs import Draft202012Validator, ValidationError

from sixfold.decision import Fault
from sixfold.layers.validation.schemas import kinds

MAX_FAULTS: Final = 20
_MAX_NAME: Final = 64  # characters of a name in a message
_MAX_POINTER: Final = 500  # characters of a pointer; refusals are remembered
_MAX_CHOICES: Final = 12  # of an enumeration in a message
# The validator lists every error at once, at some microseconds each. A larger input is told its first error
# only, so that a body of nothing but errors costs no more than an honest one.
_LISTED_BYTES: Final = 16 * 1024
_LISTED_NODES: Final = 256


class Breach(NamedTuple):
    """An input that breaks its contract; `check` makes a refusal of it.

    Arguments:
        code: of the refusal.
        faults: what is wrong, at most `MAX_FAULTS`.
        reason: for the operator; no value.
        limit: the key of `[validation]` that refuses, or "" for the contract.
    """

    code: str
    faults: tuple[Fault, ...]
    reason: str = ""
    limit: str = ""


def body_faults(validator: Draft202012Validator, value: Any, canonical: bytes) -> tuple[Fault, ...]:
    """Return what a schema objects to in a body that it has refused.

    Arguments:
        validator: that refused it.
        value: the body, parsed.
        canonical: the body's JSON text, for its size.
    """
    small = len(canonical) <= _LISTED_BYTES and canonical.count(b",") + canonical.count(b":") <= _LISTED_NODES
    return tuple(islice(_faults(_errors(validator, value, small), value), MAX_FAULTS))


def parameter_faults(validator: Draft202012Validator, value: Any, where: str) -> tuple[Fault, ...]:
    """Return what a schema objects to in a parameter, all under the parameter's name (`query: limit`)."""
    found = _faults(_errors(validator, value, small=_is_small(value)), value)
    return tuple(Fault(where, fault.expected, fault.found) for fault in islice(found, MAX_FAULTS))


def pointer(path: Iterable[str | int]) -> str:
    """Return the JSON Pointer of a path (RFC 6901 section 3), the end of a very long one as `...`."""
    text = "".join("/" + shown(str(step)).replace("~", "~0").replace("/", "~1") for step in path)
    return text if len(text) <= _MAX_POINTER else text[:_MAX_POINTER] + "..."


def shown(name: str) -> str:
    """Return a name as it may stand in a message: `?` for one that is long or not printable."""
    return name if len(name) <= _MAX_NAME and name.isprintable() else "?"


def kind_of(value: Any) -> str:
    """Return the JSON type of a value, in one word."""
    return kinds(value)[0]


def _is_small(value: Any) -> bool:
    return not isinstance(value, (list, dict)) or len(value) <= _LISTED_NODES


def _errors(validator: Draft202012Validator, value: Any, small: bool) -> Iterable[ValidationError]:
    if small:
        return validator.iter_errors(value)
    try:
        validator.validate(value)
    except ValidationError as first:
        return (first,)
    return ()


def _faults(errors: Iterable[ValidationError], value: Any) -> Iterator[Fault]:
    for error in errors:
        kind, path = error.kind.name, error.instance_path
        if kind in _UNEXPECTED:
            for name in error.kind.value[:MAX_FAULTS]:
                yield _undeclared(path, str(name))
        elif kind == "required":
            yield Fault(pointer((*path, error.kind.value)), "a value: the property is required", "nothing")
        elif kind in ("anyOf", "oneOf"):
            yield from _alternatives(error, value)
        else:
            yield Fault(pointer(path), _expected(error), kind_of(_at(value, path)))


_UNEXPECTED: Final = frozenset(("additionalProperties", "unevaluatedProperties"))


def _undeclared(path: Sequence[str | int], name: str) -> Fault:
    return Fault(pointer((*path, name)), f"one of the declared properties; `{shown(name)}` is not declared")


def _alternatives(error: ValidationError, value: Any) -> Iterator[Fault]:
    """Tell the errors of the alternative that was meant, if one only has the type and tag that came."""
    branches = [branch for branch in error.kind.value if branch]
    if not branches:
        yield Fault(pointer(error.instance_path), "exactly one of the alternatives", "several")
        return
    here = error.instance_path
    meant = [branch for branch in branches if not any(_is_other_kind(inner, here) for inner in branch)]
    if len(meant) == 1:
        yield from _faults(meant[0], value)
    else:
        found = kind_of(_at(value, here))
        yield Fault(pointer(here), f"one of {len(branches)} alternatives of the contract", found)


def _is_other_kind(error: ValidationError, here: Sequence[str | int]) -> bool:
    """Return whether an error says that the alternative was not meant: another type, another tag."""
    if error.kind.name == "type":
        return list(error.instance_path) == list(here)
    return error.kind.name in ("const", "enum") and len(error.instance_path) == len(here) + 1


def _at(value: Any, path: Iterable[str | int]) -> Any:
    try:
        for step in path:
            value = value[step]
    except (LookupError, TypeError):  # the path of a property's name points at no value
        return None
    return value


def _expected(error: ValidationError) -> str:
    words = _WORDS.get(error.kind.name)
    return words(error.kind.value) if words is not None else f"what `{error.kind.name}` of the contract demands"


def _articled(kind: str) -> str:
    return kind if kind == "null" else f"{'an' if kind[0] in 'aio' else 'a'} {kind}"


def _types(names: Iterable[str]) -> str:
    return " or ".join(_articled(name) for name in sorted(names, key=lambda name: name == "null"))


def _plain(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return f"`{str(value).lower() if value is not None else 'null'}`"
    return f"`{shown(str(value))}`" if isinstance(value, (str, int, float)) else "a given object or array"


def _choices(options: Sequence[Any]) -> str:
    listed = ", ".join(_plain(option) for option in options[:_MAX_CHOICES])
    return f"one of {listed}" + (f" and {len(options) - _MAX_CHOICES} more" if len(options) > _MAX_CHOICES else "")


def _counted(least: str, noun: str) -> Callable[[Any], str]:
    return lambda limit: f"{least} {limit} {noun}{'' if limit == 1 else 's'}"


_WORDS: Final[Mapping[str, Callable[[Any], str]]] = {
    "type": _types,
    "enum": _choices,
    "const": _plain,
    "falseSchema": lambda _: "nothing: the contract does not allow this here",
    "format": lambda name: f"the format `{name}`",
    "pattern": lambda _: "a text of the pattern in the contract",
    "minimum": lambda limit: f"at least {limit}",
    "maximum": lambda limit: f"at most {limit}",
    "exclusiveMinimum": lambda limit: f"more than {limit}",
    "exclusiveMaximum": lambda limit: f"less than {limit}",
    "multipleOf": lambda step: f"a multiple of {step}",
    "minLength": _counted("at least", "character"),
    "maxLength": _counted("at most", "character"),
    "minItems": _counted("at least", "item"),
    "maxItems": _counted("at most", "item"),
    "minProperties": lambda limit: f"at least {limit} {'property' if limit == 1 else 'properties'}",
    "maxProperties": lambda limit: f"at most {limit} {'property' if limit == 1 else 'properties'}",
    "uniqueItems": lambda _: "items that differ from each other",
    "contains": lambda _: "an item as the contract demands",
    "unevaluatedItems": lambda _: "no further items",
    "additionalItems": lambda _: "no further items",
    "propertyNames": lambda _: "property names as the contract demands",
    "not": lambda _: "something else: the contract excludes this",
}
