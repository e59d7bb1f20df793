"""Key rings: fetched from real servers on loopback, over TLS."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from threading import Event
from typing import Any

import pytest
import trustme

from sixfold.layers.authentication import Authentication, KeyRing, KeyRings, fetch
from sixfold.layers.authentication.key_ring import COOLDOWN, IMPATIENCE, Source
from sixfold.layers.authentication.rules import RuleError
from sixfold.needs import KeySet, Unavailable

REFRESH = 300_000_000
STALE = 86_400_000_000
Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """An issuer's key server: answers what it is told to, and counts."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
        self.asked: list[bytes] = []
        self.gate: asyncio.Event | None = None
        self.arrived = asyncio.Event()
        self.url = ""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.asked.append(await reader.readuntil(b"\r\n\r\n"))
            self.arrived.set()
            if self.gate is not None:
                await self.gate.wait()
            writer.write(self.head + b"content-length: %d\r\n\r\n" % len(self.body) + self.body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


class Tls:
    """A certificate authority of this test run and what trusts it."""

    def __init__(self) -> None:
        authority = trustme.CA()
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(self.server)
        self.client = ssl.create_default_context()
        authority.configure_trust(self.client)


@pytest.fixture(scope="module")
def tls() -> Tls:
    return Tls()


@asynccontextmanager
async def serving(body: bytes, tls: Tls | None) -> AsyncIterator[Server]:
    handler = Server(body)
    server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=tls.server if tls else None)
    port = server.sockets[0].getsockname()[1]
    handler.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/jwks.json"
    try:
        yield handler
    finally:
        server.close()


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


def rings_for(world: Any, url: str, tls: Tls | None, **issuer: Any) -> tuple[KeyRings, KeyRing, Authentication]:
    policy = world.policy(jwks=url, **issuer)
    rings = KeyRings.for_policy(policy, allow_http=True, context=tls.client if tls else None)
    ring = rings.get(world.issuer)
    assert ring is not None
    return rings, ring, Authentication(policy, rings, None)


async def decide(world: Any, layer: Authentication, rings: KeyRings, request: Any) -> Any:
    """Drive `who` as a face does."""
    flow, answer = layer.who(request, world.policy().operations[0]), None
    while True:
        try:
            need = flow.send(answer)
        except StopIteration as end:
            return end.value
        assert isinstance(need, KeySet)
        assert need.issuer == world.issuer
        answer = await rings.refresh(need.issuer, need.kid, request.now)


def test_the_first_token_fetches_the_keys(world: Any, tls: Tls) -> None:
    """JWKS-01: keys come over https; the second token with a known key asks nobody (UX-04)."""

    async def test() -> None:
        async with serving(world.jwks(), tls) as server:
            rings, ring, layer = rings_for(world, server.url, tls)
            assert rings.due(world.now) == [world.issuer]
            assert (await decide(world, layer, rings, world.request(world.token()))).subject == "alice"
            assert (await decide(world, layer, rings, world.request(world.token(sub="bob")))).subject == "bob"
            assert len(server.asked) == 1
            assert b"authorization" not in server.asked[0].lower()
            assert ring.usable_until == world.now + REFRESH + STALE

    run(test())


def test_concurrent_misses_share_one_fetch(world: Any, tls: Tls) -> None:
    """JWKS-04: fifty callers and the ticker wait for one fetch; one that leaves does not end it."""

    async def test() -> None:
        async with serving(world.jwks(), tls) as server:
            server.gate = asyncio.Event()
            rings, _, layer = rings_for(world, server.url, tls)
            requests = [world.request(world.token(sub=f"user-{number}")) for number in range(50)]
            waiting = [asyncio.create_task(decide(world, layer, rings, request)) for request in requests]
            ticker = asyncio.create_task(rings.refresh(world.issuer, "", world.now))
            await server.arrived.wait()
            waiting.pop(0).cancel()
            await asyncio.sleep(0)
            server.gate.set()
            found = await asyncio.gather(*waiting)
            assert await ticker is None
            assert [identity.subject for identity in found] == [f"user-{number}" for number in range(1, 50)]
            assert len(server.asked) == 1

    run(test())


def test_unknown_key_ids_ask_once_per_interval(world: Any, tls: Tls) -> None:
    """JWKS-02: an unknown `kid` fetches once per interval, whoever asks and whatever it says."""

    async def test() -> None:
        async with serving(world.jwks("rsa"), tls) as server:
            rings, ring, layer = rings_for(world, server.url, tls)
            assert await rings.refresh(world.issuer, "", world.now) is None
            for number in range(20):
                token = world.token(header={"kid": f"guess-{number}"})
                found = await decide(world, layer, rings, world.request(token, now=world.now + COOLDOWN))
                assert found.code == "token-key"
            assert len(server.asked) == 2
            server.body = world.jwks()  # the issuer rotates
            now = world.now + 2 * COOLDOWN
            early = await decide(world, layer, rings, world.request(world.token(), now=now - 1))
            assert (early.code, len(server.asked)) == ("token-key", 2)
            late = await decide(world, layer, rings, world.request(world.token(), now=now))
            assert (late.subject, len(server.asked)) == ("alice", 3)
            assert ring.generation == 0

    run(test())


