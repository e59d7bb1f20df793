"""What all faces play on: a folder with policies, keys and certificates, and tokens minted for the callers of cases."""

from __future__ import annotations

import base64
import datetime
import json
import shutil
import time
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from sixfold.assembly import make_state
from sixfold.engine import Engine, State
from sixfold.layers.authentication import DevKeys, append, make_key
from sixfold.layers.encryption.local_ca import local_files
from sixfold.policy import Policy, compile_policy, load
from sixfold.proxy.tls import channel

from .book import BOOK, Call, Caller, Entry, Forged

DAY = 86_400 * 1_000_000


class Stage:
    """Policies compiled once, keys made once.

    Arguments:
        folder: an empty one.
        upstream: URL of the recording upstream.
    """

    def __init__(self, folder: Path, upstream: str) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.environ = {
            "SIXFOLD_GATEWAY__LISTEN": "127.0.0.1:0",
            "SIXFOLD_GATEWAY__ADMIN": "127.0.0.1:0",
            "SIXFOLD_GATEWAY__UPSTREAM": upstream,
        }
        shutil.copytree(BOOK / "policies", folder, dirs_exist_ok=True)
        self.keys = DevKeys.load_or_create(self.state / "dev")
        made = local_files(self.state / "tls", datetime.datetime.now(datetime.UTC))
        self.authority = made.authority
        shutil.copy(made.certificate, folder / "cert.pem")
        shutil.copy(made.key, folder / "key.pem")
        (folder / "jwks.json").write_bytes(self.keys.jwks())
        self.api_keys = self._make_api_keys(folder / "api-keys.jsonl")
        self._policies: dict[str, Policy] = {}

    def _make_api_keys(self, file: Path) -> dict[str, str]:
        now = time.time_ns() // 1000
        reader, record = make_key("sxk", owner="robin", now=now, name="reader", scopes=["orders:read"], lifetime=3600)
        append(file, record)
        robot, record = make_key(
            "sxk", owner="robot", now=now, client_id="factory", roles=["editor"], tenant="acme", lifetime=3600
        )
        append(file, record)
        expired, record = make_key("sxk", owner="robin", now=now - 2 * DAY, name="old", lifetime=86_400)
        append(file, record)
        revoked, _ = make_key("sxk", owner="robin", now=now)
        mistyped = reader[:-1] + ("0" if reader[-1] != "0" else "1")
        return {"reader": reader, "robot": robot, "expired": expired, "revoked": revoked, "mistyped": mistyped}

    # ------------------------------------------------------------------ policies

    def policy(self, entry: Entry) -> Policy:
        """Return the policy of a case, compiled."""
        text = entry.chapter.policy
        found = self._policies.get(text)
        if found is None:
            if "\n" in text:
                path = self.folder / f"{entry.layer}-{entry.file.stem}.toml"
                path.write_text(text, encoding="utf-8")
            else:
                path = self.folder / f"{text}.toml"
            found = self._policies[text] = compile_policy(load(path, environ=self.environ))
        return found

    def state_of(self, policy: Policy) -> State:
        """Return the state of a process that has just started."""
        return make_state(policy, self.state, hosts=channel(policy, self.state).hosts, signed=True)

    def engine(self, policy: Policy) -> Engine:
        """Return a fresh engine: nothing is counted yet."""
        return Engine(policy, self.state_of(policy))

    def speaks_tls(self, policy: Policy, call: Call) -> bool:
        """Return whether a call comes over TLS: as the case says, else as the listener speaks."""
        table = policy.document.encryption
        return call.tls if call.tls is not None else table.mode == "tls" or (table.mode == "dev" and table.tls)

    # ------------------------------------------------------------------ requests

    def headers(self, policy: Policy, call: Call) -> list[tuple[str, str]]:
        """Return the header section of a call, framing left out."""
        given = [
            (name, value)
            for name, values in call.headers.items()
            for value in ([values] if isinstance(values, str) else values)
        ]
        names = {name.lower() for name, _ in given}
        hosts = policy.document.gateway.hosts
        made = [] if "host" in names else [("Host", hosts[0] if hosts else "localhost")]
        if call.media_type and "content-type" not in names:
            made.append(("Content-Type", call.media_type))
        token = self._token(call)
        if token:
            made.append(("Authorization", f"Bearer {token}"))
        if call.api_key:
            made.append(("X-Api-Key", self.api_keys[call.api_key]))
        return made + given

    def _token(self, call: Call) -> str:
        if call.token is not None:
            return call.token
        if call.forged is not None:
            return self._forge(call.as_ or Caller(), call.forged)
        return self._mint(call.as_) if call.as_ is not None else ""

    def _mint(self, caller: Caller) -> str:
        claims = dict(caller.claims)
        if caller.tenant:
            claims["tenant"] = caller.tenant
        return self.keys.mint(
            caller.subject, scopes=caller.scopes, roles=caller.roles, audience=caller.audience,
            lifetime=caller.lifetime, now=time.time_ns() // 1000, claims=claims,
        )  # fmt: skip

    def _forge(self, caller: Caller, forged: Forged) -> str:
        header, claims = (_decoded(part) for part in self._mint(caller).split(".")[:2])
        header.update(forged.header)
        for name, value in forged.claims.items():
            relative = name in ("exp", "nbf", "iat") and type(value) is int
            claims[name] = int(time.time()) + value if relative else value
        for name in forged.without:
            header.pop(name, None)
            claims.pop(name, None)
        signed = f"{_encoded(header)}.{_encoded(claims)}"
        key = self._own if forged.key == "own" else ec.generate_private_key(ec.SECP256R1())
        r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    @cached_property
    def _own(self) -> ec.EllipticCurvePrivateKey:
        key = serialization.load_pem_private_key((self.state / "dev" / "es256.pem").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _encoded(value: dict[str, Any]) -> str:
    return _b64(json.dumps(value, separators=(",", ":")).encode())


def _decoded(part: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return value
