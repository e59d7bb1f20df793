"""Prints the reference pages from the code: `python -m docs.printed` (`make docs`). A test holds them up to date."""

from __future__ import annotations

import asyncio
import inspect
import re
import tempfile
import tomllib
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from docstring_parser import parse
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from sixfold.policy.document import Document
from sixfold.policy.quantities import parse_duration, parse_size

FOLDER: Final = Path(__file__).parent / "reference"
LAYER_TABLES: Final = ("gateway", "encryption", "authentication", "authorization", "rate_limiting", "validation")
_NOTE: Final = "<!-- printed by `make docs` from the code; do not edit -->\n"
_ABOUT_POLICY: Final = """\
`sixfold.toml`, or the same tree as YAML. Unknown keys are refused. A size is a number of bytes or a text like
`"1 MiB"`; a duration is a number of seconds or a text like `"5 minutes"`. Where text may stand, `${NAME}`,
`{ env = "NAME" }` and `{ file = "name" }` bring a value from elsewhere; `SIXFOLD_GATEWAY__LISTEN` overrides
`[gateway] listen`, and so for every key. `sixfold schema` prints the grammar as JSON Schema.
"""
_ABOUT_REFUSALS: Final = """\
Every refusal is an `application/problem+json` document (RFC 9457) with `type`, `title`, `status`, the stable `code` and
the `decision` id that `sixfold explain` takes; `errors` names each fault of an input by JSON Pointer or by parameter.
Titles are public; rule, reason and remedy are the operator's.
"""
_ABOUT_METRICS: Final = """\
The admin listener answers `GET /metrics` in the Prometheus text format, for its own process. Beside it stand
`/-/health`, `/-/ready` (503 while draining), `/-/status` and `/-/decisions`.
"""
_SIZES: Final = ((1024 * 1024, "MiB"), (1024, "KiB"))
_SPANS: Final = ((86_400, "d"), (3600, "h"), (60, "min"))


def pages() -> dict[str, str]:
    """Return the text of each page by file name."""
    return {
        "policy.md": policy_page(),
        "refusals.md": refusals_page(),
        "commands.md": commands_page(),
        "metrics.md": metrics_page(),
    }


def main() -> None:
    """Write the pages."""
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


# ---------------------------------------------------------------------- the policy


def policy_page() -> str:
    """Return the grammar of the policy file."""
    meanings = tomllib.loads((FOLDER / "meanings.toml").read_text(encoding="utf-8"))
    parts = [
        "# The policy file\n",
        _NOTE,
        _ABOUT_POLICY,
    ]
    for title, model in _sections():
        parts += [f"## {title}\n", _sentence(model), _fields(model, meanings[model.__name__])]
    return "\n".join(parts)


def _sections() -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the tables of the file, each followed by those that first stand inside it."""
    seen: set[type[BaseModel]] = set()
    for name, field in Document.model_fields.items():
        model = next(_models(field.annotation))
        many = get_origin(field.annotation) is list
        yield f"`[[{name}]]`" if many else f"`[{name}]`", model
        for inner in _below(model):
            if inner not in seen:
                seen.add(inner)
                yield inner.__name__, inner


def _below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for field in model.model_fields.values():
        for inner in _models(field.annotation):
            yield inner
            yield from _below(inner)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from _models(part)


def _sentence(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__doc__ or "") + "\n"


def _fields(model: type[BaseModel], meanings: dict[str, str]) -> str:
    rows = []
    for name, field in model.model_fields.items():
        key = field.alias or name
        annotation = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
        default = "required" if field.is_required() else _default(field.default, annotation)
        rows.append((f"`{key}`", _type(annotation), default, meanings[key]))
    return table(("key", "type", "default", "meaning"), rows)


def _type(annotation: Any) -> str:
    """Return a type in words."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        quantity = _quantity(annotation)
        return quantity or _bounded(_type(inside[0]), inside[1:])
    if origin in (Union, types.UnionType):
        named = [_type(part) for part in inside if part is not type(None)]
        return " or ".join(dict.fromkeys(named))
    if origin is Literal:
        return " ".join(f"`{_toml(value)}`" for value in inside)
    if origin is list:
        return f"list of {_type(inside[0])}"
    if origin is dict:
        return f"table of {_type(inside[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})" if annotation not in _tables() else "table"
    return {str: "text", bool: "true or false", int: "integer", float: "number"}.get(annotation, "any value")


def _tables() -> list[type[BaseModel]]:
    return [next(_models(field.annotation)) for field in Document.model_fields.values()]


def _quantity(annotation: Any) -> str:
    validators = [getattr(item, "func", None) for item in get_args(annotation)[1:]]
    return "size" if parse_size in validators else "duration" if parse_duration in validators else ""


def _bounded(name: str, metadata: tuple[Any, ...]) -> str:
    low = next((item.ge for item in metadata if hasattr(item, "ge")), None)
    high = next((item.le for item in metadata if hasattr(item, "le")), None)
    if low is None and high is None:
        return name
    return f"{name}, {low} to {high}" if high is not None else f"{name}, at least {low}"


def _default(value: Any, annotation: Any) -> str:
    if value is None or value is PydanticUndefined or value in ([], {}) or isinstance(value, list):
        return "" if not value else f"`{_toml(value)}`"
    if isinstance(value, BaseModel):
        return "see below"
    quantity = _quantity(annotation)
    if quantity == "size":
        return _scaled(value, _SIZES, "B")
    if quantity == "duration":
        return _scaled(value, _SPANS, "s")
    return f"`{_toml(value)}`"


