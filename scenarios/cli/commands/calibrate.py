"""The command `calibrate`, put on the command's app. Everything heavy is imported inside it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scenarios.cli.reporting import reporting

if TYPE_CHECKING:
    from hw import Chip
    from hw.chips import KernelTimes

_File = Annotated[str, typer.Argument(help="A CSV of measured operators (docs/accuracy.md has its columns).")]
_Chip = Annotated[str, typer.Option("--chip", help="The chip that they were measured on, by name or file.")]
_Start = Annotated[str, typer.Option("--start", help="The architecture whose kernels the fit begins with.")]
_Out = Annotated[Path | None, typer.Option("--out", "-o", help="Write the block to this file, not to stdout.")]


def calibrate(file: _File, chip: _Chip, start: _Start = "hopper", out: _Out = None) -> None:
    """Find how long a chip's kernels take, in timings of operators. Made are a block for its file, and residuals."""
    with reporting():
        from hw import Mark, Problem, SpecError, load_chip
        from hw.chips import architecture_on
        from scenarios.calibration import block_text
        from scenarios.calibration import calibrate as found
        from scenarios.cli.show.errors import show_stages
        from scenarios.cli.together import together
        from scenarios.console.outputs import check_places, promised
        from scenarios.validation import read_rows

        def begun() -> tuple[Chip, KernelTimes]:
            of = load_chip(chip)
            try:
                return of, architecture_on(start, of)
            except ValueError as error:
                raise SpecError([Problem(Mark("--start"), str(error))]) from None

        written = (out,) if out is not None else ()
        (of, base), rows, _ = together(begun, partial(read_rows, Path(file)), partial(check_places, *written))
        with promised(*written):
            made = found(rows, of, base, f"overlapse calibrate {Path(file).name}")
            show_stages(made, start)
            text = block_text(made.times)
            if out is None:
                typer.echo(text, nl=False)
            else:
                out.write_text(f"# made by overlapse calibrate\n{text}", encoding="utf-8")


def register(app: typer.Typer) -> None:
    """Add the command to the command's app."""
    app.command()(calibrate)
