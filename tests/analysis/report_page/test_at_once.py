"""The page of a report is small and there at once, and what matters is seen first.

The limits on time are those that the project sets itself, several times what is measured on two busy cores.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from scenarios import run
from simulator import Result
from tests.support.browser import COMMAND, REASON, Browser
from tests.support.report_page import READY, in_view, shown, span, written

pytestmark = pytest.mark.skipif(COMMAND is None, reason=REASON)


TRIES = 4


def test_a_large_run_is_small_and_there_at_once(browser: Browser, big: Result, big_file: Path) -> None:
    assert len(big.plan.program) >= 100_000
    assert big_file.stat().st_size <= 12e6
    page = shown(browser, big_file)
    assert page.run("overlapse.timeline.model.slices.begin.length") == len(big.plan.program)
    in_view(page)
    page.key("+", "+")
    assert span(page) < 1
    assert page.run("performance.now()") <= 3000  # it has answered by then
    page.wait(READY, lambda value: value == "all")
    assert page.trouble() == []
    assert page.requests() == []


def test_the_largest_that_is_shipped_is_small_and_there_at_once(browser: Browser, tmp_path: Path) -> None:
    path = written(tmp_path / "r.html", run("library:gpt3_6pd").report())
    assert path.stat().st_size <= 3e6
    answered = []
    for _ in range(TRIES):
        page = shown(browser, path)
        in_view(page)
        page.key("+", "+")
        assert span(page) < 1
        answered.append(page.run("performance.now()"))  # it has answered by then
        assert page.run("document.getElementById('lanes').getBoundingClientRect().height") >= 240
        assert page.trouble() == []
        browser.close_pages()
        if answered[-1] <= 2000:
            return
    pytest.fail(f"not there within 2 s, {TRIES} times: {answered} ms")


def test_the_timeline_is_the_first_thing_that_is_seen(browser: Browser, small_file: Path) -> None:
    page = shown(browser, small_file, width=1400, height=900)
    lanes, beside = page.run("""["#lanes", "#place", "#causes"].map((each) => {
      const { left, right, top, bottom } = document.querySelector(each).getBoundingClientRect();
      return { left, right, top, bottom };
    }).reduce(([lanes, beside], each) => (lanes ? [lanes, [...beside, each]] : [each, []]), [undefined, []])""")
    assert lanes["top"] < 450
    assert lanes["right"] - lanes["left"] > 900
    assert lanes["bottom"] - lanes["top"] > 300
    for each in beside:  # the bounds and what the time goes to stand beside it, and in view
        assert each["left"] >= lanes["right"]
        assert each["bottom"] <= 900


ZOOM = """(async () => {{
  const frame = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  await frame();
  const start = performance.now();
  overlapse.timeline.zoom({factor});
  await frame();
  return performance.now() - start;
}})()"""


def test_a_zoom_takes_less_than_100_ms(browser: Browser, big_file: Path) -> None:
    page = shown(browser, big_file, "all")
    in_view(page)
    took = [page.run(ZOOM.format(factor=factor)) for factor in [1.5] * 12 + [1 / 1.5] * 12]
    assert sorted(took)[len(took) // 2] <= 100
