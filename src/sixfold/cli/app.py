"""Puts the commands together and turns what goes wrong into words and exit codes."""

from __future__ import annotations

import io
import sys

from cyclopts import App, Group, Parameter

from sixfold import __version__
from sixfold.cli import COMMANDS
from sixfold.cli.layout import Layout
from sixfold.cli.talk import BUG, INTERRUPTED, INVALID, UNREACHABLE, USAGE, Stop, command_name, mute, printable, say

app = App(
    name="sixfold",
    version=f"sixfold {__version__}",
    help="One policy, six layers: protect an HTTP API.",
    help_format="plaintext",
    help_formatter=Layout(),
    group_parameters=Group("Options"),
    default_parameter=Parameter(negative=(), show_default=lambda value: value or None),
)
for _name in COMMANDS:
    _module = _name.replace("-", "_")
    app.command(f"sixfold.cli.{_module}:{'app' if _name == 'api-keys' else _module}", name=_name)


def run(arguments: list[str]) -> int:
    """Run a command line; returns the exit code (CLI-08)."""
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 is no reason to fail
    try:
        result = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        if sys.stdout is not None:
            sys.stdout.flush()
    except Stop as stop:
        say(printable(str(stop)))
        return stop.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        mute(sys.stdout)
        return 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else USAGE
    except Exception as problem:
        if debug:
            raise
        return _tell(problem, arguments)
    return result if isinstance(result, int) else 0


def _tell(problem: Exception, arguments: list[str]) -> int:
    from cyclopts import CycloptsError

    from sixfold.policy.errors import PolicyError

    if isinstance(problem, CycloptsError):
        say(_usage(problem, arguments))
        return USAGE
    if isinstance(problem, PolicyError):
        for line in str(problem).splitlines():
            say(printable(line))
        if arguments[0] in ("serve", "demo"):
            say(f"nothing was started: mend the policy, then run `{command_name()} check`")
        elif arguments[0] == "protect":
            say("nothing was started")
        return INVALID
    if isinstance(problem, OSError):
        say(f"{problem.strerror or problem}{f': {problem.filename}' if problem.filename else ''}")
        return UNREACHABLE
    say(f"a bug in sixfold ({type(problem).__name__}); run it again with --debug for the trace, and please report it")
    return BUG


def _usage(problem: Exception, arguments: list[str]) -> str:
    """Return a wrong command line in one line, with the page that says how it is right."""
    from cyclopts.exceptions import UnusedCliTokensError

    known = [name for name in arguments[:1] if name in COMMANDS]
    text = " ".join(str(problem).split()).partition(" Available commands:")[0]
    if isinstance(problem, UnusedCliTokensError):
        text = f"`{' '.join(['sixfold', *known])}` takes no argument `{(problem.unused_tokens or ['?'])[0]}`."
    return f"{text} See `{' '.join([command_name(), *known])} --help`"
