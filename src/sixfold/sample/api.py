"""The orders API. It trusts whoever reaches it, as many internal services do; Sixfold decides who does."""

from __future__ import annotations

import base64
import json
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def make_app() -> Starlette:
    """Return the API with two orders in its memory."""
    orders: dict[str, dict[str, Any]] = {
        "1": {"id": "1", "customer": "alice", "item": "globe", "quantity": 1},
        "2": {"id": "2", "customer": "bob", "item": "sextant", "quantity": 2},
    }

    async def health(_request: Request) -> Response:
        return JSONResponse({"ok": True})

    async def list_orders(_request: Request) -> Response:
        return JSONResponse(list(orders.values()))

    async def create_order(request: Request) -> Response:
        sent = await request.json()
        order = {**sent, "id": str(len(orders) + 1)}
        orders[order["id"]] = order
        return JSONResponse(order, status_code=201)

    async def read_order(request: Request) -> Response:
        order = orders.get(request.path_params["order"])
        return JSONResponse(order) if order else JSONResponse({"error": "no such order"}, status_code=404)

    async def of_customer(request: Request) -> Response:
        wanted = request.path_params["customer"]
        return JSONResponse([order for order in orders.values() if order["customer"] == wanted])

    async def whoami(request: Request) -> Response:
        return JSONResponse(
            {
                "x-forwarded-for": request.headers.get("x-forwarded-for"),
                "sixfold-identity": _claims(request.headers.get("sixfold-identity", "")),
                "authorization": request.headers.get("authorization"),
            }
        )

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/orders", list_orders, methods=["GET"]),
            Route("/orders", create_order, methods=["POST"]),
            Route("/orders/{order}", read_order),
            Route("/customers/{customer}/orders", of_customer),
            Route("/whoami", whoami),
        ]
    )


def _claims(token: str) -> Any:
    """Return what the gateway says about the caller; a real service verifies the signature first, by its JWKS."""
    part = token.split(".")[1] if token.count(".") == 2 else ""
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) if part else None
