"""Encryption's verbs and parts: the channel, HSTS, combinations that only look encrypted, the local authority."""

from __future__ import annotations

import datetime
import ssl
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from sixfold.layers.encryption.local_ca import local_files
from sixfold.layers.encryption.tls import certificate_names, client_context, server_context
from sixfold.policy import PolicyError
from sixfold.policy.document import Encryption

BEHIND = '[gateway]\ntrusted_proxies = ["10.0.0.0/8"]\n[encryption]\nmode = "behind-proxy"\n'
OPEN = '[[routes]]\nmatch = "GET /x"\npublic = true\n'
TODAY = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("address", "headers", "refused"),
    [
        ("10.0.0.1", {"x-forwarded-proto": "https"}, False),
        ("10.0.0.1", {"x-forwarded-proto": "http"}, True),
        ("10.0.0.1", {}, True),
        ("192.0.2.1", {"x-forwarded-proto": "https"}, True),
    ],
)
def test_behind_a_proxy(
    address: str, headers: dict[str, str], refused: bool, engine: Any, ask: Any, decide: Any
) -> None:
    """TLS-10: behind a proxy only its own word counts for TLS."""
    built = engine(BEHIND + OPEN)
    decision = decide(built, ask(built, "GET /x", headers, address=address))
    if refused:
        assert (decision.code, decision.status, decision.close) == ("tls-required", 426, True)
        assert b"location" not in dict(decision.headers)
    else:
        decision.close()


@pytest.mark.parametrize("tls", [True, False])
def test_hsts(tls: bool, engine: Any, ask: Any, decide: Any) -> None:
    """HDR-01: over TLS only, on answers and on refusals."""
    built = engine(OPEN)
    for line in ("GET /x", "GET /none"):
        request = ask(built, line, tls=tls)
        decision = decide(built, request)
        found = decision.finish([]) if line == "GET /x" else built.render(decision, request)[1]
        value = dict(found).get(b"strict-transport-security")
        assert value == (b"max-age=31536000; includeSubDomains" if tls else None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[encryption]\nmode = "behind-proxy"\n', "trusted_proxies"),
        ('[gateway]\nlisten = "0.0.0.0:8400"\n', "loopback only"),
        ('[gateway]\nlisten = "[::]:8400"\n', "loopback only"),
        ('[encryption]\nmode = "tls"\n', "certificate"),
    ],
)
def test_what_only_looks_encrypted(text: str, said: str, engine: Any) -> None:
    """TLS-01, TLS-10: refused at load, with file and line."""
    with pytest.raises(PolicyError, match=said) as refused:
        engine(text + OPEN)
    assert "sixfold.toml:" in str(refused.value)


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:0", "localhost:0", "unix:/tmp/s"])
def test_loopback_is_allowed_in_clear(listen: str, engine: Any) -> None:
    """TLS-10: mode "dev" serves this machine."""
    engine(f'[gateway]\nlisten = "{listen}"\n' + OPEN)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return local_files(tmp_path_factory.mktemp("tls"), TODAY)


def test_the_local_authority_signs_loopback_only(made: Any) -> None:
    """TLS-01: trusting it risks no other name: its constraints say so, critically."""
    authority = x509.load_pem_x509_certificate(made.authority.read_bytes())
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert {str(name.value) for name in constraints.value.permitted_subtrees or ()} == {
        "localhost",
        "127.0.0.0/8",
        "::1/128",
    }
    basic = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    assert certificate_names(made.certificate) == {"localhost", "127.0.0.1", "::1"}


def test_keys_are_private(made: Any) -> None:
    """TLS-01: readable by their owner only."""
    for path in (made.key, made.authority.with_suffix(".key")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("days", "certificate", "authority"),
    [(1, True, True), (82, True, True), (84, False, True), (5 * 365, False, False)],
)
def test_renewal(days: int, certificate: bool, authority: bool, tmp_path: Path) -> None:
    """TLS-07: made anew a week before the end; the authority stays as long as it can."""
    first = local_files(tmp_path, TODAY)
    before = first.certificate.read_bytes(), first.authority.read_bytes()
    second = local_files(tmp_path, TODAY + datetime.timedelta(days=days))
    assert (second.certificate.read_bytes() == before[0]) is certificate
    assert (second.authority.read_bytes() == before[1]) is authority


def test_contexts(made: Any) -> None:
    """TLS-01, TLS-11: 1.3 alone unless said; towards the upstream chain and name are always verified."""
    server = server_context(Encryption(), made.certificate, made.key)
    assert server.minimum_version is ssl.TLSVersion.TLSv1_3
    older = server_context(Encryption(min_version="1.2"), made.certificate, made.key)
    assert older.minimum_version is ssl.TLSVersion.TLSv1_2
    names = [cipher["name"] for cipher in older.get_ciphers()]
    assert all(name.startswith(("TLS_", "ECDHE-")) and ("GCM" in name or "POLY1305" in name) for name in names), names
    client = client_context(made.authority)
    assert client.check_hostname
    assert client.verify_mode is ssl.CERT_REQUIRED


def test_keys_that_do_not_fit(made: Any, tmp_path: Path) -> None:
    """TLS-07: a pair that does not belong together is an error when it is loaded, not at the first handshake."""
    other = local_files(tmp_path, TODAY)
    with pytest.raises(ssl.SSLError):
        server_context(Encryption(), made.certificate, other.key)
