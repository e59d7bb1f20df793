"""Files that others may read, and links that lead where nobody meant to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from sixfold.cli.discovery import Found
from sixfold.cli.protect import _save
from sixfold.cli.talk import Stop
from sixfold.state_folder import signing_key

DOCUMENT = b'{"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {}}'


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_signing_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """HDR-05: whoever holds the gateway's key is, to every API behind it, anybody he likes."""
    path = tmp_path / "key.pem"
    signing_key(path)
    path.chmod(mode)
    with pytest.raises(ValueError, match="others may"):
        signing_key(path)


@pytest.mark.parametrize("name", ["sixfold.toml", "openapi.json"])
def test_saving_follows_no_link(tmp_path: Path, name: str) -> None:
    """FIRST-06: a project from elsewhere may bring links; what `--save` writes goes through none of them."""
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    project.mkdir()
    (project / name).symlink_to(elsewhere)
    if name == "sixfold.toml":
        with pytest.raises(Stop, match="exists"):
            _save(project / "sixfold.toml", "http://127.0.0.1:1", Found("/openapi.json", DOCUMENT), [])
    else:
        _save(project / "sixfold.toml", "http://127.0.0.1:1", Found("/openapi.json", DOCUMENT), [])
    assert not elsewhere.exists()


def test_saving_overwrites_nothing(tmp_path: Path) -> None:
    """FIRST-06: neither a policy nor a document that is there."""
    (tmp_path / "openapi.json").write_text("mine")
    _save(tmp_path / "sixfold.toml", "http://127.0.0.1:1", Found("/openapi.json", DOCUMENT), [])
    assert (tmp_path / "openapi.json").read_text() == "mine"
    before = (tmp_path / "sixfold.toml").read_text()
    with pytest.raises(Stop, match="exists"):
        _save(tmp_path / "sixfold.toml", "http://127.0.0.1:2", None, [])
    assert (tmp_path / "sixfold.toml").read_text() == before
