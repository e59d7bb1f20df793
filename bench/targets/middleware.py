"""A FastAPI route by itself: bare, with PyJWT and slowapi, with Sixfold's middleware; no gateway."""

from __future__ import annotations

import sys
from functools import partial

from bench import layout
from bench.targets import JWT, MIDDLEWARE, SCOPE, SUBJECT_LIMIT, Launch, Setting, Target
from bench.targets import sixfold as proxy
from bench.targets.express import environment

APPLICATION = layout.OPPONENTS / "fastapi" / "application.py"


def launch(variant: str, setting: Setting) -> Launch:
    env = environment(setting)
    env["BENCH_OPPONENT_PACKAGES"] = str(layout.site_packages(layout.FASTAPI))
    env["BENCH_POLICY"] = str(proxy.write(setting.folder, '[log]\naccess = "off"\n', setting.credentials))
    return Launch([sys.executable, str(APPLICATION), variant], env, cwd=setting.folder)


def missing_fastapi() -> str | None:
    return None if layout.site_packages(layout.FASTAPI) else "fastapi is not installed (`python -m bench.install`)"


def missing_sixfold() -> str | None:
    return missing_fastapi() or proxy.missing()


SCENARIOS = frozenset({MIDDLEWARE})
LAYERS = (JWT, SCOPE, SUBJECT_LIMIT)
TARGETS = (
    Target("route-bare", "nothing", SCENARIOS, (), missing_fastapi, partial(launch, "bare")),
    Target("route-usual", "PyJWT + slowapi", SCENARIOS, LAYERS, missing_fastapi, partial(launch, "usual")),
    Target(
        "route-sixfold",
        "Sixfold's middleware",
        SCENARIOS,
        LAYERS,
        missing_sixfold,
        partial(launch, "sixfold"),
    ),
)
