"""The policy file: text, environment, secrets, and messages that name file, line and remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixfold.policy import Loaded, PolicyError, load, load_text
from sixfold.policy.document import Document

DATA = Path(__file__).parent / "data"
SECRET = "correct-horse-battery-staple-and-more"


def text(source: str, environ: dict[str, str] | None = None, **more: Any) -> Loaded:
    return load_text(source, file="sixfold.toml", environ=environ, **more)


def problems(source: str, environ: dict[str, str] | None = None, **more: Any) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        text(source, environ, **more)
    return str(caught.value).splitlines()


def test_an_empty_file_is_the_default_policy() -> None:
    assert text("").document == Document()
    assert text("", yaml=True).document == Document()


def test_the_common_file_is_read() -> None:
    """CFG-01: a file of about fifteen lines."""
    loaded = load(DATA / "orders.toml", environ={})
    assert loaded.document.gateway.openapi == "orders.yaml"
    assert loaded.lines["routes.0.match"] == 29
    assert loaded.file.endswith("orders.toml")
    assert loaded.folder == str(DATA)


def test_yaml_is_the_same_tree() -> None:
    """CFG-01: the same tree as YAML is accepted."""
    assert load(DATA / "orders.twin.yaml", environ={}).document == load(DATA / "orders.toml", environ={}).document


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (
            "[gateway]\n\ntrusted_proxy = []",
            "3: gateway.trusted_proxy: unknown key; did you mean `trusted_proxies`?",
        ),
        ("[gatway]", "1: gatway: unknown key; did you mean `gateway`?"),
        ('listen = "x"', "1: listen: unknown key; it belongs into `[gateway]`"),
        ('[validation]\nopenapi = "x"', "2: validation.openapi: unknown key; it belongs into `[gateway]`"),
        (
            '[gateway]\nmode = "enforced"',
            '2: gateway.mode: expected "enforce", "shadow" or "off", found text; did you mean `enforce`?',
        ),
        ("[validation]\nstatus = 401", "2: validation.status: expected 400 or 422, found a whole number"),
        ('[gateway]\nhosts = ["a", 3]', "2: gateway.hosts.1: expected text, found a whole number"),
        ('[gateway]\nhosts = [\n"a",\n3]', "4: gateway.hosts.1: expected text, found a whole number"),
        ("[gateway]\nmax_headers = 2", "2: gateway.max_headers: expected at least 8, found a whole number"),
        (
            '[gateway]\nmax_body = "much"',
            '2: gateway.max_body: not a size; write "64 kB", "1 MiB" or a number of bytes',
        ),
        (
            "[gateway]\ntrusted_proxies = 1979-05-27",
            '2: gateway.trusted_proxies: expected "private", a whole number or a list, found a date or time',
        ),
        (
            '[[routes]]\nmatch = "GET /"\n[[routes]]\nrequire = 3\nmatch = "GET /a"',
            "4: routes.1.require: expected text, a list or a table, found a whole number",
        ),
        (
            '[[routes]]\nmatch = "GET /"\nlimit = { rat = "1/s", rate = "1/s" }',
            "3: routes.0.limit.rat: unknown key; did you mean `rate`?",
        ),
        ("[[routes]]\ncost = 1", "1: routes.0.match: required, but not there"),
        (
            '[[routes]]\nmatch = "GET /"\npublic = true\ndeny = true',
            "1: routes.0: `public` and `deny` contradict each other; keep one",
        ),
        (
            '[encryption]\nmode = "tls"',
            '1: encryption: mode "tls" needs `certificate = { file = "cert.pem", key = "key.pem" }`',
        ),
        (
            '[encryption]\ncertificate = { file = "x" }',
            "2: encryption.certificate.key: required, but not there",
        ),
        (
            '[[expect]]\nas = { role = ["x"] }\nrequest = "GET /"\nresult = 200',
            "2: expect.0.as.role: unknown key; did you mean `roles`?",
        ),
        ("[a\n", "1: not TOML: "),
    ],
)
def test_an_error_names_line_key_and_remedy(source: str, line: str) -> None:
    """CFG-05, CLI-06: file, line, what was found, what is allowed, did you mean."""
    found = problems(source)
    assert len(found) == 1
    assert found[0].startswith(f"sixfold.toml:{line}")


def test_all_errors_are_told_at_once() -> None:
    found = problems("[gateway]\nlistn = 1\nmode = 1\n[[routes]]\ncost = 0\n")
    assert [line.split(": ")[1] for line in found] == [
        "gateway.listn",
        "gateway.mode",
        "routes.0.match",
        "routes.0.cost",
    ]


@settings(deadline=None)
@given(
    st.recursive(
        st.integers(0, 9) | st.booleans() | st.just(SECRET) | st.floats(allow_nan=False),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(
                    ["gateway", "mode", "issuers", "secret", "routes", "match", "limit", "set", "certificate"]
                ),
                inner,
                max_size=3,
            )
        ),
        max_leaves=8,
    )
)
def test_no_message_holds_a_value(value: Any) -> None:
    """EXP-03: pointer, expected, type found; never the offending value."""
    source = orjson.dumps({"authentication": value, "gateway": value, "routes": [value]}).decode()
    told = ""
    try:
        text(source, yaml=True)
    except PolicyError as error:
        told = str(error)
    assert SECRET not in told


@pytest.mark.parametrize(
    ("written", "environ", "value"),
    [
        ("http://${HOST}:80", {"HOST": "h"}, "http://h:80"),
        ("${HOST:-fallback}", {}, "fallback"),
        ("${HOST:-fallback}", {"HOST": ""}, "fallback"),
        ("${HOST:-}x", {}, "x"),
        ("$${HOST}", {"HOST": "h"}, "${HOST}"),
        ("$HOST $", {"HOST": "h"}, "$HOST $"),
        ("${HOST}", {"HOST": "${OTHER}"}, "${OTHER}"),
    ],
)
def test_variables(written: str, environ: dict[str, str], value: str) -> None:
    """CFG-03: `${ENV}` and `${ENV:-default}`, replaced once."""
    assert text(f'[gateway]\nupstream = "{written}"', environ).document.gateway.upstream == value


@pytest.mark.parametrize("written", ["${HOST}", "${}", "${a b}", "${HOST"])
def test_a_variable_that_is_missing_is_an_error(written: str) -> None:
    """CFG-03: nothing is replaced by silence."""
    (line,) = problems(f'[gateway]\n\nupstream = "{written}"')
    assert line.startswith("sixfold.toml:3: gateway.upstream: ")


@pytest.mark.parametrize(
    ("name", "value", "key", "expected"),
    [
        ("GATEWAY__LISTEN", "0.0.0.0:1", ("gateway", "listen"), "0.0.0.0:1"),
        ("GATEWAY__MAX_BODY", "2 kB", ("gateway", "max_body"), 2000),
        ("GATEWAY__MAX_HEADERS", "50", ("gateway", "max_headers"), 50),
        ("GATEWAY__TRUSTED_PROXIES", "2", ("gateway", "trusted_proxies"), 2),
        ("GATEWAY__TRUSTED_PROXIES", "private", ("gateway", "trusted_proxies"), "private"),
        ("GATEWAY__TRUSTED_PROXIES", '["10.0.0.0/8"]', ("gateway", "trusted_proxies"), ["10.0.0.0/8"]),
        ("ENCRYPTION__HSTS", "false", ("encryption", "hsts"), False),
        ("AUTHENTICATION__AUDIENCE", "12", ("authentication", "audience"), "12"),
        ("AUTHORIZATION__ROLES__ADMIN", '["x"]', ("authorization", "roles"), {"admin": ["x"]}),
        ("GATEWAY__SECURITY_HEADERS", "false", ("gateway", "security_headers"), False),
    ],
)
def test_every_key_can_come_from_the_environment(name: str, value: str, key: tuple[str, str], expected: Any) -> None:
    """CFG-03: `SIXFOLD_SECTION__KEY` wins over the file."""
    loaded = text('[gateway]\nlisten = "file"', {f"SIXFOLD_{name}": value, "SIXFOLD_CONFIG": "not ours", "PATH": "x"})
    assert getattr(getattr(loaded.document, key[0]), key[1]) == expected
    assert list(loaded.origins.values()) == [f"SIXFOLD_{name}"]


def test_an_item_of_a_list_can_come_from_the_environment() -> None:
    source = '[[authentication.issuers]]\nissuer = "https://a"\n'
    loaded = text(source, {"SIXFOLD_AUTHENTICATION__ISSUERS__0__SECRET": SECRET})
    assert loaded.document.authentication.issuers[0].secret == SECRET
    assert loaded.findings == ()
    (line,) = problems(source, {"SIXFOLD_AUTHENTICATION__ISSUERS__7__SECRET": SECRET})
    assert "there is no item `7`" in line


@pytest.mark.parametrize(
    ("name", "value", "rest"),
    [
        ("SIXFOLD_GATEWAY__LISTN", "x", "gateway.listn: unknown key; did you mean `listen`?"),
        ("SIXFOLD_GATEWAY__MAX_HEADERS", "many", "gateway.max_headers: expected a whole number, found text"),
        ("SIXFOLD_GATWAY__LISTEN", "x", "gatway: unknown key; did you mean `gateway`?"),
    ],
)
def test_an_error_names_the_variable_that_brought_the_value(name: str, value: str, rest: str) -> None:
    """CFG-03: where a value came from can be said."""
    assert problems("", {name: value}) == [f"environment variable {name}: {rest}"]


ISSUER = '[[authentication.issuers]]\nissuer = "https://a"\n'


def test_secrets_come_from_a_file_or_a_variable(tmp_path: Path) -> None:
    """CFG-04: `{ file = ... }` and `{ env = ... }` wherever text, and no table, may stand."""
    (tmp_path / "secret").write_text(SECRET + "\n")
    for written, environ in (
        ('{ file = "secret" }', {}),
        ('{ file = "${NAME}" }', {"NAME": "secret"}),
        ('{ env = "X" }', {"X": SECRET}),
    ):
        loaded = text(f"{ISSUER}secret = {written}", environ, folder=tmp_path)
        assert loaded.document.authentication.issuers[0].secret == SECRET
        assert loaded.findings == ()
    source = '[gateway.request_headers.set]\nx-key = { env = "X" }\n[gateway]\nhosts = [{ env = "X" }]'
    gateway = text(source, {"X": "x"}).document.gateway
    assert (gateway.request_headers.set, gateway.hosts) == ({"x-key": "x"}, ["x"])


def test_what_really_has_a_file_keeps_it() -> None:
    """CFG-04: `encryption.certificate` and `authentication.api_keys` are tables, no references."""
    source = '[encryption]\ncertificate = { file = "c", key = "k" }\n'
    source += '[authentication]\napi_keys = { file = "keys" }'
    document = text(source).document
    assert document.authentication.api_keys is not None
    assert document.authentication.api_keys.file == "keys"
    assert document.encryption.certificate is not None
    assert document.encryption.certificate.key == "k"


@pytest.mark.parametrize(
    ("written", "word"),
    [
        ('{ file = "none" }', "`none` cannot be read: no such file"),
        ('{ file = "." }', "cannot be read: is a directory"),
        ('{ file = "binary" }', "not UTF-8"),
        ('{ file = "large" }', "larger than"),
        ('{ env = "NONE" }', "`NONE` is not set"),
        ('{ vault = "x" }', "expected text, found a table"),
        ('{ file = "a", env = "b" }', "expected text, found a table"),
        ("{ file = 1 }", "expected text, found a table"),
    ],
)
def test_a_secret_that_cannot_be_had_is_an_error(tmp_path: Path, written: str, word: str) -> None:
    """CFG-04: refused with file and line."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_bytes(b"x" * 70_000)
    (line,) = problems(f"{ISSUER}secret = {written}", folder=tmp_path)
    assert line.startswith("sixfold.toml:3: authentication.issuers.0.secret: ")
    assert word in line


