"""What was decided: log, decisions, counters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sixfold.decision import Refusal, Rule
from sixfold.watch import AccessLog, Decisions, Metrics, Record, Watch
from sixfold.watch.decisions import KEPT, moment

NOW = 1_800_000_000_000_000


def refusal(**more: Any) -> Refusal:
    return Refusal(
        "unknown-operation", Rule("routes", "sixfold.toml", 3), reason="no such path", remedy="declare it", **more
    )


def test_lines_are_written_whole_and_in_order(tmp_path: Path) -> None:
    """LOG-01: batches by a thread of its own; `close` writes the last ones."""
    log = AccessLog(str(tmp_path / "log"))
    for number in range(1000):
        log.add({"number": number, "text": "a\nb\x1b\u2028"})
        if number % 7 == 0:
            log.flush()
    log.close()
    raw = (tmp_path / "log").read_bytes()
    assert [json.loads(line)["number"] for line in raw.split(b"\n")[:-1]] == list(range(1000))
    assert b"\x1b" not in raw


def test_a_log_is_appended_to(tmp_path: Path) -> None:
    """LOG-01: what an earlier process wrote stays."""
    path = tmp_path / "log"
    path.write_text("before\n")
    log = AccessLog(str(path))
    log.add({"a": 1})
    log.close()
    assert path.read_text() == 'before\n{"a":1}\n'


def test_a_rotated_log(tmp_path: Path) -> None:
    """LOG-01: what is written after a rotation goes into a new file, without a signal."""
    path = tmp_path / "log"
    log = AccessLog(str(path))
    path.rename(tmp_path / "old")
    log.add({"a": 1})
    log.close()
    assert path.read_text() == '{"a":1}\n'


def test_decisions_are_found_by_prefix() -> None:
    """EXP-01: whole ids and prefixes, in upper or lower case, with or without `d-`."""
    kept = Decisions()
    records = [Record(refusal(), NOW, None, address="192.0.2.1") for _ in range(10)]
    for record in records:
        kept.add(record)
    wanted = records[3].refusal.id
    for text in (wanted, wanted.lower(), wanted[2:], wanted[2:].lower(), wanted[:8]):
        assert records[3] in kept.find(text)
    assert kept.find(wanted) == [records[3]]
    assert kept.last(2) == [records[9], records[8]]
    assert kept.find("d-UUUUUUUU") == []


def test_decisions_are_bounded() -> None:
    """EXP-01: the newest are kept, the oldest forgotten."""
    kept = Decisions()
    first = Record(refusal(), NOW, None)
    kept.add(first)
    for _ in range(KEPT):
        kept.add(Record(refusal(), NOW, None))
    assert kept.find(first.refusal.id) == []
    assert len(kept.last(2 * KEPT)) == KEPT


def test_a_story() -> None:
    """EXP-02: layer, rule with file and line, reason, remedy."""
    story = Record(refusal(mode="shadow"), NOW, None, address="192.0.2.1").story()
    assert story["rule"] == {"name": "routes", "file": "sixfold.toml", "line": 3}
    assert (story["reason"], story["remedy"], story["result"]) == ("no such path", "declare it", "would refuse")
    assert story["time"] == "2027-01-15T08:00:00.000Z"
    json.dumps(story)


@pytest.mark.parametrize(
    ("now", "text"),
    [(0, "1970-01-01T00:00:00.000Z"), (1_999, "1970-01-01T00:00:00.001Z"), (999_999, "1970-01-01T00:00:00.999Z")],
)
def test_moments(now: int, text: str) -> None:
    """LOG-01: RFC 3339, UTC, milliseconds."""
    assert moment(now) == text


def test_counters() -> None:
    """OBS-02: buckets add up, durations are seconds, labels are escaped."""
    metrics = Metrics()
    for duration in (0, 1_000, 1_001, 99_999, 60_000_000):
        metrics.served("GET", '/a"b\\c', 200, duration)
    metrics.gauges = lambda: [("sixfold_connections", "Open.", {}, 3.0)]
    families = {family.name: family for family in text_string_to_metric_families(metrics.render().decode())}
    (total,) = [sample for sample in families["sixfold_requests"].samples if sample.name.endswith("_total")]
    assert total.labels == {"method": "GET", "route": '/a"b\\c', "status": "200"}
    samples = families["http_server_request_duration_seconds"].samples
    buckets = {sample.labels["le"]: sample.value for sample in samples if "le" in sample.labels}
    assert (buckets["0.001"], buckets["0.0025"], buckets["0.1"], buckets["10.0"], buckets["+Inf"]) == (2, 3, 4, 4, 5)
    assert [sample.value for sample in samples if sample.name.endswith("_sum")] == [60.102]
    assert families["sixfold_connections"].samples[0].value == 3


def test_a_refusal_is_told_once() -> None:
    """OBS-02: to the counters, to the decisions and to the terminal."""
    told: list[Record] = []
    watch = Watch(tail=told.append)
    said = refusal()
    watch.unread(_peer(), said)
    assert [record.refusal for record in told] == [said]
    assert watch.decisions.find(said.id)[0].address == "192.0.2.1"
    assert watch.metrics.decisions == {("gateway", "refuse", "unknown-operation", "enforce"): 1}
    assert watch.metrics.answers == {("", "", 404): 1}


def _peer() -> Any:
    from sixfold.request import Peer

    return Peer("192.0.2.1")
