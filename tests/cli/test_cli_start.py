"""How commands start, and how their pages look."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from sixfold import __version__
from sixfold.cli import COMMANDS

HEAVY = ("pydantic", "cryptography", "uvloop", "starlette", "uvicorn", "jsonschema_rs", "httpx2", "sixfold.engine")


def modules_after(*arguments: str) -> set[str]:
    code = (
        "import json, sys\n"
        "from sixfold.cli import main\n"
        f"assert main({list(arguments)!r}) == 0\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_the_start_is_light(argument: str) -> None:
    """CLI-01: neither the version nor the first page loads an engine, or what parses command lines."""
    assert modules_after(argument) & {*HEAVY, "cyclopts", "rich"} == set()


@pytest.mark.parametrize("command", ["protect", "check", "explain"])
def test_a_page_of_help_is_light(command: str) -> None:
    """CLI-01: a command's page loads no engine either."""
    loaded = modules_after(command, "--help")
    assert loaded & {"uvloop", "starlette", "uvicorn", "jsonschema_rs", "httpx2", "sixfold.engine"} == set()


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "sixfold", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"sixfold {__version__}\n", "")


@pytest.mark.parametrize("arguments", [["--version"], ["-V"], ["check", "--version"]])
def test_the_version_reads_alike_everywhere(arguments: list[str], sixfold: Callable[..., Any]) -> None:
    assert sixfold(*arguments).out == f"sixfold {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_the_first_page_names_every_command(arguments: list[str], sixfold: Callable[..., Any]) -> None:
    """CLI-02: help was asked for, so it is a result."""
    done = sixfold(*arguments)
    assert (done.code, done.err) == (0, "")
    for name, words in COMMANDS.items():
        assert f"  {name}  " in done.out
        assert words in done.out


def pages() -> list[list[str]]:
    return [[name] for name in COMMANDS] + [["api-keys", name] for name in ("add", "list", "revoke")]


def function(words: list[str]) -> Any:
    from sixfold.cli.app import app

    found: Any = app
    for word in words:
        found = found[word]
    return found.default_command


@pytest.mark.parametrize("words", pages(), ids=" ".join)
def test_each_page_says_what_the_command_and_its_options_are(words: list[str], sixfold: Callable[..., Any]) -> None:
    """FIRST-03: usage, purpose, and no option without words."""
    done = sixfold(*words, "--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"Usage: sixfold {' '.join(words)}")
    command = function(words)
    if command is None:
        return
    for name, parameter in inspect.signature(command).parameters.items():
        plain = name.rstrip("_").replace("_", "-")
        label = f"--{plain}" if parameter.kind is parameter.KEYWORD_ONLY else plain.upper()
        line = next(one for one in done.out.splitlines() if one.strip().startswith(label))
        assert len(line.split("  ")[-1]) > 3, f"{label} is not described"
    assert "--no-" not in done.out
    assert all(len(line) <= 100 for line in done.out.splitlines())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_first_page_and_the_commands_own_page_say_the_same(name: str) -> None:
    if name == "api-keys":
        from sixfold.cli.api_keys import app

        assert app.help == COMMANDS[name]
        return
    assert inspect.getdoc(function([name])).splitlines()[0] == COMMANDS[name]  # type: ignore[union-attr]


def test_help_goes_into_a_pipe_that_closes_early() -> None:
    for arguments in (["--help"], ["protect", "--help"]):
        command = [sys.executable, "-m", "sixfold", *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            assert process.stderr.read() == b""
        assert process.returncode == 0


@pytest.mark.parametrize(
    ("called", "environment", "name"),
    [
        ("/nowhere/bin/sixfold", {}, "/nowhere/bin/sixfold"),
        ("/no where/bin/sixfold", {}, "'/no where/bin/sixfold'"),
        ("sixfold", {}, "sixfold"),
        ("/cache/uv/x/bin/sixfold", {"UV": "/usr/bin/uv", "_": "/usr/bin/uvx"}, "uvx sixfold"),
        ("/src/sixfold/__main__.py", {}, f"{sys.executable} -m sixfold"),
    ],
)
def test_printed_commands_are_called_as_this_one_was(
    called: str, environment: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CLI-07"""
    from sixfold.cli.talk import command_name

    monkeypatch.delenv("UV", raising=False)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(sys, "argv", [called])
    assert command_name() == name


def test_what_is_on_the_path_is_called_by_its_name(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """CLI-07"""
    from sixfold.cli.talk import command_name

    script = tmp_path / "sixfold"
    script.touch(0o755)
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [str(script)])
    assert command_name() == "sixfold"
    monkeypatch.setenv("PATH", "/")
    assert command_name() == str(script)


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """CLI-02"""
    from sixfold.cli.talk import paint

    class Terminal:
        def isatty(self) -> bool:
            return True

    terminal: Any = Terminal()
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert paint("x", "red", stream=terminal) == "\x1b[31mx\x1b[0m"
    monkeypatch.setenv("TERM", "dumb")
    assert paint("x", "red", stream=terminal) == "x"
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert paint("x", "red", stream=terminal) == "x"


def test_a_terminal_without_utf_8_is_no_reason_to_fail() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from sixfold.cli import main; sys.exit(main(['explain', '\\u00e9 x y z']))",
        ],
        capture_output=True,
        check=False,
        env={"PYTHONIOENCODING": "ascii", "PATH": "/"},
    )
    assert done.returncode == 2
    assert b"\\xe9" in done.stderr
