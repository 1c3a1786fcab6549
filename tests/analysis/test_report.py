"""The report without a browser: its timeline is the run's to the picosecond, it asks for nothing, and no name is markup."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import CAUSES, Summary, op_figures
from analysis.report import Story, report_html, study_html, what_if_html
from analysis.report.packed_timeline import BINS, busy, packed
from analysis.report.report import SCRIPTS
from analysis.runs import margin, schedule_path
from hw import Mesh, System, load_chip, parse_topology
from scenarios import run
from simulator import GraphBuilder, Result, RunOptions, simulate
from tests.support.cases import overlapse
from tests.support.reports import EVIL, block, evil_result, evil_story

ASSETS = Path(__file__).parents[2] / "analysis" / "report" / "assets"
TYPES = {"u1": np.uint8, "u2": np.uint16, "u4": np.uint32, "i4": np.int32}


def unpacked(text: str) -> dict[str, Any]:
    """The bytes of a timeline as header and columns, read by the description of the format."""
    data = zlib.decompress(base64.b64decode(text))
    length = int.from_bytes(data[:4], "little")
    header: dict[str, Any] = json.loads(data[4 : 4 + length])
    for name, (kind, offset, count) in header["columns"].items():
        assert offset % 4 == 0
        header[name] = np.frombuffer(data, TYPES[kind], count, 4 + length + offset)
    return header


def wide(model: dict[str, Any], name: str) -> Any:
    return model[f"{name}_high"].astype(np.int64) * 2**32 + model[f"{name}_low"]


def transfers(rounds: int = 2) -> Result:
    """Two chips that compute by turns and send to each other."""
    build = GraphBuilder(B=256, D=512)
    build.relu("x:bf16[B,D]", out="a:bf16[B,D]", on=0)
    for at in range(rounds):
        build.send("a" if not at else f"c{at - 1}", from_=0, to=1, out=f"s{at}:bf16[B,D]")
        build.recv(from_=0, to=1, out=f"r{at}:bf16[B,D]")
        build.relu(f"r{at}", out=f"b{at}:bf16[B,D]")
        build.send(f"b{at}", from_=1, to=0, out=f"t{at}:bf16[B,D]")
        build.recv(from_=1, to=0, out=f"u{at}:bf16[B,D]")
        build.relu(f"u{at}", out=f"c{at}:bf16[B,D]")
    chip = load_chip("tpu_v5e")
    return simulate(build.graph(), System(chip, parse_topology("line(2)", chip.links), Mesh({"X": 2})), RunOptions())


def alone() -> Result:
    build = GraphBuilder(B=64)
    build.relu("x:bf16[B]", out="y:bf16[B]")
    return simulate(build.graph(), System(load_chip("tpu_v5e")), RunOptions())


RUNS: dict[str, Callable[[], Result]] = {
    "folded": lambda: block(2),
    "full": lambda: block(2, fold=False),
    "by messages": lambda: block(1, network="messages"),
    "transfers": transfers,
}


@pytest.mark.parametrize("name", RUNS)
def test_every_slice_arrives_to_the_picosecond(name: str) -> None:
    result = RUNS[name]()
    program, plan = result.plan.program, result.plan
    path = sorted({segment.task for segment in schedule_path(result)})
    model = unpacked(packed(result, op_figures(result), path).data)
    assert model["tick_s"] == 1e-12
    task, kernel, chunk = (np.cumsum(model[column]) for column in ("task", "kernel", "chunk"))
    since, took, waited = (wide(model, column) for column in ("begin", "took", "waited"))
    number = {(lane.chip, lane.name, lane.inner): at for at, lane in enumerate(program.queues)}
    found, at = [], 0
    for lane in model["lanes"]:
        begin = np.cumsum(since[at : at + lane["count"]])
        queue = number[lane["chip"], lane["name"], lane["inner"]]
        for row, start in enumerate(begin, at):
            found.append((int(task[row]), queue, int(start), int(start + took[row]), int(kernel[row]), int(chunk[row])))
            assert waited[row] == result.waiting_ps.get((int(task[row]), queue), 0)
        assert (np.diff(begin) >= 0).all()
        at += lane["count"]
    wanted = [
        (
            each,
            queue,
            result.begin_ps[each],
            result.end_ps[each],
            plan.kernel_on(each, program.queues[queue].chip),
            program.chunk[each],
        )
        for each in range(len(program))
        for queue in program.queues_of(each)
    ]
    assert sorted(found) == sorted(wanted)
    assert np.cumsum(model["path"]).tolist() == path
    starts = np.cumsum(model["followers"]) - model["followers"]
    after = [
        (np.asarray(model["distance"][start : start + count]) + at).tolist()
        for at, (start, count) in enumerate(zip(starts, model["followers"], strict=True))
    ]
    assert after == program.successors


def test_facts_are_those_of_the_ops() -> None:
    result = block(2)
    figures = op_figures(result)
    model = unpacked(packed(result, figures, []).data)
    assert model["names"] == [row.name for row in figures]
    for row, planned, fact in zip(figures, result.plan.kernels, model["fact"], strict=True):
        kind, cause, flops, nbytes, sent, tile, chunks = model["facts"][fact]
        assert (kind, cause, tile) == (row.kind, row.bound_by, row.tile)
        assert chunks == planned.kernel.schedule.chunks
        assert [flops * chunks, nbytes * chunks, sent * chunks] == pytest.approx(
            [row.flops, row.hbm_bytes, row.network_bytes]
        )


def test_lanes_beyond_what_a_page_holds_keep_their_utilisation(monkeypatch: pytest.MonkeyPatch) -> None:
    result = block(6, fold=False)
    figures = op_figures(result)
    whole = unpacked(packed(result, figures, []).data)
    monkeypatch.setattr("analysis.report.packed_timeline.MAX_SLICES", whole["lanes"][0]["count"] + 1)
    model = unpacked(packed(result, figures, []).data)
    assert [lane["detailed"] for lane in model["lanes"]] == [True] + [False] * (len(whole["lanes"]) - 1)
    shares = model["bins"].reshape(-1, len(CAUSES), BINS) / 65535
    program, length = result.plan.program, max(result.end_ps)
    number = {(lane.chip, lane.name): at for at, lane in enumerate(program.queues)}
    for lane, found in zip(model["lanes"][1:], shares, strict=True):
        queue = number[lane["chip"], lane["name"]]
        mine = [each for each in range(len(program)) if queue in program.queues_of(each)]
        total = sum(result.end_ps[each] - result.begin_ps[each] for each in mine)
        assert found.sum() * length / BINS == pytest.approx(total, rel=1e-3)
        assert found.sum(axis=0).max() <= 1 + 1e-4


def test_lanes_beyond_the_last_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    result = block(1, fold=False)
    monkeypatch.setattr("analysis.report.packed_timeline.MAX_LANES", 5)
    model = unpacked(packed(result, op_figures(result), []).data)
    assert len(model["lanes"]) == 5
    words = Summary(result.plan, lambda: result)
    assert "7 more lanes" in report_html(words)


def test_busy_of_disjoint_spans() -> None:
    begin, end = np.asarray([0, 5, 20]), np.asarray([3, 15, 40])
    assert busy(begin, end, np.asarray([0, 10, 20, 30, 40])).tolist() == [8, 5, 10, 10]


def test_a_run_too_long_for_53_bits_has_longer_ticks() -> None:
    result = alone()
    longer = Result(result.plan, [0], [10**18 + 7])  # 11.6 days
    model = unpacked(packed(longer, op_figures(longer), []).data)
    assert model["tick_s"] == 1e-9
    assert model["end"] == wide(model, "took")[0] == 10**15


class Page(HTMLParser):
    """What stands in a page: elements with their attributes, scripts with their text, all other text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text: list[str] = []
        self._in: str = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in == "script":
            attributes, before = self.scripts[-1]
            self.scripts[-1] = (attributes, before + data)
        elif self._in != "style":
            self.text.append(data)


