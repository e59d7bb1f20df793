"""By what channel: TLS of the listener and towards the upstream, over real handshakes."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

import pytest
import trustme

POLICY = """
[gateway]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
upstream = "{upstream}"
{gateway}
[encryption]
mode = "tls"
certificate = {{ file = "cert.pem", key = "key.pem" }}
{more}
[[routes]]
match = "* /open/**"
public = true
[[routes]]
match = "GET /orders"
authenticated = true
"""
DEV = """
[gateway]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
upstream = "{upstream}"
[encryption]
mode = "dev"
tls = true
[[routes]]
match = "* /open/**"
public = true
"""
WARNED = "ignore:ssl.*(TLSVersion|OP_NO):DeprecationWarning"


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


def files(authority: trustme.CA, *names: str) -> dict[str, bytes]:
    made = authority.issue_cert(*(names or ("localhost", "127.0.0.1")))
    chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
    return {"cert.pem": chain, "key.pem": made.private_key_pem.bytes()}


@pytest.fixture
def trusting(authority: trustme.CA) -> Callable[..., ssl.SSLContext]:
    """Return a client's context, its version pinned."""

    def make(version: ssl.TLSVersion | None = None, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        if version is not None:
            context.minimum_version = context.maximum_version = version
            context.set_ciphers("ALL:@SECLEVEL=0")
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context

    return make


@pytest.fixture
def secure(guarding: Any, upstream: Any, authority: trustme.CA, trusting: Any) -> Callable[..., Any]:
    """Start Sixfold with a certificate; clients trust it."""

    def start(more: str = "", gateway: str = "", names: tuple[str, ...] = ()) -> Any:
        guard = guarding(upstream, gateway, more, policy=POLICY, files=files(authority, *names))
        guard.context = trusting()
        return guard

    return start


def test_tls_13(secure: Any) -> None:
    """TLS-01: 1.3 with an AEAD suite."""
    client = secure().client()
    assert client.socket.version() == "TLSv1.3"
    assert client.get().body == b"hello"


@pytest.mark.filterwarnings(WARNED)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2])
def test_older_versions(version: ssl.TLSVersion, secure: Any, trusting: Any, until: Any) -> None:
    """TLS-01: refused, and counted."""
    guard = secure()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        guard.client(b"GET / HTTP/1.1\r\n", trusting(version)).more()
    assert until(lambda: guard.call(lambda: guard.worker.watch.metrics.handshakes_failed))


@pytest.mark.filterwarnings(WARNED)
@pytest.mark.parametrize(
    ("version", "ciphers", "served"),
    [
        (ssl.TLSVersion.TLSv1_2, "ECDHE+AESGCM", True),
        (ssl.TLSVersion.TLSv1_2, "ECDHE+CHACHA20", True),
        (ssl.TLSVersion.TLSv1_2, "ECDHE+AES:!AESGCM:!AESCCM", False),
        (ssl.TLSVersion.TLSv1_2, "kRSA+AESGCM:kRSA+AES", False),
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0", False),
        (ssl.TLSVersion.TLSv1, "ALL:@SECLEVEL=0", False),
        (ssl.TLSVersion.TLSv1_3, "ALL", True),
    ],
)
def test_tls_12_by_explicit_word(
    version: ssl.TLSVersion, ciphers: str, served: bool, secure: Any, trusting: Any
) -> None:
    """TLS-01: `min_version = "1.2"` lets in AEAD suites with ECDHE, nothing else and nothing older."""
    guard = secure('min_version = "1.2"')
    context = trusting(version)
    context.set_ciphers(ciphers)
    if served:
        assert guard.client(context=context).get().status == 200
    else:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            guard.client(b"GET / HTTP/1.1\r\n", context).more()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_tickets(version: ssl.TLSVersion, secure: Any, trusting: Any) -> None:
    """TLS-03: no ticket is given out, so none can be resumed elsewhere, and 0-RTT has nothing to start from."""
    guard = secure('min_version = "1.2"')
    context = trusting(version)
    client = guard.client(context=context)
    client.get()
    session = client.socket.session
    assert session is None or not session.has_ticket
    assert guard.call(guard.worker.reload)  # another context, as it would be for another name
    connection = socket.create_connection(guard.address)
    with context.wrap_socket(connection, server_hostname="localhost", session=session) as again:
        assert not again.session_reused


