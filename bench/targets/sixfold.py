"""Sixfold with all six layers on: plain (development mode on loopback) and over TLS 1.3."""

from __future__ import annotations

import importlib.util
import json
import sys
from functools import partial
from pathlib import Path

from bench.credentials import AUDIENCE, ISSUER, READ, WRITE, Credentials
from bench.targets import (
    GATEWAY_LAYERS,
    GET,
    IDLE,
    JWT,
    LIMIT,
    POST,
    SCHEMA,
    SCOPE,
    SUBJECT_LIMIT,
    TLS,
    VARIED,
    Launch,
    Setting,
    Target,
)
from bench.targets.express import SCHEMA_FILE

GATEWAY = """
[gateway]
listen   = "127.0.0.1:{listen}"
admin    = "127.0.0.1:{admin}"
upstream = "http://127.0.0.1:{upstream}"
openapi  = "{openapi}"
max_connections = 12_000

[encryption]
{encryption}

[log]
access = "off"
"""

POLICY = """
[authentication]
audience = "{audience}"

[[authentication.issuers]]
issuer     = "{issuer}"
jwks       = "{jwks}"
algorithms = ["ES256"]
typ        = ["at+jwt"]

[authorization]
default = "deny"

[rate_limiting]
store     = "memory"
default   = "{limit}/minute per user"
anonymous = "{limit}/minute per address"

[validation]
request  = "enforce"
response = "off"
"""


def openapi() -> dict[str, object]:
    """The API's description: two operations, one scope each, and the schema of an order."""
    answer = {"200": {"description": "An order", "content": {"application/json": {}}}}
    identifier = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "maxLength": 32}}
    page = {"name": "page", "in": "query", "schema": {"type": "string", "maxLength": 32}}
    order = {
        "required": True,
        "content": {"application/json": {"schema": json.loads(SCHEMA_FILE.read_text())}},
    }
    read = {"operationId": "read", "parameters": [identifier, page], "responses": answer}
    create = {"operationId": "create", "requestBody": order, "responses": answer}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Orders", "version": "1"},
        "paths": {
            "/orders/{id}": {"get": {**read, "security": [{"oauth": [READ]}]}},
            "/orders": {"post": {**create, "security": [{"oauth": [WRITE]}]}},
        },
        "components": {"securitySchemes": {"oauth": {"type": "http", "scheme": "bearer"}}},
    }


def policy(credentials: Credentials) -> str:
    """The layers that need no listener: the same for the proxy and for the middleware."""
    return POLICY.format(audience=AUDIENCE, issuer=ISSUER, jwks=credentials.jwks, limit=LIMIT)


def write(folder: Path, gateway: str, credentials: Credentials) -> Path:
    """Write sixfold.toml (and nothing else) into `folder`."""
    file = folder / "sixfold.toml"
    file.write_text(gateway + policy(credentials))
    return file


def launch(tls: bool, setting: Setting) -> Launch:
    description = setting.folder / "openapi.json"
    description.write_text(json.dumps(openapi(), indent=1))
    files = f'{{ file = "{setting.credentials.certificate}", key = "{setting.credentials.private_key}" }}'
    gateway = GATEWAY.format(
        listen=setting.tls_port if tls else setting.port,
        admin=setting.port if tls else setting.tls_port,  # the port that the other variant would serve on
        upstream=setting.upstream,
        openapi=description,
        encryption=f'mode = "tls"\ncertificate = {files}' if tls else 'mode = "dev"',
    )
    config = write(setting.folder, gateway, setting.credentials)
    return Launch([sys.executable, "-m", "sixfold", "serve", "--config", str(config)], cwd=setting.folder)


def missing() -> str | None:
    return None if importlib.util.find_spec("sixfold") else "sixfold is not installed in this interpreter"


PLAIN_LAYERS = (JWT, SCOPE, SUBJECT_LIMIT, SCHEMA)  # HSTS only over TLS, as RFC 6797, section 7.2, demands
TLS_LAYERS = (*GATEWAY_LAYERS, SCHEMA)
DOES = "all six layers"
PLAIN = frozenset({GET, VARIED, POST, IDLE})
TARGETS = (
    Target("sixfold", DOES, PLAIN, PLAIN_LAYERS, missing, partial(launch, False)),
    Target("sixfold-tls", DOES, frozenset({TLS}), TLS_LAYERS, missing, partial(launch, True)),
)
