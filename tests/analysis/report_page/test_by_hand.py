"""A report by keyboard and by mouse: zoom, search, choose, follow what waited for what."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from analysis import CAUSES, Summary
from analysis.report import report_html
from hw import Mesh, System, load_chip, parse_topology
from simulator import GraphBuilder, Result, RunOptions, simulate
from tests.support.browser import COMMAND, REASON, Browser
from tests.support.report_page import in_view, place_of, shown, span, written

pytestmark = pytest.mark.skipif(COMMAND is None, reason=REASON)


def test_keys(browser: Browser, small_file: Path) -> None:
    page = shown(browser, small_file)
    in_view(page)
    assert span(page) == 1
    page.key("+", "+")
    page.key("+", "+")
    assert span(page) == pytest.approx(1 / 2.25)
    before = page.run("overlapse.timeline.view.from")
    page.key("ArrowRight")
    moved = page.run("overlapse.timeline.view.from")
    assert moved > before
    page.key("ArrowLeft")
    assert page.run("overlapse.timeline.view.from") == pytest.approx(before)
    page.key("-", "-")
    assert span(page) == pytest.approx(1 / 1.5)
    page.key("Home")
    assert span(page) == 1
    page.key("n", "n")
    first = page.run("overlapse.timeline.chosen")
    page.key("n", "n")
    assert page.run("overlapse.timeline.chosen") == first + 1
    page.key("b", "b")
    assert page.run("overlapse.timeline.chosen") == first
    assert page.run("document.getElementById('slice').hidden") is False
    page.key("Escape")
    assert page.run("overlapse.timeline.chosen") == -1
    assert page.run("document.getElementById('slice').hidden") is True
    assert page.trouble() == []


def test_search_goes_from_hit_to_hit(browser: Browser, small_file: Path) -> None:
    page = shown(browser, small_file)
    in_view(page)
    page.key("/", "/")
    assert page.run("document.activeElement.id") == "search"
    page.ask("Input.insertText", {"text": "R.2"})
    names = page.run("overlapse.timeline.hits.map((slice) => overlapse.timeline.model.names"
                     "[overlapse.timeline.model.slices.kernel[slice]])")  # fmt: skip
    assert len(names) == 16  # four chunks on each of four chips
    assert set(names) == {"r.2"}
    page.key("Enter")
    assert page.run("document.getElementById('found').textContent") == "1 of 16 slices"
    chosen = page.run("overlapse.timeline.chosen")
    page.key("Enter")
    assert page.run("overlapse.timeline.chosen") != chosen
    assert page.run("document.querySelector('#slice h3').textContent") == "r.2"
    page.key("Escape")
    assert page.run("document.getElementById('search').value") == ""
    assert page.run("overlapse.timeline.hits.length") == 0
    page.key("/", "/")
    page.ask("Input.insertText", {"text": "no op of that name"})
    assert page.run("document.getElementById('found').textContent") == "no such op"


def test_hover_says_what_a_slice_is_and_a_click_what_it_waited_for(browser: Browser, small_file: Path) -> None:
    page = shown(browser, small_file)
    in_view(page)
    at = page.run("overlapse.timeline.model.slices.kernel.indexOf(overlapse.timeline.model.names.indexOf('h.1'))")
    x, y = place_of(page, at)
    page.mouse("mouseMoved", x, y)
    tip = page.wait("document.getElementById('tooltip').hidden ? '' : document.getElementById('tooltip').textContent")
    for word in ("h.1", "matmul", "FLOPs", "HBM bytes", "intensity", "bound by", "memory", "after", "o.0"):
        assert word in tip
    page.click(x, y)
    page.wait("overlapse.timeline.chosen", lambda value: value == at)
    assert page.run("overlapse.timeline.pathShown") is False
    assert max(page.run("[...overlapse.timeline.shades]")) < len(CAUSES)  # all keep their colour: it selects
    then = page.run("[...document.querySelectorAll('#slice p:last-child button')].map((each) => each.textContent)")
    assert then
    page.run("document.querySelector('#slice p:last-child button').click()")
    assert page.run("document.querySelector('#slice h3').textContent") == then[0].partition(" on chip")[0]
    assert page.trouble() == []


def summed_over_chips() -> Result:
    """A layer whose sum over four chips goes by messages, which all that follows waits for; and a copy beside it."""
    build = GraphBuilder(B=512, D=1024, F=2048)
    build.matmul("x:bf16[B,F_X]", "w:bf16[F_X,D]", out="p:bf16[B,D]{U_X}")
    build.all_reduce("p", over="X", out="r:bf16[B,D]")
    build.relu("r", out="o:bf16[B,D]")
    build.copy("n:bf16[D]@host", out="c:bf16[D]")
    chip = load_chip("tpu_v5e")
    system = System(chip, parse_topology("ring(4)", chip.links), Mesh({"X": 4}))
    return simulate(build.graph(), system, RunOptions(fold=False, network="messages"))


def test_the_critical_path_is_a_mode(browser: Browser, tmp_path: Path) -> None:
    result = summed_over_chips()
    page = shown(browser, written(tmp_path / "r.html", report_html(Summary(result.plan, lambda: result))))
    in_view(page)
    button, legend = "document.getElementById('show-path')", "document.getElementById('path-legend')"
    assert page.run(f"[{button}.getAttribute('aria-pressed'), {legend}.hidden]") == ["false", True]
    page.key("p", "p")
    assert page.run(f"[{button}.getAttribute('aria-pressed'), {legend}.hidden]") == ["true", False]
    path = set(page.run("[...overlapse.timeline.model.path]"))
    tasks, shades = page.run("[[...overlapse.timeline.model.slices.task], [...overlapse.timeline.shades]]")
    program = result.plan.program
    whole = {task for task in path if task in program.parts}
    kernels = {(program.kernel[task], program.chunk[task]) for task in whole}
    messages = {
        task
        for task in range(len(program))
        if program.is_inner(task) and (program.kernel[task], program.chunk[task]) in kernels
    }
    assert whole
    assert messages
    assert 0 < len(path) < len(set(tasks))
    for task, shade in zip(tasks, shades, strict=True):
        assert (shade < len(CAUSES)) == (task in path or task in messages), task
    assert "messages of its collectives" in page.run(f"{legend}.textContent")
    page.run(f"{button}.click()")
    assert page.run(f"[{button}.getAttribute('aria-pressed'), {legend}.hidden]") == ["false", True]
    assert max(page.run("[...overlapse.timeline.shades]")) < len(CAUSES)
    assert page.trouble() == []


def test_a_choice_frames_what_it_waited_for(browser: Browser, small_file: Path) -> None:
    page = shown(browser, small_file)
    seen = 0
    for at in page.run("[...overlapse.timeline.model.slices.task.keys()].slice(0, 12)"):
        page.run(f"overlapse.timeline.choose({at})")
        told = page.run("""(() => {
          const { model, chosen } = overlapse.timeline;
          const task = model.slices.task[chosen];
          const { before, after } = model.links;
          const of = (side) => [...side.tasks.subarray(side.starts[task], side.starts[task + 1])];
          return [[...overlapse.timeline.marked().beside].sort(), [...of(before), ...of(after)].sort()];
        })()""")
        assert told[0] == told[1]
        seen += len(told[0])
    assert seen


def test_wheel_and_drag(browser: Browser, small_file: Path) -> None:
    page = shown(browser, small_file)
    left, top, width, _ = in_view(page)
    x, y = left + width / 2, top + 30
    under = page.run(f"overlapse.timeline.timeAt({x - left})")
    page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-240, modifiers=2)
    page.wait("overlapse.timeline.view.span < overlapse.timeline.model.end")
    assert page.run(f"overlapse.timeline.timeAt({x - left})") == pytest.approx(under, rel=1e-6)
    page.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=1)
    page.mouse("mouseMoved", x - 80, y, button="left", buttons=1)
    page.mouse("mouseReleased", x - 80, y, button="left", clickCount=1)
    assert page.run(f"overlapse.timeline.timeAt({x - 80 - left})") == pytest.approx(under, rel=1e-6)
    assert page.run("overlapse.timeline.chosen") == -1  # a drag is no click
    page.mouse("mouseWheel", x, y, deltaX=0, deltaY=300)
    time.sleep(0.1)
    zoomed = span(page)
    assert 0 < zoomed < 1  # a plain wheel scrolls the page and leaves the zoom alone