def test_options_of_the_context(secure: Any) -> None:
    """TLS-04: renegotiation and compression are off."""
    context = secure().worker.channel.context
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.options & ssl.OP_NO_TICKET
    assert context.num_tickets == 0


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("127.0.0.1", 200), ("LOCALHOST:99", 200), ("other.example", 421), ("localhost.evil", 421)],
)
def test_hosts_of_the_certificate(host: str, status: int, secure: Any) -> None:
    """TLS-05, PATH-03: without a list the names of the certificate are served, whatever name the handshake used."""
    client = secure().client(f"GET /open/x HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
    assert client.answer().status == status


def test_an_unknown_name_in_the_handshake(secure: Any, trusting: Any) -> None:
    """TLS-05: gets the one certificate there is, which does not fit; its `Host` gets 421."""
    guard = secure()
    with pytest.raises(ssl.SSLCertVerificationError):
        guard.client(context=trusting(), name="other.example")
    context = trusting()
    context.check_hostname = False
    client = guard.client(b"GET /open/x HTTP/1.1\r\nhost: other.example\r\n\r\n", context, "other.example")
    assert client.answer().status == 421


@pytest.mark.parametrize("offer", [(), ("http/1.1",), ("h2", "http/1.1")])
def test_application_protocols(offer: tuple[str, ...], secure: Any, trusting: Any) -> None:
    """TLS-06: `http/1.1` is agreed on where it is offered; who offers nothing is served as well."""
    client = secure().client(context=trusting(alpn=offer))
    assert client.socket.selected_alpn_protocol() == ("http/1.1" if offer else None)
    assert client.get().status == 200


def test_a_client_of_another_protocol(secure: Any, trusting: Any, upstream: Any) -> None:
    """TLS-06: an HTTP/2 client gets no answer that could pass for one, and the connection ends."""
    client = secure().client(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 9, trusting(alpn=("h2",)))
    assert b"HTTP/1.1 2" not in client.rest()
    assert upstream.seen == []


@pytest.mark.parametrize("data", [b"GET /open/x HTTP/1.1\r\nhost: localhost\r\n\r\n", b"\x16\x03\x01", b""])
def test_plain_text_at_the_tls_port(data: bytes, secure: Any, until: Any) -> None:
    """TLS-10: never an answer in clear from the port of TLS."""
    guard = secure()
    client = guard.connect(guard.address, data)
    if data:
        client.socket.shutdown(socket.SHUT_WR)
        assert b"HTTP" not in client.rest()
    assert guard.client().get().status == 200


def test_hsts(secure: Any) -> None:
    """HDR-01: on every answer over TLS, our own ones too."""
    client = secure().client()
    for target in ("/open/x", "/none", "/orders"):
        assert client.get(target)["strict-transport-security"] == "max-age=31536000; includeSubDomains"


def test_hsts_as_the_policy_says(secure: Any) -> None:
    """HDR-01: its own numbers, or none."""
    assert "strict-transport-security" not in dict(secure("hsts = false").client().get().headers)
    guard = secure('hsts = { max_age = "1h", include_subdomains = false, preload = true }')
    assert guard.client().get()["strict-transport-security"] == "max-age=3600; preload"


def test_no_hsts_in_clear(guard: Any, upstream: Any) -> None:
    """HDR-01: absent over plain HTTP, also where the upstream sends it."""
    upstream.answer = b"HTTP/1.1 200 OK\r\nstrict-transport-security: max-age=1\r\ncontent-length: 0\r\n\r\n"
    assert guard.get().get("strict-transport-security") is None


@pytest.mark.parametrize("token", ["", "authorization: Bearer secret\r\n"])
@pytest.mark.parametrize("target", ["/open/x", "/orders", "/none"])
def test_the_plain_port(target: str, token: str, secure: Any, upstream: Any) -> None:
    """TLS-10: 426 with problem+json, closed, no redirect, no HSTS; nothing forwarded, the token not even looked at."""
    guard = secure('plain_listen = "127.0.0.1:0"')
    host, _, port = guard.worker.plain_address.rpartition(":")
    client = guard.connect((host, int(port)), f"GET {target} HTTP/1.1\r\nhost: localhost\r\n{token}\r\n".encode())
    answer = client.answer()
    assert (answer.status, answer.json()["code"]) == (426, "tls-required")
    assert answer["content-type"].startswith("application/problem+json")
    assert answer["upgrade"] == "TLS/1.3, HTTP/1.1"
    assert answer.get("location") is None
    assert answer.get("strict-transport-security") is None
    assert client.is_closed()
    assert upstream.seen == []
    assert guard.client().get().status == 200


def test_a_new_certificate_under_load(secure: Any, authority: trustme.CA, trusting: Any, until: Any) -> None:
    """TLS-07: while clients come and go, the certificate is swapped several times and no handshake fails."""
    guard = secure()
    stop = threading.Event()
    failures: list[BaseException] = []
    serials: set[int] = set()

    def load() -> None:
        context = trusting()
        while not stop.is_set():
            try:
                client = guard.connect(guard.address, context=context)
                serials.add(client.socket.getpeercert()["serialNumber"])
                assert client.get().status == 200
                client.close()
            except BaseException as problem:
                failures.append(problem)
                return

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert until(lambda: serials)
        for number in range(2, 5):
            for name, content in files(authority).items():
                (guard.folder / name).write_bytes(content)
            assert guard.call(guard.worker.reload)
            assert until(lambda number=number: failures or len(serials) >= number)
            assert not failures
    finally:
        stop.set()
        for thread in threads:
            thread.join(5)
    assert len(serials) == 4
    assert guard.call(lambda: guard.worker.watch.metrics.handshakes_failed) == 0


def test_a_certificate_that_does_not_fit(secure: Any, authority: trustme.CA) -> None:
    """TLS-07: a key of another certificate is refused, and the old pair goes on."""
    guard = secure()
    before = guard.client().socket.getpeercert()["serialNumber"]
    (guard.folder / "key.pem").write_bytes(files(authority)["key.pem"])
    assert guard.call(guard.worker.reload) is False
    client = guard.client()
    assert client.socket.getpeercert()["serialNumber"] == before
    assert client.get().status == 200
    assert "sixfold.toml:" in str(guard.worker.last_reload["problems"])


def test_a_certificate_that_cannot_be_read(guarding: Any, upstream: Any) -> None:
    """TLS-07: at start such a policy is refused, with the line."""
    from sixfold.policy import PolicyError

    with pytest.raises(PolicyError) as refused:
        guarding(upstream, policy=POLICY, files={"cert.pem": b"no", "key.pem": b"no"})
    assert "sixfold.toml:" in str(refused.value)


def test_the_local_authority(guarding: Any, upstream: Any) -> None:
    """TLS-01: mode "dev" with TLS serves loopback names by a CA of this user."""
    guard = guarding(upstream, policy=DEV)
    authority = guard.worker.channel.authority
    context = ssl.create_default_context(cafile=str(authority))
    client = guard.client(context=context)
    assert client.socket.version() == "TLSv1.3"
    assert client.get().status == 200
    client = guard.client(b"GET /open/x HTTP/1.1\r\nhost: evil.example\r\n\r\n", context)
    assert client.answer().status == 421


def test_pipelining_and_bodies_over_tls(secure: Any, upstream: Any) -> None:
    """TLS-01: framing is the same over TLS."""
    client = secure().client(b"POST /open/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 300000\r\n\r\n")
    client.send(b"x" * 300_000 + b"GET /open/y HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert client.answer().status == 200
    assert client.answer().status == 200
    assert len(upstream.seen[0].body) == 300_000
    client.send(b"GET /open/z HTTP/1.1\r\nhost localhost\r\n\r\n")
    assert client.answer().status == 400
    assert client.is_closed()


# ---------------------------------------------------------------------- towards the upstream


@pytest.mark.parametrize(
    ("names", "trusted", "status"),
    [
        (("localhost",), True, 200),
        (("127.0.0.1",), True, 502),
        (("other.example",), True, 502),
        (("localhost",), False, 502),
    ],
)
def test_the_upstream_is_verified(
    names: tuple[str, ...], trusted: bool, status: int, guarding: Any, make_upstream: Any, authority: trustme.CA
) -> None:
    """TLS-11: a wrong name or an unknown CA is refused; there is no switch to look away."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    upstream = make_upstream(context=context)
    gateway = 'upstream_ca = "ca.pem"' if trusted else ""
    pem = {"ca.pem": authority.cert_pem.bytes()}
    guard = guarding(f"https://localhost:{upstream.port}", gateway, files=pem)
    for _ in range(2):
        answer = guard.get()
        assert answer.status == status
    if status == 200:
        assert upstream.connections == 1
    else:
        assert upstream.seen == []
        assert answer.json()["code"] == "upstream-unreachable"
        assert guard.call(lambda: guard.worker.edge.pools[None].open) == 0


def test_an_upstream_that_speaks_no_tls(guarding: Any, upstream: Any) -> None:
    """TLS-11: no falling back to plain HTTP."""
    guard = guarding(f"https://localhost:{upstream.port}", "connect_timeout = 0.3")
    assert guard.get().status == 502
    assert upstream.seen == []
