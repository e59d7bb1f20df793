"""Path templates: what may be written, which is wider, which wins."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixfold.layers.gateway.router import Router
from sixfold.policy import match


@pytest.mark.parametrize(
    ("text", "methods", "path"),
    [
        ("GET /", ("GET",), "/"),
        ("GET|HEAD /a/{id}", ("GET", "HEAD"), "/a/{id}"),
        ("GET|GET /a", ("GET",), "/a"),
        ("*   /files/**", (), "/files/**"),
        (" QUERY /a ", ("QUERY",), "/a"),
        ("GET /a/{x}.json", ("GET",), "/a/{x}.json"),
        ("GET /a/", ("GET",), "/a/"),
        ("GET /naïve", ("GET",), "/naïve"),
    ],
)
def test_what_a_route_may_match(text: str, methods: tuple[str, ...], path: str) -> None:
    assert match.parse(text) == (methods, path)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("/orders", "GET /orders"),
        ("", "GET /orders"),
        ("GET", "GET /orders"),
        ("GET /a /b", "GET /orders"),
        ("get /a", "did you mean `GET`"),
        ("GETT /a", "did you mean `GET`"),
        ("TRACE /a", "not a method"),
        ("GET| /a", "not a method"),
        ("GET a", "starts with"),
        ("GET /a?b=c", "query"),
        ("GET /a#b", "query"),
        ("GET /%61", "decoded"),
        ("GET /a;b", "decoded"),
        ("GET /a\\b", "backslash"),
        ("GET /a//b", "empty"),
        ("GET //", "empty"),
        ("GET /a/../b", "dot"),
        ("GET /.", "dot"),
        ("GET /a/**/b", "final"),
        ("GET /a/*", "final"),
        ("GET /a/b**", "final"),
        ("GET /{a", "final"),
        ("GET /a}", "final"),
        ("GET /{a/b}", "final"),
        ("GET /{a}/{a}", "twice"),
        ("GET /{}", "final"),
    ],
)
def test_what_it_may_not(text: str, word: str) -> None:
    """PATH-01: a template that no canonical path can ever match is a mistake, told at load."""
    with pytest.raises(ValueError, match=word):
        match.parse(text)


@pytest.mark.parametrize(
    ("wide", "path", "covered"),
    [
        ("/**", "/", True),
        ("/**", "/a/{b}", True),
        ("/**", "/a/**", True),
        ("/a/**", "/a", True),
        ("/a/**", "/a/", True),
        ("/a/**", "/ab", False),
        ("/a/**", "/", False),
        ("/a/**", "/**", False),
        ("/a/b/**", "/a/**", False),
        ("/{x}/**", "/a/b", True),
        ("/{x}/**", "/{y}", True),
        ("/{x}/**", "/", False),
        ("/{x}/**", "/**", False),
        ("/a/**", "/{x}/b", False),
        ("/a/{x}/**", "/a/", False),
        ("/{x}.json/**", "/{y}.json", True),
        ("/{x}.json/**", "/a.json", False),
    ],
)
def test_a_wide_template_covers_what_it_always_matches(wide: str, path: str, covered: bool) -> None:
    assert match.covers(wide, path) is covered


SEGMENT = st.sampled_from(["a", "b", "{x}", "{y}.c"])
TEMPLATE = st.lists(SEGMENT, max_size=3).map(lambda parts: "/" + "/".join(parts))
WIDE = st.lists(st.sampled_from(["a", "b", "{x}"]), max_size=3).map(lambda parts: "/".join(["", *parts, "**"]))
PATH = st.lists(st.sampled_from(["a", "b", "c", "b.c"]), max_size=4).map(lambda parts: "/" + "/".join(parts))


def _found(path: str, *templates: str) -> Any:
    """Return the template that the router chooses, or None."""
    router = Router()
    for template in templates:
        router.add("GET", template, template)
    found = router.find(path, "GET")
    return found[0] if isinstance(found, tuple) else None


def _matches(template: str, path: str) -> bool:
    return _found(path, template) is not None


@settings(deadline=None)
@given(WIDE, TEMPLATE | WIDE, PATH)
def test_covering_agrees_with_the_router(wide: str, template: str, path: str) -> None:
    """PATH-02: one that covers another matches every path that the other matches."""
    if match.covers(wide, template) and _matches(template, path):
        assert _matches(wide, path)


@settings(deadline=None)
@given(st.lists(TEMPLATE | WIDE, min_size=2, max_size=2), PATH)
def test_the_heavier_template_is_the_one_the_router_takes(templates: list[str], path: str) -> None:
    """PATH-02: rules are layered in the order in which the router prefers them."""
    light, heavy = sorted(templates, key=match.weight)
    if match.shape(light) != match.shape(heavy) and _matches(light, path) and _matches(heavy, path):
        assert _found(path, *templates) == heavy
