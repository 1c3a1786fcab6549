"""The command `import`, put on the command's app. Everything heavy is imported inside it.

A trace is shown where no scenario is asked for; everything else, and a trace with `--out replay.yaml`, becomes a scenario.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scenarios.cli.options import Json
from scenarios.cli.reporting import print_json, reporting

if TYPE_CHECKING:
    from scenarios.importers import ImportOptions

_Files = Annotated[
    list[Path],
    typer.Argument(help="Traces, one per rank (PyTorch, XProf, Ascend, Chrome; .gz too), or a graph of another tool."),
]
_Network = Annotated[
    list[str] | None,
    typer.Option("--network", metavar="PATTERN", help="Names that are communication, too (a regular expression)."),
]
_Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="A .yaml file for the scenario, or a .csv or .parquet for a trace's timeline."),
]
_As = Annotated[str | None, typer.Option("--as", metavar="FORMAT", help="The format, where it is not to be found out.")]
_Chip = Annotated[str | None, typer.Option("--chip", help="The chip of the scenario (of the catalogue).")]
_Unknown = Annotated[
    str, typer.Option("--unknown", help="Ops without a rule: refuse (nothing runs), or bytes (priced by these).")
]
_Dim = Annotated[list[str] | None, typer.Option("--dim", help="A size that a graph leaves open: batch=8 (repeatable).")]
_Step = Annotated[str | None, typer.Option("--step", help="Replay what was launched in this range: ProfilerStep#3.")]
_Faster = Annotated[
    list[str] | None,
    typer.Option("--faster", metavar="PATTERN=N", help="Replay kernels with this in their names N times as fast."),
]
_Buckets = Annotated[
    str | None, typer.Option("--buckets", metavar="SIZE", help="Join a replay's collectives of gradients: 100MB.")
]
_Overlap = Annotated[
    list[str] | None,
    typer.Option("--overlap", metavar="PATTERN", help="Replay kernels with this in their names beside all others."),
]
_Onto = Annotated[str | None, typer.Option("--onto", metavar="CHIP", help="Scale what was measured to another chip.")]
_Collectives = Annotated[
    str, typer.Option("--collectives", help="Of a replay: measured, or modelled on the links of the system.")
]
_Launches = Annotated[
    bool, typer.Option(help="Whether the host issues kernels in a replay; none as in a captured graph.")
]


_AS_MEASURED = {
    **dict.fromkeys(("step", "faster", "buckets", "overlap", "onto")),
    "collectives": "measured",
    "launches": True,
}
"""What is asked of a trace that is replayed as it is."""


@contextmanager
def _written(out: Path | None) -> Iterator[None]:
    """A place for what is made is found before any file is read."""
    if out is None:
        yield
        return
    from analysis import check_table
    from scenarios.console.outputs import promised

    if out.suffix != SCENARIO:
        check_table(out)
    with promised(out):
        yield


SCENARIO = ".yaml"


def import_command(  # noqa: PLR0913  # an option each
    files: _Files,
    network: _Network = None,
    json: Json = False,
    out: _Out = None,
    as_: _As = None,
    chip: _Chip = None,
    unknown: _Unknown = "refuse",
    dim: _Dim = None,
    step: _Step = None,
    faster: _Faster = None,
    collectives: _Collectives = "measured",
    launches: _Launches = True,
    buckets: _Buckets = None,
    overlap: _Overlap = None,
    onto: _Onto = None,
) -> None:
    """Where the time of a trace went, or a scenario of a graph."""
    asked = {"step": step, "faster": faster, "collectives": collectives, "launches": launches}
    asked |= {"buckets": buckets, "overlap": overlap, "onto": onto}
    with reporting(), _written(out):
        changed = asked != _AS_MEASURED
        if not changed and _is_shown(files, as_, out):
            _check_shown({"--chip": chip, "--unknown": unknown != "refuse", "--dim": dim})
            _show(files, network or (), out, print_json if json else None)
            return
        _check_made(network or ())
        options = _options(asked, chip, unknown, dim or ())
        _make(files, as_, options, out, print_json if json else None)


def register(app: typer.Typer) -> None:
    """Add the command to the command's app."""
    app.command(name="import")(import_command)


def _is_shown(files: Sequence[Path], as_: str | None, out: Path | None) -> bool:
    """Whether files are traces (or nothing known) of which no scenario is asked for."""
    from hw.input import is_file

    if as_ is not None or (out is not None and out.suffix == SCENARIO):
        return False
    if not all(is_file(path) for path in files):
        return True  # a pipe can be read but once
    from scenarios.importers import format_of

    return all(found is None or found.name == "kineto" for found in map(format_of, files))


def _check_shown(asked: dict[str, Any]) -> None:
    """Raises SpecError with the options that speak of scenarios, where a trace is shown."""
    from hw import Mark, Problem, SpecError

    message = f"this is for scenarios, and a trace is shown as it is; with --out FILE{SCENARIO} it becomes one"
    problems = [Problem(Mark(option), message) for option, said in asked.items() if said]
    if problems:
        raise SpecError(problems)


