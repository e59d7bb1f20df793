from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from sixfold.identity import ANONYMOUS, Identity

Make = Callable[..., Any]
ROLES = {
    "viewer": ["orders:read"],
    "editor": ["@viewer", "orders:write"],
    "admin": ["@editor", "orders:*", "users:delete"],
    "root": ["*"],
}


# ---------------------------------------------------------------------- access


@pytest.mark.parametrize(
    ("table", "row", "known", "anonymous"),
    [
        ({}, {}, "operation-not-ruled", "operation-not-ruled"),
        ({"default": "authenticated"}, {}, "", "operation-not-ruled"),
        ({}, {"access": "public"}, "", ""),
        ({"default": "authenticated"}, {"access": "deny"}, "operation-not-ruled", "operation-not-ruled"),
        ({}, {"access": "authenticated"}, "", "operation-not-ruled"),
        ({}, {"require": [["orders:read"]]}, "insufficient-scope", "insufficient-scope"),
        ({}, {"require": []}, "insufficient-scope", "insufficient-scope"),
        ({"mode": "off"}, {"access": "deny"}, "", ""),
        ({}, {"access": "deny", "modes": {"authorization": "off"}}, "", ""),
    ],
)
def test_access(
    bench: Make, caller: Make, table: dict[str, Any], row: dict[str, Any], known: str, anonymous: str
) -> None:
    """M6, API5: deny by default; whoever is not known passes only where everybody may."""
    b = bench(table, row)
    for _ in range(2):  # the second time from memory
        assert b.code(caller()) == known
        assert b.code(ANONYMOUS) == anonymous
    assert not ANONYMOUS.memo


@pytest.mark.parametrize("row", [{"modes": {"authorization": "shadow"}}, {}])
def test_mode(bench: Make, caller: Make, row: dict[str, Any]) -> None:
    """M10: the weaker of the table's and the route's mode goes into the refusal."""
    b = bench(
        {"mode": "enforce" if row else "shadow"},
        row,
        {"require": [["a"]]},
        {"access": "public", "when": ["'a' == 'b'"]},
    )
    assert b.ask(caller()).mode == "shadow"
    expected = "enforce" if row else "shadow"
    assert b.ask(caller(), 1).mode == b.ask(caller(), 2).mode == expected


@pytest.mark.parametrize(
    ("row", "line", "reason"),
    [
        ({}, 11, '`[authorization] default` is "deny"'),
        ({"access": "deny"}, 40, "denies this operation"),
        ({"access": "authenticated"}, 40, "nobody is signed in"),
    ],
)
def test_the_refusal_says_where_the_rule_stands(bench: Make, row: dict[str, Any], line: int, reason: str) -> None:
    """M6: file, line and remedy."""
    refusal = bench({}, row).ask(ANONYMOUS)
    assert (refusal.status, refusal.rule.file, refusal.rule.line) == (403, "sixfold.toml", line)
    assert reason in refusal.reason
    assert refusal.remedy


# ---------------------------------------------------------------------- roles and scopes


@pytest.mark.parametrize(
    ("roles", "scopes", "require", "allowed"),
    [
        (["viewer"], [], ["orders:read"], True),
        (["viewer"], [], ["orders:write"], False),
        (["editor"], [], ["orders:read", "orders:write"], True),
        (["admin"], [], ["orders:approve"], True),
        (["admin"], [], ["ordersx"], False),
        (["admin"], [], ["users:read"], False),
        (["root"], [], ["anything at:all"], True),
        (["viewer", "unheard-of"], [], ["orders:read"], True),
        (["unheard-of"], [], ["orders:read"], False),
        (["viewer"], [], ["@viewer"], True),
        (["admin"], [], ["@viewer"], True),
        (["viewer"], [], ["@admin"], False),
        ([], ["@viewer"], ["@viewer"], False),
        (["admin"], [], ["@editor", "users:delete"], True),
        ([], ["orders:read"], ["orders:read"], True),
        ([], ["orders:read"], ["orders:write"], False),
        ([], ["orders:*"], ["orders:read"], False),
        ([], ["*"], ["orders:read"], False),
    ],
)
def test_roles_and_scopes(
    bench: Make, caller: Make, roles: list[str], scopes: list[str], require: list[str], allowed: bool
) -> None:
    """M5: roles carry permissions and inherit; wildcards count in the policy, never in a token."""
    b = bench({"roles": ROLES}, {"require": [require]})
    assert (b.code(caller(*scopes, roles=tuple(roles))) == "") == allowed