@pytest.mark.parametrize(
    ("source", "key"),
    [
        (f'{ISSUER}secret = "{SECRET}"', "authentication.issuers.0.secret"),
        (f'[rate_limiting]\n\nstore = "redis://:{SECRET}@host/0"', "rate_limiting.store"),
        (f'[gateway]\n\nupstream = "http://me:{SECRET}@host"', "gateway.upstream"),
        (
            f'[gateway.request_headers.set]\n\nauthorization = "Basic {SECRET}"',
            "gateway.request_headers.set.authorization",
        ),
    ],
)
def test_a_literal_secret_is_a_finding(source: str, key: str) -> None:
    """CFG-04: a secret in the file itself is told, without the secret."""
    (finding,) = text(source).findings
    assert (finding.code, finding.rule.name, finding.rule.line) == ("literal-secret", key, 3)
    assert SECRET not in str(finding)


@pytest.mark.parametrize(
    "source",
    [
        '[rate_limiting]\nstore = "redis://host/0"',
        '[rate_limiting]\nstore = "redis://:${PW}@host/0"',
        '[gateway.request_headers.set]\nauthorization = "{claim:sub}"',
    ],
)
def test_what_is_no_literal_secret_is_no_finding(source: str) -> None:
    assert text(source, {"PW": SECRET}).findings == ()


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """CLI-06: no traceback; file and reason."""
    for name, content, message in (
        ("none.toml", None, "none.toml: cannot be read: no such file or directory"),
        ("latin.toml", b"a = 1\nb = '\xe9'", "latin.toml:2: not UTF-8 text"),
        ("list.yaml", b"- 1", "list.yaml:1: expected a table, found a list"),
        ("double.yaml", b"log: {}\nlog: {}", "double.yaml:2: the same key twice in one table"),
    ):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(PolicyError) as caught:
            load(tmp_path / name, environ={})
        assert str(caught.value).endswith(message)
