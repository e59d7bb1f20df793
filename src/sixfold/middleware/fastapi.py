"""FastAPI: the same marks as decorators and as dependencies, `Identity` as a dependency, OpenAPI told the truth.

sixfold = Sixfold()
sixfold.protect(app)

@app.get("/orders", dependencies=[require("orders:read"), limit("60/minute", per="client")])
def orders(me: Identity): ...
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import Depends, HTTPException
from fastapi.openapi.models import HTTPBearer
from fastapi.openapi.utils import get_openapi
from fastapi.params import Depends as DependsParameter
from fastapi.params import Security as SecurityParameter
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from sixfold import identity as _identity
from sixfold.decision import Mode
from sixfold.middleware.marks import Mark, Words, limited, required, said_by
from sixfold.middleware.openapi import SCHEME, fill
from sixfold.middleware.routes import Discovery
from sixfold.middleware.starlette import OnStoreFailure, permit_of
from sixfold.middleware.starlette import Sixfold as _Sixfold
from sixfold.middleware.table import Found
from sixfold.policy import PolicyError, Problem
from sixfold.policy.document import HeaderEdits
from sixfold.watch import Watch

__all__ = ["Identity", "OptionalIdentity", "Sixfold", "limit", "public", "require"]

_LOG: Final = logging.getLogger("sixfold.middleware")
_DOCS: Final = ("openapi_url", "docs_url", "redoc_url", "swagger_ui_oauth2_redirect_url")
# FastAPI's pages load their scripts from elsewhere, which the policy for an API's answers would forbid.
_DOCS_POLICY: Final = HeaderEdits(
    set={
        "content-security-policy": "default-src 'none'; connect-src 'self'; frame-ancestors 'none'; "
        "img-src 'self' data: https://fastapi.tiangolo.com https://cdn.redoc.ly; worker-src blob:; "
        "font-src https://fonts.gstatic.com; script-src 'unsafe-inline' https://cdn.jsdelivr.net; "
        "style-src 'unsafe-inline' https://cdn.jsdelivr.net https://fonts.googleapis.com"
    }
)


# ---------------------------------------------------------------------- marks


class _Scheme(SecurityBase):
    """What FastAPI calls for `require` as a dependency: nothing is left to do, the layer around has judged already."""

    def __init__(self, words: Words) -> None:
        self.model = HTTPBearer(bearerFormat="JWT")
        self.scheme_name = SCHEME
        self.words = words

    async def __call__(self) -> None: ...


class _Note:
    """What FastAPI calls for `limit` and `public` as a dependency."""

    def __init__(self, words: Words) -> None:
        self.words = words

    async def __call__(self) -> None: ...


class _Require(Mark, SecurityParameter):
    """`require(...)`: a dependency and a decorator in one (API-02)."""

    def __init__(self, words: Words) -> None:
        SecurityParameter.__init__(self, dependency=_Scheme(words), scopes=words.scopes)
        object.__setattr__(self, "words", words)

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class _Mark(Mark, DependsParameter):
    """`limit(...)` and `public`: a dependency and a decorator in one (API-02)."""

    def __init__(self, words: Words) -> None:
        DependsParameter.__init__(self, dependency=_Note(words))
        object.__setattr__(self, "words", words)

    __eq__ = object.__eq__
    __hash__ = object.__hash__


def require(*names: str, any: str | Iterable[str] = (), when: str | Iterable[str] = ()) -> _Require:  # noqa: A002
    """Mark an endpoint: who may call it. Arguments as in `sixfold.middleware.starlette.require`."""
    return _Require(required(names, any, when))


def limit(
    rate: str,
    *,
    per: str = "",
    cost: int = 0,
    mode: Mode = "enforce",
    name: str | None = None,
    on_store_failure: OnStoreFailure = "local",
) -> _Mark:
    """Mark an endpoint: how often it may be called. Arguments as in `sixfold.middleware.starlette.limit`."""
    return _Mark(limited(rate, per, cost, mode, name, on_store_failure))


public: Final = _Mark(Words(access="public"))
"""Mark an endpoint: anybody may call it."""


# ---------------------------------------------------------------------- who calls


async def _caller(connection: HTTPConnection) -> _identity.Identity:
    identity = permit_of(connection).identity
    if not identity:  # authentication is off or in shadow mode here: there is nobody to hand out
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    return identity


async def _caller_or_none(connection: HTTPConnection) -> _identity.Identity | None:
    return permit_of(connection).identity or None


Identity = Annotated[_identity.Identity, Depends(_caller)]
"""Who calls: subject, client_id, scopes, roles, tenant, claims, auth_time, acr."""

OptionalIdentity = Annotated[_identity.Identity | None, Depends(_caller_or_none)]
"""Who calls, or None for nobody."""


# ---------------------------------------------------------------------- the application


class Sixfold(_Sixfold):
    """Protects one FastAPI application.

    Arguments:
        config, dev, watch: as in `sixfold.middleware.starlette.Sixfold`.
        public_docs: anybody may read `/docs`, `/redoc` and `/openapi.json`.
    """

    def __init__(
        self,
        config: Path | str | None = None,
        *,
        dev: bool = False,
        public_docs: bool = False,
        watch: Watch | None = None,
    ) -> None:
        super().__init__(config, dev=dev, watch=watch)
        self._public_docs = public_docs
        self._found: list[Found] = []

    def protect(self, app: Any) -> None:
        """Put one pure ASGI layer around an application, and tell its OpenAPI document who may call what.

        Raises:
            RuntimeError: as in `sixfold.middleware.starlette.Sixfold.protect`.
        """
        super().protect(app)
        describe = app.openapi

        def described() -> dict[str, Any]:
            document: dict[str, Any] = describe()
            if self.driver is not None and hasattr(self.driver, "engine"):
                fill(document, self.driver.engine.policy, self._found)
            return document

        app.openapi = described

    def discover(self, app: Any) -> Discovery:
        """Return the routes of an application, compared with what FastAPI itself describes (UX-06)."""
        if self._public_docs:
            _publish_docs(app)
        found = Discovery(app, _dependencies)
        if self._public_docs:
            pages = {getattr(app, name, None) for name in _DOCS}
            found.found = [replace(one, response_headers=_DOCS_POLICY) if one.path in pages else one
            for one in found.found]  # fmt: skip
        for one, prefix in found.applications:
            _compare(one, prefix, found)
        self._found = found.found
        return found


def _dependencies(route: Any) -> tuple[list[Words], bool]:
    """Return the marks among the dependencies of a route, and whether it asks for an `Identity`."""
    dependant = getattr(route, "dependant", None)
    calls = list(_calls(dependant)) if dependant is not None else []
    words = [call.words for call in calls if isinstance(call, (_Scheme, _Note))]
    return list(dict.fromkeys(words)), _caller in calls


def _calls(dependant: Any) -> Iterator[Any]:
    for below in dependant.dependencies:
        yield below.call
        yield from _calls(below)


def _publish_docs(app: Any) -> None:
    paths = {getattr(app, name, None) for name in _DOCS}
    for route in app.routes:
        if getattr(route, "path", None) in paths and not route.include_in_schema and not said_by(route.endpoint):
            public(route.endpoint)


def _compare(app: Any, prefix: str, found: Discovery) -> None:
    """Refuse a table that lacks a route which FastAPI's own walk over the application sees.

    Raises:
        PolicyError: names the routes that were missed.
    """
    try:
        paths = get_openapi(title="", version="", routes=app.routes)["paths"]
    except Exception as problem:  # an application whose types no schema can be made of
        _LOG.warning("the route table was not compared with OpenAPI: %s", type(problem).__name__)
        return
    table = {(one.method, one.origin) for one in found.found}
    missed = [
        f"{verb.upper()} {prefix}{path}"
        for path, item in paths.items()
        for verb in item
        if (verb.upper(), prefix + path) not in table
    ]
    if missed:
        raise PolicyError(*(Problem("FastAPI has this route, the route table lacks it", one) for one in missed))
