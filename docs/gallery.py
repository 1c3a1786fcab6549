"""The gallery of the site: each technique of the library's index with a picture of its first scenario, and its number.

Model: the picture is the run's timeline on its first chip, a lane for each queue, every task a bar in the colour of what
bounds it; tasks of one colour that stand closer than a pixel are one bar. Where work came to an end on another chip only,
the first that did something is shown. Made anew with every build of the site.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from library_index import TECHNIQUES, Entry, entries  # noqa: E402 - a script beside this one

from analysis import CAUSES  # noqa: E402 - found beside docs/ also where nothing is installed
from hw import Dimension  # noqa: E402
from hw.input import show  # noqa: E402
from scenarios import Outcome, run  # noqa: E402

WIDTH, LEFT, LANE = 720, 110, 20
_ROOM = WIDTH - LEFT - 10
_MOST_LANES = 8
_FAINT = "#737d88"

Bar = tuple[str, float, float]
"""What bounds it, and the pixels between which it stands."""


def gallery() -> str:
    """The page."""
    found = entries()
    lines = ["# Gallery", "", "What each technique looks like on its first chip, and the number that it claims.", ""]
    for technique in TECHNIQUES:
        lines += _shown(technique, found)
    return "\n".join(lines)


def _shown(technique: tuple[str, ...], found: dict[str, Entry]) -> Iterator[str]:
    title, names, *words = technique
    name = names.split()[0]
    entry = found[name]
    number = f"{words[0]}: {entry.claims[words[0]]}" if words else entry.number
    yield from (f"## {title[0].upper()}{title[1:]}", "", f"{entry.shelved.headline}.", "")
    yield from (f"`overlapse run library:{name}` claims `{number}`.", "", picture(run(f"library:{name}")), "")


def picture(outcome: Outcome) -> str:
    """The timeline of a run as SVG, in one line."""
    time_s = float(outcome.summary["time"] or 0.0)
    lanes = _lanes(outcome, _ROOM / time_s if time_s else 0.0)
    height = LANE * len(lanes) + 26
    body = [part for at, (lane, bars) in enumerate(lanes.items()) for part in _lane(lane, bars, at * LANE)]
    causes = dict.fromkeys(cause for bars in lanes.values() for cause, _, _ in bars)
    told = f"{show(time_s, Dimension.TIME)}; bound by {outcome.summary['bound_by']}"
    body.append(_text(LEFT, height - 10, told))
    for at, cause in enumerate(causes):
        x = LEFT + 260 + 90 * at
        body.append(f'<rect x="{x}" y="{height - 15}" width="10" height="10" fill="{CAUSES[cause].colour}"/>')
        body.append(_text(x + 15, height - 10, cause))
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    look = 'font-family="system-ui, sans-serif" font-size="12" role="img" style="max-width:100%;height:auto"'
    title = f"<title>Timeline of {escape(outcome.scenario.name)}: {escape(told)}</title>"
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {look}>{title}{"".join(body)}</svg>'


def _lanes(outcome: Outcome, scale: float) -> dict[str, list[Bar]]:
    """Bars by queue of the first chip that does something."""
    frame: Any = outcome.timeline
    if frame.empty:
        return {}
    bound = outcome.ops.set_index("op")["bound_by"]
    mine = frame[frame["chip"] == frame["chip"].min()].sort_values("begin")
    found: dict[str, list[Bar]] = {}
    for row in mine.itertuples():
        bars = found.setdefault(str(row.queue), [])
        cause, begin, end = str(bound[row.op]), row.begin * scale, row.end * scale
        if bars and bars[-1][0] == cause and begin - bars[-1][2] < 1:
            bars[-1] = (cause, bars[-1][1], max(end, bars[-1][2]))
        else:
            bars.append((cause, begin, end))
    return dict(list(found.items())[:_MOST_LANES])


def _lane(name: str, bars: list[Bar], top: int) -> Iterator[str]:
    yield _text(0, top + LANE // 2, name)
    for cause, begin, end in bars:
        place = f'x="{LEFT + begin:.1f}" y="{top + 2}" width="{max(0.5, end - begin):.1f}" height="{LANE - 4}"'
        yield f'<rect {place} fill="{CAUSES[cause].colour}"/>'


def _text(x: float, y: float, said: str) -> str:
    return f'<text x="{x:.0f}" y="{y}" fill="{_FAINT}" dominant-baseline="central">{escape(said)}</text>'


if __name__ == "__main__":
    print(gallery())
