"""How OpenAPI writes arrays and objects into parameters and forms (OpenAPI 3.1 section 4.8.12; RFC 6570).

A *reading* turns what stands under one name into the values that it can mean. Items are split after decoding:
the canonical target writes an encoded comma plainly, so nobody behind us can tell the two apart either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sixfold.layers.validation.faults import shown
from sixfold.layers.validation.schemas import ANY, Node, Schemas
from sixfold.layers.validation.text import Reader, reader

SEPARATORS: Final[Mapping[str, str]] = {
    "form": ",",
    "simple": ",",
    "spaceDelimited": " ",
    "pipeDelimited": "|",
}
_SCALARS: Final = frozenset(("null", "boolean", "integer", "number", "string"))


class Wrong(NamedTuple):
    """A text that stands for nothing the schema wants: what is expected and what was found, in words."""

    expected: str
    found: str = "a text"


Pairs = Sequence[tuple[str, str]]  # (property or "", text)
Reading = Callable[[Pairs], tuple[Any, ...] | Wrong]


def reading(schemas: Schemas, node: Node, style: str, explode: bool) -> Reading:
    """Return the reading of a schema in a style: as array, object or scalar, whichever the schema allows."""
    types = schemas.types(node)
    readings: list[Reading] = []
    if types != ANY:  # a schema that allows everything is given the text
        if "array" in types:
            readings.append(
                _array(_item(schemas, node), None if _repeats(style, explode) else SEPARATORS.get(style, ","))
            )
        if "object" in types:
            readings.append(_object_reading(schemas, node, style, explode))
    if types & _SCALARS:
        readings.append(_scalar(types & _SCALARS if types != ANY else frozenset(("string",))))
    if len(readings) == 1:
        return readings[0]
    return lambda pairs: _all(readings, pairs)


def _repeats(style: str, explode: bool) -> bool:
    """Return whether an array is written by repeating its name."""
    return explode and style != "simple"


def _all(readings: Sequence[Reading], pairs: Pairs) -> tuple[Any, ...] | Wrong:
    values: list[Any] = []
    wrong = Wrong("a value")
    for read in readings:
        found = read(pairs)
        if isinstance(found, Wrong):
            wrong = found
        else:
            values.extend(found)
    return tuple(values) or wrong


def scalar_words(types: frozenset[str]) -> str:
    """Return types in words: `an integer or null`."""
    names = sorted(types - ({"integer"} if "number" in types else frozenset()), key=lambda name: (name == "null", name))
    return " or ".join(name if name == "null" else f"{'an' if name[0] == 'i' else 'a'} {name}" for name in names)


def _scalar(types: frozenset[str]) -> Reading:
    read, words = reader(types), scalar_words(types)

    def scalar(pairs: Pairs) -> tuple[Any, ...] | Wrong:
        if len(pairs) > 1:
            return Wrong("one value", "several")
        return read(pairs[0][1]) or Wrong(words)

    return scalar


def _item(schemas: Schemas, node: Node) -> tuple[Reader, str]:
    return inner_reader(schemas, schemas.items(node))


def inner_reader(schemas: Schemas, node: Node) -> tuple[Reader, str]:
    """Return what reads an item or a property, and its types in words. Text has no way to nest further."""
    types = schemas.types(node)
    types = frozenset(("string",)) if types == ANY else types & _SCALARS
    return reader(types), scalar_words(types) or "nothing: text cannot hold it"


def _array(item: tuple[Reader, str], separator: str | None) -> Reading:
    read, words = item

    def array(pairs: Pairs) -> tuple[Any, ...] | Wrong:
        texts = [text for _, text in pairs]
        if separator is not None:
            if len(texts) > 1:
                return Wrong(f"one value, items separated by `{separator}`", "several values")
            texts = texts[0].split(separator) if texts[0] else []
        values = []
        for text in texts:
            found = read(text)
            if not found:
                return Wrong(f"a list; each item {words}", "an item of another kind")
            values.append(found[0])
        return (values,)

    return array


def _object_reading(schemas: Schemas, node: Node, style: str, explode: bool) -> Reading:
    readers = {name: inner_reader(schemas, inner) for name, inner in schemas.properties(node).items()}
    plain = inner_reader(schemas, Node(True, node.resolver))
    if style == "deepObject" or _repeats(style, explode):
        return lambda pairs: _object(pairs, readers, plain)
    separator = SEPARATORS.get(style, ",")

    def joined(pairs: Pairs) -> tuple[Any, ...] | Wrong:
        if len(pairs) > 1:
            return Wrong("one value", "several")
        members = _members(pairs[0][1].split(separator), explode)
        return members if isinstance(members, Wrong) else _object(members, readers, plain)

    return joined


def _members(parts: list[str], explode: bool) -> list[tuple[str, str]] | Wrong:
    if explode:
        members = [part.partition("=") for part in parts]
        if not all(equals for _, equals, _ in members):
            return Wrong("`name=value` for every property")
        return [(name, text) for name, _, text in members]
    if len(parts) % 2:
        return Wrong("a value for every property name")
    return list(zip(parts[::2], parts[1::2], strict=True))


def _object(
    pairs: Pairs, readers: Mapping[str, tuple[Reader, str]], plain: tuple[Reader, str]
) -> tuple[Any, ...] | Wrong:
    value: dict[str, Any] = {}
    for name, text in pairs:
        if name in value:
            return Wrong(f"`{shown(name)}` once", "a repeated property")
        read, words = readers.get(name, plain)
        found = read(text)
        if not found:
            return Wrong(f"for `{shown(name)}` {words}")
        value[name] = found[0]
    return (value,)
