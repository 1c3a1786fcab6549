"""What is painted of a timeline is what ran, at every zoom: on the screen and in pictures."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis import CAUSES, Summary, op_figures
from analysis.plots import CAUSE_COLOURS
from analysis.report import report_html
from analysis.report.packed_timeline import busy
from simulator import Result
from tests.support.browser import COMMAND, REASON, Browser, Page
from tests.support.report_page import in_view, shown, written
from tests.support.reports import block

pytestmark = pytest.mark.skipif(COMMAND is None, reason=REASON)


def test_zoomed_out_ink_is_utilisation(browser: Browser, big: Result, big_file: Path) -> None:
    page = shown(browser, big_file)
    in_view(page)
    program, figures = big.plan.program, op_figures(big)
    begin, end = np.asarray(big.begin_ps), np.asarray(big.end_ps)
    for at, zoomed in enumerate((1.0, 5.0, 3.0)):
        if at:
            page.run(f"overlapse.timeline.zoom({zoomed}, overlapse.timeline.model.end * 0.3)")
        page.run("overlapse.timeline.draw()")
        view = page.run("({from: overlapse.timeline.view.from, span: overlapse.timeline.view.span})")
        for number, lane in enumerate(page.run("overlapse.timeline.model.lanes.map((lane) => lane.name)")):
            pixels, ground = lane_pixels(page, number)
            edges = view["from"] + view["span"] * np.arange(pixels.shape[1] + 1) / pixels.shape[1]
            mine = np.asarray([program.queues[queue].name == lane for queue in program.queue])
            truth = busy(begin[mine], end[mine], edges) / np.diff(edges)
            causes = {figures[kernel].bound_by for kernel in set(np.asarray(program.kernel)[mine].tolist())}
            found = inked(pixels, ground, sorted(causes, key=list(CAUSES).index))
            assert np.abs(found - truth).max() <= 0.02, (lane, zoomed)
            assert abs(found.mean() - truth.mean()) <= 0.005


def lane_pixels(page: Page, number: int) -> tuple[Any, Any]:
    """What is painted of a lane, as height x width x RGB, and the colour of the ground."""
    answer = page.run(f"""(() => {{
      const {{ painter, rows, scroller }} = overlapse.timeline;
      const row = rows.filter((each) => each.lane)[{number}];
      const height = row.height - row.label - 3;
      const data = painter.contexts.lanes.getImageData(painter.gutter, row.y - scroller.scrollTop + row.label,
        Math.round(painter.room), height).data;
      let text = "";
      for (let at = 0; at < data.length; at += 1) text += String.fromCharCode(data[at]);
      return [btoa(text), height, painter.ground];
    }})()""")
    data = np.frombuffer(base64.b64decode(answer[0]), np.uint8).reshape(answer[1], -1, 4)
    return data[:, :, :3].astype(float), np.asarray(answer[2], dtype=float)


def inked(pixels: Any, ground: Any, causes: list[str]) -> Any:
    """By column, how much of it is in the colours of some causes: each pixel is a mixture of them and the ground."""
    colours = [[int(CAUSE_COLOURS[cause][at : at + 2], 16) for at in (1, 3, 5)] for cause in causes]
    parts = (pixels - ground) @ np.linalg.pinv(np.asarray(colours, dtype=float) - ground)
    return parts.sum(axis=2).mean(axis=0)


def test_lanes_that_are_only_utilisation_are_painted_so(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = block(40, 2, fold=False)
    monkeypatch.setattr("analysis.report.packed_timeline.MAX_SLICES", 10)
    path = written(tmp_path / "r.html", report_html(Summary(result.plan, lambda: result)))
    page = shown(browser, path)
    in_view(page)
    page.run("overlapse.timeline.draw()")
    program = result.plan.program
    lanes = page.run("overlapse.timeline.model.lanes.map((lane) => [lane.chip, lane.name, lane.detailed])")
    for number, (chip, name, detailed) in enumerate(lanes):
        assert not detailed
        queue = next(at for at, each in enumerate(program.queues) if (each.chip, each.name) == (chip, name))
        mine = [task for task in range(len(program)) if queue in program.queues_of(task)]
        truth = sum(result.end_ps[task] - result.begin_ps[task] for task in mine) / max(result.end_ps)
        figures = op_figures(result)
        causes = {figures[program.kernel[task]].bound_by for task in mine}
        pixels, ground = lane_pixels(page, number)
        found = inked(pixels, ground, sorted(causes, key=list(CAUSES).index))
        assert abs(found.mean() - truth) <= 0.02
    assert "drawn as utilisation" in page.run("document.body.textContent")


def test_a_picture_of_thin_slices_is_no_busier_than_they_are(browser: Browser, big_file: Path) -> None:
    """Shapes thinner than a pixel are drawn a pixel wide: lanes that have such are images of their utilisation."""
    page = shown(browser, big_file)
    parts = "overlapse.timeline.picture(700).querySelectorAll('image').length"
    lanes = page.run("overlapse.timeline.rows.filter((row) => row.lane).length")
    assert page.run(parts) == lanes
    page.run("overlapse.timeline.zoom(1e4, 0)")
    narrow = page.run("""(() => {
      const { model, view, painter } = overlapse.timeline;
      const { begin, took } = model.slices;
      let count = 0;
      begin.forEach((at, slice) => {
        const inView = at < view.from + view.span && at + took[slice] > view.from;
        if (inView && took[slice] < view.span / 568) count += 1;
      });
      return count;
    })()""")
    assert narrow == 0
    assert page.run(parts) == 0
