"""A gateway in FastAPI: PyJWT, slowapi, pydantic, httpx towards the API. One worker, no access log."""

import os
from typing import Annotated, Literal

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from slowapi import _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded

from security import LIMIT, Reader, Writer, limiter

HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "content-length",
}
HSTS = os.environ["BENCH_HSTS"]


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid")
    sku: Annotated[str, Field(pattern=r"^[A-Z]{2}-[0-9]{1,6}$")]
    quantity: Annotated[int, Field(ge=1, le=1000, strict=True)]
    price: Annotated[float, Field(ge=0)]
    gift: bool | None = None


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")
    customer: Annotated[str, Field(pattern=r"^c-[0-9]{1,10}$")]
    currency: Literal["EUR", "USD", "GBP", "JPY"]
    reference: Annotated[str | None, Field(max_length=64)] = None
    note: Annotated[str | None, Field(max_length=500)] = None
    lines: Annotated[list[Line], Field(min_length=1, max_length=100)]


app = FastAPI(openapi_url=None)
app.state.limiter = limiter
app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)
client = httpx.AsyncClient(
    base_url=os.environ["BENCH_UPSTREAM"],
    limits=httpx.Limits(max_connections=64, max_keepalive_connections=64, keepalive_expiry=600),
)


async def forward(request: Request) -> Response:
    headers = [(name, value) for name, value in request.headers.items() if name not in HOP_BY_HOP]
    url = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    answer = await client.request(request.method, url, headers=headers, content=await request.body() or None)
    kept = {name: value for name, value in answer.headers.items() if name not in HOP_BY_HOP}
    return Response(answer.content, answer.status_code, {**kept, "Strict-Transport-Security": HSTS})


@app.get("/orders/{order_id}")
@limiter.limit(LIMIT)
async def read(request: Request, order_id: str, claims: Reader) -> Response:
    return await forward(request)


@app.post("/orders")
@limiter.limit(LIMIT)
async def create(request: Request, order: Order, claims: Writer) -> Response:
    return await forward(request)


if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(os.environ["BENCH_PORT"]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        timeout_keep_alive=600,
    )
