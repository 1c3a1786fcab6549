"""The gallery of the site: each technique of the library's index with a picture of its first scenario, and its number.

Model: where something goes on beside or after something else, the picture is the run's timeline on its first chip, a lane
for each queue, every task a bar in the colour of what bounds it; tasks of one colour that stand closer than a pixel are one
bar. Where work came to an end on another chip only, the first that did something is shown. A run of one kernel, or a claim
about a row or a value that was found, is told by what it is compared with (`gallery_cases`): in each case a bar as long as
the word that is claimed, or, of a time, one for each resource that is needed, and a line where the run ends. Made anew with
every build of the site.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from gallery_cases import Case, cases_of, word_of  # noqa: E402 - scripts beside this one
from library_index import TECHNIQUES, Entry, entries  # noqa: E402

from analysis import CAUSES, word_named  # noqa: E402 - found beside docs/ also where nothing is installed
from hw import Dimension  # noqa: E402
from hw.input import show  # noqa: E402
from scenarios import Outcome, run  # noqa: E402

WIDTH, LEFT, LANE = 720, 110, 20
_ROOM = WIDTH - LEFT - 10
_NAMES, _VALUE = 280, 100
"""Pixels for what cases are called, and for the value behind a bar."""
_MOST_LANES = 8
_TELLING = 4
"""A timeline of so many bars shows more than a comparison does; of a time, one of two queues, too."""
_FAINT = "#737d88"

Bar = tuple[str, float, float]
"""What bounds it, and the pixels between which it stands."""


def gallery() -> str:
    """The page."""
    found = entries()
    lines = ["# Gallery", "", "What each technique looks like, and the number that it claims.", ""]
    for technique in TECHNIQUES:
        lines += _shown(technique, found)
    return "\n".join(lines)


def _shown(technique: tuple[str, ...], found: dict[str, Entry]) -> Iterator[str]:
    title, names, *words = technique
    name = names.split()[0]
    entry = found[name]
    number = f"{words[0]}: {entry.claims[words[0]]}" if words else entry.number
    yield from (f"## {title[0].upper()}{title[1:]}", "", f"{entry.shelved.headline}.", "")
    yield from (f"`overlapse run library:{name}` claims `{number}`.", "", _telling(names.split(), number), "")


def _telling(names: list[str], claim: str) -> str:
    """The picture that shows what a claim says."""
    outcome = run(f"library:{names[0]}")
    word = word_of(claim, outcome)
    lanes = _lanes(outcome, _ROOM / float(outcome.summary["time"] or 1.0))
    goes_on = sum(map(len, lanes.values())) >= _TELLING or (len(lanes) > 1 and word is None)
    if goes_on and not claim.startswith("find:") and "rows[" not in claim:
        return picture(outcome)
    return compared(cases_of(names, outcome, claim), word)


def compared(cases: list[Case], word: str | None) -> str:
    """Cases beside each other as SVG, in one line: bars of a word, or else of what each resource needs."""
    told = word or "time"
    drawn = [{str(case.words["bound_by"]): float(case.words[word])} if word else case.needs() for case in cases]
    scale = (WIDTH - _NAMES - _VALUE) / max(float(case.words[told]) for case in cases)
    body, top = [], 0
    for case, needs in zip(cases, drawn, strict=True):
        height = max(LANE, 8 * len(needs) + 6)
        body += _case(case, needs, (top, height, scale))
        end = float(case.words[told]) * scale  # no resource needs longer
        body.append(_text(_NAMES + end + 6, top + height // 2, word_named(told).text(case.words[told])))
        if not word:
            body.append(f'<rect x="{_NAMES + end - 1:.1f}" y="{top}" width="1.5" height="{height}" fill="{_FAINT}"/>')
        top += height
    causes = dict.fromkeys(cause for needs in drawn for cause in needs)
    legend = f"{told}, by what bounds it" if word else "what each resource needs, and when the run ends"
    return _svg(f"{legend}: {', '.join(case.name for case in cases)}", [*body, *_legend(legend, causes, top)], top + 26)


def _case(case: Case, needs: dict[str, float], place: tuple[int, int, float]) -> Iterator[str]:
    top, height, scale = place
    thick = (height - 4) / len(needs)
    yield _text(0, top + height // 2, case.name)
    for at, (cause, amount) in enumerate(needs.items()):
        box = f'x="{_NAMES}" y="{top + 2 + at * thick:.1f}" width="{max(0.5, amount * scale):.1f}" height="{thick - 1:.1f}"'
        yield f'<rect {box} fill="{CAUSES[cause].colour}"/>'


def picture(outcome: Outcome) -> str:
    """The timeline of a run as SVG, in one line."""
    time_s = float(outcome.summary["time"] or 0.0)
    lanes = _lanes(outcome, _ROOM / time_s if time_s else 0.0)
    height = LANE * len(lanes) + 26
    body = [part for at, (lane, bars) in enumerate(lanes.items()) for part in _lane(lane, bars, at * LANE)]
    causes = dict.fromkeys(cause for bars in lanes.values() for cause, _, _ in bars)
    told = f"{show(time_s, Dimension.TIME)}; bound by {outcome.summary['bound_by']}"
    body += _legend(told, causes, height - 26)
    return _svg(f"Timeline of {outcome.scenario.name}: {told}", body, height)


def _legend(told: str, causes: Iterable[str], top: int) -> Iterator[str]:
    """What is drawn, and what the colours say."""
    yield _text(LEFT, top + 16, told)
    for at, cause in enumerate(causes):
        x = LEFT + 320 + 75 * at
        yield f'<rect x="{x}" y="{top + 11}" width="10" height="10" fill="{CAUSES[cause].colour}"/>'
        yield _text(x + 15, top + 16, cause)


def _svg(title: str, body: Iterable[str], height: int) -> str:
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    look = 'font-family="system-ui, sans-serif" font-size="12" role="img" style="max-width:100%;height:auto"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {look}><title>{escape(title)}</title>{"".join(body)}</svg>'


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
