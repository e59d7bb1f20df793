"""`sixfold protect` and `serve`: found documents, printed commands, ports, signals, what is written and what is not."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FREE = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
PLACES = ["/openapi.json", "/swagger.json", "/__api__", "/v3/api-docs", "/v1/__api__", "/v1/openapi.json"]


def curl_lines(said: str) -> list[str]:
    return re.findall(r"(curl -i.*)", said)


CURL = """#!{python}
import argparse, ssl, sys, urllib.error, urllib.request
parser = argparse.ArgumentParser()
parser.add_argument("-i", action="store_true")
parser.add_argument("--cacert")
parser.add_argument("-H", action="append", default=[])
parser.add_argument("url")
given = parser.parse_args()
request = urllib.request.Request(given.url, headers=dict(one.split(": ", 1) for one in given.H))
try:
    answer = urllib.request.urlopen(request, context=ssl.create_default_context(cafile=given.cacert))
except urllib.error.HTTPError as refused:
    answer = refused
print("HTTP/1.1", answer.status)
"""  # for a machine that has none


def shell(command: str, tmp_path: Path) -> str:
    """Type a printed line into a shell whose PATH has `sixfold`, as a person's has."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    scripts = {"sixfold": f'#!/bin/sh\nexec "{sys.executable}" -m sixfold "$@"\n'}
    if shutil.which("curl") is None:
        scripts["curl"] = CURL.format(python=sys.executable)
    for name, text in scripts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, timeout=20, env={**os.environ, "PATH": path}, check=False
    )
    return done.stdout.splitlines()[0] if done.stdout else done.stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# ---------------------------------------------------------------------- what is found


@pytest.mark.parametrize("place", PLACES)
def test_the_document_is_found(place: str, serving_api: Callable[..., Any], sixfold: Callable[..., Any]) -> None:
    """FIRST-02: no file, no question: the usual places are tried, below the given path first."""
    api = serving_api(place)
    done = sixfold("protect", f"{api.url}/v1", "--save", "sixfold.toml", "--dry-run")
    assert done.code == 0, done.err
    assert 'openapi  = "openapi.json"' in done.out
    assert api.asked[0] == "/v1/openapi.json"


@pytest.mark.parametrize("content", [b"<html>openapi: paths</html>", b"[]", b"", b'{"paths": {}}'])
def test_what_only_looks_like_a_document(
    content: bytes, serving_api: Callable[..., Any], sixfold: Callable[..., Any]
) -> None:
    api = serving_api("/openapi.json", content)
    done = sixfold("protect", api.url, "--save", "sixfold.toml", "--dry-run")
    assert "without an OpenAPI document" in done.err
    refused = sixfold("protect", api.url, "--openapi", "/openapi.json")
    assert (refused.code, refused.out) == (2, "")
    assert "is no OpenAPI document" in refused.err


