"""`sixfold demo`: a real API, protected by six layers, and real requests that meet each of them."""

from __future__ import annotations

import asyncio
import http.client
import os
import shlex
import socket
import ssl
import threading
import time
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from cyclopts import Parameter

from sixfold.cli.serving import check_listen, run_worker
from sixfold.cli.talk import FOUND, command_name, paint, say, show
from sixfold.state_folder import state_folder

if TYPE_CHECKING:
    from sixfold.policy import Policy
    from sixfold.proxy.worker import Worker


_PATIENCE = 5.0  # seconds to wait for a thread that was asked to end


class Step(NamedTuple):
    """One request of the walk.

    Arguments:
        layer: which layer answers.
        words: what the request tries.
        method, target: of the request.
        expected: status.
        caller: whose token is sent; "" for none.
        headers, body: of the request.
        times: how often it is sent; the last answer counts.
    """

    layer: str
    words: str
    method: str
    target: str
    expected: int
    caller: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    times: int = 1


ORDER = '{"customer": "alice", "item": "globe", "quantity": 2}'
UNDECLARED = ORDER[:-1] + ', "admin": true}'
TWICE = ORDER[:-1] + ', "quantity": 1}'
FORGED = (("Sixfold-Identity", "i.am.admin"), ("X-Forwarded-For", "203.0.113.7"))
STEPS = (
    Step("gateway", "a public operation", "GET", "/health", 200),
    Step("gateway", "a path nobody declared", "GET", "/admin", 404),
    Step("gateway", "a method the path does not have", "DELETE", "/orders", 405),
    Step("gateway", "a path written to fool the router", "GET", "/orders/%2e%2e/admin", 400),
    Step("authentication", "no token", "GET", "/orders", 401),
    Step("authentication", "a token somebody changed", "GET", "/orders", 401, "tampered"),
    Step("authentication", "a token that has expired", "GET", "/orders", 401, "expired"),
    Step("authorization", "a viewer reads", "GET", "/orders?limit=10", 200, "viewer"),
    Step("authorization", "a viewer writes", "POST", "/orders", 403, "viewer", body=ORDER),
    Step("authorization", "bob reads alice's orders", "GET", "/customers/alice/orders", 403, "bob"),
    Step("authorization", "alice reads her own", "GET", "/customers/alice/orders", 200, "alice"),
    Step("validation", "an editor places an order", "POST", "/orders", 201, "editor", body=ORDER),
    Step("validation", "a property nobody declared", "POST", "/orders", 400, "editor", body=UNDECLARED),
    Step("validation", "one key twice", "POST", "/orders", 400, "editor", body=TWICE),
    Step("validation", "a parameter out of range", "GET", "/orders?limit=5000", 400, "viewer"),
    Step("gateway", "forged identity headers; the API sees", "GET", "/whoami", 200, "viewer", FORGED),
    Step("rate limiting", "too many orders in a minute", "POST", "/orders", 429, "editor", body=ORDER, times=6),
)


def demo(*, once: bool = False, listen: Annotated[str, Parameter(metavar="ADDRESS")] = "127.0.0.1:0") -> int:
    """Show the six layers on a sample API, request by request.

    Each line tells layer, request, what it tries, status and reason; then the API goes on serving until Ctrl-C. The
    exit code says whether every answer was the expected one.

    Parameters
    ----------
    once: bool
        Exit after the walk.
    listen: str
        Where to serve, on this machine; port 0 is a free one.
    """
    from sixfold.policy import compile_policy, load
    from sixfold.watch import Watch

    check_listen(listen)
    upstream_port, stop_api = _start_api()
    threads: list[threading.Thread] = []
    with as_file(files("sixfold.sample")) as folder:
        path = Path(folder) / "sixfold.toml"

        def policy() -> Policy:
            environ = {
                **os.environ,
                "SIXFOLD_GATEWAY__LISTEN": listen,
                "SIXFOLD_GATEWAY__ADMIN": "127.0.0.1:0",
                "SIXFOLD_GATEWAY__UPSTREAM": f"http://127.0.0.1:{upstream_port}",
                "SIXFOLD_ENCRYPTION__PLAIN_LISTEN": "127.0.0.1:0",
            }
            return compile_policy(load(path, environ=environ))

        results: list[bool] = []

        def ready(worker: Worker) -> None:
            loop = asyncio.get_running_loop()

            def done() -> None:
                if once:
                    loop.call_soon_threadsafe(worker.stop)

            walk = threading.Thread(target=_walk, args=(worker, results, done), kwargs={"once": once}, daemon=True)
            threads.append(walk)
            walk.start()

        try:
            code = run_worker(
                policy,
                folder=state_folder(),
                watch=Watch(),
                files=lambda _policy: [],
                ready=ready,
                advise=lambda _policy, _key, _address: "choose another one with --listen",
            )
        finally:  # no thread may still run native code while the interpreter goes down
            stop_api()
            for walk in threads:
                walk.join(_PATIENCE)
    return code or (0 if all(results) else FOUND)


def _start_api() -> tuple[int, Callable[[], None]]:
    """Start the sample API in a thread; returns its port, and what stops it."""
    import uvicorn

    from sixfold.sample.api import make_app

    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    config = uvicorn.Config(make_app(), loop="asyncio", log_level="critical", lifespan="off", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: server.run(sockets=[listening]), daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)

    def stop() -> None:
        server.should_exit = True
        thread.join(_PATIENCE)
        listening.close()

    return int(listening.getsockname()[1]), stop


def _walk(worker: Worker, results: list[bool], done: Callable[[], None], *, once: bool) -> None:
    try:
        _Walk(worker).run(results, once=once)
    except Exception as problem:
        results.append(False)
        say(f"the walk ended early: {type(problem).__name__}: {problem}")
    finally:
        done()