@pytest.fixture(scope="module")
def evil() -> str:
    result = evil_result()
    return report_html(Summary(result.plan, lambda: result), evil_story())


def test_no_name_is_markup(evil: str) -> None:
    page = Page(evil)
    plain = Page(report_html(Summary(block(2).plan, lambda: block(2)), Story(name="plain")))
    assert len(page.scripts) == len(plain.scripts) == 4
    assert not [attributes for tag, attributes in page.elements if tag == "img"]
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert sum(EVIL in text for text in page.text) >= 8


def test_a_screen_reader_finds_a_name_for_everything(evil: str) -> None:
    page = Page(evil)
    texts = re.findall(r"<button[^>]*>([^<]*)</button>", evil)
    buttons = [attributes for tag, attributes in page.elements if tag == "button"]
    assert len(texts) == len(buttons) >= 8
    for text, attributes in zip(texts, buttons, strict=True):
        assert attributes.get("aria-label") or text.strip()
        assert attributes.get("type") == "button"
    pressed = [attributes["id"] for attributes in buttons if "aria-pressed" in attributes]
    assert pressed == ["show-path", "show-messages"]
    pictures = [a for tag, a in page.elements if tag == "canvas" or a.get("class") == "chart" or a.get("role") == "img"]
    assert len(pictures) >= 6
    for attributes in pictures:
        assert attributes.get("role") in ("img", "application")
        assert attributes.get("aria-label")
    assert sum(tag == "h1" for tag, _ in page.elements) == 1
    assert sum(tag == "main" for tag, _ in page.elements) == 1
    assert all(attributes.get("scope") == "col" for tag, attributes in page.elements if tag == "th")
    links = [str(attributes["href"])[1:] for tag, attributes in page.elements if tag == "a"]
    assert set(links) <= {attributes.get("id") for tag, attributes in page.elements if tag == "section"}


