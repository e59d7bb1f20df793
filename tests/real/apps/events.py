"""A plain ASGI application that streams: each event leaves only when the reader has asked for it.

GET /events: Server-Sent Events, one per POST /next, until POST /end. PUT /pour: takes a body piece by piece;
GET /poured tells how many bytes of it have arrived so far. Arguments: port, folder.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import uvicorn

DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "events", "version": "1"},
    "paths": {
        "/events": {"get": {"responses": {"200": {"description": "events", "content": {"text/event-stream": {}}}}}},
        "/next": {"post": {"responses": {"204": {"description": "one more"}}}},
        "/end": {"post": {"responses": {"204": {"description": "no more"}}}},
        "/pour": {
            "put": {
                "requestBody": {"content": {"application/octet-stream": {}}},
                "responses": {"200": {"description": "size"}},
            }
        },
        "/poured": {"get": {"responses": {"200": {"description": "size so far"}}}},
        "/gone": {"get": {"responses": {"200": {"description": "readers that left early"}}}},
    },
}


class Events:
    """The application."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[bool] = asyncio.Queue()
        self.poured = 0
        self.gone = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        match scope["method"], scope["path"]:
            case "GET", "/events":
                await self.events(receive, send)
            case "POST", "/next" | "/end":
                self.asked.put_nowait(scope["path"] == "/next")
                await answer(send, 204, b"")
            case "PUT", "/pour":
                more = True
                while more:
                    message = await receive()
                    self.poured += len(message.get("body", b""))
                    more = message.get("more_body", False)
                total, self.poured = self.poured, 0
                await answer(send, 200, str(total).encode())
            case "GET", "/poured":
                await answer(send, 200, str(self.poured).encode())
            case "GET", "/gone":
                await answer(send, 200, str(self.gone).encode())
            case "GET", "/openapi.json":
                await answer(send, 200, json.dumps(DOCUMENT).encode(), b"application/json")
            case _:
                await answer(send, 404, b"")

    async def events(self, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b": hello\n\n", "more_body": True})
        await receive()  # the end of the request
        self.asked = asyncio.Queue()
        left = asyncio.ensure_future(receive())
        number = 0
        while True:
            asked = asyncio.ensure_future(self.asked.get())
            await asyncio.wait((left, asked), return_when=asyncio.FIRST_COMPLETED)
            if left.done():
                self.gone += 1
                asked.cancel()
                return
            if not asked.result():
                left.cancel()
                break
            number += 1
            event = f"id: {number}\ndata: event {number}\n\n".encode()
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def answer(send: Any, status: int, body: bytes, kind: bytes = b"text/plain") -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    uvicorn.run(Events(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
