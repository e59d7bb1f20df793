"""FastAPI as a gateway: PyJWT, slowapi, pydantic, and httpx towards the API."""

from __future__ import annotations

from bench import layout
from bench.targets import GATEWAY_LAYERS, GET, POST, SCHEMA, VARIED, Launch, Setting, Target
from bench.targets.express import environment


def missing() -> str | None:
    return None if layout.site_packages(layout.FASTAPI) else "fastapi is not installed (`python -m bench.install`)"


def launch(setting: Setting) -> Launch:
    python = str(layout.FASTAPI / "bin" / "python")
    return Launch([python, str(layout.OPPONENTS / "fastapi" / "gateway.py")], environment(setting))


TARGETS = (
    Target(
        name="fastapi",
        does="JWT, scope, limit, HSTS, pydantic",
        scenarios=frozenset({GET, VARIED, POST}),
        layers=(*GATEWAY_LAYERS, SCHEMA),
        missing=missing,
        launch=launch,
    ),
)
