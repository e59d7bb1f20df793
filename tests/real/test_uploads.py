"""A FastAPI application that takes files: what arrives behind Sixfold is what was sent, byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
import requests

POLICY = """
[gateway]
openapi = "uploads.json"
max_body = "16 MB"
[authentication]
issuer = "dev"
[authorization]
default = "authenticated"
[validation]
max_part = "8 MB"
"""
# No run of equal bytes, so that a piece lost, doubled or moved changes the hash.
CONTENT = b"".join(hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(160_000))  # 5.1 MB


@pytest.fixture(scope="module")
def guarded(app: Callable[[str], Any], sixfold: Callable[..., Any], call: Callable[..., Any]) -> Any:
    upstream = app("uploads")
    return sixfold(POLICY, upstream.url, {"uploads.json": call(f"{upstream.url}/openapi.json").body.decode()})


def post(guarded: Any, token: str, **parts: Any) -> requests.Response:
    return requests.post(f"{guarded.url}/files", headers={"Authorization": f"Bearer {token}"}, timeout=20, **parts)


def test_a_multipart_upload_arrives_whole(guarded: Any, token: Callable[..., str]) -> None:
    file = ("räumlich.bin", CONTENT, "application/octet-stream")
    with post(guarded, token(), files={"file": file}, data={"note": "spring"}) as answer:
        assert answer.status_code == 200, answer.text
        assert answer.json() == {
            "name": "räumlich.bin",
            "note": "spring",
            "size": len(CONTENT),
            "sha256": hashlib.sha256(CONTENT).hexdigest(),
        }


def test_raw_bytes_arrive_whole(guarded: Any, token: Callable[..., str], call: Callable[..., Any]) -> None:
    answer = call(
        f"{guarded.url}/blobs/one",
        "PUT",
        token=token(),
        headers={"Content-Type": "application/octet-stream"},
        body=CONTENT,
    )
    assert answer.status == 200, answer.body
    assert answer.json()["sha256"] == hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        (
            {"files": {"file": ("a", b"a")}, "data": {"note": "x" * 41}},
            400,
        ),  # longer than the contract allows
        ({"files": {"file": ("a", b"a")}}, 400),  # a part is missing
        ({"files": {"file": ("a", b"a"), "more": ("b", b"b")}, "data": {"note": "n"}}, 400),  # unknown part
        ({"files": [("file", ("a", b"a")), ("file", ("b", b"b"))], "data": {"note": "n"}}, 400),  # twice
        (
            {"files": {"file": ("a", b"a" * 8_000_001)}, "data": {"note": "n"}},
            413,
        ),  # larger than a part may be
        ({"data": {"note": "n"}}, 415),  # a form, where multipart is asked for
        ({"json": {"note": "n"}}, 415),
    ],
    ids=["long", "missing", "unknown", "twice", "large", "form", "json"],
)
def test_a_wrong_upload_is_refused(parts: dict[str, Any], status: int, guarded: Any, token: Callable[..., str]) -> None:
    with post(guarded, token(), **parts) as answer:
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"].startswith("application/problem+json")
