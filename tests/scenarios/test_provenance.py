"""A measured run says what its times rest on: on the screen, which is no longer for that, in JSON, in its reasons."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scenarios import run
from tests.support.cases import overlapse

LINES, WIDTH = 23, 80

STEP = """\
name: m
about: A small step with everything a screen can have.
system: {base: dgx_h100}
workload: {model: {base: llama3_8b, layers: 6}, batch: 16, seq: 1024, parallel: {zero: 3, tp: 2}}
run: {overlap: full, calibration: CALIBRATION}
"""


def written(folder: Path, calibration: str) -> str:
    path = folder / "m.yaml"
    path.write_text(STEP.replace("CALIBRATION", calibration))
    return str(path)


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `explain` says of the measured run."""
    return " ".join(overlapse("explain", written(tmp_path_factory.mktemp("step"), "measured")).stdout.split())


def test_json_names_whose_kernels_stand_for_those_of_a_chip_that_nobody_measured(tmp_path: Path) -> None:
    path = written(tmp_path, "measured")
    found = run(path, ["system.chip=l40s", "system.topology=switch(8) over pcie", "system.base=null"]).as_json()
    assert "kernels of l40s as those of ampere, by its data sheet (none measured)" in found["assumed"]
    assert "kernels of" not in " ".join(run(path).as_json().get("assumed", []))


@pytest.mark.long
@pytest.mark.parametrize("dispatch", ["graph", "eager"])
def test_the_screen_says_so_and_still_fits(tmp_path: Path, dispatch: str) -> None:
    path, said = written(tmp_path, "measured"), f"run.dispatch={dispatch}"
    shares = run(path, [said]).as_json()["provenance"]
    lines = overlapse("run", path, "--set", said).stdout.splitlines()
    assert len(lines) <= LINES
    assert all(len(line) <= WIDTH for line in lines)
    told = next(line for line in lines if line.startswith("rests on"))
    for name in (name for name in ("measured", "profile") if shares[name]):
        assert f"{name} {100 * shares[name]:.1f} %" in told


def test_json_has_the_shares_of_a_measured_run_only(tmp_path: Path) -> None:
    shares = json.loads(overlapse("run", written(tmp_path, "measured"), "--json").stdout)["provenance"]
    assert set(shares) == {"measured", "profile", "data_sheet"}
    assert sum(shares.values()) == pytest.approx(1.0)
    # every kernel of a decoder was measured, and collectives over its link
    assert shares["measured"] == pytest.approx(1.0)
    by_data_sheet = written(tmp_path, "spec")
    assert "provenance" not in json.loads(overlapse("run", by_data_sheet, "--json").stdout)
    assert "rests on" not in overlapse("run", by_data_sheet).stdout


@pytest.mark.long
def test_reasons_and_report_say_so(tmp_path: Path, explained: str) -> None:
    assert "What it rests on, of tasks' time: measured" in explained
    assert "What it rests on" in run(written(tmp_path, "measured")).report()


@pytest.mark.long
def test_how_sure_it_is_stands_beside_the_time(tmp_path: Path, explained: str) -> None:
    path = written(tmp_path, "measured")
    told = run(path).as_json()
    low, high = told["interval"]["low"], told["interval"]["high"]
    assert low < told["time"] < high
    within = f"± {100 * (high - low) / (high + low):.2g} %"
    assert within in next(line for line in overlapse("run", path).stdout.splitlines() if line.startswith("time"))
    assert "How sure it is" in explained
    by_data_sheet = written(tmp_path, "spec")
    assert "±" not in overlapse("run", by_data_sheet).stdout
    assert "interval" not in run(by_data_sheet).as_json()
