from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.params import Depends, Security
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from sixfold.middleware import fastapi as face
from sixfold.middleware import starlette as plain
from sixfold.middleware.marks import SILENT, Words, combine, place, said_by
from sixfold.policy import PolicyError


def words_of(mark: Any) -> Words:
    return mark.words


@pytest.mark.parametrize("module", [plain, face])
def test_mark_returns_what_it_marks(module):
    """API-01: marks never wrap: the function stays the very same object."""

    def endpoint() -> None: ...

    marked = module.require("a")(module.limit("5/minute")(endpoint))
    assert marked is endpoint
    assert [one.words.access for one in said_by(endpoint)] == ["", "require"]


def test_one_object_two_forms():
    """API-02: `require(...)` is FastAPI's `Security`, `limit(...)` and `public` are `Depends`; all are decorators."""
    assert isinstance(face.require("a"), Security)
    assert face.require("b", "a").scopes == ("a", "b")
    for mark in (face.limit("1/second"), face.public):
        assert isinstance(mark, Depends)
        assert callable(mark)
    assert face.limit("1/second") != face.limit("1/second")  # two dependencies stay two
    assert len({face.require("a"), face.require("a")}) == 2


@pytest.mark.parametrize(
    ("mark", "access", "require", "when"),
    [
        (plain.require("a"), "require", ({"a"},), ()),
        (plain.require("a", "@admin"), "require", ({"a", "@admin"},), ()),
        (plain.require(any=["a", "b"]), "require", ({"a"}, {"b"}), ()),
        (plain.require("c", any=["a", "b"]), "require", ({"a", "c"}, {"b", "c"}), ()),
        (plain.require("c", any="a"), "require", ({"a", "c"},), ()),
        (plain.require(), "authenticated", (), ()),
        (plain.require("a", when="path.id == token.sub"), "require", ({"a"},), ("path.id == token.sub",)),
        (plain.require(when=["x == y", "y == z"]), "authenticated", (), ("x == y", "y == z")),
        (plain.public, "public", (), ()),
    ],
)
def test_what_require_says(mark, access, require, when):
    """API-01: names are all needed, of `any` one; without a name any signed-in caller may call."""
    words = words_of(mark)
    assert (words.access, tuple(map(set, words.require)), words.when) == (access, require, when)


@pytest.mark.parametrize("arguments", [("",), (5,), (["a"],)])
def test_names_are_texts(arguments):
    """API-01: what is no name fails where it stands."""
    with pytest.raises(TypeError, match="names of scopes"):
        plain.require(*arguments)


@pytest.mark.parametrize(
    ("arguments", "rate"),
    [
        ({"rate": "60/minute"}, "60/minute"),
        ({"rate": "60/minute", "per": "client"}, "60/minute per client"),
        ({"rate": "5/m", "per": "user"}, "5/minute per user"),
        ({"rate": "10 per 5 minutes"}, "10/5 minute"),
        ({"rate": "1000/s burst 2000", "per": "tenant"}, "1000/second per tenant burst 2000"),
        ({"rate": "5/s; 100/m", "per": "address"}, "5/second per address; 100/minute per address"),
        ({"rate": "3 concurrent-requests", "per": "global"}, "3 concurrent-requests per global"),
    ],
)
def test_what_limit_says(arguments, rate):
    """API-05: one grammar, spellings that people bring are read and kept in the canonical form."""
    (limit,) = words_of(plain.limit(**arguments)).limits
    assert limit.rate == rate


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"rate": "many"}, "write"),
        ({"rate": "5"}, "period"),
        ({"rate": "60/minute", "per": "ip"}, "address"),
        ({"rate": "60/minute", "per": "usr"}, "user"),
        ({"rate": "60/minute per client", "per": "user"}, "two subjects|per"),
    ],
)
def test_wrong_limits_fail_where_they_stand(arguments, hint):
    """API-06: a rate that cannot be read fails at import, with a hint."""
    with pytest.raises(ValueError, match=hint):
        plain.limit(**arguments)


def test_per_is_a_name():
    """API-06: `per` names a subject."""
    with pytest.raises(TypeError, match='"client"'):
        plain.limit("5/minute", per=lambda request: "x")


def test_limit_carries_its_mode():
    """API-06: cost, mode, name and stance go into the policy."""
    words = words_of(plain.limit("5/minute", cost=3, mode="shadow", name="login", on_store_failure="deny"))
    (limit,) = words.limits
    assert (words.cost, limit.mode, limit.name, limit.on_store_failure) == (3, "shadow", "login", "deny")


def test_combine():
    """UX-07: every requirement holds, every limit counts."""
    first, second = words_of(plain.require("a", any=["b", "c"])), words_of(plain.require("d", any=["b", "e"]))
    whole = combine([first, words_of(plain.limit("5/minute")), second, words_of(plain.limit("1/second", cost=2))])
    assert set(whole.require) == {frozenset("abd"), frozenset("abde"), frozenset("abcd"), frozenset("acde")}
    assert [limit.rate for limit in whole.limits] == ["5/minute", "1/second"]
    assert whole.cost == 2
    assert combine([]) == SILENT
    assert combine([words_of(plain.require()), first]).access == "require"


