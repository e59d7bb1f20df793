"""Envoy, plain and with its own filters for JWT, scope and a limit per subject."""

from __future__ import annotations

import json
from functools import partial

from bench import layout
from bench.credentials import AUDIENCE, ISSUER, READ, WRITE
from bench.targets import GATEWAY_LAYERS, GET, HSTS, LIMIT, POST, TLS, VARIED, Launch, Setting, Target

TYPE = "type.googleapis.com/envoy.extensions"
JWT_FILTER = "envoy.filters.http.jwt_authn"
PAYLOAD = "payload"

Tree = dict[str, object]


def typed(name: str, **fields: object) -> Tree:
    return {"@type": f"{TYPE}.{name}", **fields}


def jwt(setting: Setting) -> Tree:
    """Signature, issuer, audience and expiry, with Envoy's own cache of verified tokens switched on."""
    provider = {
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "local_jwks": {"filename": str(setting.credentials.jwks)},
        "payload_in_metadata": PAYLOAD,
        "jwt_cache_config": {"jwt_cache_size": 1000},
        "forward": True,
    }
    rule = {"match": {"prefix": "/"}, "requires": {"provider_name": "bench"}}
    config = typed("filters.http.jwt_authn.v3.JwtAuthentication", providers={"bench": provider}, rules=[rule])
    return {"name": JWT_FILTER, "typed_config": config}


def scope() -> Tree:
    """One scope per method."""
    policies = {}
    for method, word in (("GET", READ), ("POST", WRITE)):
        claim = {
            "filter": JWT_FILTER,
            "path": [{"key": PAYLOAD}, {"key": "scope"}],
            "value": {"string_match": {"contains": word}},
        }
        permission = {"header": {"name": ":method", "string_match": {"exact": method}}}
        policies[word] = {"permissions": [permission], "principals": [{"metadata": claim}]}
    config = typed("filters.http.rbac.v3.RBAC", rules={"action": "ALLOW", "policies": policies})
    return {"name": "envoy.filters.http.rbac", "typed_config": config}


def limit() -> Tree:
    """A token bucket for each value of the claim `sub`."""
    subject = {
        "descriptor_key": "sub",
        "metadata_key": {"key": JWT_FILTER, "path": [{"key": PAYLOAD}, {"key": "sub"}]},
        "source": "DYNAMIC",
    }
    bucket = {"max_tokens": LIMIT, "tokens_per_fill": LIMIT, "fill_interval": "60s"}
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    config = typed(
        "filters.http.local_ratelimit.v3.LocalRateLimit",
        stat_prefix="limit",
        filter_enabled=always,
        filter_enforced=always,
        token_bucket=bucket,
        rate_limits=[{"actions": [{"metadata": subject}]}],
        descriptors=[{"entries": [{"key": "sub"}], "token_bucket": bucket}],
        max_dynamic_descriptors=10_000,
        always_consume_default_token_bucket=False,
    )
    return {"name": "envoy.filters.http.local_ratelimit", "typed_config": config}


def listener(name: str, port: int, filters: list[Tree], layered: bool, tls: Tree | None) -> Tree:
    router = {"name": "envoy.filters.http.router", "typed_config": typed("filters.http.router.v3.Router")}
    routes: Tree = {
        "virtual_hosts": [
            {
                "name": "api",
                "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "api"}}],
            }
        ]
    }
    if layered:
        routes["response_headers_to_add"] = [{"header": {"key": "strict-transport-security", "value": HSTS}}]
    manager = typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="ingress",
        codec_type="HTTP1",
        generate_request_id=False,
        route_config=routes,
        http_filters=[*filters, router],
    )
    chain: Tree = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    if tls:
        chain["transport_socket"] = tls
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"name": name, "address": address, "filter_chains": [chain]}


def tls(setting: Setting) -> Tree:
    files = {
        "certificate_chain": {"filename": str(setting.credentials.certificate)},
        "private_key": {"filename": str(setting.credentials.private_key)},
    }
    parameters = {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"}
    common = {"tls_certificates": [files], "tls_params": parameters}
    context = typed("transport_sockets.tls.v3.DownstreamTlsContext", common_tls_context=common)
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def launch(layered: bool, setting: Setting) -> Launch:
    filters = [jwt(setting), scope(), limit()] if layered else []
    socket = {"socket_address": {"address": "127.0.0.1", "port_value": setting.upstream}}
    cluster = {
        "name": "api",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "api",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket}}]}],
        },
    }
    listeners = [
        listener("plain", setting.port, filters, layered, None),
        listener("tls", setting.tls_port, filters, layered, tls(setting)),
    ]
    config = setting.folder / "envoy.json"
    config.write_text(json.dumps({"static_resources": {"listeners": listeners, "clusters": [cluster]}}, indent=1))
    argv = [str(layout.ENVOY / "bin" / "envoy"), "-c", str(config), "--concurrency", "1"]
    return Launch([*argv, "--disable-hot-restart", "--log-level", "error"])


def missing() -> str | None:
    installed = (layout.ENVOY / "bin" / "envoy").exists()
    return None if installed else "envoy is not installed (`python -m bench.install`)"


SCENARIOS = frozenset({GET, VARIED, POST, TLS})
TARGETS = (
    Target("envoy-plain", "plain forwarding", SCENARIOS, (), missing, partial(launch, False)),
    Target("envoy", "JWT, scope, limit, HSTS", SCENARIOS, GATEWAY_LAYERS, missing, partial(launch, True)),
)