def test_the_policy_names_the_scripts_and_nothing_else(evil: str) -> None:
    page = Page(evil)
    policy = next(a["content"] for tag, a in page.elements if tag == "meta" and "http-equiv" in a) or ""
    directives = {part.split()[0]: part.split()[1:] for part in policy.split(";")}
    assert directives["default-src"] == ["'none'"]
    assert "connect-src" not in directives
    code = [text for attributes, text in page.scripts if "type" not in attributes]
    library = zlib.decompress(base64.b64decode(page.scripts[2][1])).decode()
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in (*code, library)
    ]
    assert directives["script-src"] == hashes


def test_the_page_asks_for_nothing(evil: str) -> None:
    for tag, attributes in Page(evil).elements:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith("#"), (tag, name, value)
    style = re.findall(r"<style>(.*?)</style>", evil, re.DOTALL)
    assert style
    assert not any("url(" in text or "@import" in text for text in style)
    for script in SCRIPTS:
        # the name of SVG's words is no address that is asked for
        code = (ASSETS / f"{script}.js").read_text().replace("http://www.w3.org/2000/svg", "")
        for way in ("fetch(", "XMLHttpRequest", "WebSocket", "sendBeacon", "http:", "https:", "innerHTML", "eval("):
            assert way not in code, (script, way)


def test_scripts_are_short_and_all_used() -> None:
    assert sorted(path.stem for path in ASSETS.glob("*.js")) == sorted(SCRIPTS)
    for path in [*ASSETS.iterdir()]:
        assert len(path.read_text().splitlines()) <= 320, path.name


@pytest.mark.parametrize(
    "name", ["llama3_8b_block", "send_recv_two_hops", "ddp_1000_h100", "offloaded_adam_state", "dgx_h100_all_reduce"]
)
def test_a_report_tells_what_the_summary_tells(name: str) -> None:
    outcome = run(f"library:{name}")
    html = outcome.report()
    text = " ".join(Page(html).text)
    for wanted in (outcome.scenario.name, str(outcome.words["bound_by"]), f"{outcome.words['eta']:.3f}"):
        assert wanted in text
    for section in ("place", "causes", "time", "path", "ops", "memory", "words", "sources"):
        assert f'<section id="{section}">' in html
    chip = outcome.scenario.system.chip
    for section in chip.figures():
        assert chip.sources.get(section, "no source given").split(";")[0][:60] in text
    assert len(html) < 3_500_000


def test_a_report_tells_how_sure_a_measured_time_is() -> None:
    measured = run("library:llama3_8b_block", ["run.calibration=measured"])
    sure = margin(measured.result)
    assert sure is not None
    assert f"± {100 * sure.relative:.2g} %" in " ".join(Page(measured.report()).text)
    assert "±" not in " ".join(Page(run("library:llama3_8b_block").report()).text)


def test_a_study_and_a_what_if_have_their_sections(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(
        "name: study\nsystem: {chip: h100_sxm}\n"
        "workload:\n  dims: {B: 64, D: 1024}\n  ops:\n    - y:bf16[B,D] = relu(x:bf16[B,D])\n"
        "study: {vary: {workload.dims.B: [64, 128]}, what_if: {}}\n"
    )
    html = run(str(path)).report()
    assert '<section id="what-if">' in html
    assert '<section id="study">' in html
    assert "workload.dims.B" in html


def test_the_command_writes_it(tmp_path: Path) -> None:
    target = tmp_path / "r.html"
    done = overlapse("report", "library:relu_bn_conv_fused", "--out", str(target))
    assert done.exit_code == 0
    assert target.read_text().startswith("<!DOCTYPE html>")
    assert overlapse("report", "library:nothing_such", "--out", str(target)).exit_code == 2
    assert overlapse("report", "library:relu_bn_conv_fused", "--out", str(tmp_path / "no" / "r.html")).exit_code == 2


def test_the_same_run_gives_the_same_bytes() -> None:
    name = "library:chunked_all_reduce"
    code = f"import sys; from scenarios import run; sys.stdout.buffer.write(run('{name}').report().encode())"
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=True)
    assert done.stdout == run(name).report().encode()


def test_notebooks_show_runs_and_studies() -> None:
    shown = run("library:chunked_all_reduce")._repr_html_()
    assert "<svg" in shown
    assert "bound_by" in shown
    frame = pd.DataFrame({"B": [1, EVIL], "time": [1e-3, None], "bound_by": ["memory", None], "error": ["", EVIL]})
    study = study_html(EVIL, frame, ["B"])
    what_if = what_if_html(
        EVIL,
        pd.DataFrame(
            {"resource": [EVIL], "time": [1.0], "x1_1": [0.95], "x2": [0.6], "infinite": [0.5], "elasticity": [-0.5]}
        ),
    )
    for html in (study, what_if):
        page = Page(html)
        assert not page.scripts
        assert not [tag for tag, _ in page.elements if tag == "img"]
    assert "1 ms" in study
    assert "-40.0 %" in what_if
