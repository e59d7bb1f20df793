"""The book itself: it is read strictly, and it tells of every layer, mode and refusal."""

from __future__ import annotations

import pytest

from sixfold.decision import CODES

from .book import LAYERS, read_book, read_chapter

CHAPTER = """
about = "x"
policy = "orders"
[[case]]
name = "one"
request = "GET /health"
expected = {{ status = 200 }}
{more}
"""
# What only a real connection can bring about; `tests/proxy` and `tests/real` do.
OF_THE_WIRE = {
    "request-timeout", "expectation-failed", "transfer-not-implemented", "version-not-supported", "overloaded",
    "internal", "limits-unavailable",
}  # fmt: skip


def test_a_chapter_is_read() -> None:
    assert read_chapter(CHAPTER.format(more="")).case[0].expected.status == 200


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ("expectd = 1", "expectd"),
        ("as = { scope = [] }", "scope"),
        ("faces = ['proxy']", "`about` says why"),
        ("[case.before]", "before"),
        ("body = 'a'\nhex = '00'", "more than one body"),
    ],
)
def test_a_slip_is_told(more: str, wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        read_chapter(CHAPTER.format(more=more))


@pytest.mark.parametrize(
    "expected",
    [
        'status = 404, code = "no-such-code"',
        'status = 404, code = "unknown-operation", layer = "validation"',
        'status = 404, code = "unknown-operation", forwarded = { target = "/" }',
        'status = 200, told = "x"',
    ],
)
def test_an_expectation_that_cannot_be_met_is_told(expected: str) -> None:
    text = CHAPTER.format(more="").replace("status = 200", expected)
    with pytest.raises(ValueError, match=r"."):
        read_chapter(text)


def test_names_are_unique() -> None:
    ids = [entry.id for entry in read_book()]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_has_its_cases(layer: str) -> None:
    cases = [entry.case for entry in read_book() if entry.layer == layer]
    assert len(cases) >= 20
    if layer != "encryption":  # a channel is safe or not: there is no shadow
        assert any(case.expected.told for case in cases)


def test_every_refusal_of_a_layer_has_a_case() -> None:
    met = {code for entry in read_book() for code in (entry.case.expected.code, *entry.case.expected.told)}
    assert {code for code, row in CODES.items() if row.layer in LAYERS} - met == OF_THE_WIRE


def test_nearly_every_case_runs_on_every_face() -> None:
    some = [entry.id for entry in read_book() if entry.case.faces]
    assert len(some) <= 10
