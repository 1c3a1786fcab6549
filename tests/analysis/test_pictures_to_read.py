"""Pictures: names are no markup, colours can be told apart by everyone, and each has the form that is asked for."""

from __future__ import annotations

import itertools
import struct
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis import memory_frame, timeline_frame
from analysis.plots import (
    CAUSE_COLOURS,
    browser,
    plot_breakdown,
    plot_memory,
    plot_roofline,
    plot_timeline,
    save,
)
from analysis.plots.page import in_script
from analysis.plots.style import (
    without_round,
)
from hw import RunError
from simulator import Result
from tests.support.reports import EVIL, block


@pytest.fixture(scope="module")
def result() -> Result:
    return block()


def test_names_are_no_markup(result: Result) -> None:
    frame = timeline_frame(result).assign(op=EVIL)
    figure = plot_timeline(frame)
    assert all("<script" not in str(trace.customdata) for trace in figure.data)
    assert "<script" not in in_script(plot_timeline(frame).to_json())
    memory = memory_frame(result)
    memory["tensor"] = EVIL
    assert all("<script" not in trace.name for trace in plot_memory(memory).data)


def test_rounds_are_left_out_of_names() -> None:
    assert [without_round(name) for name in ("y.3", "y.3.12", "y.3/softmax", "a.1+b.1", "y")] == [
        "y", "y", "y/softmax", "a+b", "y"
    ]  # fmt: skip


# Colour blindness as a linear map of linear RGB, complete dichromacy: Viénot, Brettel and Mollon 1999 (protan, deutan),
# Brettel, Viénot and Mollon 1997 in the one-plane form of Machado, Oliveira and Fernandes 2009 (tritan).
SIGHT = {
    "all cones": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def oklab(colour: str, sight: Any) -> np.ndarray[Any, Any]:
    """A colour as it is seen, in a space in which distances are differences to the eye (Ottosson 2020)."""
    srgb = np.asarray([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.asarray(sight) @ linear, 0, 1)
    to_cones = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                [0.0883024619, 0.2817188376, 0.6299787005]]  # fmt: skip
    to_lab = [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
              [0.0259040371, 0.7827717662, -0.8086757660]]  # fmt: skip
    return np.asarray(np.asarray(to_lab) @ np.cbrt(np.asarray(to_cones) @ linear))


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_of_causes_differ_to_every_eye(sight: str) -> None:
    seen = {cause: oklab(colour, SIGHT[sight]) for cause, colour in CAUSE_COLOURS.items()}
    for one, other in itertools.combinations(seen, 2):
        # 0.02 is just noticeable side by side
        assert np.linalg.norm(seen[one] - seen[other]) > 0.07, (one, other)


def test_an_unknown_ending_is_refused(result: Result, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.html, \.svg, \.png, \.pdf"):
        save(plot_roofline(result), tmp_path / "figure.bmp")


def test_without_a_browser_the_message_says_what_to_do(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunError, match="apt-get install chromium"):
        save(plot_roofline(result), tmp_path / "figure.svg")
    saved = save(plot_roofline(result), tmp_path / "figure.html")
    assert "plotly" in saved.read_text()


@pytest.mark.long
@pytest.mark.skipif(browser() is None, reason="no Chromium on PATH (Debian: apt-get install chromium)")
def test_pictures_for_paper(result: Result, tmp_path: Path) -> None:
    figure = plot_breakdown(result)
    drawing = save(figure, tmp_path / "figure.svg", width=800).read_text()
    root = ElementTree.fromstring(drawing)
    assert root.tag.endswith("svg")
    assert root.get("width") == "800"
    assert "exposed network" in drawing
    picture = save(figure, tmp_path / "figure.png", width=300, scale=2).read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", picture[16:24]) == (600, 2 * figure.layout.height)
