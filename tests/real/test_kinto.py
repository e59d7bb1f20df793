"""Kinto driven by its own client, once directly and once through Sixfold: no difference may show.

A scenario is what a legitimate client does. Both runs are written down and compared line by line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from kinto_http import Client  # type: ignore[import-untyped]
from kinto_http.exceptions import KintoException  # type: ignore[import-untyped]
from kinto_http.patch_type import (  # type: ignore[import-untyped]
    BasicPatch,
    JSONPatch,
    MergePatch,
)
from requests.adapters import HTTPAdapter

POLICY = Path(__file__).with_name("kinto.toml")
SCOPES = ("kinto:read", "kinto:write", "kinto:delete", "kinto:batch")

# What speaks of one connection only, or what the gateway alone says (CORS too). Beginnings of names.
OURS = (
    "connection", "content-length", "date", "keep-alive", "server", "transfer-encoding", "via",
    "x-content-type-options", "strict-transport-security", "access-control-",
)  # fmt: skip
MASKS = (
    (re.compile(r"_token=[^&\"]+"), "_token=<token>"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<uuid>"),
    (re.compile(r"\b[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} [\d:]{8} GMT"), "<date>"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[0-9.:+]*"), "<date>"),
    (re.compile(r"1\d{12}(?!\d)"), "1000000000000"),
)


@dataclass
class Line:
    """One exchange, with all that changes from run to run masked."""

    request: str
    status: int
    headers: dict[str, str]
    body: Any


@dataclass
class Transcript(HTTPAdapter):
    """Writes down what passes; `requests` sends through it.

    Arguments:
        url: of the server; a link that leads elsewhere shows in the comparison.
    """

    url: str
    lines: list[Line] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def send(self, request: requests.PreparedRequest, *arguments: Any, **more: Any) -> requests.Response:
        answer = super().send(request, *arguments, **more)
        headers = {name.lower(): self.masked(value.strip()) for name, value in answer.headers.items()}
        self.lines.append(
            Line(
                self.masked(f"{request.method} {request.path_url}"),
                answer.status_code,
                {name: value for name, value in headers.items() if not name.startswith(OURS)},
                json.loads(self.masked(answer.text)) if answer.text else None,
            )
        )
        return answer

    def masked(self, text: str) -> str:
        text = text.replace(self.url, "<server>")
        for pattern, mask in MASKS:
            text = pattern.sub(mask, text)
        return text


def client_of(url: str, token: str = "") -> Client:
    auth = f"Bearer {token}" if token else None
    return Client(server_url=f"{url}/v1", auth=auth, bucket="shop", collection="articles", timeout=10)


def refused(call: Callable[[], Any], status: int) -> None:
    """Make a call that Kinto itself refuses."""
    with pytest.raises(KintoException) as caught:
        call()
    answer = getattr(caught.value, "response", None)
    assert answer is None or answer.status_code == status


def greet(client: Client) -> None:
    client.server_info()


def make_buckets(client: Client) -> None:
    client.create_bucket(id="shop", data={"owner": "Zoë", "note": "a/b & c"})
    refused(lambda: client.create_bucket(id="shop"), 412)
    client.create_bucket(id="shop", if_not_exists=True)
    client.create_bucket(id="other")
    client.get_bucket(id="shop")
    client.update_bucket(id="shop", data={"owner": "Max"})
    client.patch_bucket(id="shop", data={"size": 3})
    assert {bucket["id"] for bucket in client.get_buckets()} == {"shop", "other"}
    client.delete_bucket(id="other")
    refused(lambda: client.get_bucket(id="other"), 404)
    client.delete_bucket(id="other", if_exists=True)
    client.delete_buckets()
    assert client.get_buckets() == []


def make_groups(client: Client) -> None:
    client.create_bucket()
    client.create_group(id="editors", data={"members": ["basicauth:one"]})
    client.update_group(id="editors", data={"members": ["basicauth:one", "basicauth:two"]})
    client.patch_group(id="editors", data={"note": "night shift"})
    assert client.get_group(id="editors")["data"]["note"] == "night shift"
    client.get_groups()
    client.delete_group(id="editors")
    client.delete_groups()


def make_collections(client: Client) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    client.create_bucket()
    client.create_collection(id="articles", data={"schema": schema, "sort": "-n", "displayFields": ["n"]})
    client.create_collection(id="articles", if_not_exists=True)
    client.patch_collection(id="articles", data={"cache_expires": 60})
    client.update_collection(id="articles", data={"cache_expires": 0})
    client.get_collection(id="articles")
    client.get_collections(_sort="id")
    client.delete_collection(id="articles")
    client.delete_collections()


def shelf(client: Client, count: int = 0) -> None:
    client.create_bucket()
    client.create_collection()
    for number in range(count):
        data = {"n": number, "title": f"number {number}", "tags": ["even" if number % 2 == 0 else "odd"]}
        client.create_record(id=f"r{number}", data=data)


def keep_records(client: Client) -> None:
    shelf(client)
    client.create_record(data={"title": "no id"})
    client.create_record(id="one", data={"title": "ünïcödé ✓", "price": 12.5, "big": 2**53, "none": None})
    client.create_record(id="one", data={"title": "again"}, if_not_exists=True)
    client.get_record(id="one")
    client.update_record(id="one", data={"title": "new", "deep": {"list": [1, [2, {"a": True}]]}})
    client.patch_record(id="one", data={"price": 1})
    refused(lambda: client.get_record(id="missing"), 404)
    client.delete_record(id="one")
    refused(lambda: client.delete_record(id="one"), 404)
    client.get_records(_since="0")
    client.delete_records()
    assert client.get_records() == []


def post_records(client: Client) -> None:
    shelf(client)
    records = client.get_endpoint("records")
    client.session.request("post", records, data={"title": "Kinto chooses the id"})
    client.session.request("post", records, data={"id": "chosen", "title": "mine"})
    client.session.request("post", records, data={"id": "chosen", "title": "theirs"})


def patch_in_three_ways(client: Client) -> None:
    shelf(client)
    client.create_record(id="one", data={"a": 1, "b": {"c": 2}})
    client.patch_record(id="one", changes=BasicPatch(data={"a": 2}))
    client.patch_record(id="one", changes=MergePatch(data={"b": {"c": None, "d": 3}}))
    operations = [
        {"op": "test", "path": "/data/a", "value": 2},
        {"op": "replace", "path": "/data/a", "value": 4},
        {"op": "add", "path": "/permissions/read/system.Everyone"},
    ]
    client.patch_record(id="one", changes=JSONPatch(operations))
    assert client.get_record(id="one")["data"]["a"] == 4
    client.patch_collection(id="articles", changes=JSONPatch([{"op": "add", "path": "/data/x", "value": None}]))
    client.patch_bucket(id="shop", changes=MergePatch(data={"owner": None}))


def filter_records(client: Client) -> None:
    shelf(client, 6)
    assert [entry["n"] for entry in client.get_records(min_n=2, max_n=4, _sort="n")] == [2, 3, 4]
    assert [entry["n"] for entry in client.get_records(gt_n=4)] == [5]
    assert [entry["n"] for entry in client.get_records(lt_n=1)] == [0]
    assert [entry["n"] for entry in client.get_records(in_n=["1", "3"], _sort="-n")] == [3, 1]
    assert len(client.get_records(exclude_id=["r0", "r1"])) == 4
    assert len(client.get_records(not_n=0)) == 5
    assert len(client.get_records(like_title="*ber 3")) == 1
    assert len(client.get_records(has_title=False)) == 0
    assert len(client.get_records(contains_tags=["odd"])) == 3
    assert len(client.get_records(n=3)) == 1
    assert client.get_records(id="r2", _fields="n")[0]["n"] == 2
    assert [entry["n"] for entry in client.get_records(_sort="-n", _limit=2)] == [5, 4]


def turn_pages(client: Client) -> None:
    shelf(client, 5)
    assert len(client.get_records(_limit=2, pages=10)) == 5
    assert [len(page["data"]) for page in client.get_paginated_records(_limit=2, _sort="n")] == [2, 2, 1]


def ask_since(client: Client) -> None:
    shelf(client, 2)
    before = client.get_records_timestamp()
    client.update_record(id="r1", data={"n": 10})
    client.delete_record(id="r0")
    changed = client.get_records(_since=before)
    assert {entry["id"] for entry in changed} == {"r0", "r1"}
    assert {entry["id"] for entry in client.get_records(_since=f'"{before}"')} == {"r0", "r1"}
    assert client.get_records(_before=before) == []
    with pytest.warns(DeprecationWarning, match="_to is now deprecated"):  # Kinto says so in a header
        client.get_records(_to=before)


def race(client: Client) -> None:
    shelf(client)
    first = client.create_record(id="one", data={"n": 1})["data"]
    client.update_record(id="one", data={"n": 2}, if_match=first["last_modified"])
    refused(lambda: client.update_record(id="one", data={"n": 3}, if_match=first["last_modified"]), 412)
    refused(lambda: client.patch_record(id="one", data={"n": 3}, if_match=first["last_modified"]), 412)
    refused(lambda: client.delete_record(id="one", if_match=first["last_modified"]), 412)
    stamp = client.get_records_timestamp()
    assert client.get_records(if_none_match=stamp) == []
    record = client.get_endpoint("record", id="one")
    _, headers = client.session.request("get", record)
    client.session.request("get", record, headers={"If-None-Match": headers["ETag"]})


def give_permissions(client: Client) -> None:
    client.create_bucket(permissions={"read": ["system.Everyone"], "collection:create": ["basicauth:one"]})
    client.create_collection(permissions={"record:create": ["system.Authenticated"]})
    client.create_record(id="one", data={"n": 1}, permissions={"read": ["basicauth:two"]})
    client.patch_record(id="one", permissions={"write": ["basicauth:three"]})
    client.update_record(id="one", data={"n": 1}, permissions={"read": []})
    client.patch_bucket(id="shop", permissions={"group:create": ["system.Everyone"]})
    client.get_record(id="one")


def batch(client: Client) -> None:
    client.create_bucket()
    with client.batch() as many:
        many.create_collection()
        for number in range(30):  # more than Kinto takes at once
            many.create_record(id=f"r{number}", data={"n": number})
        many.patch_record(id="r1", data={"n": 100})
        many.delete_record(id="r2")
    assert len(client.get_records()) == 29


def look_back(client: Client) -> None:
    shelf(client, 1)
    stamp = client.get_records_timestamp()
    client.update_record(id="r0", data={"n": 5})
    assert len(client.get_history()) == 4
    assert len(client.get_history(resource_name="record", action="update")) == 1
    client.get_history(_limit=1, _sort="last_modified")
    client.session.request("get", f"/buckets/shop/snapshot/collections/articles@{stamp}")
    client.purge_history()
    assert client.get_history() == []


SCENARIOS = (
    greet, make_buckets, make_groups, make_collections, keep_records, post_records, patch_in_three_ways,
    filter_records, turn_pages, ask_since, race, give_permissions, batch, look_back,
)  # fmt: skip


@pytest.fixture(scope="module")
def through(sixfold: Callable[..., Any], kinto: Any, kinto_document: dict[str, Any]) -> Any:
    """Sixfold before Kinto, with the policy that a user would write."""
    document = deepcopy(kinto_document)
    mend(document)
    return sixfold(POLICY.read_text(), kinto.url, {"kinto.json": json.dumps(document)})


def mend(document: dict[str, Any]) -> None:
    """Correct what no row of the policy can say: a timestamp in a query may stand in quotes, as in an ETag."""
    for item in document["paths"].values():
        for parameter in item.get("get", {}).get("parameters", ()):
            if parameter["name"] in ("_since", "_to", "_before"):
                del parameter["minimum"], parameter["maximum"]
                parameter.update(type="string", pattern='^("[0-9]{1,19}"|[0-9]{1,19})$')


@pytest.fixture
def play(kinto: Any) -> Iterator[Callable[..., list[Line]]]:
    """Play a scenario on an empty Kinto and return what passed."""
    adapters: list[Transcript] = []

    def run(scenario: Callable[[Client], None], url: str, token: str = "") -> list[Line]:
        requests.post(f"{kinto.url}/v1/__flush__", timeout=10).close()
        client = client_of(url, token)
        transcript = Transcript(url)
        adapters.append(transcript)
        with client.session._session as session:
            session.mount("http://", transcript)
            scenario(client)
        return transcript.lines

    yield run
    for adapter in adapters:
        with suppress(Exception):
            adapter.close()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_no_difference_shows(
    scenario: Callable[[Client], None],
    play: Callable[..., list[Line]],
    kinto: Any,
    through: Any,
    token: Callable[..., str],
) -> None:
    direct = play(scenario, kinto.url)
    guarded = play(scenario, through.url, token(*SCOPES, audience="https://kinto.example"))
    assert [(line.request, line.status, line.body) for line in guarded] == [
        (line.request, line.status, line.body) for line in direct
    ]
    for before, after in zip(direct, guarded, strict=True):
        assert {name: after.headers.get(name) for name in before.headers} == before.headers
