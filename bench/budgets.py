"""What Sixfold may cost, against what it did cost in this run."""

from __future__ import annotations

from bench.report import Results
from bench.targets import GET, IDLE, MIDDLEWARE, POST, TLS


def lines(results: Results) -> list[str]:
    """One line for each budget whose figures this run has."""
    cost = {(name, one.target.name): one.cost for name, found in results.items() for one in found if one.cost}
    memory = {one.target.name: one.memory for one in results.get(IDLE, ()) if one.memory and not one.memory.error}
    comparisons = (
        ("GET beside nginx plain", "nginx", 2.0),
        ("GET beside envoy with equal layers", "envoy", 1.0),
        ("GET beside haproxy with equal layers", "haproxy", 1.0),
    )
    own = cost.get((GET, "sixfold"), 0.0)
    told = [
        _line(what, own / cost[GET, other], limit, "×")
        for what, other, limit in comparisons
        if own and (GET, other) in cost
    ]
    for what, extra, base, limit in (
        ("POST with schema over GET", (POST, "sixfold"), (GET, "sixfold"), 5.0),
        ("TLS 1.3 over plain", (TLS, "sixfold-tls"), (GET, "sixfold"), 12.0),
        ("middleware over a bare route", (MIDDLEWARE, "route-sixfold"), (MIDDLEWARE, "route-bare"), 20.0),
    ):
        if extra in cost and base in cost:
            told.append(_line(what, cost[extra] - cost[base], limit, "µs"))
    if held := memory.get("sixfold"):
        told.append(_line(f"memory with {held.connections} idle connections", held.after / 1e6, 120.0, "MB"))
    return told


def _line(what: str, measured: float, limit: float, unit: str) -> str:
    verdict = "within" if measured <= limit else "OVER"
    return f"- {what}: {measured:.2f} {unit}, {verdict} the budget of {limit:g} {unit}"
