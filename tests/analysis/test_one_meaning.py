"""One word, one meaning: ten words, each in the places where the guide says that it is shown, with one value there."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest

from analysis import CAUSES, WORDS
from analysis.runs import CONTENTION, path_work_ps, schedule_path
from analysis.timelines import DOES
from scenarios import Outcome, load_scenario
from tests.support.cases import overlapse

ROOT = Path(__file__).parents[2]
TEN = ("time", "bounds", "critical path", "eta", "compute", "exposed", "contention", "waiting", "spec", "measured")

LAYER = """\
name: layer
about: A layer on two unlike chips, whose sum crosses the link while a copy shares the memory.
system: {chips: [h100_sxm, a100_80gb_sxm], topology: line(2) over nvlink, mesh: {X: 2}}
workload:
  dims: {B: 4096, D: 8192, F: 8192}
  ops:
    - y:bf16[B,F]{U_X} = matmul(x:bf16[B,D_X], w:bf16[D_X,F])
    - z:bf16[B,F] = all_reduce(y, over=X)
    - g:bf16[B,F] = gelu(z)
    - c:bf16[B,F] = copy(n:bf16[B,F], queue=side)
    - e:bf16[B,F] = relu(g)
"""


def told(text: str) -> str:
    """A page as text: no tags, one space between words."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", text, flags=re.DOTALL)))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("layer") / "layer.yaml"
    path.write_text(LAYER)
    return path


@pytest.fixture(scope="module")
def outcome(file: Path) -> Outcome:
    return Outcome(load_scenario(str(file)))


@pytest.fixture(scope="module")
def places(file: Path, outcome: Outcome) -> dict[str, str]:
    """The screen, the report and a notebook's table of the same run, as text."""
    screen = overlapse("run", str(file)).stdout
    return {"screen": told(screen), "report": told(outcome.report()), "notebook": told(outcome._repr_html_())}


@pytest.fixture(scope="module")
def record(file: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(overlapse("run", str(file), "--json").stdout)
    return found


@pytest.mark.parametrize("word", ["time", "lower_bound", "upper_bound", "eta", "bound_by"])
def test_a_word_has_one_value_everywhere(
    word: str, places: dict[str, str], record: dict[str, object], outcome: Outcome
) -> None:
    assert record[word] == outcome.summary[word]
    for place, text in places.items():
        assert WORDS[word].text(record[word]) in text, place


def test_exposed_is_what_nothing_computes_beside(
    places: dict[str, str], record: dict[str, object], outcome: Outcome
) -> None:
    exposed = WORDS["exposed_network"].text(record["exposed_network"])
    assert f"exposed {exposed} of communication" in places["screen"]
    assert f"exposed communication {exposed}" in places["report"]
    frame = outcome.timeline.overlapse.breakdown()
    assert frame["network"].max() == pytest.approx(record["exposed_network"])


def test_the_critical_path_is_the_runs_own_chain(places: dict[str, str], outcome: Outcome) -> None:
    parts = path_work_ps(schedule_path(outcome.result))
    assert sum(parts.values()) == max(outcome.result.end_ps)
    assert "its parts add up to the run's time" in places["report"]
    chain = WORDS["dependency_bound"].text(outcome.summary["dependency_bound"])
    assert f"dependencies alone {chain}" in places["screen"]
    assert f"Dependencies alone: {chain}" in places["report"]
    assert "critical path" not in places["screen"].casefold()


def test_contention_is_what_a_task_takes_beyond_its_own_time(places: dict[str, str], outcome: Outcome) -> None:
    parts = path_work_ps(schedule_path(outcome.result))
    found = {op: ps for (op, cause), ps in parts.items() if cause == CONTENTION}
    assert found
    for op, ps in found.items():
        figures = outcome.ops.set_index("op").loc[op]
        alone = max(figures[word] for word in ("t_memory", "t_vector", "t_math"))
        assert ps / 1e12 == pytest.approx(figures["time"] - alone, rel=0.2)
    assert "contention" in places["report"]


def test_waiting_is_a_chip_that_runs_nothing(places: dict[str, str], record: dict[str, object]) -> None:
    waiting = WORDS["t_waiting"].text(record["t_waiting"])
    assert float(str(record["t_waiting"])) > 0
    for place in ("screen", "report"):
        assert re.search(rf"waiting {re.escape(waiting)}", places[place]), place


def test_compute_is_the_matrix_unit(places: dict[str, str], record: dict[str, object]) -> None:
    math = WORDS["t_math"].text(record["t_math"])
    for place in ("screen", "report"):
        assert re.search(rf"compute {re.escape(math)}", places[place]), place


def test_work_of_either_unit_is_arithmetic(outcome: Outcome) -> None:
    """What a frame says of an op on the matrix unit it says of one on the vector unit: so the word is that of neither."""
    does = outcome.timeline.drop_duplicates("op").set_index("op")["does"]
    bound = outcome.ops.set_index("op")["bound_by"]
    assert {does["y"], does["g"], does["e"]} == {"arithmetic"}
    assert bound["y"] == "compute"
    assert {"compute", "vector"}.isdisjoint(DOES)
    assert "arithmetic" not in CAUSES


@pytest.mark.parametrize("calibration", ["spec", "measured"])
def test_the_profile_stands_beside_the_system(calibration: str, file: Path, tmp_path: Path) -> None:
    changed = ["--set", f"run.calibration={calibration}"]
    other = "measured" if calibration == "spec" else "spec"
    screen = overlapse("run", str(file), *changed).stdout
    target = tmp_path / "r.html"
    assert overlapse("report", str(file), *changed, "--out", str(target)).exit_code == 0
    for text in (told(screen), told(target.read_text())):
        assert f" · {calibration} · " in text
        assert f" · {other} · " not in text


def test_the_guide_has_the_ten_words() -> None:
    page = (ROOT / "docs" / "words.md").read_text("utf-8")
    table = page[page.index("## One word, one meaning") :].partition("\n## ")[0] + page
    rows = re.findall(r"^\| \*\*([a-z ]+)\*\* \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", table, re.MULTILINE)
    assert tuple(dict.fromkeys(name for name, *_ in rows)) == TEN
