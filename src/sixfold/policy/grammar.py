"""Questions to the grammar (`document.Document`): what may stand at a key, and what keys a table knows."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from sixfold.policy.document import Document
from sixfold.policy.tree import Path

Options = tuple[Any, ...]  # the alternatives of a union; Annotated is kept


def options(annotation: Any) -> Options:
    """Return the alternatives of an annotation, unions inside unions included."""
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(option for part in get_args(annotation) for option in options(part))
    return (annotation,)


def bare(option: Any) -> Any:
    """Return an alternative without `Annotated`."""
    return get_args(option)[0] if get_origin(option) is Annotated else option


def keys(table: Options) -> dict[str, Any]:
    """Return the keys that a table may hold, each with its annotation."""
    found: dict[str, Any] = {}
    for model in _models(table):
        for name, field in model.model_fields.items():
            annotation = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
            found[field.alias or name] = annotation
    return found


def below(table: Options, key: str) -> Options:
    """Return what may stand at a key (or list index) of a table."""
    found = [options(keys(table)[key])] if key in keys(table) else []
    for option in map(bare, table):
        if get_origin(option) is dict:
            found.append(options(get_args(option)[1]))
        elif get_origin(option) is list:
            found.append(options(get_args(option)[0]))
    return tuple(option for group in found for option in group)


def at(path: Path) -> Options:
    """Return what may stand at a path of the file."""
    here: Options = (Document,)
    for key in path:
        here = below(here, key)
    return here


def takes_text(here: Options) -> bool:
    """Return whether any text may stand here, not only chosen words."""
    return any(bare(option) is str for option in here)


def takes_table(here: Options) -> bool:
    """Return whether a table may stand here."""
    return any(get_origin(bare(option)) is dict for option in here) or any(_models(here))


def tables_with(key: str) -> list[str]:
    """Return the tables of the file that know a key."""
    return [name for name, table in keys((Document,)).items() if key in keys(options(table))]


def _models(here: Options) -> Iterator[type[BaseModel]]:
    for option in map(bare, here):
        if isinstance(option, type) and issubclass(option, BaseModel):
            yield option
