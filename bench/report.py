"""The results as tables for a person and as JSON for a program."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from bench.measure import Effort, Result
from bench.targets import IDLE, MIDDLEWARE

TITLES = {
    "get": "GET, the same headers on every request",
    "get-varied": "GET, path, query, traceparent and token differ from request to request",
    "post": "POST of 1 kB of JSON",
    "get-tls": "GET over TLS 1.3, keep-alive",
    "middleware": "a route of a FastAPI application, protected in its own process",
    "idle": "memory of the largest process with idle connections",
}

QUIET = 0.05  # of a core: less than that from other processes is no disturbance

Results = Mapping[str, Sequence[Result]]


def baseline(scenario: str, results: Sequence[Result]) -> Result | None:
    """The result that the others of the scenario are compared with."""
    name = "route-bare" if scenario == MIDDLEWARE else "nginx"
    return next((result for result in results if result.target.name == name), None)


def ratio(result: Result, base: Result | None) -> float | None:
    """How many times the base's CPU a request costs."""
    return result.cost / base.cost if base and base.cost and result.cost else None


def table(scenario: str, results: Sequence[Result]) -> str:
    """A Markdown table of one scenario, and under it what is missing and why."""
    base = baseline(scenario, results)
    rows = [memory_row(result) for result in results if result.memory and not result.memory.error]
    head = ["target", "connections", "MB before", "MB with them", "kB a connection"]
    if scenario != IDLE:
        against = f"× {base.target.name}" if base else "ratio"
        head = [
            "target",
            "does",
            "CPU µs",
            "lowest to highest",
            against,
            "p50 µs",
            "p99 µs",
            "requests/s",
            "core busy",
        ]
        rows = [row(result, base) for result in results if result.good]
    notes = disturbed(results)
    notes += [f"- {result.target.name}: {note}" for result in results for note in notes_of(result)]
    return "\n".join([f"### {scenario}: {TITLES[scenario]}", "", *aligned([head, *rows]), "", *notes])


def disturbed(results: Sequence[Result]) -> list[str]:
    """A warning, if the machine did something else meanwhile."""
    others = [run.others for result in results for run in result.good]
    if not others or median(others) < QUIET:
        return []
    return [f"- disturbed: other processes worked for {median(others):.0%} of a core meanwhile; measure again"]


def notes_of(result: Result) -> list[str]:
    broken = result.memory.error if result.memory else ""
    return [note for note in (result.note, result.refused, broken) if note]


def row(result: Result, base: Result | None) -> list[str]:
    """One line: medians over the runs that count."""
    runs, costs, times = result.good, result.costs, ratio(result, base)
    return [
        result.target.name,
        result.target.does,
        f"{median(costs):.1f}",
        f"{min(costs):.1f} to {max(costs):.1f}",
        f"{times:.2f}" if times else "",
        f"{median(run.p50 for run in runs):.0f}",
        f"{median(run.p99 for run in runs):.0f}",
        f"{median(run.requests / run.seconds for run in runs):.0f}",
        f"{median(run.cpu / run.seconds for run in runs):.0%}",
    ]


def memory_row(result: Result) -> list[str]:
    memory = result.memory
    assert memory is not None
    each = (memory.after - memory.before) / memory.connections / 1e3
    return [
        result.target.name,
        str(memory.connections),
        f"{memory.before / 1e6:.1f}",
        f"{memory.after / 1e6:.1f}",
        f"{each:.2f}",
    ]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as the lines of a Markdown table; the first is its head."""
    widths = [max(len(line[column]) for line in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in rows
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def machine() -> dict[str, object]:
    """What it was measured on."""
    processors = [line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "cpu": processors[0] if processors else platform.machine(),
        "cores": len(processors),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def as_json(results: Results, effort: Effort) -> dict[str, object]:
    """Everything that was measured, run by run."""
    scenarios = {name: [_result(name, one, found) for one in found] for name, found in results.items()}
    return {"machine": machine(), "effort": dataclasses.asdict(effort), "scenarios": scenarios}


def _result(scenario: str, result: Result, results: Sequence[Result]) -> dict[str, object]:
    return {
        "target": result.target.name,
        "does": result.target.does,
        "layers": result.target.layers,
        "cpu_us": result.cost,
        "ratio": ratio(result, baseline(scenario, results)),
        "runs": [dataclasses.asdict(run) for run in result.runs],
        "memory": dataclasses.asdict(result.memory) if result.memory else None,
        "notes": notes_of(result),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
