"""Finding the OpenAPI document of an API that runs."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from sixfold.cli.talk import UNREACHABLE, USAGE, Stop

if TYPE_CHECKING:
    import httpx2

_PLACES: Final = (
    "/openapi.json", "/openapi.yaml", "/swagger.json", "/__api__", "/api/openapi.json", "/api/openapi.yaml",
    "/v3/api-docs", "/api-docs", "/api/schema", "/schema", "/docs/openapi.json", "/swagger/v1/swagger.json",
    "/spec.json",
)  # fmt: skip
_MAX: Final = 32 * 1024 * 1024  # bytes
_TIMEOUT: Final = 5.0  # seconds
_KIND: Final = re.compile(rb"""(?:^|[{,\s])["']?(?:openapi|swagger)["']?\s*:""")


class Api(NamedTuple):
    """Where an API answers.

    Arguments:
        origin: scheme and authority.
        path: of the URL the person gave; where its document may be.
    """

    origin: str
    path: str


class Found(NamedTuple):
    """An OpenAPI document.

    Arguments:
        name: path on the API, or file name.
        content: as fetched; None for a file, which the policy reads itself.
    """

    name: str
    content: bytes | None = None


def parse(url: str) -> Api:
    """Read the address of an API; `localhost:8000` is understood.

    Raises:
        Stop: it is none. Its text is repeated nowhere: it may hold a password.
    """
    remedy = "; write http://localhost:8000"
    try:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        port = parts.port
    except ValueError:
        raise Stop(f"URL is not an address{remedy}", USAGE) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise Stop(f"URL is not the address of an HTTP API{remedy}", USAGE)
    if parts.username is not None or parts.password is not None:
        raise Stop(f"URL holds a name or password; Sixfold sends none to the API{remedy}", USAGE)
    if parts.query or parts.fragment or re.search(r"[^!-~]", url):
        raise Stop(f"URL has more than host and path{remedy}", USAGE)
    return Api(f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/"))


def find(api: Api, given: str | None) -> Found | None:
    """Return the document, or None if the API has none at the usual places.

    Arguments:
        api: where it answers.
        given: file, or path on the API.

    Raises:
        Stop: the API does not answer, or what was given is not there.
    """
    if given is not None and Path(given).is_file():
        return _file(given)
    if given is not None and not given.startswith("/"):
        raise Stop(f"{given}: no such file; a path on the API starts with `/`", USAGE)
    places = [given] if given is not None else [*dict.fromkeys([api.path + place for place in _PLACES] + [*_PLACES])]
    with _client() as client:
        for place in places:
            content = _fetch(client, api.origin, place)
            if looks_right(content):
                return Found(place, content)
    if given is not None:
        raise Stop(f"{api.origin}{given} is no OpenAPI document; name another path, or a file", USAGE)
    return None


def reach(api: Api) -> None:
    """Make sure that the API answers.

    Raises:
        Stop: it does not.
    """
    with _client() as client:
        _fetch(client, api.origin, api.path or "/")


def _file(given: str) -> Found:
    path = Path(given)
    if not looks_right(path.read_bytes()):
        raise Stop(f"{given} is no OpenAPI document", USAGE)
    return Found(given)


def _client() -> httpx2.Client:
    import httpx2

    # The proxy itself goes to the API directly, so a proxy of the environment has no say here either.
    accept = "application/json, application/yaml, application/vnd.oai.openapi+json"
    return httpx2.Client(timeout=_TIMEOUT, headers={"accept": accept}, trust_env=False)


def _fetch(client: httpx2.Client, origin: str, path: str) -> bytes:
    """Return the body of a 200, or nothing; an answer without end is cut off."""
    import httpx2

    content = b""
    try:
        with client.stream("GET", origin + path) as answer:
            if answer.status_code != 200 or answer.headers.get("content-type", "").startswith(("text/html", "text/ev")):
                return b""
            for piece in answer.iter_bytes():
                content += piece
                if len(content) > _MAX:
                    return b""
    except httpx2.TransportError as problem:
        raise Stop(f"{origin} {_trouble(problem)}", UNREACHABLE) from None
    except httpx2.DecodingError:
        return b""
    return content


def _trouble(problem: BaseException) -> str:
    """Return what keeps an API from answering, and what to do."""
    import httpx2

    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "shows a certificate that this machine does not trust; put its authority into the system's store"
        if isinstance(cause, ssl.SSLError):
            return "does not speak TLS; is it http?"
        cause = cause.__cause__ or cause.__context__
    if isinstance(problem, httpx2.TimeoutException):
        return f"takes a connection and does not answer within {_TIMEOUT:.0f} seconds"
    if isinstance(problem, httpx2.ConnectError):
        return "does not answer; start the API first, then run this again"
    return "does not answer in HTTP; is it https, or another port?"


def looks_right(content: bytes) -> bool:
    """Return whether a text may be an OpenAPI document; the reader of documents says the rest."""
    return not content.lstrip().startswith(b"<") and _KIND.search(content) is not None and b"paths" in content
