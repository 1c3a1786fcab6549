"""A report reads well in both themes, on wide screens and on phones."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis import CAUSES
from tests.support.browser import COMMAND, REASON, Browser
from tests.support.report_page import colour, contrast, luminance, shown

pytestmark = pytest.mark.skipif(COMMAND is None, reason=REASON)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1400, 400])
def test_both_themes_read_well_at_both_widths(browser: Browser, small_file: Path, width: int, dark: bool) -> None:
    page = shown(browser, small_file, width=width, dark=dark)
    assert page.run("document.documentElement.scrollWidth") <= width
    inks = {name: colour(page, name) for name in ("page", "panel", "ink", "faint", "accent")}
    assert (luminance(inks["page"]) < 0.1) == dark
    for name in ("ink", "faint", "accent"):
        for ground in ("page", "panel"):
            assert contrast(inks[name], inks[ground]) >= 4.5, (name, ground)
    for name in CAUSES:
        assert contrast(colour(page, name), inks["page"]) >= 2  # beside its word, not alone
    page.run("document.getElementById('theme').click()")
    assert (luminance(colour(page, "page")) < 0.1) != dark
    overlapping = """(() => {
      const boxes = [...document.querySelectorAll("h1, h2, .verdict > div, .bounds span, .tools > *, td, th")]
        .filter((each) => each.checkVisibility() && each.textContent)
        .map((each) => each.getBoundingClientRect());
      let count = 0;
      boxes.forEach((one, at) => boxes.slice(at + 1).forEach((other) => {
        const wide = Math.min(one.right, other.right) - Math.max(one.left, other.left);
        const high = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
        if (wide > 1 && high > 1) count += 1;
      }));
      return count;
    })()"""
    assert page.run(overlapping) == 0


def test_legends_leave_room_for_charts_on_a_phone(browser: Browser, small_file: Path) -> None:
    page = shown(browser, small_file, "all", width=400)
    for name in ("roofline", "memory"):
        plot, legend = (
            page.run(f"(({{top, bottom}}) => [top, bottom])(document.querySelector('#chart-{name} {part}')"
                     ".getBoundingClientRect())")
            for part in (".bglayer rect, .cartesianlayer .gridlayer", ".legend")
        )  # fmt: skip
        assert plot[1] - plot[0] > 150, name
        assert legend[0] >= plot[1], name
    assert page.run("document.querySelectorAll('.legend .scrollbar').length") == page.run(
        "[...document.querySelectorAll('.legend .scrollbar')].filter((each) => !each.getBoundingClientRect().height).length"
    ), "no legend has to be scrolled"


def test_charts_are_there_and_take_the_theme(browser: Browser, small_file: Path) -> None:
    page = shown(browser, small_file, "all")
    for name in ("roofline", "memory", "topology"):
        assert page.run(f"document.querySelectorAll('#chart-{name} .main-svg').length") > 0
    drawn = "getComputedStyle(document.querySelector('#chart-roofline .legendtext')).fill"
    light = page.run(drawn)
    page.run("document.getElementById('theme').click()")
    page.wait(drawn, lambda value: value != light)
    assert page.trouble() == []