def test_an_issuer_that_is_down(world: Any, tls: Tls) -> None:
    """JWKS-03: stale keys serve while the issuer is down, up to `max_stale`; then it is 503 (UX-04)."""

    async def test() -> None:
        async with serving(world.jwks(), tls) as server:
            rings, ring, layer = rings_for(world, server.url, tls)
            await rings.refresh(world.issuer, "", world.now)
            server.head = b"HTTP/1.1 500 Oops\r\n"
            for age in (REFRESH, REFRESH + STALE // 2, REFRESH + STALE - 1):
                now = world.now + age
                assert rings.due(now) == [world.issuer]
                failed = await rings.refresh(world.issuer, "", now)
                assert failed == Unavailable("the issuer answered 500; redirects are not followed")
                assert rings.due(now) == []
                request = world.request(world.token(exp=now // world.second + 9), now=now)
                assert (await decide(world, layer, rings, request)).subject == "alice"
                assert layer.known(request, world.policy().operations[0])
            now = world.now + REFRESH + STALE
            request = world.request(world.token(exp=now // world.second + 9), now=now)
            refusal = await decide(world, layer, rings, request)
            assert (refusal.status, refusal.code) == (503, "keys-unavailable")
            assert (b"retry-after", b"5") in refusal.headers
            assert "500" in refusal.reason
            server.head = b"HTTP/1.1 200 OK\r\n"
            request = world.request(world.token(exp=now // world.second + 99), now=now + IMPATIENCE)
            assert (await decide(world, layer, rings, request)).subject == "alice"
            assert ring.failure == ""

    run(test())


def test_a_cached_token_does_not_outlive_the_keys(world: Any, tls: Tls) -> None:
    """JWKS-03: a hit of the token cache ends with the keys, too."""

    async def test() -> None:
        async with serving(world.jwks(), tls) as server:
            rings, _, layer = rings_for(world, server.url, tls)
            token, operation = world.token(exp=1_900_000_000), world.policy().operations[0]
            await decide(world, layer, rings, world.request(token))
            end = world.now + REFRESH + STALE
            assert layer.known(world.request(token, now=end - 1), operation)
            assert layer.known(world.request(token, now=end), operation) is None

    run(test())


def test_an_issuer_that_was_never_reached(world: Any, tls: Tls) -> None:
    """JWKS-03: without any keys it is 503, not 401, and the issuer is asked every few seconds only."""

    async def test() -> None:
        async with serving(b"", tls) as server:
            url = server.url
        rings, _, layer = rings_for(world, url, tls)  # nobody listens there any longer
        for _ in range(3):
            refusal = await decide(world, layer, rings, world.request(world.token()))
            assert (refusal.status, refusal.code) == (503, "keys-unavailable")
            assert "cannot be reached" in refusal.reason
        assert rings.due(world.now + IMPATIENCE - 1) == []
        assert rings.due(world.now + IMPATIENCE) == [world.issuer]

    run(test())


GOOD_KEY = "the good key set"


@pytest.mark.parametrize(
    ("head", "body", "says"),
    [
        (b"HTTP/1.1 302 Found\r\nlocation: /other\r\n", GOOD_KEY, "redirects are not followed"),
        (
            b"HTTP/1.1 307 Temporary\r\nlocation: file:///etc/passwd\r\n",
            GOOD_KEY,
            "redirects are not followed",
        ),
        (b"HTTP/1.1 201 Created\r\n", GOOD_KEY, "answered 201"),
        (b"HTTP/1.1 404 Not Found\r\n", "", "answered 404"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n", GOOD_KEY, "content coding"),
        (b"HTTP/1.1 200 OK\r\n", "x" * (fetch.MAX_SIZE + 1), "larger than"),
        (b"HTTP/1.1 200 OK\r\n", "", "strict JSON"),
        (b"HTTP/1.1 200 OK\r\n", "<html>", "strict JSON"),
        (b"HTTP/1.1 200 OK\r\n", "[]", "not a JSON object"),
        (b"HTTP/1.1 200 OK\r\n", "{}", "no array `keys`"),
        (b"HTTP/1.1 200 OK\r\n", '{"keys":{}}', "no array `keys`"),
        (b"HTTP/1.1 200 OK\r\n", '{"keys":[],"keys":[]}', "twice"),
        (b"HTTP/1.1 200 OK\r\n", '{"keys":[]}', "no key that can verify"),
        (b"HTTP/1.1 200 OK\r\n", '{"keys":[{"kty":"oct","k":""}]}', "/keys/0: a symmetric key"),
        (b"nonsense\r\n", "", "cannot be reached"),
    ],
)
def test_answers_that_are_no_key_set(world: Any, tls: Tls, head: bytes, body: str, says: str) -> None:
    """JWKS-01: other statuses, large or odd answers are refused; the last good keys stay (F-30)."""

    async def test() -> None:
        async with serving(world.jwks(), tls) as server:
            rings, ring, layer = rings_for(world, server.url, tls)
            await rings.refresh(world.issuer, "", world.now)
            server.head = head
            server.body = world.jwks() if body == GOOD_KEY else body.encode()
            answer = await rings.refresh(world.issuer, "", world.now + REFRESH)
            assert isinstance(answer, Unavailable)
            assert says in answer.reason
            assert says in ring.failure
            assert len(server.asked) == 2
            assert (await decide(world, layer, rings, world.request(world.token()))).subject == "alice"

    run(test())


def test_a_server_that_does_not_answer(world: Any, tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    """JWKS-01: a fetch ends in time, as a whole, not only between two bytes."""
    monkeypatch.setattr(fetch, "MAX_TIME", 0.05)

    async def test() -> None:
        async with serving(world.jwks(), tls) as server:
            server.gate = asyncio.Event()
            rings, _, _ = rings_for(world, server.url, tls)
            answer = await rings.refresh(world.issuer, "", world.now)
            assert answer == Unavailable("the issuer did not answer within 0.05 s")
            server.gate.set()

    run(test())


def test_a_certificate_of_somebody_else(world: Any, tls: Tls) -> None:
    """JWKS-01: a server without a trusted certificate gives no keys."""

    async def test() -> None:
        async with serving(world.jwks(), tls) as server:
            rings, _, _ = rings_for(world, server.url, Tls())
            answer = await rings.refresh(world.issuer, "", world.now)
            assert isinstance(answer, Unavailable)
            assert "ConnectError" in answer.reason
            assert server.asked == []

    run(test())


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example/jwks", "http://127.0.0.1:1/jwks", "http://localhost/jwks", "file:///etc/passwd",
        "FILE:///etc/passwd", "ftp://issuer.example/jwks", "data:application/json,{}", "https:///jwks",
        "https:jwks", "https://user:password@issuer.example/jwks", "gopher://x", "HTTP://issuer.example",
        "jar:file:x", "https://[x/jwks", "https://127.0.0.1:99999/jwks", "https://issuer.example:0/",
        "https://a b.example/", "https://a\x7f.example/", "https://ü.example/",
    ],
)  # fmt: skip
def test_sources_that_are_not_https(world: Any, url: str) -> None:
    """F-30: `file:`, `http:` and other schemes are refused when the policy is loaded (JWKS-01)."""
    with pytest.raises(RuleError, match="keys come over https") as found:
        KeyRings.for_policy(world.policy(jwks=url))
    assert "password" not in str(found.value)


def test_plain_http_on_loopback_when_said_so(world: Any) -> None:
    """JWKS-01: plain http works for loopback in development only, and nowhere else."""

    async def test() -> None:
        async with serving(world.jwks(), None) as server:
            rings, _, layer = rings_for(world, server.url, None)
            assert (await decide(world, layer, rings, world.request(world.token()))).subject == "alice"
        with pytest.raises(RuleError):
            KeyRings.for_policy(world.policy(jwks="http://issuer.example/jwks"), allow_http=True)

    run(test())


def test_a_key_file_is_read_again(world: Any) -> None:
    """JWKS-03: a key file is read at load and every `refresh`; a broken one changes nothing."""
    file = world.folder / "rotating.json"
    file.write_bytes(world.jwks("rsa"))

    async def test() -> None:
        rings, ring, layer = rings_for(world, "rotating.json", None)
        assert (await decide(world, layer, rings, world.request(world.token(alg="RS256")))).subject == "alice"
        file.write_bytes(world.jwks())
        assert (await decide(world, layer, rings, world.request(world.token()))).subject == "alice"
        for broken in (b"{", b"{" * (fetch.MAX_SIZE + 1)):
            file.write_bytes(broken)
            assert isinstance(await rings.refresh(world.issuer, "", world.now + 2 * REFRESH), Unavailable)
            ring.asked_at = None
        file.unlink()
        answer = await rings.refresh(world.issuer, "", world.now + 3 * REFRESH)
        assert answer == Unavailable("the key file cannot be read: No such file or directory")
        late = world.now + 10 * STALE
        request = world.request(world.token(exp=late // world.second + 9), now=late)
        assert (await decide(world, layer, rings, request)).subject == "alice"

    run(test())


def test_a_ring_outlives_its_policy(world: Any, tls: Tls) -> None:
    """UX-04: a reload keeps the keys of each issuer whose source is unchanged; the old policy goes on."""

    async def test() -> None:
        async with serving(world.jwks(), tls) as server:
            rings, ring, layer = rings_for(world, server.url, tls)
            await rings.refresh(world.issuer, "", world.now)
            same = rings.adopt(world.policy({"leeway": 5}, jwks=server.url, typ=["JWT"]))
            assert same.get(world.issuer) is ring
            for changed in ({"jwks": server.url + "?v=2"}, {"jwks": server.url, "max_stale": 60}):
                other = rings.adopt(world.policy(**changed))
                assert other.get(world.issuer) is not ring
            assert rings.adopt(world.policy({"issuers": []})).get(world.issuer) is None
            assert (await decide(world, layer, rings, world.request(world.token()))).subject == "alice"
            assert len(server.asked) == 1
            gone = await rings.refresh("https://other.example", "", world.now)
            assert isinstance(gone, Unavailable)

    run(test())


def test_a_fetch_of_another_loop(world: Any, tls: Tls) -> None:
    """JWKS-04: a fetch that hangs in one event loop does not hold up callers in another (threads of a middleware)."""
    started, finish = Event(), Event()
    shared: list[Any] = []

    async def hanging() -> None:
        async with serving(world.jwks(), tls) as server:
            server.gate = asyncio.Event()
            shared.extend(rings_for(world, server.url, tls))
            task = asyncio.create_task(shared[0].refresh(world.issuer, "", world.now))
            await server.arrived.wait()
            started.set()
            await asyncio.to_thread(finish.wait)
            server.gate.set()
            await task

    async def beside() -> None:
        rings, ring, layer = shared
        async with serving(world.jwks(), tls) as server:
            ring.source = ring.source._replace(url=server.url)
            found = await decide(world, layer, rings, world.request(world.token(), now=world.now + COOLDOWN))
            assert (found.subject, len(server.asked)) == ("alice", 1)

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(run, hanging())
        started.wait()
        try:
            run(beside())
        finally:
            finish.set()
        other.result()


def test_a_url_that_cannot_be_asked(world: Any, tls: Tls) -> None:
    """JWKS-01: a URL that no client can ask is an issuer that cannot be reached, not a bug."""

    async def test() -> None:
        rings, _, layer = rings_for(world, "https://999.1.1.1/jwks", tls)
        refusal = await decide(world, layer, rings, world.request(world.token()))
        assert (refusal.code, "cannot be reached" in refusal.reason) == ("keys-unavailable", True)

    run(test())


def test_a_secret_is_not_shown(world: Any) -> None:
    """RS-25: where a ring comes from can be printed without its secret."""
    policy = world.policy({"issuers": [{"issuer": world.issuer, "secret": "0123456789abcdef" * 3}]})
    (ring,) = KeyRings.for_policy(policy)
    assert "0123" not in repr((ring, ring.source, ring.keys))


def test_unusable_keys_are_skipped_and_told(world: Any) -> None:
    """RS-13: a set may hold keys that are of no use here; the others count (RFC 7517 section 5)."""
    keys = [
        {"kty": "oct", "k": "AA"},
        {"kty": "EC", "crv": "P-256"},
        {**world.public_jwk(world.es256), "use": "enc"},
        3,
    ]
    document = json.dumps({"keys": [*keys, world.public_jwk(world.es256, kid="es256")]}).encode()
    ring = KeyRing(Source(world.issuer, url="https://issuer.example/jwks", refresh=1, max_stale=1))
    ring.accept(document, world.now)
    assert [key.kid for key in ring.keys] == ["es256"]
    assert [place.partition(":")[0] for place in ring.ignored] == ["/keys/0", "/keys/1", "/keys/2", "/keys/3"]
    assert world.public_jwk(world.es256)["x"] not in repr(ring.ignored)


def test_generations(world: Any) -> None:
    """D-19: the generation changes when a key goes or changes, not when one comes or the order changes."""
    ring = KeyRing(Source(world.issuer, url="https://issuer.example/jwks", refresh=1, max_stale=1))
    steps = [("es256",), ("es256", "rsa"), ("rsa", "es256"), ("rsa",), ("rsa", "es256"), ("es256",)]
    generations = []
    for names in steps:
        ring.accept(world.jwks(*names), world.now)
        generations.append(ring.generation)
    assert generations == [0, 0, 0, 1, 1, 2]
    changed = json.dumps({"keys": [world.public_jwk(world.stranger, kid="es256")]}).encode()
    ring.accept(changed, world.now)
    assert ring.generation == 3
