from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.identity import ANONYMOUS, Identity
from sixfold.layers.authorization.conditions import ConditionError, compile_condition
from sixfold.request import Fields, Peer, Request

CLAIMS: dict[str, Any] = {
    "sub": "ann", "org": {"id": 42, "names": ["a", 7]}, "groups": ["x", "y"], "admin": True, "ratio": 1.0,
    "nothing": None, "a.b": "dotted", "https://x.example/t": "url", "scope": "read write",
}  # fmt: skip
ANN = Identity("ann", issuer="i", client_id="app", tenant="t1", claims=CLAIMS)


def holds(text: str, identity: Identity = ANN, **parameters: str) -> bool:
    request = Request(
        "GET", b"/", "/", b"region=eu&twice=1&twice=1&empty=",
        Fields([(b"x-tenant", b"t1"), (b"x-two", b"1"), (b"x-two", b"1"), (b"x-high", b"\xff")]),
        Peer("192.0.2.1"), "192.0.2.1", "https", "", 0, 0,
    )  # fmt: skip
    return compile_condition(text, ["id", "user_id"])(request, identity, {"id": "42", "user_id": "ann", **parameters})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("path.user_id == token.sub", True),
        ("path.id == token.sub", False),
        ("path.id == token.org.id", True),  # a number and its text
        ("path.id != token.org.id", False),
        ("header.x-tenant == identity.tenant", True),
        ("header.X-Tenant == 't1'", True),
        ('query.region == "eu"', True),
        ("identity.client_id == 'app' and identity.subject == 'ann'", True),
        ("token.admin == 'true'", True),
        ("token.a.b == 'dotted'", True),
        ("token.https://x.example/t == 'url'", True),
        ("path.user_id in token.groups", False),
        ("'x' in token.groups", True),
        ("'7' in token.org.names", True),
        ("not 'x' in token.groups", False),
        ("'z' == 'z' or path.id == token.sub", True),
        ("path.id == token.sub or 'z' == 'z'", True),
        ("'a' == 'b' and 'a' == 'a' or 'a' == 'a'", True),
        ("'a' == 'b' and ('a' == 'a' or 'a' == 'a')", False),
        ("not not 'a' == 'a'", True),
        ("not ('a' == 'a' and 'a' == 'b')", True),
        ("query.empty == ''", True),
        ("'ANN' == token.sub", False),
    ],
)
def test_what_holds(text: str, expected: bool) -> None:
    """API1: claims against path, query and header values; scalars as text, exactly."""
    assert holds(text) is expected


@pytest.mark.parametrize(
    "fact",
    [
        "token.missing", "token.nothing", "token.sub.x", "token.org", "token.groups", "token.ratio",
        "query.missing", "query.twice", "header.missing", "header.x-two", "header.x-high",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "form",
    [
        "{} == '1'",
        "{} != '1'",
        "not {} == '1'",
        "not {} != '1'",
        "{0} == {0}",
        "not ({} == '1' and 'a' == 'a')",
    ],
)
def test_what_is_missing_lets_nobody_pass(fact: str, form: str) -> None:
    """API1: a fact that is missing or ambiguous denies, also under `not` and `!=`."""
    assert holds(form.format(fact)) is False


@pytest.mark.parametrize("fact", ["token.sub", "identity.subject", "identity.client_id", "identity.tenant"])
@pytest.mark.parametrize("form", ["{} == ''", "{} != 'x'", "not {} == 'x'"])
def test_nobody_has_no_facts(fact: str, form: str) -> None:
    """API1: an anonymous caller is not the user with the empty name."""
    assert holds(form.format(fact), ANONYMOUS) is False


@pytest.mark.parametrize(
    "text", ["'read' in token.scope", "'ann' in token.sub", "'id' in token.org", "'a' in token.missing"]
)
@pytest.mark.parametrize("negation", ["", "not "])
def test_in_looks_into_lists_only(text: str, negation: str) -> None:
    """API1: `in` is no search in a text."""
    assert holds(negation + text) is False


@pytest.mark.parametrize("text", ["token.missing == 'a' or 'a' == 'a'", "'a' == 'a' or not token.missing == 'a'"])
def test_what_holds_anyway_holds(text: str) -> None:
    """API1: a missing fact does not spoil an alternative that is known to hold."""
    assert holds(text) is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "path.user == token.sub",
            "column 1: expected a parameter of the path (did you mean `user_id`?), found `path.user`",
        ),
        ("path.id = token.sub", "column 9: expected"),
        (
            "path.id == ",
            "column 12: expected an operand like `path.id`, `token.sub` or a text in quotes, found the end",
        ),
        ("path.id", "column 8: expected `==`, `!=` or `in`, found the end"),
        ("path.id == token.sub token.sub", "column 22: expected `and`, `or` or the end"),
        ("(path.id == token.sub", "expected `)`, found the end"),
        ("path.id == token.sub)", "found `)`"),
        ("body.id == token.sub", "expected one of `path.name`"),
        ("id == token.sub", "expected one of `path.name`"),
        ("token. == 'a'", "expected one of"),
        ("token.sub. == 'a'", "expected one of"),
        ("identity.name == 'a'", "expected `identity.subject`"),
        ("'a' in 'abc'", "a list of the token"),
        ("'a' in path.id", "a list of the token"),
        ("path.id == 'a", "column 12: expected"),
        ("and == 'a'", "expected an operand"),
        ("not", "expected an operand"),
        ("", "found the end"),
        ("(" * 30 + "'a' == 'a'" + ")" * 30, "nested more than 20 deep"),
        ("'" + "a" * 1000 + "' == 'a'", "at most 1000 characters"),
    ],
)
def test_what_cannot_be_read(text: str, message: str) -> None:
    """API1: errors are found at load and name the column."""
    with pytest.raises(ConditionError) as caught:
        compile_condition(text, ["id", "user_id"])
    assert message in str(caught.value)


@given(st.text(alphabet="()'\"=!. andortinpahk_qy", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """API1: no text makes the compiler fail in another way, and no condition fails on a request."""
    try:
        compile_condition(text, ["id", "user_id"])
    except ConditionError:
        return
    assert holds(text) in (True, False)


facts = st.sampled_from(["'a' == 'a'", "'a' == 'b'", "token.missing == 'a'"])
VALUES = {"'a' == 'a'": True, "'a' == 'b'": False, "token.missing == 'a'": None}


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> tuple[str, bool | None]:
    if depth == 0 or draw(st.booleans()):
        text = draw(facts)
        return text, VALUES[text]
    if draw(st.integers(0, 2)) == 0:
        text, value = draw(expressions(depth - 1))
        return f"not ({text})", None if value is None else not value
    word = draw(st.sampled_from(["and", "or"]))
    left, right = draw(expressions(depth - 1)), draw(expressions(depth - 1))
    values = {left[1], right[1]}
    strong = word == "or"
    value = strong if strong in values else None if None in values else not strong
    return f"({left[0]}) {word} ({right[0]})", value


@given(expressions())
def test_three_values(expression: tuple[str, bool | None]) -> None:
    """API1: `and`, `or`, `not` follow Kleene's tables, and only true lets a request pass."""
    assert holds(expression[0]) is (expression[1] is True)
