"""Where things lie: this package, the opponents' sources, what was installed, what a run writes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
OPPONENTS = HERE / "opponents"
INSTALLED = HERE / ".opponents"
FASTAPI = INSTALLED / "fastapi"
ENVOY = INSTALLED / "envoy"
EXPRESS = INSTALLED / "express"
RESULTS = HERE / "results"


def program(name: str) -> str | None:
    """The path of an installed program; Debian keeps servers in /usr/sbin, which a user's PATH may lack."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def site_packages(environment: Path) -> Path | None:
    """The site-packages folder of a virtual environment, or None where there is no such environment."""
    return next(iter(environment.glob("lib/python3.*/site-packages")), None)