def _check_made(network: Sequence[str]) -> None:
    """Raises SpecError for names of communication, where a scenario is made: each of its ops says itself what it is."""
    from hw import Mark, Problem, SpecError

    if network:
        raise SpecError([Problem(Mark("--network"), "this is for traces that are shown, not for scenarios")])


def _show(
    files: Sequence[Path], network: Sequence[str], out: Path | None, print_json: Callable[[object], None] | None
) -> None:
    """The timeline of traces: where its time went."""
    from analysis import read_trace, write_table
    from scenarios.cli.show.trace import show_trace, trace_record
    from scenarios.console.terminal import tell

    timeline = read_trace(*files, network=network)
    for note in timeline.attrs["notes"]:
        tell(note)
    if numbered := timeline.attrs.get("numbered"):
        which = ", ".join(f"{path} is {' '.join(map(str, chips))}" for path, chips in numbered.items())
        tell(f"not every file speaks of one rank: chips are numbered in the order given: {which}")
    if print_json is not None:
        print_json(trace_record(timeline))
    else:
        show_trace(timeline)
    if out is not None:
        write_table(timeline, out)
        tell(f"wrote {out}")


def _make(
    files: Sequence[Path],
    as_: str | None,
    options: ImportOptions,
    out: Path | None,
    print_json: Callable[[object], None] | None,
) -> None:
    """A scenario of files: written, or printed where nothing says where to."""
    from hw import Mark, Problem, SpecError
    from hw.input import MAX_BYTES
    from scenarios.cli.show.trace import imported_record, show_imported
    from scenarios.console.terminal import tell
    from scenarios.console.waiting import waiting
    from scenarios.importers import import_files

    if out is not None and out.suffix != SCENARIO:
        raise SpecError([Problem(Mark(str(out)), f"a scenario is written to a file *{SCENARIO}")])
    with waiting("reading"):
        made = import_files(files, as_, options)
    text = made.text
    if len(text) > MAX_BYTES:
        problem = f"{len(made.ops):,} ops are more than a scenario file may hold: take one step (--step), or a part"
        raise SpecError([Problem(Mark(str(files[0])), problem)])
    if print_json is not None:
        print_json(imported_record(made))
    elif out is None:
        typer.echo(text, nl=False)
        for line in made.told():
            tell(line)
    else:
        show_imported(made)
    if out is not None:
        out.write_text(text, encoding="utf-8")
        tell(f"wrote {out}")


def _options(asked: dict[str, Any], chip: str | None, unknown: str, dims: Sequence[str]) -> ImportOptions:
    """The options of an import. Raises SpecError with everything that is wrong."""
    from hw import Mark, Problems
    from hw.input import unknown as not_known
    from scenarios.importers import ImportOptions

    problems = Problems()
    for option, said, allowed in (
        ("--unknown", unknown, ("refuse", "bytes")),
        ("--collectives", asked["collectives"], ("measured", "modelled")),
    ):
        if said not in allowed:
            problems.add(Mark(option), not_known("value", said, allowed))
    sizes = {
        name: int(size) for name, size in _pairs("--dim", dims, problems).items() if size >= 1 and size == int(size)
    }
    if len(sizes) < len(dims):
        problems.add(Mark("--dim"), "a size is a whole number of at least 1: batch=8, each name once")
    faster = _pairs("--faster", asked["faster"] or (), problems)
    buckets = _size("--buckets", asked["buckets"], problems)
    problems.raise_if_any()
    return ImportOptions(
        chip=chip,
        unknown="bytes" if unknown == "bytes" else "refuse",
        dims=sizes,
        step=asked["step"],
        collectives="modelled" if asked["collectives"] == "modelled" else "measured",
        launches=asked["launches"],
        faster=faster,
        buckets=buckets,
        overlap=tuple(asked["overlap"] or ()),
        onto=asked["onto"],
    )


def _size(option: str, text: str | None, problems: Any) -> float | None:
    """A number of bytes, if one is asked for."""
    from hw import Dimension, Mark
    from hw.input import parse

    if text is None:
        return None
    try:
        nbytes = parse(text, Dimension.DATA)
    except ValueError as error:
        problems.add(Mark(option), str(error).replace("{key}", option))
        return None
    if nbytes <= 0:
        problems.add(Mark(option), f"'{text}' is no size above 0")
    return nbytes


def _pairs(option: str, texts: Sequence[str], problems: Any) -> dict[str, float]:
    """Positive numbers by name."""
    from hw import Mark

    found: dict[str, float] = {}
    for number, text in enumerate(texts, 1):
        name, _, raw = text.rpartition("=")
        try:
            value = float(raw)
        except ValueError:
            value = 0.0
        if not name or not 0 < value < float("inf"):
            problems.add(Mark(option, number), f"'{text}' is not of the form NAME=NUMBER, with a number above 0")
        else:
            found[name.strip()] = value
    return found
