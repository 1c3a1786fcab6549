"""The pictures of README and the guide: `python docs/pictures.py` draws them into docs/pictures (with --screens, also those
that a Chromium on this machine takes of a report).

Model: the picture of README is a run of README's own scenario, cut into more and more pieces, drawn as it came out: every
bar is a task, the two lines are the run's bounds. It has no date and no chance, so a test can hold it against the code.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from analysis import CAUSES  # noqa: E402 - found beside docs/ also where nothing is installed
from analysis.plots import browser  # noqa: E402
from hw import Dimension  # noqa: E402
from hw.input import show  # noqa: E402
from scenarios import Outcome, load_scenario  # noqa: E402

FOLDER = ROOT / "docs" / "pictures"
OVERLAP = FOLDER / "overlap.svg"
REPORT = FOLDER / "report.png"
SHOWN = "library:llama3_8b_block"

CHUNKS = (1, 2, 8)
WIDTH, LEFT, ROOM = 860, 120, 690
LANE, GAP, TOP = 22, 26, 44
FACE = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
INK, FAINT, GROUND = "#66707b", "#737d88", "#8b95a1"
"""Inks that can be read on light and on dark ground alike."""


@dataclass(frozen=True)
class Drawn:
    """A run as it is drawn: what it is called, its bars (lane, cause, op, begin, end in s), its place between its bounds."""

    name: str
    bars: tuple[tuple[int, str, str, float, float], ...]
    time_s: float
    eta: float
    bounds_s: tuple[float, float]


def readme_scenario() -> str:
    """The scenario that README shows."""
    found = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert found is not None, "README shows no scenario"
    return found[1]


def runs() -> Iterator[Drawn]:
    """README's scenario with its two ops in so many pieces."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "readme.yaml"
        path.write_text(readme_scenario(), encoding="utf-8")
        for chunks in CHUNKS:
            scenario = load_scenario(str(path), [f"ops.y.chunks={chunks}", f"ops.z.chunks={chunks}"])
            yield drawn("one piece" if chunks == 1 else f"{chunks} pieces", Outcome(scenario))


def drawn(name: str, outcome: Outcome) -> Drawn:
    """What is drawn of a run: the tasks of its first chip."""
    frame, bound = outcome.timeline, outcome.ops.set_index("op")["bound_by"]
    mine = frame[frame["chip"] == 0]
    lanes = {queue: at for at, queue in enumerate(dict.fromkeys(mine["queue"].astype(str)))}
    bars = tuple(
        (lanes[str(row["queue"])], str(bound[row["op"]]), str(row["op"]), float(row["begin"]), float(row["end"]))
        for row in mine.to_dict("records")
    )
    words = outcome.summary
    bounds = float(words["lower_bound"] or 0.0), float(words["upper_bound"] or 0.0)
    return Drawn(name, bars, float(words["time"] or 0.0), float(words["eta"] or 0.0), bounds)


def overlap_picture() -> str:
    """The picture as SVG."""
    every = list(runs())
    lower, upper = every[0].bounds_s
    scale = ROOM / upper
    height = TOP + len(every) * (2 * LANE + GAP) + 26
    body = [part for at, each in enumerate(every) for part in _run(each, TOP + at * (2 * LANE + GAP), scale)]
    for place, said in ((lower, f"all overlaps: {_time(lower)}"), (upper, f"nothing does: {_time(upper)}")):
        x = LEFT + place * scale
        body.append(f'<path d="M{x:.1f} 24V{height - 30}" stroke="{GROUND}" stroke-dasharray="4 4" fill="none"/>')
        body.append(_text(x, 16, said, FAINT, "end" if place == upper else "middle"))
    legend = "matrix unit computes y = x w", "link sums z over two chips"
    for at, (cause, said) in enumerate(zip(("compute", "network"), legend, strict=True)):
        x = LEFT + 250 * at
        body.append(f'<rect x="{x}" y="{height - 18}" width="11" height="11" rx="2" fill="{CAUSES[cause].colour}"/>')
        body.append(_text(x + 18, height - 12, said, FAINT, "start"))
    said = "; ".join(f"{each.name}: {_time(each.time_s)}, eta {each.eta:.2f}" for each in every)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="{escape(FACE)}" font-size="13" role="img">\n<title>A matmul and its all-reduce in pieces: {said}'
        "</title>\n" + "\n".join(body) + "\n</svg>\n"
    )


def _run(each: Drawn, top: float, scale: float) -> Iterator[str]:
    """One run: its name, its bars, and when it ended."""
    yield _text(0, top + LANE - 8, each.name, INK, "start", 600)
    yield _text(0, top + LANE + 10, f"eta {each.eta:.2f}", FAINT, "start")
    for lane, cause, op, begin, end in each.bars:
        x, wide, y = LEFT + begin * scale, (end - begin) * scale, top + lane * LANE
        yield (
            f'<rect x="{x:.1f}" y="{y}" width="{wide - 1:.1f}" height="{LANE - 2}" rx="2" fill="{CAUSES[cause].colour}">'
            f"<title>{escape(op)}: {_time(end - begin)}</title></rect>"
        )
    yield _text(LEFT + each.time_s * scale + 6, top + LANE, _time(each.time_s), INK, "start", 600)


def _text(x: float, y: float, said: str, colour: str, anchor: str, weight: int = 400) -> str:
    look = f'fill="{colour}" text-anchor="{anchor}" font-weight="{weight}" dominant-baseline="central"'
    return f'<text x="{x:.1f}" y="{y}" {look}>{escape(said)}</text>'


def _time(seconds: float) -> str:
    return show(seconds, Dimension.TIME)


def report_screen(target: Path, width: int = 1400, height: int = 860) -> None:
    """A picture of a report as a browser shows it."""
    command = browser()
    if command is None:
        raise SystemExit("no Chromium on PATH to take a picture with")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        page.write_text(Outcome(load_scenario(SHOWN)).report(), encoding="utf-8")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=10000"]
        size = f"--window-size={width},{height}"
        subprocess.run(
            [command, *flags, size, f"--user-data-dir={folder}/profile", f"--screenshot={target}", page.as_uri()],
            check=True,
            capture_output=True,
            timeout=120,
        )


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    OVERLAP.write_text(overlap_picture(), encoding="utf-8")
    if "--screens" in sys.argv[1:]:
        report_screen(REPORT)
