"""The commands `what-if` and `compare`, put on the command's app. Everything heavy is imported inside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated

import typer

from scenarios.cli.options import Json, Set
from scenarios.cli.reporting import print_json, reporting

_File = Annotated[str, typer.Argument(help="A scenario file, or library:NAME for a bundled one.")]
_Second = Annotated[
    str | None, typer.Argument(help="Another one, or a measured trace; without it, the first with --set.")
]
_Step = Annotated[
    str | None, typer.Option("--step", help="Of a trace what was launched in this range: ProfilerStep#3.")
]
_Edits = Annotated[
    list[str] | None,
    typer.Option("--edit", help="fuse=a+b, drop=NAME, dtype=int8, chunks=8, overlap=full, a.b=v (repeatable)."),
]


def what_if(file: _File, edit: _Edits = None, set_: Set = None, json: Json = False) -> None:
    """What faster resources and edits would save, each really run. Each resource 1.1x, 2x and infinitely fast."""
    with reporting():
        from scenarios.building.build import load_scenario
        from scenarios.cli.fit import check_fits
        from scenarios.cli.together import together
        from scenarios.console.waiting import waiting
        from scenarios.questions.what_if import check_forms
        from scenarios.questions.what_if import what_if as ask

        with waiting("reading") as sign:
            scenario, _ = together(partial(load_scenario, file, tuple(set_ or ())), partial(check_forms, edit or ()))
            check_fits(scenario)
            sign.says("running what if")
            found = ask(scenario, edit or ())
        if json:
            print_json(found.as_json())
        else:
            from scenarios.cli.show.what_if import show_what_if
            from scenarios.console.terminal import console

            show_what_if(console(), found)


def compare(a: _File, b: _Second = None, set_: Set = None, step: _Step = None, json: Json = False) -> None:
    """What moved between two runs, or a run and a measured trace.

    Of two scenarios op by op and cause by cause, adding up to the difference. Beside a trace (PyTorch, XProf, Chrome;
    .gz too) which ops and which gaps differ, the host's or the device's."""
    with reporting():
        from scenarios.questions.pieces import is_trace

        if b is not None and (is_trace(b) or is_trace(a)):
            _beside_trace(a, b, set_ or (), step, print_json if json else None)
            return
        if step is not None:
            raise _refused("--step", "is a range of a measured trace, and neither of the two is one")
        from scenarios.cli.fit import tell_fit
        from scenarios.console.waiting import waiting
        from scenarios.questions.compare import compare as ask
        from scenarios.questions.compare import load_both

        with waiting("comparing"):
            both = load_both(a, b, set_ or ())
            found = ask(*both)
        for name, scenario, words in zip(found.names, both, (found.a, found.b), strict=True):
            tell_fit(name, scenario, words)
        if json:
            print_json(found.as_json())
        else:
            from scenarios.cli.show.compare import show_compare
            from scenarios.console.terminal import console

            show_compare(console(), found)


def register(app: typer.Typer) -> None:
    """Add the commands to the command's app."""
    app.command(name="what-if")(what_if)
    app.command()(compare)


def _refused(place: str, message: str) -> Exception:
    from hw import Mark, Problem, SpecError

    return SpecError([Problem(Mark(place), message)])


def _beside_trace(
    a: str, b: str, sets: Sequence[str], step: str | None, print_json: Callable[[object], None] | None
) -> None:
    """A scenario beside a trace, whichever comes first."""
    from scenarios.building.build import load_scenario
    from scenarios.cli.show.compare import show_beside
    from scenarios.console.terminal import console, tell
    from scenarios.console.waiting import waiting
    from scenarios.questions.measured import compare_measured
    from scenarios.questions.pieces import is_trace

    if is_trace(a) and is_trace(b):
        raise _refused(
            b, "two traces: one is set beside a scenario; `overlapse import TRACE --out NAME.yaml` makes one"
        )
    file, trace = (b, a) if is_trace(a) else (a, b)
    if file == b:
        tell(
            f"A is the run of {file}, B the trace {trace}: what a trace has more stands as B - A, whichever is named first"
        )
    with waiting("lining up"):
        found = compare_measured(load_scenario(file, tuple(sets)), trace, step)
    if print_json is not None:
        print_json(found.as_json())
    else:
        show_beside(console(), found)