def _scaled(value: float, units: tuple[tuple[int, str], ...], smallest: str) -> str:
    for size, unit in units:
        if value >= size and value % size == 0:
            return f"{int(value // size)} {unit}"
    return f"{value:g} {smallest}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


# ---------------------------------------------------------------------- refusals


def refusals_page() -> str:
    """Return the table of refusals."""
    from sixfold.decision import CODES

    parts = [
        "# Refusals\n",
        _NOTE,
        _ABOUT_REFUSALS,
    ]
    for layer in dict.fromkeys(row.layer for row in CODES.values()):
        rows = [(f"`{code}`", str(row.status), row.title) for code, row in CODES.items() if row.layer == layer]
        parts += [f"## {layer.replace('_', ' ')}\n", table(("code", "status", "title"), rows)]
    return "\n".join(parts)


# ---------------------------------------------------------------------- commands


def commands() -> dict[str, Callable[..., int]]:
    """Return every command, `api-keys add` and its like included, with the function behind it."""
    from sixfold.cli import COMMANDS
    from sixfold.cli.app import app

    found: dict[str, Callable[..., int]] = {}
    for name in COMMANDS:
        inner = [key for key in app[name] if not key.startswith("-")]
        for key in inner:
            found[f"{name} {key}"] = _function(app[name][key])
        if not inner:
            found[name] = _function(app[name])
    return found


def _function(command: Any) -> Callable[..., int]:
    function: Callable[..., int] = command.default_command
    return function


def options(function: Callable[..., int]) -> dict[str, inspect.Parameter]:
    """Return the arguments of a command as they are written: `URL`, `--listen`."""
    written: dict[str, inspect.Parameter] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        plain = name.rstrip("_").replace("_", "-")
        written[f"--{plain}" if parameter.kind is parameter.KEYWORD_ONLY else plain.upper()] = parameter
    return written


def commands_page() -> str:
    """Return the commands with their options."""
    parts = ["# Commands\n", _NOTE]
    for name, function in commands().items():
        said = parse(inspect.getdoc(function) or "")
        meanings = {one.arg_name: " ".join((one.description or "").split()) for one in said.params}
        written = options(function)
        rows = [(f"`{key}`", _argument(one), meanings[one.name]) for key, one in written.items()]
        usage = " ".join(["sixfold", name, *(key for key in written if not key.startswith("-"))])
        parts += [f"## `{usage}`\n", " ".join(filter(None, (said.short_description, said.long_description))) + "\n"]
        if rows:
            parts.append(table(("option", "default", "meaning"), rows))
    parts += ["## Exit codes\n", table(("code", "meaning"), _EXITS)]
    return "\n".join(parts)


_EXITS: Final = [
    ("0", "done, or the request would be permitted"),
    ("1", "something was found: a finding, an expectation that fails, a refusal that was explained"),
    ("2", "the command line is wrong"),
    ("3", "the policy is wrong or missing; nothing was started"),
    ("4", "an address or a running process cannot be reached"),
    ("70", "a bug in Sixfold"),
    ("130", "interrupted"),
]


def _argument(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return "required"
    if parameter.default in (None, "", False):
        return ""
    return f"`{parameter.default}`"


# ---------------------------------------------------------------------- metrics

_POLICY: Final = """
[gateway]
listen = "127.0.0.1:0"
admin  = "127.0.0.1:0"

[authentication]
issuers = [{ issuer = "https://login.example.com/", jwks = "jwks.json", audience = "api" }]
"""
_HELP: Final = re.compile(r"# HELP (\S+) (.*)\n# TYPE \S+ (\S+)\n(?:\1(?:_bucket)?(?:\{(.*?)\})? )?")
_LABEL: Final = re.compile(r'(\w+)="')


def metrics_page() -> str:
    """Return the metrics of a worker that runs."""
    rows = []
    for name, text, kind, labels in _HELP.findall(asyncio.run(_scrape())):
        named = " ".join(f"`{label}`" for label in _LABEL.findall(labels) if label != "le")
        rows.append((f"`{name}`", kind, named, text))
    return "\n".join(["# Metrics\n", _NOTE, _ABOUT_METRICS, table(("metric", "kind", "labels", "meaning"), rows)])


async def _scrape() -> str:
    from sixfold.layers.authentication import DevKeys
    from sixfold.policy import compile_policy, load_text
    from sixfold.proxy.worker import Worker
    from sixfold.watch import Watch

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "jwks.json").write_bytes(DevKeys.load_or_create(folder / "dev").jwks())
        policy = compile_policy(load_text(_POLICY, folder=folder))
        worker = Worker(lambda: policy, folder=folder, watch=Watch(), files=lambda _: [])
        await worker.start()
        try:
            await worker.state.keys.refresh("https://login.example.com/", "", 1)
            worker.watch.metrics.served("GET", "/", 200, 1)
            worker.watch.metrics.decided("gateway", "refuse", "unknown-operation", "enforce")
            return worker.admin.answer("/metrics")[2].decode()
        finally:
            worker.stop()
            await worker.run()


if __name__ == "__main__":
    main()