@pytest.mark.parametrize(
    ("roles", "scopes", "narrow", "union"),
    [
        (["editor"], ["orders:read"], False, True),  # the client was given less than the user has
        (["editor"], ["orders:write"], True, True),
        (["viewer"], ["orders:write"], False, True),  # a scope gives the user nothing
        (["editor"], ["openid", "profile"], True, True),  # no scope of this API: nothing is narrowed
        (["editor"], [], True, True),
        (["unheard-of"], ["orders:write"], True, True),
        (["editor"], ["orders:approve"], False, True),  # granted by `orders:*`, so it is one of ours
        (["root"], ["openid"], True, True),
        (["root"], ["users:delete"], False, True),
        ([], [], False, False),
    ],
)
def test_combine(bench: Make, caller: Make, roles: list[str], scopes: list[str], narrow: bool, union: bool) -> None:
    """M5, RS-21: scopes narrow what the user's roles grant; `union` takes either."""
    for combine, allowed in (("narrow", narrow), ("union", union)):
        b = bench({"roles": ROLES, "combine": combine}, {"require": [["orders:write"]]})
        assert (b.code(caller(*scopes, roles=tuple(roles))) == "") == allowed


def test_alternatives(bench: Make, caller: Make) -> None:
    """M5: one alternative must be granted in full."""
    b = bench({}, {"require": [["a", "b"], ["c"]]})
    assert [b.code(caller(*scopes)) for scopes in (["a", "b"], ["c"], ["a"], ["b"])] == [
        "", "", "insufficient-scope", "insufficient-scope",
    ]  # fmt: skip


def test_the_verdict_is_kept_with_the_identity(bench: Make, caller: Make) -> None:
    """UX-13: a warm check is one look-up; what is kept is bounded by the number of operations."""
    b = bench({}, {"require": [["a"]]}, {"require": [["b"]]})
    ann = caller("a")
    for _ in range(3):
        assert (b.code(ann, 0), b.code(ann, 1)) == ("", "insufficient-scope")
    assert ann.memo["authorization"] == {0: True, 1: False}
    assert b.ask(ann, 1).number != b.ask(ann, 1).number


# ---------------------------------------------------------------------- the refusal


def test_insufficient_scope_names_the_scope(bench: Make, caller: Make) -> None:
    """RS-20, M6: 403 `insufficient_scope` with the scope (RFC 6750 section 3.1); words say what lacks."""
    b = bench({"roles": ROLES}, {"require": [["orders:read", "orders:write"]]})
    refusal = b.ask(caller("orders:read"))
    assert (refusal.status, refusal.code) == (403, "insufficient-scope")
    challenge = b'Bearer error="insufficient_scope", scope="orders:read orders:write"'
    assert refusal.headers == ((b"www-authenticate", challenge),)
    assert orjson.loads(refusal.problem())["detail"] == "missing: `orders:write`"
    assert "scopes: orders:read" in refusal.reason
    assert "`editor` or `admin` or `root`" in refusal.remedy
    assert "ann" not in repr(refusal)


def test_the_nearest_alternative_is_named(bench: Make, caller: Make) -> None:
    """M6: of several ways, the one that lacks least."""
    b = bench({"roles": ROLES}, {"require": [["a", "b", "c"], ["@admin"]]})
    assert b.ask(caller()).detail == "missing: role `admin`"
    assert b.ask(caller("a", "c")).detail in ("missing: `b`", "missing: role `admin`")