def test_no_proxy_of_the_environment_stands_between(
    api: Any, sixfold: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert sixfold("protect", api.url, "--save", "sixfold.toml", "--dry-run").code == 0


def test_an_api_that_speaks_something_else(sixfold: Callable[..., Any], api: Any) -> None:
    """CLI-06, CLI-08: what is unreachable and why, exit 4."""
    done = sixfold("protect", api.url.replace("http", "https"))
    assert (done.code, "does not speak TLS" in done.err) == (4, True)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.listen()

        def answer() -> None:
            connection, _ = silent.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"SSH-2.0\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        done = sixfold("protect", f"127.0.0.1:{silent.getsockname()[1]}")
        thread.join(5)
    assert (done.code, "does not answer in HTTP" in done.err) == (4, True)


def test_without_a_document_it_says_what_is_missing(
    serving_api: Callable[..., Any], starting: Callable[..., Any], sixfold: Callable[..., Any], get: Callable[..., Any]
) -> None:
    """FIRST-05"""
    server = starting("protect", serving_api("").url, *FREE)
    server.found(r"(Keep it)")
    assert "Found    no OpenAPI document, so paths, parameters and bodies are not checked" in server.said()
    assert "every path, for any signed-in caller" in server.said()
    token = sixfold("token").out.strip()
    assert get(f"{server.url}/orders")[0] == 401
    assert get(f"{server.url}/orders", {"Authorization": f"Bearer {token}"})[0] == 200


def test_a_document_of_one_s_own(
    api: Any, starting: Callable[..., Any], write: Callable[..., Any], folder: Path, sixfold: Callable[..., Any]
) -> None:
    """A file may refer to files beside it, and a saved policy names it where it is."""
    (folder / "api").mkdir()
    write(
        'openapi: 3.1.0\ninfo: {title: x, version: "1"}\npaths:\n  /orders:\n    post:\n      requestBody: {content: '
        '{application/json: {schema: {$ref: "parts.yaml#/Order"}}}}\n      responses: {"200": {description: ok}}\n',
        "api/spec.yaml",
    )
    write("Order: {type: object}\n", "api/parts.yaml")
    (folder / "conf").mkdir()
    assert sixfold("protect", api.url, "--openapi", "api/spec.yaml", "--save", "conf/s.toml").code == 0
    assert sixfold("check", "--config", "conf/s.toml").code == 0
    server = starting("protect", api.url, "--openapi", "api/spec.yaml", *FREE)
    assert "Found    OpenAPI at api/spec.yaml: 1 operation, 0 with scopes" in server.said()


# ---------------------------------------------------------------------- what is printed


@pytest.mark.parametrize("more", [[], ["--tls"]], ids=["plain", "tls"])
def test_printed_commands_work_as_printed(
    more: list[str], api: Any, starting: Callable[..., Any], tmp_path: Path, folder: Path
) -> None:
    """FIRST-03, CLI-07, FIRST-01: pasted as they are, the first is refused and the second allowed."""
    server = starting("protect", api.url, *FREE, *more)
    said = server.said()
    server.found(r"(Keep it)")
    without, with_token = curl_lines(server.said())
    assert shell(without, tmp_path).split()[1] == "401"
    assert shell(with_token, tmp_path).split()[1] == "200"
    assert list(folder.iterdir()) == []  # FIRST-04
    kept = server.found(r"Keep it: (.*)")
    shell(kept, tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == ["openapi.json", "sixfold.toml"]
    assert (server.output.read_text(), "Found" in said) == ("", True)  # CLI-02: all of it is talk


def test_names_of_a_document_are_quoted(
    serving_api: Callable[..., Any], starting: Callable[..., Any], tmp_path: Path
) -> None:
    """FIRST-03: a scope named like a command runs none when the printed line is pasted."""
    evil = "x$(touch pwned)'"
    operation = {"security": [{"t": [evil]}], "responses": {"200": {"description": "ok"}}}
    document = {
        "openapi": "3.1.0", "info": {"title": "x", "version": "1"}, "paths": {"/orders": {"get": operation}},
        "components": {"securitySchemes": {"t": {"type": "http", "scheme": "bearer"}}},
    }  # fmt: skip
    server = starting("protect", serving_api("/openapi.json", document).url, *FREE)
    server.found(r"(Keep it)")
    shell(curl_lines(server.said())[1], tmp_path)
    assert list(tmp_path.glob("**/pwned")) == []


def test_the_banner_does_not_lull(api: Any, starting: Callable[..., Any]) -> None:
    """FIRST-05, FIRST-06: what is not protected is said each time."""
    server = starting("protect", api.url, *FREE, "--public", "GET /helth")
    server.found(r"(Keep it)")
    for words in (
        "plain HTTP on loopback only",
        f"{api.url} itself still answers anybody",
        "counters are in this process's memory",
        "developer keys are for this machine",
        "without a rule: any signed-in caller",
        "nothing is refused yet (--validation enforce)",
        "/health looks public, yet asks for a token; open it with --public 'GET /health'",
        "--public GET /helth: the OpenAPI document has no such operation, so nothing is checked there; "
        "did you mean `GET /health`?",
    ):
        assert words in server.said()


def test_a_line_per_request(api: Any, starting: Callable[..., Any], get: Callable[..., Any], until: Any) -> None:
    server = starting("protect", api.url, *FREE, "--public", "GET /health")
    decision = get(f"{server.url}/orders")[2]["decision"]
    get(f"{server.url}/health")
    server.found(rf"\d\d:\d\d:\d\d 401 GET /orders   no credential was sent   ({decision})  authentication")
    server.found(r"\d\d:\d\d:\d\d 200 GET (/health)   anonymous   \d+ ms")


def test_each_401_names_the_metadata(api: Any, starting: Callable[..., Any], get: Callable[..., Any]) -> None:
    """FIRST-07, PRM-01: the RFC 9728 document is served, and names the address that callers use."""
    listen = f"127.0.0.1:{free_port()}"
    server = starting("protect", api.url, "--listen", listen, "--admin", "127.0.0.1:0")
    status, headers, _ = get(f"{server.url}/orders")
    found = re.search(r'resource_metadata="([^"]+)"', headers["www-authenticate"])
    assert status == 401
    assert found
    status, _, document = get(found[1])
    assert (status, document["resource"]) == (200, server.url)
    assert document["scopes_supported"] == ["orders:read"]


# ---------------------------------------------------------------------- what is written


def test_save_closes_and_lists(api: Any, sixfold: Callable[..., Any], folder: Path) -> None:
    """FIRST-06, CLI-03: closed by default; what that closes is listed; --dry-run prints the same and writes nothing."""
    dry = sixfold("protect", api.url, "--save", "sixfold.toml", "--dry-run")
    assert list(folder.iterdir()) == []
    done = sixfold("protect", api.url, "--save", "sixfold.toml")
    assert (done.code, done.out) == (0, "")
    text = (folder / "sixfold.toml").read_text()
    assert dry.out == text
    assert 'default = "deny"' in text
    assert "Wrote    sixfold.toml, openapi.json" in done.err
    assert "Closed   4 operations without a rule" in done.err
    for line in ("GET /health", "GET /orders/{id}", "GET /slow", "POST /orders"):
        assert f"         {line}\n" in done.err
        assert f"         {line}\n" in dry.err
    assert sixfold("check").code == 0
    assert "GET /health has no rule: nobody may call it" in sixfold("check").out


def test_a_long_list_ends(serving_api: Callable[..., Any], sixfold: Callable[..., Any]) -> None:
    """FIRST-06: at most twenty names."""
    operation = {"get": {"responses": {"200": {"description": "ok"}}}}
    paths = {f"/x{number}": operation for number in range(25)}
    api = serving_api("/openapi.json", {"openapi": "3.1.0", "info": {"title": "x", "version": "1"}, "paths": paths})
    done = sixfold("protect", api.url, "--save", "sixfold.toml")
    assert done.err.count("GET /x") == 20
    assert "and 5 more; see them: sixfold routes" in done.err


def test_save_keeps_what_was_said(api: Any, sixfold: Callable[..., Any], folder: Path) -> None:
    said = (
        "--listen",
        "127.0.0.1:9000",
        "--tls",
        "--public",
        "GET /health",
        "--validation",
        "shadow",
        "--log",
        "stderr",
    )
    assert sixfold("protect", api.url, *said, "--save", "sixfold.toml").code == 0
    policy = tomllib.loads((folder / "sixfold.toml").read_text())
    assert (policy["gateway"]["listen"], policy["gateway"]["admin"]) == ("127.0.0.1:9000", "127.0.0.1:9001")
    assert policy["encryption"]["tls"] is True
    assert policy["authentication"]["resource"] == "https://127.0.0.1:9000"
    assert policy["routes"] == [{"match": "GET /health", "public": True}]
    assert policy["validation"]["request"] == "shadow"
    assert policy["log"]["access"] == "stderr"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("there.toml", "there.toml exists; nothing was overwritten"),
        ("nowhere/sixfold.toml", "nowhere is no folder"),
        ("sixfold.yaml", "--save writes TOML"),
        ("other/sixfold.toml", "other/openapi.json exists and differs"),
    ],
)
def test_save_overwrites_nothing(
    name: str, words: str, api: Any, sixfold: Callable[..., Any], write: Callable[..., Any], folder: Path
) -> None:
    """CLI-04: nothing is overwritten without a word, and nothing is written by half."""
    (folder / "other").mkdir()
    write("mine", "there.toml")
    write("mine", "other/openapi.json")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    done = sixfold("protect", api.url, "--save", name)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_document_that_cannot_be_used_saves_nothing(
    serving_api: Callable[..., Any], sixfold: Callable[..., Any], folder: Path
) -> None:
    """CLI-08"""
    broken = {"openapi": "3.1.0", "info": {}, "paths": {"/x": {"get": {"parameters": [{"$ref": "#/nowhere"}]}}}}
    api = serving_api("/openapi.json", broken)
    done = sixfold("protect", api.url, "--save", "sixfold.toml")
    assert done.code == 3
    assert list(folder.iterdir()) == []