@pytest.mark.parametrize("other", [plain.require("a"), plain.require()])
def test_public_contradicts_require(other):
    """API-01: `public` and `require` on one route contradict each other."""
    with pytest.raises(ValueError, match="contradict"):
        combine([words_of(plain.public), words_of(other)])


@pytest.mark.parametrize("thing", [5, "text", len, object()])
def test_what_carries_no_mark(thing):
    """API-01: a mark on something that cannot carry it is an error, not a silence."""
    with pytest.raises(TypeError, match="a mark stands on"):
        plain.public(thing)


def test_bound_methods_and_partials():
    """API-01: bound methods and partials carry the marks of their functions."""

    class Views:
        @plain.require("a")
        def view(self) -> None: ...

        def other(self) -> None: ...

    views = Views()
    assert said_by(views.view)[0].words.access == "require"
    assert said_by(functools.partial(functools.partial(views.view, 1), 2))[0].words.access == "require"
    plain.public(views.other)
    assert said_by(Views.other)[0].words.access == "public"


def test_place():
    """EXP-01: file and line of an endpoint, whatever it is."""

    def view() -> None: ...

    @functools.wraps(view)
    def wrapped() -> None: ...

    class Thing:
        def __call__(self) -> None: ...

    for endpoint in (view, functools.partial(view), wrapped):
        assert place(endpoint) == (__file__, view.__code__.co_firstlineno)
    assert place(Thing)[0] == place(Thing())[0] == __file__
    assert place(len) == ("", 0)


# ---------------------------------------------------------------------- marks that got lost


def silent(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that does not tell what it wraps."""

    def replaced(request: Any) -> Any:
        return function(request)

    return replaced


class Silent:
    """The same as a class."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.wrapped_by_us = function

    def __call__(self, request: Any) -> Any:
        return self.wrapped_by_us(request)


def telling(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator as they should be."""

    @functools.wraps(function)
    def replaced(*arguments: Any, **named: Any) -> Any:
        return function(*arguments, **named)

    return replaced


def view(request: Any) -> PlainTextResponse:
    return PlainTextResponse("x")


def fresh() -> Callable[[Any], Any]:
    def endpoint(request: Any) -> PlainTextResponse:
        return PlainTextResponse("x")

    return endpoint


@pytest.mark.parametrize("wrap", [silent, lambda f: silent(silent(f)), lambda f: silent(functools.partial(f))])
def test_a_mark_below_a_foreign_wrapper(policy_file, wrap):
    """UX-05: a mark that a foreign wrapper lost is an error at start, with the place of the mark."""
    endpoint = plain.limit("5/minute")(fresh())
    app = Starlette(routes=[Route("/x", wrap(endpoint))])
    protector = plain.Sixfold(policy_file())
    protector.protect(app)
    with pytest.raises(PolicyError, match=r"test_marks.py:\d+.*does not reach its route"):
        protector.policy()


def test_a_mark_below_a_wrapper_object(policy_file):
    """UX-05: the same for a wrapper that is an object, in FastAPI."""
    app = FastAPI()
    app.get("/x")(Silent(face.require("a")(fresh())).__call__)
    protector = face.Sixfold(policy_file())
    protector.protect(app)
    with pytest.raises(PolicyError, match="does not reach its route"):
        protector.policy()


def test_a_mark_above_a_foreign_wrapper(policy_file):
    """UX-05: a mark on a wrapper that the route never calls is lost as well."""
    endpoint = fresh()
    app = Starlette(routes=[Route("/x", endpoint)])
    marked = plain.require("a")(silent(endpoint))
    protector = plain.Sixfold(policy_file())
    protector.protect(app)
    with pytest.raises(PolicyError, match="does not reach its route"):
        protector.policy()
    del marked


def test_a_wrapper_that_tells(policy_file):
    """UX-05: a wrapper made with `functools.wraps` keeps the mark."""
    app = FastAPI()

    @app.get("/x")
    @telling
    @face.require("a")
    def x() -> None: ...

    protector = face.Sixfold(policy_file())
    protector.protect(app)
    operations = {one.path: one for one in protector.policy().operations}
    assert operations["/x"].require == (frozenset("a"),)


def test_marks_of_others(policy_file):
    """UX-05: a router that is left out, and another application, are none of our business."""
    left_out = APIRouter()

    @left_out.get("/hidden")
    @face.require("a")
    def hidden() -> None: ...

    other = FastAPI()
    other.get("/x")(face.public(fresh()))
    app = FastAPI()
    protector = face.Sixfold(policy_file())
    protector.protect(app)
    assert "/hidden" not in {one.path for one in protector.policy().operations}