@pytest.mark.parametrize(
    ("require", "resource", "expected"),
    [
        (["@editor"], None, b'Bearer error="insufficient_scope"'),
        (["@editor", "b", "a"], None, b'Bearer error="insufficient_scope", scope="a b"'),
        (['a"b'], None, b'Bearer error="insufficient_scope"'),
        (
            ["a"],
            "https://api.example.com",
            (
                b'Bearer error="insufficient_scope", scope="a", '
                b'resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"'
            ),
        ),
        (
            ["@editor"],
            "https://api.example.com/v1/x?y=1",
            (
                b'Bearer error="insufficient_scope", '
                b'resource_metadata="https://api.example.com/.well-known/oauth-protected-resource/v1/x?y=1"'
            ),
        ),
        (
            ["@editor"],
            "https://api.example.com/",
            (
                b'Bearer error="insufficient_scope", '
                b'resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"'
            ),
        ),
    ],
)
def test_challenge(bench: Make, caller: Make, require: list[str], resource: str | None, expected: bytes) -> None:
    """RS-20, PRM-02: a scope holds scopes only; the metadata path goes between host and path."""
    b = bench({"roles": ROLES}, {"require": [require]}, resource=resource)
    assert b.ask(caller()).headers == ((b"www-authenticate", expected),)


def test_a_key_gets_no_bearer_challenge(bench: Make, caller: Make) -> None:
    """RS-20: the challenge speaks of tokens, so a caller with an API key is not sent one."""
    assert bench({}, {"require": [["a"]]}).ask(caller(scheme="api-key")).headers == ()


# ---------------------------------------------------------------------- errors at load


@pytest.mark.parametrize(
    ("roles", "row", "message"),
    [
        ({"a": ["@viewr"], "viewer": []}, {}, "sixfold.toml:12 authorization.roles.a: inherits `@viewr`"),
        ({"a": ["@viewr"], "viewer": []}, {}, "did you mean `viewer`"),
        ({"a": ["@b"], "b": ["@c"], "c": ["@a"]}, {}, "a → b → c → a"),
        ({"a": ["@a"]}, {}, "a → a"),
        ({"a": ["or*ders"]}, {}, "stands alone or at the end"),
        ({"a": ["orders*"]}, {}, "stands alone or at the end"),
        ({"a": ["*:*"]}, {}, "stands alone or at the end"),
        ({"editor": []}, {"require": [["@editr"]]}, "sixfold.toml:40 [[routes]] 0: requires `@editr`"),
        ({"editor": []}, {"require": [["@editr"]]}, "did you mean `editor`"),
        ({}, {"require": [["orders:*"]]}, "names one permission"),
        (
            {},
            {"access": "authenticated", "when": ["path.id = token.sub"]},
            "sixfold.toml:40 [[routes]] 0: `path.id",
        ),
    ],
)
def test_what_cannot_work_is_refused_at_load(
    bench: Make, roles: dict[str, list[str]], row: dict[str, Any], message: str
) -> None:
    """M5: unknown and circular roles are errors with file and line."""
    with pytest.raises(ValueError) as caught:
        bench({"roles": roles}, row)
    assert message in str(caught.value)
    assert str(caught.value).startswith("sixfold.toml:")


# ---------------------------------------------------------------------- conditions


def test_a_condition_comes_after_the_requirement(bench: Make) -> None:
    """API1 (BOLA): the right permission on somebody else's object is refused, without a word about values."""
    row = {"path": "/users/{user_id}", "require": [["a"]], "when": ["path.user_id == token.sub"]}
    b = bench({}, row)
    ann = Identity("ann", scopes=frozenset({"a"}), claims={"sub": "ann"})
    assert b.ask(ann, parameters={"user_id": "ann"}) is None
    refusal = b.ask(ann, parameters={"user_id": "secret-bob"})
    assert (refusal.status, refusal.code, refusal.rule.line) == (403, "condition-failed", 40)
    assert "`path.user_id == token.sub`" in refusal.reason
    assert "secret-bob" not in repr(refusal) + refusal.problem().decode() + refusal.remedy
    assert b.code(Identity("ann"), parameters={"user_id": "ann"}) == "insufficient-scope"


def test_all_conditions_must_hold(bench: Make, caller: Make) -> None:
    """API1: several `when` are joined by `and`; a public route may have some too."""
    b = bench({}, {"access": "public", "when": ["query.a == '1'", "header.x-b == '2'"]})
    assert b.code(ANONYMOUS, query=b"a=1", headers=((b"x-b", b"2"),)) == ""
    assert b.code(ANONYMOUS, query=b"a=1") == "condition-failed"
    assert b.code(ANONYMOUS, headers=((b"x-b", b"2"),)) == "condition-failed"
