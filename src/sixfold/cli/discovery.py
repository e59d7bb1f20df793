"""Finding the OpenAPI document of an API that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from sixfold.cli.talk import UNREACHABLE, USAGE, Stop

_PLACES: Final = (
    "/openapi.json", "/openapi.yaml", "/swagger.json", "/__api__", "/api/openapi.json", "/api/openapi.yaml",
    "/v3/api-docs", "/api-docs", "/api/schema", "/schema", "/docs/openapi.json", "/swagger/v1/swagger.json", "/spec.json",
)  # fmt: skip
_MAX: Final = 32 * 1024 * 1024  # bytes
_TIMEOUT: Final = 5.0  # seconds


class Found(NamedTuple):
    """An OpenAPI document.

    Arguments:
        name: path on the API, or file name.
        content: as fetched.
    """

    name: str
    content: bytes


def find(origin: str, path: str, given: str | None) -> Found | None:
    """Return the document, or None if the API has none at the usual places.

    Arguments:
        origin: scheme and authority of the API.
        path: of the URL the person gave; tried as a prefix first.
        given: file, or path on the API.

    Raises:
        Stop: the API does not answer, or what was given is not there.
    """
    if given is not None and Path(given).is_file():
        return Found(given, Path(given).read_bytes())
    import httpx2

    prefix = path.rstrip("/")
    places = [given] if given is not None else [*dict.fromkeys([prefix + place for place in _PLACES] + list(_PLACES))]
    headers = {"accept": "application/json, application/yaml, application/vnd.oai.openapi+json"}
    with httpx2.Client(timeout=_TIMEOUT, headers=headers) as client:
        for place in places:
            if not place.startswith("/"):
                raise Stop(f"{place}: no such file; a path on the API starts with `/`", USAGE)
            try:
                answer = client.get(origin + place)
            except httpx2.TransportError as problem:
                raise Stop(f"{origin} does not answer ({type(problem).__name__}); start the API first", UNREACHABLE) from None
            if answer.status_code == 200 and len(answer.content) <= _MAX and _looks_right(answer.content):
                return Found(place, answer.content)
    if given is not None:
        raise Stop(f"{origin}{given} is no OpenAPI document", USAGE)
    return None


def _looks_right(content: bytes) -> bool:
    head = content[:4096]
    return (b"openapi" in head or b"swagger" in content[:65536]) and b"paths" in content and not head.lstrip().startswith(b"<")
