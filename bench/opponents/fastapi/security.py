"""PyJWT and slowapi as their documentation shows them; shared by the gateway and the middleware scenario."""

import os
from pathlib import Path
from typing import Annotated

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from fastapi import Depends, HTTPException, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from slowapi import Limiter

KEY = load_pem_public_key(Path(os.environ["BENCH_KEY"]).read_bytes())  # parsed once, not for each token
ISSUER = os.environ["BENCH_ISSUER"]
AUDIENCE = os.environ["BENCH_AUDIENCE"]
LIMIT = os.environ["BENCH_LIMIT"] + "/minute"

bearer = HTTPBearer(auto_error=False)
limiter = Limiter(key_func=lambda request: request.state.subject)


async def caller(
    request: Request,
    scopes: SecurityScopes,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> dict[str, object]:
    """The claims of the caller's token, if it is good and has the scopes that the route asks for."""
    if credentials is None:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    try:
        claims = jwt.decode(credentials.credentials, KEY, algorithms=["ES256"], issuer=ISSUER, audience=AUDIENCE)
    except jwt.InvalidTokenError:
        raise HTTPException(401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'}) from None
    if not set(scopes.scopes) <= set(claims["scope"].split()):
        raise HTTPException(403)
    request.state.subject = claims["sub"]
    return claims


Reader = Annotated[dict[str, object], Security(caller, scopes=["orders:read"])]
Writer = Annotated[dict[str, object], Security(caller, scopes=["orders:write"])]
