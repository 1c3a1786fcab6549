"""What leaves the page: pictures in files, and paper."""

from __future__ import annotations

import base64
from pathlib import Path
from xml.etree import ElementTree

import pytest

from analysis.plots import CAUSE_COLOURS
from tests.support.browser import COMMAND, REASON, Browser
from tests.support.report_page import READY, colour, luminance, shown

pytestmark = pytest.mark.skipif(COMMAND is None, reason=REASON)


SAVED = """(async () => {
  const click = HTMLAnchorElement.prototype.click;
  const saved = [];
  const kept = URL.createObjectURL;
  let last;
  URL.createObjectURL = (blob) => { last = blob; return kept(blob); };
  const found = new Promise((resolve) => {
    HTMLAnchorElement.prototype.click = function () { resolve([this.download, last]); };
  });
  document.querySelector("SELECTOR").click();
  const [name, blob] = await found;
  HTMLAnchorElement.prototype.click = click;
  URL.createObjectURL = kept;
  const bytes = new Uint8Array(await blob.arrayBuffer());
  return [name, blob.type, btoa(String.fromCharCode(...bytes.subarray(0, 100000)))];
})()"""


@pytest.mark.parametrize("what", ["#save-{}", "[data-chart=roofline][data-format={}]"])
def test_pictures_are_saved_with_their_names(browser: Browser, small_file: Path, what: str) -> None:
    page = shown(browser, small_file, "all")
    page.run("overlapse.timeline.zoom(4, 0)")
    name, kind, data = page.run(SAVED.replace("SELECTOR", what.format("svg")))
    text = base64.b64decode(data).decode()
    assert name.endswith(".svg")
    assert kind == "image/svg+xml"
    root = ElementTree.fromstring(text)
    words = {(each.text or "").partition(" ")[0] for each in root.iter("{http://www.w3.org/2000/svg}text")}
    ops = {"h.0", "p.0", "r.0"} if "save" in what else {"h", "p"}
    assert words & ops
    name, kind, data = page.run(SAVED.replace("SELECTOR", what.format("png")))
    assert name.endswith(".png")
    assert kind == "image/png"
    assert base64.b64decode(data).startswith(b"\x89PNG")
    assert page.trouble() == []


def test_what_is_printed_is_all_there(browser: Browser, small_file: Path) -> None:
    page = shown(browser, small_file, "timeline", dark=True)
    assert page.run(READY) == "timeline"  # the charts have not been drawn yet
    page.run("overlapse.timeline.zoom(4)")
    page.run("dispatchEvent(new Event('beforeprint'))")
    drawn = page.run(
        "[...document.querySelectorAll('.chart')].map((each) => [each.id, !!each.querySelector('.main-svg')])"
    )
    assert len(drawn) >= 3
    assert all(there for _, there in drawn), drawn
    names = page.run("[...document.querySelectorAll('#paper text')].map((each) => each.textContent)")
    ops = page.run("overlapse.timeline.model.names")
    assert set(names) & set(ops), names
    colours = set(page.run("[...document.querySelectorAll('#paper rect')].map((each) => each.getAttribute('fill'))"))
    for cause in ("memory", "network"):
        wanted = [int(CAUSE_COLOURS[cause][at : at + 2], 16) for at in (1, 3, 5)]
        assert f"rgb({wanted[0]},{wanted[1]},{wanted[2]})" in colours
    page.run("dispatchEvent(new Event('afterprint'))")
    assert page.run("document.getElementById('paper').hidden") is True
    paper = page.printed()
    assert paper.startswith(b"%PDF")
    assert page.trouble() == []


def test_paper_is_light(browser: Browser, small_file: Path) -> None:
    page = shown(browser, small_file, "all", dark=True)
    assert luminance(colour(page, "page")) < 0.1
    inks = "[...document.querySelectorAll('.legendtext')].map((each) => getComputedStyle(each).fill)"
    on_screen = page.run(inks)
    page.run("dispatchEvent(new Event('beforeprint'))")
    assert luminance(colour(page, "page")) > 0.9
    dark_inks = {f"rgb({', '.join(map(str, colour(page, 'ink')))})"}
    assert set(page.run(inks)) == dark_inks  # every chart at once: printing does not wait
    page.run("dispatchEvent(new Event('afterprint'))")
    assert luminance(colour(page, "page")) < 0.1
    assert page.run(inks) == on_screen
    printed = page.printed()
    assert printed.startswith(b"%PDF")
    assert len(printed) > 50_000
    assert page.trouble() == []
