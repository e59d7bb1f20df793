"""Where Sixfold keeps what belongs to this user: developer keys, the local CA, addresses of what runs (FIRST-04)."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder: `$SIXFOLD_STATE`, else `$XDG_STATE_HOME/sixfold`, else `~/.local/state/sixfold`."""
    if chosen := environ.get("SIXFOLD_STATE"):
        return Path(chosen)
    base = environ.get("XDG_STATE_HOME", "")
    home = Path(environ.get("HOME") or Path.home())
    return (Path(base) if base.startswith("/") else home / ".local" / "state") / "sixfold"


def private_folder(folder: Path) -> Path:
    """Make a folder that only its owner can enter."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def signing_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the P-256 key in a file, made on first use; several processes starting at once get the same one.

    Raises:
        ValueError: the file holds another kind of key, or others may read it.
    """
    private_folder(path.parent)
    if not path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(pem)
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)  # atomic, and never over a key that another process has just made
        draft.unlink()
    loaded = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey) or not isinstance(loaded.curve, ec.SECP256R1):
        raise ValueError(f"{path} is not a P-256 private key")
    if path.stat().st_mode & 0o077:
        raise ValueError(f"others may read or write `{path}`, so it is no secret; delete it, a new one will be made")
    return loaded


RUN: Final = "run"


def announce(folder: Path, facts: Mapping[str, Any]) -> Path:
    """Write down where this process can be asked; returns the file, which the process removes when it ends."""
    path = private_folder(folder / RUN) / f"{os.getpid()}.json"
    path.write_text(json.dumps(dict(facts)), encoding="utf-8")
    return path


def running(folder: Path) -> list[dict[str, Any]]:
    """Return what the processes that still run wrote down, newest first; files of dead ones are removed."""
    found = []
    paths = sorted((folder / RUN).glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in paths:
        try:
            os.kill(int(path.stem), 0)
            found.append(json.loads(path.read_text(encoding="utf-8")))
        except PermissionError:
            continue
        except (OSError, ValueError):
            with contextlib.suppress(OSError):
                path.unlink()
    return found
