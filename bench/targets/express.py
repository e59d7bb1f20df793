"""Express with the packages that people usually take for this."""

from __future__ import annotations

from bench import layout
from bench.credentials import AUDIENCE, ISSUER
from bench.targets import GATEWAY_LAYERS, GET, HSTS, LIMIT, POST, SCHEMA, VARIED, Launch, Setting, Target

SERVER = layout.OPPONENTS / "express" / "server.js"
SCHEMA_FILE = layout.OPPONENTS / "order.schema.json"


def missing() -> str | None:
    if layout.program("node") is None:
        return "node is not installed"
    installed = (layout.EXPRESS / "node_modules" / "express").exists()
    return None if installed else "express is not installed (`python -m bench.install`)"


def launch(setting: Setting) -> Launch:
    env = {
        "NODE_ENV": "production",
        "NODE_PATH": str(layout.EXPRESS / "node_modules"),
        **environment(setting),
    }
    return Launch([str(layout.program("node")), str(SERVER)], env)


def environment(setting: Setting) -> dict[str, str]:
    """What a programmed opponent needs to know."""
    return {
        "BENCH_PORT": str(setting.port),
        "BENCH_UPSTREAM": f"http://127.0.0.1:{setting.upstream}",
        "BENCH_KEY": str(setting.credentials.public_key),
        "BENCH_ISSUER": ISSUER,
        "BENCH_AUDIENCE": AUDIENCE,
        "BENCH_LIMIT": str(LIMIT),
        "BENCH_HSTS": HSTS,
        "BENCH_SCHEMA": str(SCHEMA_FILE),
    }


TARGETS = (
    Target(
        name="express",
        does="JWT, scope, limit, HSTS, ajv",
        scenarios=frozenset({GET, VARIED, POST}),
        layers=(*GATEWAY_LAYERS, SCHEMA),
        missing=missing,
        launch=launch,
    ),
)
