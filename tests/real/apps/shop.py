"""A FastAPI application that writes down every request before anything looks at it. Arguments: port, folder.

`<folder>/recorded.jsonl` gets one line per request: method, raw path, raw query, headers, body in base64.
"""

from __future__ import annotations

import base64
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import uvicorn
from fastapi import FastAPI, Header, Query
from fastapi import Path as PathParameter
from pydantic import BaseModel, ConfigDict, Field

app = FastAPI(title="shop")


class Colour(StrEnum):
    """A choice."""

    RED = "red"
    BLUE = "blue"


class Line(BaseModel):
    """One line of an order."""

    model_config = ConfigDict(extra="forbid")
    sku: Annotated[str, Field(pattern="^[A-Z]{2}[0-9]{3}$")]
    quantity: Annotated[int, Field(ge=1, le=100)]
    colour: Colour | None = None


class Order(BaseModel):
    """What a customer wants."""

    customer: Annotated[str, Field(min_length=1, max_length=40)]
    lines: Annotated[list[Line], Field(min_length=1, max_length=5)]
    express: bool = False
    price: Annotated[float, Field(ge=0, lt=100_000)] = 0
    reference: UUID | None = None


@app.get("/orders")
def find(
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
    colour: Annotated[Colour | None, Query()] = None,
    tag: Annotated[list[str] | None, Query(max_length=3)] = None,
    express: bool = False,
    x_request: Annotated[str | None, Header(max_length=20, pattern="^[a-z]*$")] = None,
) -> dict[str, int]:
    """Find orders."""
    return {"found": 0}


@app.post("/orders", status_code=201)
def order(order: Order) -> dict[str, int]:
    """Take an order."""
    return {"id": 1}


@app.get("/orders/{order_id}")
def show(order_id: Annotated[int, PathParameter(ge=1, le=1_000_000)]) -> dict[str, int]:
    """Show an order."""
    return {"id": order_id}


@app.put("/orders/{order_id}/lines/{sku}")
def change(
    order_id: Annotated[int, PathParameter(ge=1, le=1_000_000)],
    sku: Annotated[str, PathParameter(pattern="^[A-Z]{2}[0-9]{3}$")],
    line: Line,
    dry: Annotated[bool, Query()],
) -> dict[str, int]:
    """Change a line."""
    return {"id": order_id}


class Recorder:
    """Writes each request down, then lets the application answer."""

    def __init__(self, file: Path) -> None:
        self.file = file

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.write(scope, body)
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def again() -> Any:
            return next(messages, None) or await receive()

        await app(scope, again, send)

    def write(self, scope: Any, body: bytes) -> None:
        line = {
            "method": scope["method"],
            "path": scope["raw_path"].decode("latin-1"),
            "query": scope["query_string"].decode("latin-1"),
            "headers": {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            "body": base64.b64encode(body).decode(),
        }
        with self.file.open("a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    recorder = Recorder(Path(sys.argv[2]) / "recorded.jsonl")
    uvicorn.run(recorder, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
