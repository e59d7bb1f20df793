"""Routes and described operations become one table; the more specific word wins, whatever the order."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from sixfold.decision import Rule
from sixfold.policy import Operation, Policy, PolicyError, compile_policy, load_text, read_policy
from sixfold.policy.document import Document, Limit
from sixfold.policy.match import EVERY

DATA = Path(__file__).parent / "data"
Find = Callable[[Policy, str], Operation]


def compiled(*routes: str, head: str = "") -> Policy:
    source = head + "".join(f"\n[[routes]]\n{route}" for route in routes)
    return compile_policy(load_text(source, file="sixfold.toml"))


def refused(*routes: str, head: str = "") -> list[str]:
    with pytest.raises(PolicyError) as caught:
        compiled(*routes, head=head)
    return str(caught.value).splitlines()


def codes(policy: Policy) -> list[str]:
    return [finding.code for finding in policy.findings]


def test_the_example_policy(operation: Find) -> None:
    """CFG-01: file and OpenAPI document become one policy; each rule knows its file and line."""
    policy = read_policy(DATA / "orders.toml", {})
    names = [f"{one.method} {one.path}" for one in policy.operations]
    assert names == [
        "GET /v1/health",
        "GET /v1/orders",
        "POST /v1/orders",
        "DELETE /v1/orders/{id}",
        "GET /v1/files/**",
        "HEAD /v1/files/**",
    ]
    assert [one.index for one in policy.operations] == list(range(6))
    added = operation(policy, "POST /v1/orders")
    assert added.require == (frozenset({"orders:write"}),)
    assert added.limits == (Limit(rate="10/second per user"),)
    assert (added.rule.file, added.rule.line, added.rule.name) == (
        "orders.yaml",
        27,
        "openapi POST /v1/orders",
    )
    assert operation(policy, "GET /v1/health").access == "public"
    gone = operation(policy, "DELETE /v1/orders/{id}")
    assert gone.require == (frozenset({"orders:delete"}), frozenset({"@admin"}))
    assert (gone.deprecated, gone.limits) == (True, (Limit(rate="5/minute per user"),))
    assert gone.rule.file == "paths/order.yaml"
    assert gone.contract is not None
    assert gone.contract.parameters[0].name == "id"
    files = operation(policy, "GET /v1/files/**")
    assert (files.contract, files.rule.line) == (None, 32)
    assert policy.titles == {"orders.yaml": ("Orders", "2", 4)}


@pytest.mark.parametrize(
    ("said", "access", "require"),
    [
        ("", "default", []),
        ("public = true", "public", []),
        ("authenticated = true", "authenticated", []),
        ("deny = true", "deny", []),
        ('require = "a"', "require", [{"a"}]),
        ('require = ["a", "@b"]', "require", [{"a", "@b"}]),
        ('require = { all = ["a", "b"] }', "require", [{"a", "b"}]),
        ('require = { any = ["a", "b", "a"] }', "require", [{"a"}, {"b"}]),
        ('require = { all = ["c"], any = ["a", "b"] }', "require", [{"c", "a"}, {"c", "b"}]),
    ],
)
def test_who_may_call(said: str, access: str, require: list[set[str]]) -> None:
    """M6: a route without an answer is left to the default, which denies."""
    (one,) = compiled(f'match = "GET /a"\n{said}').operations
    assert (one.access, one.require) == (access, tuple(map(frozenset, require)))


@pytest.mark.parametrize("nothing", ["[]", "{}", "{ all = [] }", "{ any = [] }"])
def test_a_requirement_that_names_nothing_is_refused(nothing: str) -> None:
    """M6: an empty list must not read as "everybody"."""
    (line,) = refused(f'match = "GET /a"\nrequire = {nothing}')
    assert line.startswith("sixfold.toml:4: routes.0.require: names nothing; write `authenticated = true`")


def test_everything_a_route_can_say() -> None:
    (one,) = compiled(
        'match = "POST /a/{id}"\nrequire = "x"\nwhen = ["path.id == token.sub"]\n'
        'limit = ["1/s", { rate = "2/m", mode = "shadow" }]\n'
        'cost = 3\nmode = { validation = "shadow" }\nmax_body = "1 kB"\ntimeout = "2s"\n'
        'content_types = ["Application/JSON"]\nupstream = "http://b"\nrequest_headers = { remove = ["x-a"] }'
    ).operations
    assert one.when == ("path.id == token.sub",)
    assert [(limit.rate, limit.mode) for limit in one.limits] == [("1/s", "enforce"), ("2/m", "shadow")]
    assert (one.cost, one.max_body, one.timeout, one.upstream) == (3, 1000, 2.0, "http://b")
    assert one.modes == {"validation": "shadow"}
    assert one.content_types == ("application/json",)
    assert one.request_headers is not None
    assert one.request_headers.remove == ["x-a"]
    assert one.rule == one.contract_rule


def test_one_mode_is_the_mode_of_every_layer_of_the_route() -> None:
    """SHD-01: mode per route, or per layer of a route."""
    (one,) = compiled('match = "GET /a"\nmode = "shadow"').operations
    assert one.modes == dict.fromkeys(("rate_limiting", "authentication", "authorization", "validation"), "shadow")


def test_a_star_means_every_method() -> None:
    assert tuple(one.method for one in compiled('match = "* /a"').operations) == EVERY


ROUTES = (
    'match = "* /**"\nrequire = "all"\nlimit = "1/s"\ncost = 2\nmode = "shadow"',
    'match = "GET /a/**"\nrequire = "a"\nwhen = ["w"]',
    'match = "* /a/{x}"\nlimit = "2/s"\nmode = { validation = "enforce" }',
    'match = "GET /a/{y}"\ncost = 5',
    'match = "GET /a/b"\npublic = true',
)


@pytest.mark.parametrize("order", [*permutations(range(5))][::7])
def test_the_more_specific_route_wins_whatever_the_order(order: tuple[int, ...], operation: Find) -> None:
    """CFG-01: a wide rule holds until a narrower one says otherwise, key by key."""
    policy = compiled(*(ROUTES[index] for index in order))
    one = operation(policy, "GET /a/{y}")
    assert (one.require, one.when, one.cost) == ((frozenset({"a"}),), ("w",), 5)
    assert [limit.rate for limit in one.limits] == ["2/s"]
    assert (one.modes["validation"], one.modes["authentication"]) == ("enforce", "shadow")
    assert one.rule.name == "[[routes]] GET /a/**"
    open_ = operation(policy, "GET /a/b")
    assert (open_.access, open_.require, open_.when) == ("public", (), ())
    post = operation(policy, "POST /a/{x}")
    assert (post.require, post.cost) == ((frozenset({"all"}),), 2)


def test_a_limit_alone_does_not_lose_the_rule_of_a_wider_route(operation: Find) -> None:
    """M6: adding a limit to one operation must not open it."""
    policy = compiled('match = "* /admin/**"\nrequire = "admin"', 'match = "GET /admin/x"\nlimit = "1/s"')
    assert operation(policy, "GET /admin/x").require == (frozenset({"admin"}),)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("GET /a/{x}", "GET /a/{y}"),
        ("GET|POST /a", "GET /a"),
        ("* /a/**", "* /a/**"),
        ("GET /{a}-{b}", "GET /{b}-{c}"),
    ],
)
def test_two_routes_for_the_same_requests_are_refused(one: str, other: str) -> None:
    """CLI-06: an ambiguity names both lines."""
    (line,) = refused(f'match = "{one}"', f'match = "{other}"')
    assert (
        line == f"sixfold.toml:4: [[routes]] {other}: matches the same requests as sixfold.toml:2; keep one of the two"
    )


@pytest.mark.parametrize("request_line", ["/a", "get /a", "GET a", "GET", "GET /a b"])
def test_an_expectation_that_asks_nothing_is_refused(request_line: str) -> None:
    """CFG-06: a test that cannot run is an error, not a pass."""
    (line,) = refused(head=f'[[expect]]\nrequest = "{request_line}"\nresult = 200\n')
    assert line == "sixfold.toml:2: expect.0.request: not a method and a target; write `POST /orders`"


PATHS = {
    "/a/{id}": {"get": {"security": [{"t": ["a:r"]}]}, "delete": {"security": [{"t": ["a:w"]}]}},
    "/b": {"get": {}},
}


def test_routes_refine_described_operations(described: Any, operation: Find) -> None:
    policy = described(
        {"paths": PATHS},
        '[[routes]]\nmatch = "* /a/{other}"\nlimit = "1/s"\n'
        '[[routes]]\nmatch = "* /b"\nauthenticated = true\n'
        '[[routes]]\nmatch = "GET|HEAD /a/{id}"\ncost = 2\n[[routes]]\nmatch = "PUT /a/{id}"\ndeny = true',
    )
    assert [f"{one.method} {one.path}" for one in policy.operations] == [
        "GET /a/{id}",
        "DELETE /a/{id}",
        "GET /b",
        "HEAD /a/{id}",
        "PUT /a/{id}",
    ]
    get = operation(policy, "GET /a/{id}")
    assert (get.require, get.cost, get.rule.file) == ((frozenset({"a:r"}),), 2, "openapi.json")
    assert [limit.rate for limit in operation(policy, "DELETE /a/{id}").limits] == ["1/s"]
    assert operation(policy, "GET /b").rule.file == "sixfold.toml"
    assert operation(policy, "GET /b").contract_rule.file == "openapi.json"
    assert operation(policy, "PUT /a/{id}").contract is None
    head = operation(policy, "HEAD /a/{id}")
    assert (head.require, head.contract) == (get.require, get.contract)
    assert {one.method for one in policy.operations if one.path == "/b"} == {"GET"}


def test_a_wide_route_over_described_operations_opens_nothing_else(described: Any, operation: Find) -> None:
    """API5: `GET /a/**` says who may call what the document describes, it does not open what nobody declared."""
    policy = described({"paths": PATHS}, '[[routes]]\nmatch = "GET /a/**"\nrequire = "wide"')
    assert {one.path for one in policy.operations} == {"/a/{id}", "/b"}
    assert operation(policy, "GET /a/{id}").require == (frozenset({"wide"}),)
    opened = described({"paths": PATHS}, '[[routes]]\nmatch = "GET /files/**"\nrequire = "wide"')
    assert "/files/**" in {one.path for one in opened.operations}


def test_get_does_not_bring_head_along(described: Any) -> None:
    policy = described({"paths": PATHS})
    assert len(policy.operations) == 3


def test_findings(described: Any) -> None:
    policy = described(
        {"paths": {**PATHS, "/open": {"post": {"security": []}}}},
        '[encryption]\nmode = "tls"\ncertificate = { file = "c", key = "k" }\n'
        '[authorization]\nroles.a = ["a:*", "@b"]\nroles.b = []\n'
        '[[routes]]\nmatch = "GET /nowhere"\nrequire = ["c", "@b", "a:x"]\n'
        '[[routes]]\nmatch = "GET /b/**"\ncost = 1',
    )
    found = [(finding.code, finding.rule.file, finding.rule.line) for finding in policy.findings]
    assert [row for row in found if row[0] != "unknown-scheme"] == [
        ("hosts-empty", "sixfold.toml", 0),
        ("route-matches-nothing", "sixfold.toml", 7),
        ("not-granted", "sixfold.toml", 7),
        ("public-write", "openapi.json", found[-2][2]),
        ("operation-not-ruled", "openapi.json", found[-1][2]),
    ]
    assert all(finding.text and finding.remedy for finding in policy.findings)


def test_no_finding_about_grants_without_roles() -> None:
    assert codes(compiled('match = "GET /a"\nrequire = "x"')) == []


def test_what_the_default_says_about_an_operation_without_a_rule() -> None:
    """FIRST-06: an operation without a rule is listed, and what happens to it is said."""
    for head, word in (
        ("", "nobody may call it"),
        ('[authorization]\ndefault = "authenticated"\n', "any signed-in"),
    ):
        (finding,) = compiled('match = "GET /a"', head=head).findings
        assert word in finding.text


BASE = 'match = "GET /a"\nrequire = "x"'


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        (compiled(BASE), True),
        (compiled(BASE + " # a comment"), True),
        (compiled(BASE, head='[gateway]\nlisten = "127.0.0.1:8400"\n'), True),
        (compiled(BASE, head='[[expect]]\nrequest = "GET /a"\nresult = 401\n'), True),
        (compiled(BASE, head='[log]\naccess = "off"\n'), True),
        (compiled('match = "GET /a"\nrequire = "y"'), False),
        (compiled(BASE, head="[gateway]\nmax_body = 1\n"), False),
        (compiled(BASE, head='[[authentication.issuers]]\nissuer = "a"\nsecret = "s"\n'), False),
    ],
)
def test_the_version_changes_with_everything_that_decides(changed: Policy, same: bool) -> None:
    """RLD-01: a reload shows whether anything changed."""
    assert len(changed.version) == 12
    assert (changed.version == compiled(BASE).version) is same


def test_the_version_holds_the_openapi_document(described: Any) -> None:
    """RLD-01: a changed contract is a changed policy."""
    one, other = (described({"paths": {"/a": {"get": {"deprecated": word}}}}).version for word in (True, False))
    assert one != other
    assert one == described({"paths": {"/a": {"get": {"deprecated": True}}}}).version
    assert described({"paths": {}, "x-large": 2**70}).version != one


def test_a_document_made_in_memory_compiles() -> None:
    policy = compile_policy(Document.model_validate({"routes": [{"match": "GET /a", "public": True}]}))
    assert policy.operations[0].access == "public"
    assert policy.rule("routes.0").line == 0


def test_an_application_may_describe_its_own_routes() -> None:
    """RLD-01: what it says about them is part of the version."""
    loaded = load_text('[[routes]]\nmatch = "GET /a"\ncost = 2')

    def described(access: Any) -> Policy:
        one = Operation(index=0, method="GET", path="/a", rule=Rule("mark"), contract_rule=Rule("mark"), access=access)
        return compile_policy(loaded, describe=lambda found: [*found, one])

    (operation,) = described("public").operations
    assert (operation.access, operation.cost, operation.rule.name) == ("public", 2, "mark")
    assert described("public").version == described("public").version != described("deny").version
