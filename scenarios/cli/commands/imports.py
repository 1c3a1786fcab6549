"""The command `import`, put on the command's app. Everything heavy is imported inside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Annotated

import typer

_Files = Annotated[
    list[Path], typer.Argument(help="Traces in JSON, one per rank: PyTorch, XProf, Ascend, Chrome; .gz too.")
]
_Network = Annotated[
    list[str] | None,
    typer.Option("--network", metavar="PATTERN", help="Names that are communication, too (a regular expression)."),
]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object in SI units on stdout, nothing else.")]
_Out = Annotated[Path | None, typer.Option("--out", help="A .csv or .parquet file for the timeline.")]


@contextmanager
def _written(out: Path | None) -> Iterator[None]:
    """A place for the timeline is found before any trace is read."""
    if out is None:
        yield
        return
    from analysis import check_table
    from scenarios.console.outputs import promised

    check_table(out)
    with promised(out):
        yield


def register(
    app: typer.Typer, reporting: Callable[[], AbstractContextManager[None]], print_json: Callable[[object], None]
) -> None:
    """Add the command. `reporting` turns the user's errors into messages and exit codes."""

    @app.command(name="import")
    def import_trace(files: _Files, network: _Network = None, json: _Json = False, out: _Out = None) -> None:
        """Read a measured trace, and show where its time went."""
        with reporting(), _written(out):
            from analysis import read_trace, write_table
            from scenarios.cli.show.trace import show_trace, trace_record
            from scenarios.console.terminal import tell

            timeline = read_trace(*files, network=network or ())
            for note in timeline.attrs["notes"]:
                tell(note)
            if numbered := timeline.attrs.get("numbered"):
                which = ", ".join(f"{path} is {' '.join(map(str, chips))}" for path, chips in numbered.items())
                tell(f"not every file speaks of one rank: chips are numbered in the order given: {which}")
            if json:
                print_json(trace_record(timeline))
            else:
                show_trace(timeline)
            if out is not None:
                write_table(timeline, out)
                tell(f"wrote {out}")
