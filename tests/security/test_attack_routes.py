"""Paths and headers that Sixfold and the API behind it could read differently."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from sixfold.decision import Refusal
from sixfold.flow import Permit

# What many people write first: everything is open, but for a few paths.
WIDE = """
[authentication]
issuer = "dev"
[[routes]]
match = "* /**"
public = true
[[routes]]
match = "* /admin"
require = "admin"
[[routes]]
match = "GET /users/{id}"
require = "admin"
[[routes]]
match = "* /internal/**"
deny = true
[[routes]]
match = "GET /files/{name}.json"
require = "admin"
"""


@pytest.mark.parametrize(
    "path",
    [
        "/admin", "/admin/", "/Admin", "/ADMIN", "/aDmin/", "/%61dmin", "/users/7", "/users/7/", "/USERS/7", "/Users/7/",
        "/internal", "/internal/", "/Internal/x", "/INTERNAL", "/internal/x/y/", "/files/a.json", "/FILES/a.json", "/files/a.JSON",
        "/files/a.json/",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_no_spelling_of_a_ruled_path_falls_to_a_wide_route(
    engine: Callable[..., Any], ask: Callable[..., Any], decide: Callable[..., Any], path: str, method: str
) -> None:
    """PATH-02: Express and others take another case or a final slash for the same path; a `/**` must not open it."""
    built = engine(WIDE)
    assert isinstance(decide(built, ask(built, f"{method} {path}")), Refusal)


@pytest.mark.parametrize(
    "path", ["/", "/x", "/x/", "/adminx", "/users", "/users/", "/users/7/posts", "/X/Admin", "/files/a.txt"]
)
def test_other_paths_still_fall_to_the_wide_route(
    engine: Callable[..., Any], ask: Callable[..., Any], decide: Callable[..., Any], path: str
) -> None:
    """PATH-02: only what looks like a ruled path is refused."""
    built = engine(WIDE)
    assert isinstance(decide(built, ask(built, f"GET {path}")), Permit)


@pytest.mark.parametrize(
    "target",
    [
        "/open/..", "/open/../admin", "/open/%2e%2e/admin", "/open/.%2e/admin", "/open//admin", "//admin", "/open/%2fadmin",
        "/open/..%2fadmin", "/open/%5cadmin", "/open\\admin", "/open/..;/admin", "/open;/../admin", "/open/%00", "/open/%0a",
        "/open/%252e%252e/admin", "/open/%c0%ae%c0%ae/admin", "/open/%u002e", "/open/\xef\xbc\x8fadmin", "/open/%ef%bc%8fadmin",
        "/open/%ef%bc%8e%ef%bc%8e/admin", "/open#/../admin", "/open/./admin", "/open/.", "*", "", "open",
        "http://evil/open", "http://localhost@evil/open", "http://evil@localhost/open", "http://localhost:1/open", "http:/open",
        "https:///open", "http://localhost", "ftp://localhost/open", "/open/a%e2%80%ae%00b", "/open/%7f", "/open/%c2%85",
    ],
)  # fmt: skip
def test_no_tricky_target_reaches_the_api(
    engine: Callable[..., Any], ask: Callable[..., Any], decide: Callable[..., Any], target: str
) -> None:
    """PATH-01: what another hop could read as another path is refused before any layer looks."""
    built = engine(WIDE.replace("* /**", "* /open/**"))
    asked = ask(built, f"GET {target}")
    decision = asked if isinstance(asked, Refusal) else decide(built, asked)
    assert isinstance(decision, Refusal)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_node_reads_a_forwarded_target_as_the_path_that_was_matched(
    engine: Callable[..., Any], ask: Callable[..., Any], decide: Callable[..., Any]
) -> None:
    """PATH-02: `new URL` of the target that is forwarded gives the path that was judged, byte for byte."""
    built = engine(WIDE)
    words = [
        "a",
        "%20",
        "é",
        "%C3%A9",
        "@",
        ":",
        "..a",
        "a..",
        "...",
        "%3F",
        "%23",
        "~",
        "%7E",
        "|",
        "%7C",
        "^",
        "[x]",
        "+",
        "=",
        "&",
    ]
    targets = [f"/{one}{other}?q={one}" for one in words for other in ("", "/", "/b", other_end(one))]
    judged = {}
    for target in targets:
        decision = ask(built, f"GET {target}")
        decision = decision if isinstance(decision, Refusal) else decide(built, decision)
        if isinstance(decision, Permit):
            judged[decision.target.decode()] = decision.request.path
    script = "for (const t of JSON.parse(require('fs').readFileSync(0))) console.log(decodeURIComponent(new URL(t, 'http://h').pathname))"
    ran = subprocess.run(
        ["node", "-e", script], input=json.dumps([*judged]).encode(), capture_output=True, check=True, timeout=20
    )
    assert len(judged) > 30
    assert ran.stdout.decode().splitlines() == [*judged.values()]


def other_end(word: str) -> str:
    return "/" + word


OWNED = """
[authentication]
issuer = "dev"
[[routes]]
match = "GET /orders"
authenticated = true
when = ["query.user == token.sub"]
[[routes]]
match = "GET /tenant"
authenticated = true
when = ["header.x-tenant == token.sub"]
[[routes]]
match = "GET /not"
authenticated = true
when = ["not header.x-tenant == 'other'", "identity.subject != query.user"]
"""


@pytest.mark.parametrize(
    "more",
    ["user=eve", "user[]=eve", "user[0]=eve", "User=eve", "USER[]=eve", "user%5B%5D=eve", "user[a]=eve", "us%65r=eve"],
)
def test_a_condition_on_the_query_cannot_be_passed_beside_another_value(
    engine: Callable[..., Any], ask: Callable[..., Any], decide: Callable[..., Any], mint: Callable[..., str], more: str
) -> None:
    """PATH-04: Express reads `user[]` as `user`, ASP.NET any case; then the value that was judged is not the one that is used."""
    built = engine(OWNED)
    headers = {"Authorization": f"Bearer {mint(subject='dev')}"}
    assert isinstance(decide(built, ask(built, "GET /orders?user=dev", headers)), Permit)
    for query in (f"user=dev&{more}", f"{more}&user=dev"):
        decision = decide(built, ask(built, f"GET /orders?{query}", headers))
        assert decision.code == "condition-failed"


def test_a_header_that_a_condition_judged_reaches_the_api(
    engine: Callable[..., Any], ask: Callable[..., Any], decide: Callable[..., Any], mint: Callable[..., str]
) -> None:
    """HDR-06: `Connection: x-tenant` would take away, on the way, what a condition has just looked at."""
    built = engine(OWNED)
    headers = {
        "Authorization": f"Bearer {mint(subject='dev')}",
        "X-Tenant": "dev",
        "Connection": "close, X-Tenant, X-Other",
        "X-Other": "1",
    }
    request = ask(built, "GET /tenant", headers)
    permit = decide(built, request)
    assert isinstance(permit, Permit)
    names = [name for name, _ in built.gateway.forward(request, permit.door, permit.identity)]
    assert b"x-tenant" in names
    assert b"x-other" not in names


DECLARED = {
    "openapi": "3.1.0",
    "info": {"title": "t", "version": "1"},
    "paths": {
        "/x": {
            "get": {
                "parameters": [
                    {
                        "name": "X-Checked",
                        "in": "header",
                        "required": True,
                        "schema": {"type": "string", "maxLength": 3},
                    }
                ],
                "responses": {"200": {"description": "ok"}},
            }
        }
    },
}


def test_a_header_that_the_contract_declares_reaches_the_api(
    engine: Callable[..., Any], ask: Callable[..., Any], decide: Callable[..., Any]
) -> None:
    """HDR-06: nor does it take away a header that validation demanded."""
    text = (
        '[gateway]\nopenapi = "o.json"\n[authentication]\nissuer = "dev"\n[[routes]]\nmatch = "GET /x"\npublic = true\n'
    )
    built = engine(text, {"o.json": json.dumps(DECLARED)})
    request = ask(built, "GET /x", {"X-Checked": "abc", "Connection": "x-checked"})
    permit = decide(built, request)
    assert isinstance(permit, Permit)
    assert b"x-checked" in [name for name, _ in built.gateway.forward(request, permit.door, permit.identity)]


@pytest.mark.parametrize("path", ["-" * 8000, "a" + "-b" * 3900, "x" * 7900 + ".jso", "-x-" * 2600 + ".json.json"])
def test_no_segment_takes_long_to_be_matched(engine: Callable[..., Any], ask: Callable[..., Any], path: str) -> None:
    """SLOW-06: several parameters in one segment are not tried in every combination."""
    built = engine(
        '[authentication]\nissuer = "dev"\n[[routes]]\nmatch = "GET /x/{a}-{b}-{c}.json"\npublic = true\n', hosts=None
    )
    request = ask(built, f"GET /x/{path}")
    before = time.process_time()
    built.gateway.route(request)
    assert time.process_time() - before < 0.1


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("a-b-c.json", "a b c"),
        ("--a--b.json", "- a -b"),
        ("a-b-c.json.json", "a b c.json"),
        ("a-b-c-d.json", "a b c-d"),
    ],
)
def test_parameters_of_one_segment_are_split_at_the_first_place(
    engine: Callable[..., Any], ask: Callable[..., Any], path: str, values: str
) -> None:
    """PATH-02: as a regular expression with lazy groups splits them."""
    built = engine('[authentication]\nissuer = "dev"\n[[routes]]\nmatch = "GET /x/{a}-{b}-{c}.json"\npublic = true\n')
    door = built.gateway.route(ask(built, f"GET /x/{path}"))
    assert " ".join(door.parameters.values()) == values
    assert re.fullmatch(r"(.+?)-(.+?)-(.+?)\.json", path).groups() == tuple(door.parameters.values())
