"""Files that others may read."""

from __future__ import annotations

from pathlib import Path

import pytest

from sixfold.state_folder import signing_key


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_signing_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """HDR-05: whoever holds the gateway's key is, to every API behind it, anybody he likes."""
    path = tmp_path / "key.pem"
    signing_key(path)
    path.chmod(mode)
    with pytest.raises(ValueError, match="others may"):
        signing_key(path)