def test_a_saved_policy_serves(
    api: Any, sixfold: Callable[..., Any], starting: Callable[..., Any], get: Callable[..., Any]
) -> None:
    sixfold("protect", api.url, "--listen", "127.0.0.1:0", "--save", "sixfold.toml")
    server = starting("serve", env={"SIXFOLD_GATEWAY__ADMIN": "127.0.0.1:0"})
    token = sixfold("token", "--scope", "orders:read").out.strip()
    bearer = {"Authorization": f"Bearer {token}"}
    assert get(f"{server.url}/orders", bearer)[0] == 200
    assert get(f"{server.url}/health", bearer)[2]["code"] == "operation-not-ruled"
    assert "Guarding" in server.said()
    line = json.loads(server.output.read_text().splitlines()[0]) if server.end() == 0 else {}
    assert (line["path"], line["status"]) == ("/orders", 200)


# ---------------------------------------------------------------------- ports, signals, pipes


def test_the_second_one_is_told_where_to_go(
    api: Any, starting: Callable[..., Any], folder: Path, tmp_path: Path
) -> None:
    """CLI-06, CLI-08: a port that is taken is exit 4, and the printed command works as printed."""
    port = free_port()
    starting("protect", api.url, "--listen", f"127.0.0.1:{port}", "--admin", "127.0.0.1:0")
    second = starting("protect", api.url, "--listen", f"127.0.0.1:{port}", wait=False)
    assert second.process.wait(15) == 4
    words = second.said()
    assert words.startswith(f"127.0.0.1:{port} is taken; ")
    found = re.search(r"protect (\S+) --listen (127\.0\.0\.1:\d+)$", words.strip())
    assert found
    third = starting("protect", found[1], "--listen", found[2])
    assert third.url == f"http://{found[2]}"


