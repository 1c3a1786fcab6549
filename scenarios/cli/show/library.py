"""What `overlapse library` prints: scenarios by theme, each with its first sentence; or the text of one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.text import Text

from scenarios.console.terminal import console as terminal
from scenarios.console.terminal import print_rows, print_whole
from scenarios.shelf import Shelved, library_file


def show_library(found: Sequence[Shelved]) -> None:
    """Scenarios that are sorted by theme, under each other."""
    console = terminal()
    for theme, scenarios in groupby(found, key=lambda each: each.theme):
        print_whole(console, Text(theme, style="bold"))
        print_rows(console, [(f"  library:{each.name}", each.headline) for each in scenarios], ("", "dim"))


def print_scenario(names: Sequence[str]) -> None:
    """The text of one scenario, as it stands in its file."""
    print(library_file(names).read_text("utf-8"), end="")
