"""The commands `find` and `crossover`: what a scenario's `study` can ask, asked from the command line.

They say the same in the same words, and take the place of the study that the file has; its claims are not judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer

from scenarios.cli.options import Json, Set
from scenarios.cli.reporting import print_json, reporting

_File = Annotated[str, typer.Argument(help="A scenario file, library:NAME for a bundled one, or - for standard input.")]
_Asked = Annotated[str, typer.Argument(help="The value that is looked for, and where: workload.dims.B=1:4096")]
_Where = Annotated[str, typer.Option("--where", help="A comparison of result words: 't_math >= t_memory'.")]
_Largest = Annotated[bool, typer.Option("--largest", help="The last value that will do, not the first.")]
_Step = Annotated[str | None, typer.Option("--step", help="From one value to the next.")]
_Every = Annotated[bool, typer.Option("--every", help="Try every value up to the answer; else few, by bisection.")]
_X = Annotated[str, typer.Option("--x", help="Where the flip is looked for: workload.dims.B=1:1024")]
_Y = Annotated[str, typer.Option("--y", help="For each of which values: system.set.hbm.bandwidth=1TB/s,2TB/s")]


def _ask(file: str, sets: list[str] | None, said: Iterable[tuple[str, Any, str]], json: bool) -> None:
    from scenarios.cli.study_answer import Asked, Said, answer
    from scenarios.console.waiting import waiting

    alone = (Said("study", None, "find"), Said("expect", None, "find"))
    question = tuple(Said(f"study.{path}", value, option) for path, value, option in said)
    with waiting("searching"):
        answers = answer(Asked(file, tuple(sets or ()), question=(*alone, *question)))
    if json:
        print_json(answers.as_json())
    else:
        answers.show()
    if answers.exit:
        raise typer.Exit(answers.exit)


def find(  # noqa: PLR0913  # an option each
    file: _File,
    asked: _Asked,
    where: _Where,
    largest: _Largest = False,
    step: _Step = None,
    every: _Every = False,
    set_: Set = None,
    json: Json = False,
) -> None:
    """The least (or largest) value for which a condition holds. For one, the batch from which compute decides."""
    with reporting():
        axis = _sound(file, set_, lambda: _ends(asked))[0]
        said: list[tuple[str, Any, str]] = [
            ("find", {}, "find"),
            (f"find.{'largest' if largest else 'smallest'}", axis["path"], "find"),
            *((f"find.{end}", axis[end], "find") for end in ("from", "to")),
            ("find.where", where, "--where"),
            ("find.every", every, "--every"),
        ]
        if step is not None:
            said.append(("find.step", _plain(step, "--step"), "--step"))
        _ask(file, set_, said, json)


def crossover(file: _File, x: _X, y: _Y, where: _Where, set_: Set = None, json: Json = False) -> None:
    """For each value of y, the x at which something flips: a map."""
    with reporting():
        found = _sound(file, set_, lambda: _axis(x, "--x"), lambda: _axis(y, "--y"))
        axes = (("x", found[0], "--x"), ("y", found[1], "--y"))
        said: list[tuple[str, Any, str]] = [("crossover", {}, "crossover"), ("crossover.where", where, "--where")]
        for name, axis, option in axes:
            said.append((f"crossover.{name}", axis, option))
            said.extend((f"crossover.{name}.{key}", axis[key], option) for key in axis)
        _ask(file, set_, said, json)


def register(app: typer.Typer) -> None:
    """Add the commands to the command's app."""
    app.command()(find)
    app.command()(crossover)


def _sound(file: str, sets: list[str] | None, *asked: Callable[[], dict[str, Any]]) -> list[dict[str, Any]]:
    """What is asked; where that is wrong, what is wrong with the file is told beside it. Raises SpecError."""
    from functools import partial

    from hw import SpecError
    from scenarios.building.build import load_scenario
    from scenarios.cli.together import together

    try:
        return together(*asked)
    except SpecError:
        together(*asked, partial(load_scenario, file, tuple(sets or ())))
        raise


def _ends(text: str) -> dict[str, Any]:
    """A path with two ends. Raises SpecError."""
    axis = _axis(text, "find")
    if "values" in axis:
        raise _wrong("find", f"'{text}' is not of the form a.b=from:to")
    return axis


def _axis(text: str, option: str) -> dict[str, Any]:
    """A path with two ends, or with values as a study writes them. Raises SpecError."""
    path, equals, written = (each.strip() for each in text.partition("="))
    if not equals or not path or not written:
        raise _wrong(option, f"'{text}' is not of the form a.b=from:to, or a.b=x,y,z")
    ends = written.split(":")
    if len(ends) == 2 and "," not in written:  # from and to
        return {"path": path, "from": _plain(ends[0], option), "to": _plain(ends[1], option)}
    return {"path": path, "values": written}


def _plain(text: str, option: str) -> Any:
    """A number, or a quantity as text."""
    from hw.input import parse_document

    return parse_document(text, option).data


def _wrong(option: str, message: str) -> Exception:
    from hw import Mark, Problem, SpecError

    return SpecError([Problem(Mark(option), message)])
