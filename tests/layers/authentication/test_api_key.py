"""API keys: made once, kept as hashes, refused with a reason."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.decision import Refusal
from sixfold.identity import ANONYMOUS
from sixfold.layers.authentication import (
    ApiKeyError,
    ApiKeyStore,
    Authentication,
    KeyRings,
    append,
    make_key,
)
from sixfold.layers.authentication.api_key import checksum
from sixfold.layers.authentication.key_file import records, remove
from sixfold.layers.authentication.rules import RuleError


class Keys:
    """A key file with one key, and a layer that reads it."""

    def __init__(self, world: Any, folder: Path, **table: Any) -> None:
        self.file = folder / "keys.jsonl"
        self.key, self.record = make_key(
            "sxk", owner="team-a", now=world.now, name="ci", scopes=["orders:read"], roles=["viewer"],
            tenant="acme", client_id="ci-runner", lifetime=60,
        )  # fmt: skip
        append(self.file, self.record)
        self.policy = world.policy({"api_keys": {"file": str(self.file), **table}})
        store = ApiKeyStore.for_policy(self.policy)
        assert store is not None
        self.store = store
        self.layer = Authentication(self.policy, KeyRings.for_policy(self.policy), store)


@pytest.fixture
def keys(world: Any, tmp_path: Path) -> Keys:
    return Keys(world, tmp_path)


def ask(world: Any, keys: Keys, key: str | bytes, **more: Any) -> Any:
    raw = key if isinstance(key, bytes) else key.encode()
    return world.ask(keys.layer, world.request(headers={"x-api-key": raw}, **more))


def test_a_good_key(world: Any, keys: Keys) -> None:
    """TOK-23: a key that only its hash is kept of is known by it, with owner, scopes, roles and tenant."""
    identity = ask(world, keys, keys.key)
    assert (identity.subject, identity.client_id, identity.issuer) == ("team-a", "ci-runner", "api-key")
    assert (identity.scheme, identity.tenant) == ("api-key", "acme")
    assert (identity.scopes, identity.roles) == ({"orders:read"}, {"viewer"})
    assert identity.expires == world.now + 60 * world.second
    assert identity.claims["sub"] == "team-a"
    request = world.request(headers={"x-api-key": keys.key.encode()})
    assert keys.layer.known(request, keys.policy.operations[0]) is identity


def test_only_hashes_are_kept(world: Any, keys: Keys) -> None:
    """TOK-23: neither file nor store holds a key; the file is private."""
    text = keys.file.read_text()
    assert keys.key not in text
    assert keys.key[4:30] not in text
    assert keys.key not in repr(vars(keys.store))
    assert os.stat(keys.file).st_mode & 0o777 == 0o600
    assert len(keys.record.hash) == 64


def test_keys_cannot_be_guessed(world: Any) -> None:
    """TOK-22: a key has 160 random bits and more (TOK-21), and no two are alike."""
    assert 27 * math.log2(62) >= 160
    made = {make_key("sxk", owner="a", now=world.now)[0] for _ in range(500)}
    assert len(made) == 500
    assert all(len(key) == len("sxk_") + 27 + 6 for key in made)
    assert all(len({key[place] for key in made}) > 50 for place in range(4, 31))


@pytest.mark.parametrize(
    "text", ["", "x", "sxk_", "sxk_" + "0" * 33, "sxk_" + "0" * 32, "abc_" + "0" * 33, "SXK_" + "0" * 33]
)
def test_other_texts(world: Any, keys: Keys, text: str) -> None:
    """TOK-21: what is not of the form, or has a wrong checksum, is refused before any look-up."""
    refusal = ask(world, keys, text)
    assert (refusal.status, refusal.code) == (401, "api-key-invalid")
    assert "checksum is wrong" in refusal.reason
    assert refusal.rule.name == "authentication.api_keys"


@given(place=st.integers(0, 36), sign=st.sampled_from("09AZaz_-é"))
def test_no_altered_key_passes(world: Any, place: int, sign: str) -> None:
    """TOK-21: any other character anywhere makes another key, and a typo is told as such."""
    keys = KEPT[0] if KEPT else KEPT.append(Keys(world, world.folder)) or KEPT[0]
    altered = keys.key[:place] + sign + keys.key[place + 1 :]
    if altered == keys.key:
        return
    refusal = ask(world, keys, altered)
    assert isinstance(refusal, Refusal)
    assert "checksum" in refusal.reason
    assert altered not in repr(refusal)


KEPT: list[Keys] = []


def test_a_key_of_another_place(world: Any, keys: Keys) -> None:
    """TOK-23: a well-formed key that is not in the file is refused, and told apart from a typo."""
    other, _ = make_key("sxk", owner="team-a", now=world.now)
    refusal = ask(world, keys, other)
    assert refusal.code == "api-key-invalid"
    assert refusal.reason == "well-formed, but no such key is in the file"
    assert other not in f"{refusal!r}{refusal.remedy}"


def test_the_hash_itself_is_no_key(world: Any, keys: Keys) -> None:
    """TOK-23: who reads the file cannot use what stands there."""
    assert ask(world, keys, keys.record.hash).code == "api-key-invalid"


def test_a_key_ends(world: Any, keys: Keys) -> None:
    """TOK-23: a key is refused from its expiry on, also where it was known before."""
    end = world.now + 60 * world.second
    assert ask(world, keys, keys.key, now=end - 1)
    refusal = ask(world, keys, keys.key, now=end)
    assert (refusal.status, refusal.code) == (401, "api-key-expired")
    assert refusal.reason == "the key `ci` expired 0 s ago"


def test_a_revoked_key(world: Any, keys: Keys) -> None:
    """TOK-23: once its line is gone and the file read again, a key is refused, cached or not."""
    second, record = make_key("sxk", owner="team-b", now=world.now)
    append(keys.file, record)
    assert keys.store.reload_if_changed()
    assert not keys.store.reload_if_changed()
    assert ask(world, keys, keys.key)
    assert ask(world, keys, second).client_id == "team-b"
    keys.file.write_text(record.model_dump_json() + "\n")
    assert ask(world, keys, keys.key)
    assert keys.store.reload_if_changed()
    assert ask(world, keys, keys.key).code == "api-key-invalid"
    assert ask(world, keys, second).subject == "team-b"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", ":3: Invalid JSON"),
        ("[]", ":3: "),
        ('{"owner":"a"}', ":3: `hash`"),
        ('{"hash":"HASH"}', ":3: `owner`"),
        ('{"hash":"abc","owner":"a"}', ":3: `hash`"),
        ('{"hash":"HASH","owner":""}', ":3: `owner`"),
        ('{"hash":"HASH","owner":"a\\u001fb"}', ":3: `owner`"),
        ('{"hash":"HASH","owner":"a","expires":"2026-01-01T00:00:00"}', ":3: `expires`"),
        ('{"hash":"HASH","owner":"a","scope":["x"]}', ":3: `scope`"),
        ('{"hash":"SAME","owner":"a"}', ":3: this key stands twice"),
    ],
)
def test_a_broken_file_changes_nothing(world: Any, keys: Keys, line: str, says: str) -> None:
    """CFG-05: a broken line is told by file and line; the keys held stay in force, a start is refused."""
    line = line.replace("HASH", "0" * 64).replace("SAME", keys.record.hash)
    keys.file.write_text(f"# keys\n{keys.record.model_dump_json()}\n{line}\n")
    with pytest.raises(ApiKeyError) as found:
        keys.store.reload_if_changed()
    assert f"keys.jsonl{says}" in str(found.value)
    assert ask(world, keys, keys.key)
    with pytest.raises(ApiKeyError):
        ApiKeyStore(keys.file)


def test_a_missing_file(keys: Keys) -> None:
    """CFG-05: a missing key file is an error at start, and no loss of keys later."""
    keys.file.unlink()
    with pytest.raises(ApiKeyError, match="`sixfold api-keys add` makes the file"):
        keys.store.reload_if_changed()
    with pytest.raises(ApiKeyError):
        ApiKeyStore.for_policy(keys.policy)


def test_a_store_outlives_its_policy(world: Any, keys: Keys) -> None:
    """RLD-01: a reload goes on with the same store while the file is the same."""
    assert ApiKeyStore.for_policy(keys.policy, keys.store) is keys.store
    assert ApiKeyStore.for_policy(world.policy(), keys.store) is None


def test_one_method_per_request(world: Any, keys: Keys) -> None:
    """RS-17: a token and a key in one request are refused with 400, good or bad, known or not."""
    token = world.token()
    assert world.ask(keys.layer, world.request(token)).subject == "alice"
    assert ask(world, keys, keys.key).subject == "team-a"
    for value in (keys.key.encode(), b"nonsense", b""):
        for credential in (token, b"x.y.z"):
            request = world.request(credential, headers={"x-api-key": value})
            for operation in (0, 1, 2):
                refusal = world.ask(keys.layer, request, operation)
                assert (refusal.status, refusal.code) == (400, "credentials-ambiguous")


def test_a_header_of_ones_own(world: Any, tmp_path: Path) -> None:
    """RS-17: in a header that may come twice, two keys are refused, also if the first was known."""
    from sixfold.request import Fields

    keys = Keys(world, tmp_path, header="Api-Key")
    request = world.request(headers={"api-key": keys.key.encode()})
    assert world.ask(keys.layer, request).subject == "team-a"
    pair = (b"api-key", keys.key.encode())
    request.fields = Fields([pair, pair])
    assert world.ask(keys.layer, request).code == "credentials-ambiguous"
    assert ask(world, keys, keys.key).code == "credentials-missing"


@pytest.mark.parametrize("header", ["Authorization", "cookie", "Host", "proxy-authorization"])
def test_headers_with_another_meaning(world: Any, tmp_path: Path, header: str) -> None:
    """RS-17: a key never shares a header with something else."""
    with pytest.raises(RuleError, match="another meaning"):
        Keys(world, tmp_path, header=header)


def test_without_a_store(world: Any, keys: Keys) -> None:
    """TOK-23: a policy with keys, but without their store, is not enforced by half."""
    with pytest.raises(RuleError, match="was not opened"):
        Authentication(keys.policy, KeyRings.for_policy(keys.policy), None)


def test_the_header_without_a_table(world: Any) -> None:
    """RS-17: where the policy has no API keys, their header means nothing to us."""
    layer = world.authentication()
    request = world.request(world.token(), headers={"x-api-key": b"of-the-upstream"})
    assert world.ask(layer, request).subject == "alice"
    assert world.ask(layer, world.request(headers={"x-api-key": b"x"})).code == "credentials-missing"


def test_public_operations(world: Any, keys: Keys) -> None:
    """RS-18: a public operation takes a good key, refuses a bad one, and needs none."""
    layer = keys.layer
    assert world.ask(layer, world.request(), 1) is ANONYMOUS
    assert world.ask(layer, world.request(headers={"x-api-key": keys.key.encode()}), 1).subject == "team-a"
    assert world.ask(layer, world.request(headers={"x-api-key": b"x"}), 1).code == "api-key-invalid"


def test_the_checksum_is_stable() -> None:
    """TOK-21: keys made today are well-formed for every later version."""
    assert checksum(b"") == "000000"
    assert checksum(b"123456789") == _base62(0xCBF43926)


def _base62(value: int) -> str:
    signs = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    return "".join(signs[value // 62**place % 62] for place in range(5, -1, -1))


def test_a_record_is_one_line(world: Any) -> None:
    """TOK-23: what is written can be read again, without what was left at its default."""
    _, record = make_key("sxk", owner="a", now=world.now)
    written = json.loads(record.model_dump_json(exclude_defaults=True))
    assert set(written) == {"hash", "owner", "created"}
    assert written["created"] == "2027-01-15T08:00:00Z"


def test_lines_come_and_go(world: Any, keys: Keys) -> None:
    """TOK-23: adding and removing a record leaves the other lines alone, comments and an open last line too."""
    first = keys.file.read_text()
    keys.file.write_text(f"# our keys\n\n{first.strip()}")
    key, record = make_key("sxk", owner="team-b", now=world.now)
    append(keys.file, record)
    assert [one.owner for one in records(keys.file)] == ["team-a", "team-b"]
    assert keys.store.reload_if_changed()
    assert ask(world, keys, key).subject == "team-b"
    remove(keys.file, record.hash)
    assert keys.file.read_text() == f"# our keys\n\n{first}"
    assert os.stat(keys.file).st_mode & 0o777 == 0o600
    assert keys.store.reload_if_changed()
    assert ask(world, keys, key).code == "api-key-invalid"
    assert [file.name for file in keys.file.parent.iterdir()] == ["keys.jsonl"]
