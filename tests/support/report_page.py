"""The page of a report in a browser: once it is there, where its lanes are, how much of a run is in view."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.browser import Browser, Page

READY = "document.documentElement?.dataset.ready"

BOX = """(() => {
  const { left, top, width, height } = document.getElementById("lanes").getBoundingClientRect();
  return [left, top, width, height];
})()"""


def written(path: Path, html: str) -> Path:
    """The path of a page, once it is written."""
    path.write_text(html, encoding="utf-8")
    return path


def shown(browser: Browser, path: Path, what: str = "timeline", **size: Any) -> Page:
    """A page once its timeline (or everything) is there."""
    page = browser.open(path, **size)
    page.wait(READY, lambda value: value in (what, "all"))
    return page


def in_view(page: Page) -> tuple[float, float, float, float]:
    """Where the lanes are on the screen, with the keyboard on them."""
    page.run("document.getElementById('time').scrollIntoView(); document.getElementById('lanes').focus()")
    left, top, width, height = page.run(BOX)
    return left, top, width, height


def span(page: Page) -> float:
    """The share of the run that is in view."""
    return float(page.run("overlapse.timeline.view.span / overlapse.timeline.model.end"))


def place_of(page: Page, slice_number: int) -> tuple[float, float]:
    """The middle of a slice on the screen."""
    x, y = page.run(f"""(() => {{
      const {{ model, view, painter, rows, scroller }} = overlapse.timeline;
      const row = rows.find(({{ lane }}) => lane && {slice_number} >= lane.first && {slice_number} < lane.last);
      const box = document.getElementById("lanes").getBoundingClientRect();
      const middle = model.slices.begin[{slice_number}] + model.slices.took[{slice_number}] / 2;
      return [box.left + painter.gutter + (middle - view.from) / view.span * painter.room,
        box.top + row.y - scroller.scrollTop + row.height / 2];
    }})()""")
    return x, y


def colour(page: Page, name: str) -> list[int]:
    """A colour of the theme by its name, as RGB."""
    text = page.run(f"getComputedStyle(document.documentElement).getPropertyValue('--{name}').trim()")
    return [int(text[at : at + 2], 16) for at in (1, 3, 5)]


def luminance(rgb: list[int]) -> float:
    """Relative luminance (WCAG 2)."""
    parts = [value / 255 for value in rgb]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: list[int], other: list[int]) -> float:
    """Contrast of two colours (WCAG 2), from 1 to 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)
