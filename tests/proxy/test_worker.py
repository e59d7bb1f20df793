"""Start, reload, drain, and what the operator can ask: the life of a worker, mostly as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from contextlib import closing
from typing import Any, Self

import pytest

RULED = '[[routes]]\nmatch = "GET /new"\npublic = true\n'
EXPECT = '[[expect]]\nrequest = "GET /open/x"\nresult = {}\n'


class Load:
    """Clients that ask again and again, as a browser's pool would: a kept connection that turns out closed is no failure."""

    def __init__(self, connect: Any, number: int = 3, *, keep: bool = True) -> None:
        self.connect = connect
        self.keep = keep
        self.stop = threading.Event()
        self.answered = 0
        self.stale = 0
        self.failures: list[str] = []
        self.statuses: set[int] = set()
        self.threads = [threading.Thread(target=self._run) for _ in range(number)]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(5)

    def _run(self) -> None:
        while not self.stop.is_set():
            try:
                client = self.connect()
            except ConnectionError:
                return  # nobody listens any more
            with closing(client):
                self._talk(client)

    def _talk(self, client: Any) -> None:
        for number in range(1_000_000):
            if self.stop.is_set():
                return
            try:
                answer = client.get("/open/x")
            except (EOFError, ConnectionError) as problem:
                if number:
                    self.stale += 1
                else:
                    self.failures.append(f"a new connection: {problem!r}")
                return
            self.answered += 1
            self.statuses.add(answer.status)
            if answer.get("connection") == "close" or not self.keep:
                return


