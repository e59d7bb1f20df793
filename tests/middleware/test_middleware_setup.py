from __future__ import annotations

import subprocess
import sys

import pytest

from sixfold.middleware.setup import Setup, local_only, multiplied, siblings
from sixfold.policy import PolicyError, compile_policy, load_text


def test_nothing_configured():
    """FIRST-06: without a configuration nothing starts, and the message says what to do."""
    with pytest.raises(PolicyError, match="dev=True"):
        Setup(None, {}).loaded()


def test_file_in_the_working_directory(policy_file):
    """API-01: `sixfold.toml` in the working directory is read."""
    policy_file()
    assert Setup(None, {}).loaded().document.authentication.issuer == "dev"


def test_order_of_sources(policy_file, tmp_path):
    """CFG-03: an argument wins over `$SIXFOLD_CONFIG`, that over the working directory; variables win over the file."""
    policy_file()
    for name in ("given", "named"):
        (tmp_path / f"{name}.toml").write_text(f'[authentication]\nissuer = "dev"\naudience = "{name}"\n')
    environ = {"SIXFOLD_CONFIG": str(tmp_path / "named.toml")}

    def audience(config: object, environ: dict[str, str]) -> object:
        return Setup(config, environ).loaded().document.authentication.audience  # type: ignore[arg-type]

    assert audience(None, {}) is None
    assert audience(None, environ) == "named"
    assert audience(tmp_path / "given.toml", environ) == "given"
    assert audience(str(tmp_path / "given.toml"), {"SIXFOLD_AUTHENTICATION__AUDIENCE": "variable"}) == "variable"


def test_variables_alone():
    """CFG-03: variables alone are a configuration, if they say who may sign in."""
    environ = {"SIXFOLD_AUTHENTICATION__ISSUER": "dev", "SIXFOLD_AUTHORIZATION__DEFAULT": "authenticated"}
    document = Setup(None, environ).loaded().document
    assert (document.authentication.issuer, document.authorization.default) == ("dev", "authenticated")
    with pytest.raises(PolicyError, match="nobody could call"):
        Setup(None, {"SIXFOLD_AUTHORIZATION__DEFAULT": "authenticated"}).loaded()


def test_missing_file(tmp_path):
    """FIRST-06: a file that was named must be there, `dev` or not."""
    for dev in (False, True):
        with pytest.raises(PolicyError, match="cannot be read"):
            Setup(tmp_path / "nowhere.toml", {}, dev=dev).loaded()


def test_developer_policy(policy_file):
    """FIRST-06: `dev=True` brings developer keys, closed by default; a file's own way to sign in is left alone."""
    document = Setup(None, {}, dev=True).loaded().document
    assert (document.authentication.issuer, document.authorization.default) == ("dev", "deny")
    path = policy_file(whole='[authorization]\ndefault = "authenticated"\n')
    document = Setup(path, {}, dev=True).loaded().document
    assert (document.authentication.issuer, document.authorization.default) == ("dev", "authenticated")
    foreign = (
        '[[authentication.issuers]]\nissuer = "https://i.example"\njwks = "https://i.example/jwks"\naudience = "a"\n'
    )
    assert Setup(policy_file(whole=foreign), {}, dev=True).loaded().document.authentication.issuer is None


def test_files_to_watch(policy_file, tmp_path):
    """RLD-01: the policy file, its OpenAPI documents and its key files decide."""
    text = """
[gateway]
openapi = ["a.yaml", "b.yaml"]
[[authentication.issuers]]
issuer = "https://i.example"
jwks = "keys.json"
audience = "x"
[[authentication.issuers]]
issuer = "https://j.example"
jwks = "https://j.example/jwks"
audience = "x"
"""
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(f'openapi: 3.1.0\ninfo: {{title: {name}, version: "1"}}\npaths: {{}}\n')
    setup = Setup(policy_file(whole=text), {})
    names = [path.name for path in setup.files(compile_policy(setup.loaded()))]
    assert names == ["sixfold.toml", "a.yaml", "b.yaml", "keys.json"]


@pytest.mark.parametrize(
    ("environ", "arguments", "number"),
    [
        ({}, ["app"], 1),
        ({"WEB_CONCURRENCY": "4"}, ["app"], 4),
        ({"WEB_CONCURRENCY": "many"}, ["app"], 1),
        ({}, ["uvicorn", "app:app", "--workers", "3"], 3),
        ({"WEB_CONCURRENCY": "4"}, ["uvicorn", "app:app", "--workers=2"], 2),
        ({}, ["gunicorn", "-w", "8"], 8),
        ({}, ["gunicorn", "-w"], 1),
    ],
)
def test_siblings(environ, arguments, number):
    """UX-02: how many workers there are, as far as it can be seen."""
    assert siblings(environ, arguments) == number


@pytest.mark.parametrize(
    ("text", "workers", "warning"),
    [
        ('[rate_limiting]\ndefault = "60/minute"\n', 4, "4 x `60/minute`"),
        ('[rate_limiting]\ndefault = { rate = "60/minute" }\n', 4, "4 x `60/minute`"),
        ('[rate_limiting]\ndefault = "60/minute"\n', 1, ""),
        ('[rate_limiting]\ndefault = "60/minute"\nmode = "off"\n', 4, ""),
        ("", 4, ""),
        ('[[routes]]\nmatch = "GET /x"\npublic = true\nlimit = "5/second"\n', 2, "2 x `5/second`"),
    ],
)
def test_multiplied_limits(text, workers, warning):
    """UX-02: the warning names the factor, and comes only where a limit is counted in memory."""
    found = multiplied(compile_policy(load_text(text)), workers)
    assert (warning in found) if warning else found == ""


def test_warning_at_start(policy_file, monkeypatch, caplog, call):
    """UX-02: several workers with a memory store are warned about at start, with the factor."""
    import asyncio

    from sixfold.middleware.asgi import SixfoldMiddleware

    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    monkeypatch.setattr(sys, "argv", ["app"])
    asyncio.run(call(SixfoldMiddleware(None, policy_file()), path="/x"))  # type: ignore[arg-type]
    assert "up to 4 x `1000/minute per client`" in caplog.text


BEHIND = '[encryption]\nmode = "behind-proxy"\n[gateway]\ntrusted_proxies = "private"\n'


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("", True),
        (BEHIND, False),
        (BEHIND + '[authentication]\nissuer = "dev"\n', True),
    ],
)
def test_local_only(text, local):
    """FIRST-05: plain HTTP and developer keys are for this machine."""
    assert local_only(compile_policy(load_text(text))) is local


def test_import_budget():
    """API-09: an application that embeds us loads neither proxy nor server nor command line nor stores it lacks."""
    code = (
        "import sys, sixfold.middleware.fastapi, sixfold.middleware.starlette, sixfold.middleware.asgi\n"
        "print(*[name for name in sys.modules])"
    )
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    unwanted = ("sixfold.proxy", "sixfold.cli", "sixfold.issuer", "sixfold.console")
    foreign = {
        "uvicorn",
        "cyclopts",
        "rich",
        "uvloop",
        "httptools",
        "redis",
        "sqlalchemy",
        "textual",
        "pytest",
        "tomlkit",
    }
    assert not [name for name in loaded if name.startswith(unwanted)]
    assert not foreign & loaded


def test_light_root():
    """API-09: `import sixfold` loads nothing of it; `acting_as` comes when it is used."""
    code = "import sys, sixfold; print(*[name for name in sys.modules if name.startswith('sixfold')])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == ["sixfold"]
