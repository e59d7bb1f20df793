from __future__ import annotations

import importlib.util
import os
import re
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import ModuleType

import httpx2
import pytest
from starlette.testclient import TestClient

import sixfold

EXAMPLE = Path(__file__).parents[2] / "examples" / "fastapi"


@pytest.fixture
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("example_fastapi", EXAMPLE / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_example(example):
    """UX-18: the example runs: each of its rules refuses and permits what it says."""
    with TestClient(example.app) as client:
        assert client.get("/health").json() == {"ok": True, "caller": None}
        assert client.get("/orders").status_code == 401
        with sixfold.acting_as("ann", roles=["customer"]):
            made = client.post("/orders", json={"item": "tea", "qty": 2})
            assert (made.status_code, made.json()["owner"]) == (201, "ann")
            assert client.post("/orders", json={"item": "tea", "qty": 0}).status_code == 422
            assert len(client.get("/orders").json()) == 1
            assert client.get("/users/ann/orders").status_code == 200
            assert client.get("/users/bob/orders").status_code == 403
            assert client.delete("/orders/1").status_code == 403
            assert [client.post("/orders", json={"item": "tea", "qty": 1}).status_code for _ in range(6)][-1] == 429
        with sixfold.acting_as("root", roles=["admin"]):
            assert client.get("/orders").json() == []
            assert client.delete("/orders/1").status_code == 204
            assert client.get("/report").status_code == 403
        assert client.get("/docs").status_code == 200


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_example_as_printed(bearer):
    """UX-18: the example behind its own server process, called as its first lines say."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port)]
    with subprocess.Popen(command, cwd=EXAMPLE, stderr=subprocess.PIPE, text=True, env={**os.environ}) as server:
        try:
            assert server.stderr is not None
            for line in server.stderr:
                if re.search("Uvicorn running", line):
                    break
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:
                assert client.get("/orders").status_code == 401
                assert client.get("/orders", headers=bearer(scopes=["orders:read"])).json() == []
        finally:
            server.terminate()
            server.communicate(timeout=10)