def admin(served: Any, target: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{served.admin}{target}", timeout=3) as answer:
        return json.load(answer)


# ---------------------------------------------------------------------- drain


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_no_request_is_lost_at_the_end(number: int, keep: bool, serving: Any, upstream: Any, until: Any) -> None:
    """DRAIN: under load, a signal ends the process and not one request fails."""
    served = serving(upstream)
    with Load(served.client, keep=keep) as load:
        assert until(lambda: load.answered > 100)
        served.signal(number)
        assert served.process.wait(10) == 0
    assert len(load.failures) <= 1  # the kernel may take one more between our last accept and the end of the socket
    assert load.stale == 0
    assert load.statuses == {200}
    assert "Traceback" not in served.printed()


def test_what_runs_is_finished(serving: Any, make_upstream: Any, until: Any) -> None:
    """DRAIN: an answer that is pending arrives, with `close`; newcomers are not accepted; idle connections end."""
    gate = asyncio.Event()

    async def slow(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await gate.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()

    upstream = make_upstream(handler=slow)
    served = serving(upstream)
    with (
        closing(served.client()) as idle,
        closing(served.client(b"GET /open/x HTTP/1.1\r\nhost: localhost\r\n\r\n")) as busy,
    ):
        assert until(lambda: upstream.connections)
        served.signal(signal.SIGTERM)
        assert idle.is_closed()
        with pytest.raises(ConnectionRefusedError):
            served.client()
        assert served.process.poll() is None
        upstream.call(gate.set)
        answer = busy.answer()
        assert (answer.body, answer["connection"]) == (b"ok", "close")
        assert served.process.wait(5) == 0


def test_the_end_of_patience(serving: Any, make_upstream: Any, until: Any) -> None:
    """DRAIN: what does not end within `drain_timeout` is cut off."""

    async def never(reader: Any, writer: Any) -> None:
        await reader.read()

    upstream = make_upstream(handler=never)
    served = serving(upstream, "drain_timeout = 0.5")
    with closing(served.client(b"GET /open/x HTTP/1.1\r\nhost: localhost\r\n\r\n")) as client:
        assert until(lambda: upstream.connections)
        served.signal(signal.SIGTERM)
        assert served.process.wait(5) == 0
        assert client.rest() == b""


def test_announced_and_taken_back(serving: Any, upstream: Any) -> None:
    """FIRST-04: other commands find the process by a file of the state folder, which it removes at its end."""
    served = serving(upstream)
    path = served.folder / "run" / f"{served.process.pid}.json"
    facts = json.loads(path.read_text())
    assert facts["admin"] == f"127.0.0.1:{served.admin}"
    assert facts["listen"] == f"127.0.0.1:{served.port}"
    served.signal(signal.SIGTERM)
    assert served.process.wait(5) == 0
    assert not path.exists()


# ---------------------------------------------------------------------- reload


def change(served: Any, old: str, new: str) -> None:
    """Write the policy as an editor does: aside, then moved over."""
    path = served.folder / "sixfold.toml"
    text = path.read_text()
    assert old in text
    draft = path.with_suffix(".draft")
    draft.write_text(text.replace(old, new))
    draft.replace(path)


def test_a_changed_file(serving: Any, upstream: Any, until: Any) -> None:
    """RLD-01: taken by itself within two seconds, under load, without a failed request; version in status and log."""
    served = serving(upstream, more="# end")
    before = admin(served, "/-/status")["policy"]["version"]
    with Load(served.client) as load:
        assert until(lambda: load.answered > 50)
        for number in range(2):
            change(served, "# end", RULED.replace("new", f"new{number}") + "# end")
            assert until(lambda number=number: get(served, f"/new{number}") == 200)
        asked = load.answered
        assert until(lambda: load.answered > asked + 50)
    assert load.failures == []
    assert load.statuses == {200}
    status = admin(served, "/-/status")
    assert status["policy"]["version"] != before
    assert status["reload"]["result"] == "taken"
    assert f"policy {status['policy']['version']} replaces" in served.printed()


def get(served: Any, target: str) -> int:
    with closing(served.client()) as client:
        return int(client.get(target).status)


def test_a_hangup(serving: Any, upstream: Any, until: Any) -> None:
    """RLD-01: SIGHUP reloads, also when no file has changed."""
    served = serving(upstream)
    served.signal(signal.SIGHUP)
    assert until(lambda: admin(served, "/-/status")["reload"]["result"] == "taken")
    assert get(served, "/open/x") == 200


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('issuer = "dev"', 'isuer = "dev"', "did you mean `issuer`"),
        ('issuer = "dev"', 'issuer = "dev', "sixfold.toml:"),
        ('require = "orders:delete"', 'limit = "many"', "not a rate"),
        ("# end", EXPECT.format(403), "GET /open/x"),
        ('match = "DELETE /orders/{id}"', 'match = "GET /orders/{no}"', "matches the same requests"),
        ("# end", '[gateway.cors]\norigins = ["*"]', "sixfold.toml:"),
        ('upstream = "http:', 'upstream = "ftp:', "upstream"),
        ('upstream = "http://127.0.0.1', 'upstream = "http://127.0.0.1/path?', "upstream"),
        ("# end", '[gateway.request_headers.set]\nX-A = "{nobody}"', "not a fact"),
        ("# end", '[encryption]\nmode = "behind-proxy"', "trusted_proxies"),
    ],
)
def test_a_refused_reload(old: str, new: str, said: str, guarding: Any, upstream: Any, caplog: Any) -> None:
    """RLD-02: file and line on the terminal and in the status; the last good policy goes on."""
    guard = guarding(upstream, more="# end")
    engine = guard.worker.edge.engine
    text = guard.config.read_text()
    assert old in text
    guard.config.write_text(text.replace(old, new, 1))
    assert guard.call(guard.worker.reload) is False
    assert guard.worker.edge.engine is engine
    told = [record.getMessage() for record in caplog.records]
    assert any("the last good policy goes on" in line and "sixfold.toml" in line for line in told), told
    assert said in " ".join(told)
    assert guard.worker.status()["reload"]["result"] == "refused"
    assert said in " ".join(guard.worker.status()["reload"]["problems"])
    assert guard.get().status == 200
    guard.config.write_text(text)
    assert guard.call(guard.worker.reload) is True
    assert guard.get().status == 200


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('upstream = "http:', 'upstream = "ftp:'),
        ('upstream = "http://127.0.0.1', 'upstream = "http://127.0.0.1/path?'),
        ('issuer = "dev"', 'isuer = "dev"'),
        ("# end", EXPECT.format(403)),
        ('admin = "127.0.0.1:0"', 'admin = "0.0.0.0:0"'),
        ('listen = "127.0.0.1:0"', 'listen = "0.0.0.0:0"'),
        ('listen = "127.0.0.1:0"', 'listen = "nowhere"'),
        ('listen = "127.0.0.1:0"', 'listen = "127.0.0.1:99999"'),
        ('admin = "127.0.0.1:0"', 'admin = "127.0.0.1:x"'),
        ('upstream = "http:', 'upstream_ca = "none.pem"\nupstream = "https:'),
    ],
)
def test_a_refused_start(old: str, new: str, policy_text: str, tmp_path: Any, upstream: Any) -> None:
    """RLD-02: the same at start: file and line, no stack trace, nothing is served."""

    text = policy_text.format(upstream=upstream.url, gateway="", more="# end")
    assert old in text
    (tmp_path / "sixfold.toml").write_text(text.replace(old, new, 1))
    ended = subprocess.run(
        [sys.executable, "-m", "sixfold", "serve"],
        cwd=tmp_path, env={**os.environ, "SIXFOLD_STATE": str(tmp_path)}, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert ended.returncode in (3, 4), ended.stderr
    assert "sixfold.toml:" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "a bug in sixfold" not in ended.stderr


def test_a_bug_while_reloading(guarding: Any, upstream: Any, monkeypatch: pytest.MonkeyPatch, until: Any) -> None:
    """RLD-02: even a bug of ours in the new policy's way leaves the old one, and deadlines, in force."""
    guard = guarding(upstream, "idle_timeout = 0.5")

    def bug(*_: Any) -> Any:
        raise KeyError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr("sixfold.proxy.worker.assemble", bug)
        guard.config.write_text(guard.config.read_text() + RULED)
        assert until(lambda: guard.worker.last_reload["result"] == "refused")
    client = guard.client()
    assert client.get().status == 200
    assert client.is_closed()  # at its deadline


def test_a_request_under_way_ends_under_the_old_policy(guarding: Any, upstream: Any, until: Any) -> None:
    """RLD-01: no request is judged by half a policy, even if its upstream is gone from the new one."""
    guard = guarding(
        upstream, more=f'[[routes]]\nmatch = "POST /other"\npublic = true\nupstream = "{upstream.url}"\n# end'
    )
    client = guard.client(b"POST /other HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\n\r\na")
    assert until(lambda: upstream.connections)
    guard.config.write_text(guard.config.read_text().replace(f'upstream = "{upstream.url}"\n# end', ""))
    assert guard.call(guard.worker.reload)
    client.send(b"bc")
    assert client.answer().status == 200
    assert upstream.seen[0].body == b"abc"
    assert until(lambda: guard.call(lambda: sum(pool.open for pool in guard.worker.edge.pools.values())) <= 1)


COLLECTED = """
[gateway]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
upstream = "{upstream}"
openapi = "api.json"
[[routes]]
match = "POST /json"
public = true
upstream = "{upstream}/"
"""
JSON = {
    "openapi": "3.1.0",
    "info": {"title": "t", "version": "1"},
    "paths": {
        "/json": {
            "post": {
                "requestBody": {"content": {"application/json": {"schema": {"type": "array"}}}},
                "responses": {"200": {"description": "ok"}},
            }
        }
    },
}


def test_a_body_that_is_collected_while_the_policy_changes(guarding: Any, upstream: Any, until: Any) -> None:
    """RLD-01: the request is judged and forwarded by the policy it met first, to that one's upstream."""
    guard = guarding(upstream, policy=COLLECTED, files={"api.json": json.dumps(JSON).encode()})
    client = guard.client(
        b"POST /json HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 3\r\n\r\n["
    )
    assert until(lambda: guard.call(lambda: [one for one in guard.worker.edge.connections if one.exchange]))
    guard.config.write_text(guard.config.read_text().replace(f'upstream = "{upstream.url}/"', ""))
    assert guard.call(guard.worker.reload)
    client.send(b"1]")
    assert client.answer().status == 200
    assert upstream.seen[0].body == b"[1]"


def test_counters_go_on(guarding: Any, upstream: Any) -> None:
    """RLD-01: a reload does not fill anybody's bucket again."""
    guard = guarding(
        upstream, more='[[routes]]\nmatch = "GET /few"\npublic = true\nlimit = "2/hour per address"\n# end'
    )
    assert [guard.get("/few").status for _ in range(3)] == [200, 200, 429]
    guard.config.write_text(guard.config.read_text().replace("# end", RULED))
    assert guard.call(guard.worker.reload)
    assert guard.get("/new").status == 200
    assert guard.get("/few").status == 429


def test_a_new_upstream(guarding: Any, upstream: Any, make_upstream: Any) -> None:
    """RLD-01: from the next request on, and the old one's connections are closed."""
    other = make_upstream(answer=b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nother")
    guard = guarding(upstream)
    client = guard.client()
    assert client.get().body == b"hello"
    guard.config.write_text(guard.config.read_text().replace(upstream.url, other.url))
    assert guard.call(guard.worker.reload)
    assert client.get().body == b"other"


# ---------------------------------------------------------------------- the admin listener


def test_health_and_readiness(guard: Any) -> None:
    """OBS-01: alive, ready, and draining when it is."""
    assert guard.ask_admin("/-/health").body == b"ok\n"
    assert guard.ask_admin("/-/ready").status == 200
    guard.worker.edge.draining = True
    assert guard.ask_admin("/-/ready").status == 503
    guard.worker.edge.draining = False


def test_status(guard: Any) -> None:
    """OBS-01: version of the policy, addresses, reload, age of keys."""
    status = guard.ask_admin("/-/status").json()
    assert status["policy"]["operations"] == 10
    assert status["listen"] == guard.worker.address
    assert status["issuers"][0]["keys"] == 1


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil", "localhost.evil:80", "", "a, 127.0.0.1", "0.0.0.0", "[::2]"]
)
def test_foreign_hosts_at_the_admin(host: str, guard: Any) -> None:
    """OBS-01: a page in the operator's browser cannot ask under a name of its own (DNS rebinding)."""
    assert guard.ask_admin("/-/status", host).status == 400


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8401", "[::1]:8401", "LOCALHOST"])
def test_own_hosts_at_the_admin(host: str, guard: Any) -> None:
    """OBS-01: loopback names, with any port."""
    assert guard.ask_admin("/-/health", host).status == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /-/status HTTP/1.1\r\nhost: localhost\r\n\r\n", 405),
        (b"GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n", 404),
        (b"GET /-/status\r\nhost: localhost\r\n\r\n", 400),
        (b"GET /-/status HTTP/1.1\r\n\r\n", 400),
        (b"GET /-/status HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n", 400),
        (b"GET /-/decisions?last=\xb2 HTTP/1.1\r\nhost: localhost\r\n\r\n", 200),
        (b"GET /-/decisions?last=%C2%B2 HTTP/1.1\r\nhost: localhost\r\n\r\n", 200),
        (b"GET /-/decisions?last=" + b"9" * 5000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n", 200),
        (b"GET /-/decisions?last=-1 HTTP/1.1\r\nhost: localhost\r\n\r\n", 200),
        (b"GET //[ HTTP/1.1\r\nhost: localhost\r\n\r\n", 400),
        (b"GET /-/status HTTP/1.1\r\nhost: [\r\n\r\n", 400),
    ],
)
def test_odd_questions_to_the_admin(request_: bytes, status: int, guard: Any) -> None:
    """OBS-01: GET only, and every question has an answer."""
    with closing(guard.connect(guard.admin, request_)) as client:
        assert client.answer().status == status