class _Walk:
    """Sends the requests and prints request, answer, layer and reason, line by line."""

    def __init__(self, worker: Worker) -> None:
        from sixfold.layers.authentication import DevKeys

        self._worker = worker
        self._port = int(worker.address.rpartition(":")[2])
        self._context = ssl.create_default_context(cafile=str(worker.channel.authority))
        keys = DevKeys.load_or_create(state_folder() / "dev")
        audience = "https://orders.example"
        now = time.time_ns() // 1000

        def token(subject: str, *roles: str, at: int = now) -> str:
            return keys.mint(subject, roles=roles, audience=audience, now=at)

        viewer = token("vera", "viewer")
        self._tokens = {
            "viewer": viewer,
            "editor": token("ed", "editor"),
            "alice": token("alice", "viewer"),
            "bob": token("bob", "viewer"),
            "expired": token("vera", "viewer", at=now - 7200 * 1_000_000),
            "tampered": viewer[:-8] + ("A" if viewer[-8] != "A" else "B") + viewer[-7:],
        }
        self._refused = ""

    def run(self, results: list[bool], *, once: bool) -> None:
        """Walk through the layers; `once` says that nothing is served afterwards."""
        policy = self._worker.edge.engine.policy
        where = f"https://{self._worker.address}"
        show(f"An orders API with {len(policy.operations)} operations, behind six layers: {where}")
        show("")
        results.append(self._plain_http())
        results.append(self._old_tls())
        results += [self._step(step) for step in STEPS]
        show("")
        self._explain()
        show(f"{sum(results)} of {len(results)} answers as expected.")
        show("")
        if not once:
            self._say_try()
        show(f"Yours:   {command_name()} protect http://localhost:8000")

    def _step(self, step: Step) -> bool:
        for _ in range(step.times):
            status, headers, body = self._send(step)
        decision = headers.get("ratelimit", "")
        why = _reason(status, headers, body, self._worker)
        if status >= 400 and "decision" in body:
            self._refused = body["decision"]
        elif step.target == "/whoami":
            seen = body["sixfold-identity"] or {}
            why = f"address {body['x-forwarded-for']}, caller {seen.get('sub')} (signed), token {body['authorization']}"
        elif decision:
            why = f"RateLimit: {decision}"
        return self._print(step.layer, f"{step.method} {step.target}", step.words, status, step.expected, why)

    def _send(self, step: Step) -> tuple[int, dict[str, str], Any]:
        import json

        connection = http.client.HTTPSConnection("127.0.0.1", self._port, context=self._context, timeout=10)
        headers = dict(step.headers)
        if step.caller:
            headers["Authorization"] = f"Bearer {self._tokens[step.caller]}"
        if step.body:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(step.method, step.target, step.body or None, headers)
            answer = connection.getresponse()
            content = answer.read()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, json.loads(content) if content else {}
        finally:
            connection.close()

    def _plain_http(self) -> bool:
        port = self._worker.plain_address.rpartition(":")[2]
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
        try:
            connection.request("GET", "/orders", headers={"Authorization": f"Bearer {self._tokens['viewer']}"})
            answer = connection.getresponse()
            answer.read()
            why = "no redirect: the token would travel in clear a second time"
            return self._print("encryption", "GET http://…/orders", "plain HTTP", answer.status, 426, why)
        finally:
            connection.close()

    def _old_tls(self) -> bool:
        context = ssl.create_default_context(cafile=str(self._worker.channel.authority))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        try:
            with (
                socket.create_connection(("127.0.0.1", self._port), timeout=10) as raw,
                context.wrap_socket(raw, server_hostname="127.0.0.1"),
            ):
                status = 200
        except ssl.SSLError:
            status = 0
        return self._print("encryption", "TLS 1.2 handshake", "an old protocol", status, 0, "TLS 1.3 only")

    def _print(self, layer: str, request: str, words: str, status: int, expected: int, why: str) -> bool:
        good = status == expected
        shown = str(status) if status else "closed"
        colour = "red" if not good else "green" if 0 < status < 400 else "yellow"
        show(f"  {layer:<14}  {request:<34}  {words:<38}  {paint(f'{shown:<6}', colour)}  {why}")
        if not good:
            show(f"  {'':<14}  expected {expected}, got {shown}")
        return good

    def _explain(self) -> None:
        """Show what the operator sees of the last refusal."""
        from sixfold.cli.explain import tell

        for record in self._worker.watch.decisions.find(self._refused):
            show(f"$ {command_name()} explain {self._refused}")
            show(tell(record.story()))
            show("")

    def _say_try(self) -> None:
        me = command_name()
        trust = shlex.quote(str(self._worker.channel.authority))
        show(f"Try it:  curl -i --cacert {trust} https://{self._worker.address}/orders \\")
        show(f'           -H "Authorization: Bearer $({me} token --role viewer --audience https://orders.example)"')


def _reason(status: int, headers: dict[str, str], body: Any, worker: Worker) -> str:
    """Return why an answer is what it is, as the operator would read it."""
    if status < 400 or not isinstance(body, dict) or "decision" not in body:
        return ""
    found = worker.watch.decisions.find(body["decision"])
    refusal = found[0].refusal if found else None
    if refusal is None:
        return str(body.get("title", ""))
    if refusal.faults:
        return "; ".join(f"{fault.where or 'body'}: {fault.expected}" for fault in refusal.faults)
    if status == 429:
        return f"Retry-After: {headers.get('retry-after')} s"
    return body.get("detail") or refusal.reason
