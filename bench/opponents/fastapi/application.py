"""The middleware scenario: one route, bare or with one of two protections, named by the first argument."""

import os
import sys
from pathlib import Path

# All variants run in one interpreter with one FastAPI; what that lacks comes from the opponents' packages.
sys.path.append(os.environ["BENCH_OPPONENT_PACKAGES"])

import uvicorn
from fastapi import FastAPI, Request

ORDER = {"id": "12345", "customer": "c-20931", "status": "packed", "currency": "EUR", "total": 129.9}


def bare() -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.get("/orders/{order_id}")
    async def read(order_id: str) -> dict[str, object]:
        return ORDER

    return app


def usual() -> FastAPI:
    from security import LIMIT, Reader, limiter

    app = FastAPI(openapi_url=None)
    app.state.limiter = limiter

    @app.get("/orders/{order_id}")
    @limiter.limit(LIMIT)
    async def read(request: Request, order_id: str, claims: Reader) -> dict[str, object]:
        return ORDER

    return app


def sixfold() -> FastAPI:
    from sixfold.middleware.fastapi import Sixfold, require

    app = FastAPI(openapi_url=None)

    @app.get("/orders/{order_id}")
    @require("orders:read")
    async def read(order_id: str) -> dict[str, object]:
        return ORDER

    Sixfold(Path(os.environ["BENCH_POLICY"])).protect(app)
    return app


if __name__ == "__main__":
    uvicorn.run(
        {"bare": bare, "usual": usual, "sixfold": sixfold}[sys.argv[1]](),
        port=int(os.environ["BENCH_PORT"]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        timeout_keep_alive=600,
    )
