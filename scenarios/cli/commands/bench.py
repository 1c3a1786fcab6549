"""The command `bench`, put on the command's app. Everything heavy is imported inside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scenarios.cli.reporting import reporting

if TYPE_CHECKING:
    from hw import Problem

_What = Annotated[str, typer.Argument(help="What is measured: gpu, the GPU that PyTorch finds here.")]
_Out = Annotated[Path, typer.Option("--out", "-o", help="The CSV that is written.")]
_Suites = Annotated[
    str | None, typer.Option("--suite", metavar="NAME,...", help="Only these suites (default: all that there are).")
]
_Budget = Annotated[float, typer.Option("--budget", help="Seconds after which what is left is left out.")]
_Dry = Annotated[bool, typer.Option("--dry-run", help="Go through the programs in small, on a CPU: no measurement.")]


def bench(
    what: _What, out: _Out = Path("rows.csv"), suite: _Suites = None, budget: _Budget = 600.0, dry_run: _Dry = False
) -> None:
    """Measure the GPU of this machine with PyTorch. Made are rows for `calibrate` and `validate`."""
    with reporting():
        from functools import partial

        from hw import Mark, Problem
        from hw.input import unknown
        from scenarios.bench import SUITES, bench_of, measured, rows_text
        from scenarios.cli.together import together
        from scenarios.console.outputs import check_places, promised
        from scenarios.console.terminal import tell

        wanted = [name.strip() for name in (suite or ",".join(SUITES)).split(",")]
        problems = [Problem(Mark("--suite"), unknown("suite", name, SUITES)) for name in wanted if name not in SUITES]
        if what != "gpu":
            problems.append(Problem(Mark("bench"), unknown("device", what, ["gpu"])))
        together(partial(_refuse, problems), partial(check_places, out))
        with promised(out):
            device = bench_of(dry_run, budget)
            measured(wanted, device, tell)
            for each in device.left_out:
                tell(f"left out: {each}")
            out.write_text(rows_text(device), encoding="utf-8")
        tell(f"wrote {len(device.rows)} rows to {out}")


def register(app: typer.Typer) -> None:
    """Add the command to the command's app."""
    app.command()(bench)


def _refuse(problems: list[Problem]) -> None:
    """Raises SpecError with problems, if there are any."""
    from hw import SpecError

    if problems:
        raise SpecError(problems)
