"""How help looks: plain text in aligned columns, in the width of the terminal."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions

_WIDEST = 100  # characters; longer lines are hard to read


class Layout:
    """Prints the parts of a help page; Cyclopts calls it."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Print one table: commands, arguments or options."""
        rows = [(_label(entry), _words(entry)) for entry in panel.entries]
        if not rows:
            return
        width = max(len(label) for label, _ in rows) + 4
        print(f"{panel.title}:")
        for label, words in rows:
            lines = textwrap.wrap(words, max(min(console.width, _WIDEST) - width, 24)) or [""]
            print(f"  {label}".ljust(width) + lines[0])
            for line in lines[1:]:
                print(" " * width + line)
        print()

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        """Print the first line."""
        if usage:
            print(f"Usage: {_text(usage).strip()}\n")

    def render_description(self, console: Console, options: ConsoleOptions, description: Any) -> None:
        """Print what the command does, one paragraph after the other."""
        for paragraph in filter(None, _text(description).split("\n\n")):
            print(textwrap.fill(" ".join(paragraph.split()), min(console.width, _WIDEST)) + "\n")


def _label(entry: HelpEntry) -> str:
    return ", ".join(entry.display_labels_with_metavar)


def _words(entry: HelpEntry) -> str:
    words = " ".join(_text(entry.description).split())
    if entry.choices:
        words += f" [{' | '.join(entry.choices)}]"
    return f"{words} [default: {entry.default}]" if entry.default else words


def _text(value: Any) -> str:
    """Return the text of what Cyclopts wraps for rich."""
    value = getattr(value, "primary_renderable", value)
    return str(getattr(value, "plain", value) or "")
