"""A small orders API that protects itself. Run it with `uvicorn app:app` in this folder.

curl -i http://127.0.0.1:8000/orders                                                        -> 401
curl -i http://127.0.0.1:8000/orders -H "Authorization: Bearer $(sixfold token --scope orders:read)"   -> 200
"""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from sixfold.middleware.fastapi import Identity, OptionalIdentity, Sixfold, limit, public, require

app = FastAPI(title="Orders")
sixfold = Sixfold(Path(__file__).with_name("sixfold.toml"), public_docs=True)
sixfold.protect(app)


class NewOrder(BaseModel):
    """What a customer sends."""

    model_config = ConfigDict(extra="forbid")
    item: str
    qty: Annotated[int, Field(ge=1, le=100)]


class Order(NewOrder):
    """What is kept."""

    number: int
    owner: str


ORDERS: dict[int, Order] = {}
NUMBERS = count(1)


@app.get("/health")
@public
def health(me: OptionalIdentity) -> dict[str, Any]:
    """Anybody may ask; who is signed in is told so."""
    return {"ok": True, "caller": me.subject if me else None}


@app.get("/orders", dependencies=[require("orders:read"), limit("60/minute", per="client")])
def orders(me: Identity) -> list[Order]:
    """Everybody sees their own orders."""
    return [order for order in ORDERS.values() if order.owner == me.subject]


@app.post("/orders", status_code=201)
@require("orders:write")
@limit("5/second", per="user")
def create(order: NewOrder, me: Identity) -> Order:
    """Place an order."""
    made = Order(**order.model_dump(), number=next(NUMBERS), owner=me.subject)
    ORDERS[made.number] = made
    return made


@app.get("/users/{user_id}/orders")
@require("orders:read", when="path.user_id == token.sub")
def of_user(user_id: str) -> list[Order]:
    """The orders of one user, for that user only."""
    return [order for order in ORDERS.values() if order.owner == user_id]


@app.delete("/orders/{number}", status_code=204)
@require("orders:delete")
def delete(number: int) -> None:
    """Remove an order; the role `admin` grants it."""
    if ORDERS.pop(number, None) is None:
        raise HTTPException(404)


@app.get("/report")
def report() -> str:
    """Nobody was allowed to call this, so nobody can: what is not ruled is denied."""
    return "secret"
