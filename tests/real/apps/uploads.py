"""A FastAPI application that takes uploads and tells what it got. Arguments: port, folder."""

from __future__ import annotations

import hashlib
import sys
from typing import Annotated

import uvicorn
from fastapi import FastAPI, File, Form, Request, UploadFile

app = FastAPI(title="uploads")


@app.post("/files")
async def upload(
    file: Annotated[UploadFile, File()], note: Annotated[str, Form(max_length=40)]
) -> dict[str, str | int]:
    """Take one file with a note."""
    digest, size = hashlib.sha256(), 0
    while piece := await file.read(64 * 1024):
        digest.update(piece)
        size += len(piece)
    return {"name": file.filename or "", "note": note, "size": size, "sha256": digest.hexdigest()}


@app.put(
    "/blobs/{name}",
    openapi_extra={"requestBody": {"content": {"application/octet-stream": {}}, "required": True}},
)
async def blob(name: str, request: Request) -> dict[str, str | int]:
    """Take raw bytes."""
    digest, size = hashlib.sha256(), 0
    async for piece in request.stream():
        digest.update(piece)
        size += len(piece)
    return {"name": name, "size": size, "sha256": digest.hexdigest()}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
