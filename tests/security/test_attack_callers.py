"""Attacks on who calls, what they may and how often."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sixfold.assembly import assemble
from sixfold.decision import Fault, Refusal, Rule
from sixfold.engine import Engine
from sixfold.flow import Permit
from sixfold.forwarded import plain_address
from sixfold.identity import Identity
from sixfold.layers.authentication import DevKeys
from sixfold.layers.rate_limiting.plan import subjects_of
from sixfold.layers.rate_limiting.store import Charge
from sixfold.layers.validation.faults import pointer
from sixfold.watch import Record

from ..conftest import NOW  # noqa: TID252 (the folder above this one)

FILE = """
[authentication]
audience = "sixfold-dev"
[[authentication.issuers]]
issuer = "https://dev.sixfold.localhost"
jwks = "keys.json"
[[routes]]
match = "GET /x"
authenticated = true
"""


def keys_of(folder: Path) -> DevKeys:
    keys = DevKeys(ec.generate_private_key(ec.SECP256R1()))
    (folder / "keys.json").write_bytes(keys.jwks())
    return keys


def test_a_key_taken_from_the_file_is_gone_with_the_reload(
    policy: Callable[..., Any], ask: Callable[..., Any], decide: Callable[..., Any], tmp_path: Path
) -> None:
    """JWKS-05: the file is watched, so its change reloads; the operator who took a stolen key out must not wait minutes."""
    stolen = keys_of(tmp_path)
    engine = assemble(policy(FILE), tmp_path)
    headers = {"Authorization": f"Bearer {stolen.mint(now=NOW)}"}
    assert isinstance(decide(engine, ask(engine, "GET /x", headers)), Permit)
    fresh = keys_of(tmp_path)
    after = assemble(policy(FILE), tmp_path, engine.state)
    assert decide(after, ask(after, "GET /x", headers)).code == "token-key"
    headers = {"Authorization": f"Bearer {fresh.mint(now=NOW)}"}
    assert isinstance(decide(after, ask(after, "GET /x", headers)), Permit)


DEV = """
[authentication]
issuer = "dev"
{more}
[[routes]]
match = "GET /x"
require = "x"
[[routes]]
match = "GET /public"
public = true
"""


def test_one_token_takes_few_places_among_those_verified(
    engine: Callable[..., Any], ask: Callable[..., Any], decide: Callable[..., Any], mint: Callable[..., str]
) -> None:
    """RS-17: blanks after `Bearer` may be many (RFC 9110 section 11.4); each number of them kept 8 kB and pushed others out."""
    built = engine(DEV.format(more=""))
    token = mint("x")
    for blanks in range(1, 200):
        headers = {"Authorization": "Bearer" + " " * blanks + token}
        assert isinstance(decide(built, ask(built, "GET /x", headers)), Permit)
    assert len(built.authentication._cache) == 1


@pytest.mark.parametrize(
    "header",
    [
        "Bearer", "Bearer ", "bearer\t{}", "Bearer {},", "Bearer {}, Bearer {}", "Bearer {} x", "Bearer={}", "Basic {}", "Token {}",
        "Bearer {}=", "Bearer {}.", "Bearer .{}", "Bearer \t{}", "Bearer {}\t", "{}", "DPoP {}", "Bearer Bearer {}", 'Bearer "{}"',
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/x", "/public"])
def test_a_credential_in_another_form_is_refused_everywhere(
    engine: Callable[..., Any],
    ask: Callable[..., Any],
    decide: Callable[..., Any],
    mint: Callable[..., str],
    header: str,
    path: str,
) -> None:
    """RS-11: also after the plain form was verified, and on public operations too."""
    built = engine(DEV.format(more=""))
    token = mint("x")
    assert isinstance(decide(built, ask(built, "GET /x", {"Authorization": f"Bearer {token}"})), Permit)
    request = ask(built, f"GET {path}", {"Authorization": header.format(*[token] * 2)})
    if isinstance(request, Permit) or request.fields.get(b"authorization")[-1:] == b"\t":
        return  # blanks at the end are cut before they come here
    assert decide(built, request).status == 401


MODES = ("authentication", "authorization", "rate_limiting", "validation", "gateway")


@pytest.mark.parametrize("layer", MODES)
@pytest.mark.parametrize("mode", ["shadow", "off"])
@pytest.mark.parametrize("caller", ["nobody", "bad", "poor"])
@pytest.mark.parametrize("line", ["GET /x", "GET /unlisted", "DELETE /x", "GET /X", "GET /x/"])
def test_one_layer_that_only_tells_opens_no_more_than_its_own_part(
    engine: Callable[..., Any], ask: Callable[..., Any], decide: Callable[..., Any], mint: Callable[..., str],
    layer: str, mode: str, caller: str, line: str,
) -> None:  # fmt: skip
    """MODE-01: what one layer lets pass, another refuses: no caller without the right gets in, whichever layer is asleep."""
    text = DEV.format(more="" if layer != "authentication" else f'mode = "{mode}"')
    if layer != "authentication":
        text += f'[{layer}]\nmode = "{mode}"\n'
    built = engine(text)
    sent = {"nobody": "", "bad": "Bearer a.b.c", "poor": f"Bearer {mint('y')}"}[caller]
    decision = decide(built, ask(built, line, {"Authorization": sent} if sent else {}))
    if layer == "authorization" and caller == "poor" and line == "GET /x":
        assert isinstance(decision, Permit)  # whom authentication knows, authorization lets in, and says so
    else:
        assert isinstance(decision, Refusal)


LIMITED = """
[gateway]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
upstream = "{upstream}"
openapi = "o.json"
max_body = 2000
upstream_timeout = "500ms"
connect_timeout = "500ms"
[authentication]
issuer = "dev"
[validation]
response = "enforce"
[[routes]]
match = "* /**"
public = true
limit = "100 concurrent-requests per address"
"""
ANY = {"application/json": {"schema": {"type": "object", "additionalProperties": False}}}
OPERATION = {
    "requestBody": {"content": {**ANY, "application/octet-stream": {}}},
    "responses": {"200": {"description": "", "content": ANY}},
}
DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "t", "version": "1"},
    "paths": {"/x": {"post": OPERATION, "get": {"responses": OPERATION["responses"]}}},
}
GET = b"GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n"
JSON = b"POST /x HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
RAW = b"POST /x HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/octet-stream\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "


@pytest.mark.parametrize(
    ("request_", "answer", "reset"),
    [
        (GET, OK + b"2\r\n\r\n{}", False),
        (GET.replace(b"GET", b"HEAD"), OK + b"2\r\n\r\n", False),
        (GET, OK + b"9\r\n\r\n{}", True),
        (GET, OK + b'7\r\n\r\n{"a":1}', False),
        (GET, b"garbage\r\n\r\n", False),
        (GET, b"", False),
        (GET, b"HTTP/1.1 101 Switching Protocols\r\n\r\n", False),
        (GET, b"HTTP/1.1 100 Continue\r\n\r\n" * 20, False),
        (GET, b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\nx", True),
        (GET.replace(b"/x", b"/x?a=1"), b"", False),
        (GET * 20, OK + b"2\r\n\r\n{}", True),
        (JSON + b"content-length: 2\r\n\r\n{}", OK + b"2\r\n\r\n{}", False),
        (JSON + b"content-length: 2\r\n\r\n{", b"", True),
        (JSON + b"content-length: 7\r\n\r\n{\"a\":1}", b"", False),
        (JSON + b"transfer-encoding: chunked\r\n\r\n5\r\n{", b"", True),
        (JSON + b"transfer-encoding: chunked\r\n\r\nx\r\n", b"", False),
        (JSON + b"transfer-encoding: chunked\r\n\r\nfff\r\n" + b" " * 4095, b"", False),
        (RAW + b"transfer-encoding: chunked\r\n\r\nfff\r\n" + b" " * 4095, b"", False),
        (RAW + b"content-length: 1000\r\n\r\nx", b"", True),
        (RAW + b"content-length: 1000\r\nexpect: 100-continue\r\n\r\n", b"", True),
        (RAW + b"content-length: 9999\r\n\r\n", b"", False),
        (JSON + b"content-length: 2\r\ncontent-encoding: gzip\r\n\r\n{}", b"", False),
    ],
)  # fmt: skip
def test_no_way_to_end_a_call_keeps_a_place(
    guarding: Callable[..., Any],
    make_upstream: Callable[..., Any],
    until: Callable[..., Any],
    request_: bytes,
    answer: bytes,
    reset: bool,
) -> None:
    """RATE-20: a limit of concurrent requests is given back however the call ends, else it locks everybody out in time."""
    guard = guarding(make_upstream(answer=answer), policy=LIMITED, files={"o.json": json.dumps(DOCUMENT).encode()})
    client = guard.client(request_)
    decided = lambda: guard.call(lambda: sum(guard.worker.watch.metrics.answers.values()))  # noqa: E731
    if reset:
        until(lambda: decided() > 0, 0.1)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    assert until(lambda: decided() > 0)
    assert until(lambda: guard.call(lambda: len(guard.worker.state.limits)) == 0)


def test_addresses_of_one_household_are_one_bucket(
    engine: Callable[..., Any], ask: Callable[..., Any], decide: Callable[..., Any]
) -> None:
    """Defence 2.2: whoever owns a /56, or writes his IPv4 address as a mapped one, has one budget."""
    text = DEV.format(more="") + '[rate_limiting]\nanonymous = "2/minute"\n'
    for addresses in (
        ["2001:db8::1", "2001:db8:0:ff::1", "2001:db8::2"],
        ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"],
    ):
        built = engine(text)
        statuses = [decide(built, ask(built, "GET /public", address=address)) for address in addresses]
        assert [isinstance(one, Permit) for one in statuses] == [True, True, False]


def test_a_bad_credential_is_charged_and_does_not_touch_known_callers(
    engine: Callable[..., Any], ask: Callable[..., Any], decide: Callable[..., Any], mint: Callable[..., str]
) -> None:
    """Defence 2.3: guessing ends after the anonymous budget; a caller behind the same address who is known goes on."""
    built = engine(DEV.format(more="") + '[rate_limiting]\nanonymous = "5/minute"\n')
    known = {"Authorization": f"Bearer {mint('x')}"}
    assert isinstance(decide(built, ask(built, "GET /x", known)), Permit)
    statuses = [decide(built, ask(built, "GET /x", {"Authorization": f"Bearer {n}.b.c"})).status for n in range(8)]
    assert statuses == [401] * 5 + [429] * 3
    assert isinstance(decide(built, ask(built, "GET /x", known)), Permit)


def test_names_cannot_be_built_so_that_two_callers_share_a_bucket(engine: Callable[..., Any]) -> None:
    """RS-22: the separator of bucket names can stand in no subject, client or tenant of a token or key."""
    built: Engine = engine(DEV.format(more="") + '[rate_limiting]\ndefault = "5/minute per user"\n')
    names = set()
    for issuer, subject in (("a", "b"), ("a", "b "), ("ab", ""), ("", "ab"), ("a/b", "c"), ("a", "b/c")):
        plan = built.rate_limiting._rules.known[0][""]
        charges: tuple[Charge, ...] = plan.charges(subjects_of(Identity(subject, issuer=issuer)))
        names.add(charges[0].key)
    assert len(names) == 6


@pytest.mark.parametrize(
    "text", ["fe80::1%eth0", 'fe80::1%";host=evil', "[fe80::1%x]:80", "::1%", "fe80::1%" + "a" * 5000]
)
def test_a_hop_with_a_zone_is_no_address(text: str) -> None:
    """HDR-04: Python takes any text after `%` for a zone; it would go on into `Forwarded` and the log."""
    assert plain_address(text) is None


def test_what_is_remembered_of_a_refusal_is_short(engine: Callable[..., Any], ask: Callable[..., Any]) -> None:
    """EXP-01: ten thousand refusals are kept; a path of 8 kB or a deep pointer must not make them a hundred megabytes."""
    built = engine(DEV.format(more=""))
    request = ask(built, "GET /" + "a" * 8000)
    assert len(Record(Refusal("unknown-operation", Rule("r")), NOW, request).path) <= 1000
    assert len(Fault(pointer(["a" * 64] * 250), "x").where) <= 1000