def test_the_story_of_a_refusal(guard: Any) -> None:
    """EXP-01: a decision id leads to layer, rule with file and line, reason and remedy; a prefix is enough."""
    answer = guard.get("/orders/7", guard.mint("orders:read"), "DELETE")
    decision = answer.json()["decision"]
    for wanted in (decision, decision[:6], decision[2:].lower()):
        (story,) = guard.ask_admin(f"/-/decisions/{wanted}").json()
        assert story["decision"] == decision
        assert (story["layer"], story["status"], story["method"]) == ("authorization", 403, "DELETE")
        assert story["rule"]["line"] > 0
        assert story["rule"]["file"].endswith("sixfold.toml")
        assert story["reason"]
        assert story["remedy"]
    assert guard.ask_admin("/-/decisions?last=1").json()[0]["decision"] == decision
    assert guard.ask_admin("/-/decisions/d-ZZZZZZZZ").json() == []


def test_an_admin_that_is_asked_slowly(guard: Any) -> None:
    """OBS-01: a question without end is not kept."""
    with closing(guard.connect(guard.admin, b"GET /-/status HTTP/1.1\r\nx: " + b"y" * 20_000)) as client:
        assert client.is_closed()


def test_an_address_that_is_taken(guarding: Any, upstream: Any, serving: Any) -> None:
    """CLI-06: said in words."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        guarding(
            upstream, policy="[gateway]\n" + f'listen = "127.0.0.1:{taken.getsockname()[1]}"\nadmin = "127.0.0.1:0"\n'
        )


def test_a_unix_socket(guarding: Any, upstream: Any, tmp_path: Any) -> None:
    """PROXY: `listen` and `upstream` may be Unix sockets."""
    path = tmp_path / "s"
    guard = guarding(
        upstream,
        policy=f'[gateway]\nlisten = "unix:{path}"\nadmin = "127.0.0.1:0"\nupstream = "{{upstream}}"\n' + RULED,
    )
    with closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.settimeout(3)
        connection.connect(str(path))
        connection.sendall(b"GET /new HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        answer = b""
        while data := connection.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert upstream.seen[0].get("x-forwarded-for") is None
    assert guard.worker.address == f"unix:{path}"
