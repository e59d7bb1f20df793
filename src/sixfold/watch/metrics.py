"""Counters in plain cells; prometheus-client turns them into text only when somebody scrapes (OBS-02)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_BOUNDS_US: Final = tuple(int(bound * 1_000_000) for bound in _BOUNDS)

Gauges = Callable[[], Iterable[tuple[str, str, dict[str, str], float]]]


class Metrics:
    """All counters of a process.

    Arguments of the cells:
        answers: (method, route, status) -> number.
        decisions: (layer, decision, code, mode) -> number.
        buckets: request durations by `_BOUNDS`, the last one open.
    """

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str, int], int] = {}
        self.decisions: dict[tuple[str, str, str, str], int] = {}
        self.buckets = [0] * (len(_BOUNDS) + 1)
        self.seconds_us = 0
        self.turned_away = 0
        self.handshakes_failed = 0
        self.gauges: Gauges = lambda: ()

    def served(self, method: str, route: str, status: int, duration: int) -> None:
        """Count one answered request; duration in microseconds."""
        key = (method, route, status)
        answers = self.answers
        answers[key] = answers.get(key, 0) + 1
        self.buckets[bisect_left(_BOUNDS_US, duration)] += 1
        self.seconds_us += duration

    def decided(self, layer: str, decision: str, code: str, mode: str) -> None:
        """Count one refusal, real or in shadow."""
        key = (layer, decision, code, mode)
        self.decisions[key] = self.decisions.get(key, 0) + 1

    def render(self) -> bytes:
        """Return the Prometheus text format."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Any]:
        """Yield metric families, as prometheus-client asks for them."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        requests = CounterMetricFamily("sixfold_requests", "Answered requests.", labels=("method", "route", "status"))
        for (method, route, status), number in [*self.answers.items()]:
            requests.add_metric((method, route, str(status)), number)
        yield requests
        refusals = CounterMetricFamily(
            "sixfold_refusals", "Refusals, real and in shadow.", labels=("layer", "decision", "code", "mode")
        )
        for key, number in [*self.decisions.items()]:
            refusals.add_metric(key, number)
        yield refusals
        durations = HistogramMetricFamily("http_server_request_duration_seconds", "From first byte to last.")
        total, buckets = 0, []
        for bound, number in zip((*map(str, _BOUNDS), "+Inf"), self.buckets, strict=True):
            total += number
            buckets.append((bound, total))
        durations.add_metric((), buckets, sum_value=self.seconds_us / 1_000_000)
        yield durations
        yield CounterMetricFamily(
            "sixfold_connections_turned_away", "Connections over the cap per address.", value=self.turned_away
        )
        yield CounterMetricFamily(
            "sixfold_handshakes_failed", "TLS handshakes that failed.", value=self.handshakes_failed
        )
        for name, text, labels, value in self.gauges():
            gauge = GaugeMetricFamily(name, text, labels=tuple(labels))
            gauge.add_metric(tuple(labels.values()), value)
            yield gauge
