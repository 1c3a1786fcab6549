"""A picture that a command writes: its name is checked before the work, it is drawn after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hw import Mark, Problem, SpecError
from scenarios.console.outputs import check_places, promised

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

ENDINGS = (".html", ".svg", ".png", ".pdf")


def check_picture(path: Path | None) -> None:
    """Raises SpecError for another ending, and for a file that is there."""
    if path is None:
        return
    if path.suffix.lower() not in ENDINGS:
        raise SpecError([Problem(Mark("--plot"), f"'{path.name}': a figure is saved as {', '.join(ENDINGS)}")])
    check_places(path)


@contextmanager
def picture(path: Path | None) -> Iterator[Callable[[Callable[[], Figure]], None]]:
    """What draws a figure into a file, or, where none is asked for, does nothing. Raises SpecError for another ending, and
    for a file that is there; RunError where there is no browser to draw with."""
    check_picture(path)
    if path is None:
        yield lambda _figure: None
        return
    with promised(path):
        yield lambda figure: _draw(figure(), path)


def _draw(figure: Figure, path: Path) -> None:
    from analysis.plots import save

    save(figure, path)
