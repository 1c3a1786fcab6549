"""A run as one HTML file: where it stands between its bounds, its timeline, its pictures, and the source of every number.

    Path("report.html").write_text(report_html(summary, Story(name="two-chips")))

Model: one file that needs nothing else and asks for nothing: styles, scripts and data are inside, and its own policy
forbids every request and every script but the two whose hashes it names. What is text stands in the HTML and is there
without scripts; the timeline is a canvas of ours (its data: `analysis.report.packed_timeline`), the charts are plotly's.
Both are deflated: plotly's library is 5 MB, 2 MB as it travels. The same run gives the same bytes: no date, no name of a
machine, nothing counted by chance.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any

from analysis.plots import plot_memory, plot_roofline, plot_sweep, plot_tornado
from analysis.plots.page import in_text
from analysis.plots.style import CAUSE_COLOURS
from analysis.plots.topology import plot_topology
from analysis.report.markup import swatch
from analysis.report.packed_timeline import used_causes
from analysis.report.place import heading, verdict
from analysis.report.sections import AFTER, BESIDE, Section
from analysis.report.story import Story, Telling, time_text
from analysis.words.summary import Summary
from hw import VERSION
from simulator import Result

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


SCRIPTS = (
    "units",
    "theme",
    "inflate",
    "model",
    "coverage",
    "drawing",
    "painter",
    "timeline",
    "panel",
    "input",
    "charts",
    "main",
)
"""The scripts of the page in the order in which they depend on each other; together they are one function."""


def report_html(summary: Summary, story: Story | None = None) -> str:
    """The report of a run."""
    telling = Telling(summary, story or Story())
    charts = _charts(telling)
    below = [(each, body) for each in AFTER if (body := each.made(telling, charts))]
    script = _script()
    library, library_hash, library_version = _library()
    page = Template(_asset("report.html"))
    return page.substitute(
        title=in_text(telling.story.name),
        heading=heading(telling),
        version=in_text(VERSION),
        plotly_version=in_text(library_version),
        style=_style(),
        verdict=verdict(telling),
        contents="".join(f'<a href="#{each.key}">{in_text(each.title)}</a>' for each, _ in below),
        drawn=_section(_TIMELINE, _timeline(telling, charts)),
        beside="\n".join(_section(each, each.made(telling, charts)) for each in BESIDE),
        sections="\n".join(_section(each, body) for each, body in below),
        timeline=telling.timeline.data,
        charts=_deflated(json.dumps(charts, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("utf-8")),
        plotly=library,
        script=script,
        script_hashes=f"'{_hash(script)}' '{library_hash}'",
    )


def _section(section: Section, body: str) -> str:
    return f'<section id="{section.key}"><h2>{in_text(section.title)}</h2>{body}</section>'


def _timeline(telling: Telling, _charts: object) -> str:
    keys = (("←", "→"), ("+", "−"), ("Home",), ("/",), ("N", "B"), ("P",), ("Esc",))
    words = ("move", "zoom", "whole run", "search", "step", "critical path", "clear")
    shown = ", ".join(
        f"{''.join(f'<kbd>{in_text(key)}</kbd>' for key in pair)} {word}"
        for pair, word in zip(keys, words, strict=True)
    )
    legend = "".join(f"<span>{swatch(cause)}</span>" for cause in used_causes(telling.figures))
    honest = (
        "The height of the colour in a pixel is the share of its time in which the lane is busy, however far out; "
        "dashes are time in which a chip waits for the others of a collective. "
    )
    left_out = f'<p class="note">{in_text(telling.timeline.note)}</p>' if telling.timeline.note else ""
    how = "Drag to move, Ctrl and wheel to zoom, click a slice for what it waited for."
    told = ", ".join(
        f"{row.name} {time_text(row.time_s)}" for row in sorted(telling.figures, key=lambda row: -row.time_s)[:3]
    )
    label = (
        f"Timeline of {time_text(telling.time_s)}; the longest ops are {told}. Arrow keys move, plus and minus zoom, "
        "Home shows all, N and B step from slice to slice, P shows the critical path."
    )
    return (
        Template(_asset("timeline.html")).substitute(legend=legend, label=in_text(label))
        + f'{left_out}<p class="caption">{honest}{how}</p><p class="caption keys">{shown}</p>'
    )


_TIMELINE = Section("time", "Timeline", _timeline)


def _charts(telling: Telling) -> dict[str, Any]:
    """Every chart that the run has something for, as plain data."""
    result, story = telling.summary.result, telling.story
    makers: dict[str, Callable[[], Figure | None]] = {
        "roofline": lambda: _roofline(result),
        "memory": lambda: plot_memory(result),
        "topology": lambda: plot_topology(result),
        "tornado": lambda: None if story.what_if is None else plot_tornado(story.what_if),
        "sweep": lambda: _sweep(story),
    }
    if not len(telling.summary.plan.program):
        return {}
    made = {name: figure for name, maker in makers.items() if (figure := maker()) is not None}
    return {name: _plain(figure) for name, figure in made.items()}


def _plain(figure: Figure) -> dict[str, Any]:
    data = json.loads(figure.to_json())
    data["layout"].pop("template", None)
    return {"data": data["data"], "layout": data["layout"]}


def _roofline(result: Result) -> Figure | None:
    """The roofline, if any op has a place there."""
    figure = plot_roofline(result)
    return figure if any("markers" in (trace.mode or "") for trace in figure.data) else None


def _sweep(story: Story) -> Figure | None:
    """The study's time over the input that has most values, a line for each value of the next."""
    frame = story.study
    if frame is None or "time" not in frame.columns:
        return None
    several = [name for name in story.inputs if name in frame.columns and frame[name].nunique() > 1]
    if not several or not frame["time"].notna().any():
        return None
    several.sort(key=lambda name: -frame[name].nunique())
    return plot_sweep(frame, several[0], "time", several[1] if len(several) > 1 else None)


def _style() -> str:
    colours = "".join(f"--{cause}:{colour};" for cause, colour in CAUSE_COLOURS.items())
    return f":root{{{colours}}}\n{_asset('report.css')}"


@cache
def _script() -> str:
    """All scripts as one function, so that the page has one name of ours and no more."""
    return "".join(_wrapped([_asset(f"{name}.js") for name in SCRIPTS]))


def _wrapped(parts: list[str]) -> Iterator[str]:
    yield '(() => {\n"use strict";\n'
    yield "\n".join(parts)
    yield "})();\n"


@cache
def _asset(name: str) -> str:
    return files("analysis.report").joinpath("assets", name).read_text(encoding="utf-8")


@cache
def _library() -> tuple[str, str, str]:
    """plotly's library as it travels, its hash for the page's policy, and its version."""
    from plotly.offline import get_plotlyjs, get_plotlyjs_version

    code = str(get_plotlyjs())
    return _deflated(code.encode("utf-8")), _hash(code), str(get_plotlyjs_version())


def _deflated(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 9)).decode("ascii")


def _hash(script: str) -> str:
    """A script's hash as a Content-Security-Policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode('utf-8')).digest()).decode('ascii')}"
