"""Where this user's keys and the addresses of what runs are kept."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sixfold.state_folder import announce, running, signing_key, state_folder


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"SIXFOLD_STATE": "/s", "XDG_STATE_HOME": "/x/state", "HOME": "/home/a"}, "/s"),
        ({"XDG_STATE_HOME": "/x/state", "HOME": "/home/a"}, "/x/state/sixfold"),
        ({"HOME": "/home/a"}, "/home/a/.local/state/sixfold"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/home/a"}, "/home/a/.local/state/sixfold"),
    ],
)
def test_where_it_is(environ: dict[str, str], folder: str) -> None:
    """FIRST-04: in the user's state folder, never in the project."""
    assert state_folder(environ) == Path(folder)


def test_a_signing_key_is_made_once_and_is_the_owners_alone(tmp_path: Path) -> None:
    """HDR-05: the gateway's key survives a restart, and nobody else can read it."""
    path = tmp_path / "deep" / "key.pem"
    first, second = signing_key(path), signing_key(path)
    assert first.private_numbers() == second.private_numbers()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    """HDR-05: a key on another curve would sign with an algorithm that nobody announced."""
    path = tmp_path / "key.pem"
    key = ec.generate_private_key(ec.SECP384R1())
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    with pytest.raises(ValueError, match="not a P-256"):
        signing_key(path)


def test_only_what_runs_is_found(tmp_path: Path) -> None:
    """EXP-01: `explain` asks the processes that run; what a dead one left is tidied away."""
    mine = announce(tmp_path, {"admin": "127.0.0.1:1"})
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    dead = mine.with_name(f"{int(ended.stdout)}.json")
    dead.write_text("{}")
    assert running(tmp_path) == [{"admin": "127.0.0.1:1"}]
    assert not dead.exists()
    assert mine.name == f"{os.getpid()}.json"
