"""Arguments that commands share."""

from __future__ import annotations

from typing import Annotated

import typer

File = Annotated[str, typer.Argument(help="A scenario file, library:NAME for a bundled one, or - for standard input.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override a value: a.b=v (repeatable).")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object in SI units on stdout, nothing else.")]
