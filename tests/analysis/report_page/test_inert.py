"""A page does nothing but show a run: names are text, nothing is asked of the network, what was packed comes out whole."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import numpy as np
import pytest

from analysis import Summary
from analysis.report import report_html
from tests.support.browser import COMMAND, REASON, Browser
from tests.support.report_page import in_view, place_of, shown, written
from tests.support.reports import EVIL, evil_result, evil_story

pytestmark = pytest.mark.skipif(COMMAND is None, reason=REASON)


INFLATE = Path(__file__).parents[3] / "analysis" / "report" / "assets" / "inflate.js"


@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("data", [b"", b"a", b"overlap and lapse " * 5000, bytes(range(256)) * 300])
def test_what_python_packs_the_page_unpacks(browser: Browser, tmp_path: Path, level: int, data: bytes) -> None:
    noise = np.random.default_rng(level).integers(0, 256, 70_000, np.uint8).tobytes()
    page = browser.open(written(tmp_path / "p.html", "<!DOCTYPE html><title>empty</title>"))
    for content in (data, data + noise):
        for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED):
            packer = zlib.compressobj(level, strategy=strategy)
            text = base64.b64encode(packer.compress(content) + packer.flush()).decode()
            code = Path(INFLATE).read_text()
            found = page.run(
                f"(() => {{{code}; let text = ''; for (const each of new Uint8Array(inflated({text!r}))) "
                "text += String.fromCharCode(each); return btoa(text); })()"
            )
            assert base64.b64decode(found) == content


def test_names_are_text(browser: Browser, tmp_path: Path) -> None:
    result = evil_result()
    path = written(tmp_path / "r.html", report_html(Summary(result.plan, lambda: result), evil_story()))
    page = shown(browser, path, "all")
    in_view(page)
    page.key("n", "n")
    assert EVIL in page.run("document.querySelector('#slice h3').textContent")
    x, y = place_of(page, page.run("overlapse.timeline.chosen"))
    page.mouse("mouseMoved", x, y)
    assert EVIL in page.wait("document.getElementById('tooltip').textContent")
    assert page.run("document.title") == EVIL
    assert page.run("document.images.length") == 0
    assert page.run("document.scripts.length") == 4
    # what plotly shows is the name as it is, not what it would mean
    page.run("(({ data }) => Plotly.Fx.hover('chart-roofline', [{ curveNumber: data.length - 1, pointNumber: 0 }]))"
             "(document.getElementById('chart-roofline'))")  # fmt: skip
    assert EVIL in page.wait("document.querySelector('#chart-roofline .hoverlayer').textContent")
    assert not [event for event in browser.events if event["method"] == "Page.javascriptDialogOpening"]
    assert page.trouble() == []
    assert page.requests() == []


def test_the_policy_holds(browser: Browser, small_file: Path) -> None:
    page = shown(browser, small_file)
    page.run(
        "const script = document.createElement('script'); script.textContent = 'window.taken = 1';"
        "document.body.append(script)"
    )
    assert page.run("window.taken === undefined")
    refused = "fetch('https://example.org/').then(() => 'sent', () => 'refused')"
    assert page.run(refused) == "refused"
    names = page.run("Object.keys(window).filter((name) => name.startsWith('overlapse') || name === 'Timeline')")
    assert names == ["overlapse"]
