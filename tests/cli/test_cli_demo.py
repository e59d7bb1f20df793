"""`sixfold demo`: the six layers, request by request."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def demo(*arguments: str, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "sixfold", "demo", *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_every_answer_is_the_expected_one(folder: Path) -> None:
    """CLI-08, FIRST-01, FIRST-04: request, answer, layer and reason; nothing is written into the folder."""
    with demo("--once", folder=folder) as process:
        output, errors = (text.decode() for text in process.communicate(timeout=30))
    assert (process.returncode, errors) == (0, "")
    for layer in ("gateway", "encryption", "authentication", "authorization", "validation", "rate limiting"):
        assert f"\n  {layer}" in output
    assert "19 of 19 answers as expected." in output
    assert "Refused with 429 by rate limiting" in output
    assert "curl" not in output  # nothing is served any more
    assert list(folder.iterdir()) == []


def test_a_reader_that_leaves(folder: Path) -> None:
    """CLI-02: `demo --once | head -1` ends quietly."""
    with demo("--once", folder=folder) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