def test_a_taken_admin_port(api: Any, starting: Callable[..., Any]) -> None:
    """CLI-06"""
    first = starting("protect", api.url, *FREE)
    second = starting("protect", api.url, "--listen", "127.0.0.1:0", "--admin", first.admin, wait=False)
    assert second.process.wait(15) == 4
    assert second.said().startswith(f"{first.admin} is taken; choose another one: --admin 127.0.0.1:")


def test_serve_names_the_line_of_a_taken_port(
    api: Any, starting: Callable[..., Any], write: Callable[..., Any]
) -> None:
    """CLI-06: file and line."""
    first = starting("protect", api.url, *FREE)
    address = first.url.removeprefix("http://")
    write(f'[gateway]\nlisten = "{address}"\nadmin = "127.0.0.1:0"\n[[routes]]\nmatch = "GET /x"\npublic = true\n')
    second = starting("serve", wait=False)
    assert second.process.wait(15) == 4
    assert second.said().startswith(f"{address} is taken; ")
    assert "sixfold.toml:2 gateway.listen" in second.said()


def slow_request(server: Any) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=15)
    connection.request("GET", "/slow")
    return connection


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_finishes_what_runs(
    number: int, api: Any, starting: Callable[..., Any], until: Callable[..., Any]
) -> None:
    """CLI-08: a request under way is answered, then the exit code is 0."""
    server = starting("protect", api.url, *FREE, "--public", "GET /slow")
    connection = slow_request(server)
    assert until(lambda: "/slow" in api.asked)
    server.process.send_signal(number)
    host, _, port = server.url.removeprefix("http://").partition(":")

    def closed() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) != 0

    assert until(closed)
    api.release.set()
    assert connection.getresponse().status == 200
    connection.close()
    assert server.process.wait(15) == 0


def test_the_second_interrupt_ends_at_once(api: Any, starting: Callable[..., Any], until: Callable[..., Any]) -> None:
    """CLI-08"""
    server = starting("protect", api.url, *FREE, "--public", "GET /slow")
    connection = slow_request(server)
    assert until(lambda: "/slow" in api.asked)
    server.process.send_signal(signal.SIGINT)
    server.found("(Ctrl-C again ends at once)")
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(5) == 130
    connection.close()
    assert "Traceback" not in server.said()


def test_the_api_dies(
    starting: Callable[..., Any], get: Callable[..., Any], folder: Path, until: Callable[..., Any]
) -> None:
    """CLI-06: an API that is killed is a 502 and a line on the terminal; the gateway goes on."""
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder)]
    upstream = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        assert until(listens)
        server = starting("protect", f"127.0.0.1:{port}", *FREE, "--public", "GET /orders")
    finally:
        upstream.kill()
        upstream.wait()
    assert [get(f"{server.url}/orders")[0] for _ in range(3)] == [502, 502, 502]
    server.found(r"(502) GET /orders   .*upstream")
    assert "Traceback" not in server.said()
    assert server.end() == 0


def test_a_reader_that_leaves_does_not_end_the_server(api: Any, folder: Path, get: Callable[..., Any]) -> None:
    """CLI-02: `protect ... 2>&1 | head -3` goes on guarding."""
    listen = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "sixfold", "protect", api.url, "--listen", listen, "--admin", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=folder) as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.stderr.close()
        try:
            assert [get(f"http://{listen}/orders")[0] for _ in range(3)] == [401, 401, 401]
        finally:
            process.terminate()
        assert process.wait(15) == 0


def test_a_policy_file_is_watched(
    api: Any, starting: Callable[..., Any], write: Callable[..., Any], get: Callable[..., Any], until: Any
) -> None:
    """RLD-01, RLD-02: `protect --config` follows its file, and keeps the last good one."""
    text = '[authentication]\nissuer = "dev"\n[[routes]]\nmatch = "GET /health"\n'
    write(text + "authenticated = true\n", "rules.toml")
    server = starting("protect", api.url, "--config", "rules.toml", *FREE)
    assert get(f"{server.url}/health")[0] == 401
    write(text + "public = tru\n", "rules.toml")
    server.found(r"reload refused, the last good policy goes on: (rules.toml:5)")
    assert get(f"{server.url}/health")[0] == 401
    write(text + "public = true\n", "rules.toml")
    assert until(lambda: get(f"{server.url}/health")[0] == 200)
