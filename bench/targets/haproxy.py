"""HAProxy with the layers that its configuration language can say."""

from __future__ import annotations

from bench import layout
from bench.credentials import AUDIENCE, ISSUER, READ, WRITE
from bench.targets import GATEWAY_LAYERS, GET, HSTS, LIMIT, POST, TLS, VARIED, Launch, Setting, Target

CONFIG = """
global
    nbthread 1
    maxconn 4000
    tune.ssl.default-dh-param 2048
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 60s
    option http-keep-alive
frontend gateway
    bind 127.0.0.1:{port}
    bind 127.0.0.1:{tls_port} ssl crt {credentials.bundle} ssl-min-ver TLSv1.3
    stick-table type string len 64 size 100k expire 60s store http_req_rate(60s)
    http-request set-var(txn.token) http_auth_bearer
    http-request return status 401 hdr WWW-Authenticate Bearer unless {{ var(txn.token) -m found }}
    http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')
    http-request set-var(txn.iss) var(txn.token),jwt_payload_query('$.iss')
    http-request set-var(txn.aud) var(txn.token),jwt_payload_query('$.aud')
    http-request set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int')
    http-request set-var(txn.sub) var(txn.token),jwt_payload_query('$.sub')
    http-request set-var(txn.scope) var(txn.token),jwt_payload_query('$.scope')
    http-request set-var(txn.now) date()
    http-request deny deny_status 401 unless {{ var(txn.alg) -m str ES256 }}
    http-request deny deny_status 401 unless {{ var(txn.iss) -m str {issuer} }}
    http-request deny deny_status 401 unless {{ var(txn.aud) -m str {audience} }}
    http-request deny deny_status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}
    http-request set-var(txn.good) var(txn.token),jwt_verify(txn.alg,"{credentials.public_key}")
    http-request deny deny_status 401 unless {{ var(txn.good) -m int 1 }}
    http-request track-sc0 var(txn.sub)
    http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {limit} }}
    http-request deny deny_status 403 if METH_GET !{{ var(txn.scope) -m sub {read} }}
    http-request deny deny_status 403 if METH_POST !{{ var(txn.scope) -m sub {write} }}
    http-request deny deny_status 405 unless METH_GET or METH_POST
    http-response set-header Strict-Transport-Security "{hsts}"
    default_backend api
backend api
    http-reuse always
    server api 127.0.0.1:{upstream}
"""


def missing() -> str | None:
    return None if layout.program("haproxy") else "haproxy is not installed (Debian package haproxy)"


def launch(setting: Setting) -> Launch:
    config = setting.folder / "haproxy.cfg"
    words = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "read": READ,
        "write": WRITE,
        "limit": LIMIT,
        "hsts": HSTS,
    }
    config.write_text(CONFIG.format(**words, **vars(setting)))
    return Launch([str(layout.program("haproxy")), "-q", "-db", "-f", str(config)])


TARGETS = (
    Target(
        name="haproxy",
        does="JWT, scope, limit, HSTS",
        scenarios=frozenset({GET, VARIED, POST, TLS}),
        layers=GATEWAY_LAYERS,
        missing=missing,
        launch=launch,
    ),
)
