"""The efficiency of one resource that measured training steps say: found again where it was planted, and the command."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from hw import SpecError
from scenarios.cli.show.errors import show_fitted
from scenarios.validation import TrainingRow, trained, with_one_efficiency
from tests.scenarios.validation.test_validate_training import row, written
from tests.support.cases import overlapse

pytest.importorskip("scipy")


def steps(efficiency: Mapping[str, float], model: str = "small") -> list[TrainingRow]:
    """Steps of several sizes, as long as a machine with an efficiency of its own is predicted to take."""
    sizes = (("512", "2048"), ("2048", "8192"))
    rows = [row(line, hidden=hidden, ffn=ffn, model=model) for line, (hidden, ffn) in enumerate(sizes, 2)]
    found = trained(rows, efficiency=efficiency)
    return [replace(each.row, measured_s=each.predicted_s) for each in found]


@pytest.mark.parametrize(("resource", "planted"), [("dispatch", 0.4), ("matrix_unit", 0.5)])
def test_what_was_planted_is_found(resource: str, planted: float, capsys: pytest.CaptureFixture[str]) -> None:
    fitted = with_one_efficiency(steps({resource: planted}), resource)
    assert fitted.efficiency == pytest.approx(planted, rel=0.01)
    assert fitted.fitted == len(fitted.found) == 2
    assert max(abs(each.error) for each in fitted.found) < 0.01
    show_fitted(fitted, with_rows=False)
    assert f"{resource} at {100 * fitted.efficiency:.1f} % of what its calibration says" in capsys.readouterr().err


def test_it_is_fitted_to_the_steps_of_one_model_and_predicts_all() -> None:
    mine, others = steps({"dispatch": 0.4}), steps({}, "another")
    others = [replace(each, mark=replace(each.mark, line=9 + at)) for at, each in enumerate(others)]
    fitted = with_one_efficiency([*mine, *others], "dispatch", "small")
    assert (fitted.fitted, len(fitted.found)) == (2, 4)
    assert fitted.efficiency == pytest.approx(0.4, rel=0.01)
    # those that ran on a faster host are predicted to take longer than they did
    assert max(each.error for each in fitted.found[2:]) > 0.2


def test_what_is_asked_for_must_be_there() -> None:
    rows = steps({})
    with pytest.raises(SpecError, match="unknown resource 'dispach', did you mean 'dispatch'"):
        with_one_efficiency(rows, "dispach")
    with pytest.raises(SpecError, match="unknown model 'smal', did you mean 'small'"):
        with_one_efficiency(rows, "dispatch", "smal")


def test_the_command_tells_the_efficiency_and_the_rows_with_it(tmp_path: Path) -> None:
    cells = [{"hidden": each.text("hidden"), "ffn": each.text("ffn")} for each in steps({})]
    seconds = [{"measured_seconds_per_iteration": f"{each.measured_s:.9g}"} for each in steps({"dispatch": 0.4})]
    file = written(tmp_path, *({**one, **other} for one, other in zip(cells, seconds, strict=True)))
    told = json.loads(overlapse("validate", file, "--fit", "dispatch", "--on", "small", "--jobs", "1", "--json").stdout)
    assert told["fitted"]["resource"] == "dispatch"
    assert math.isclose(told["fitted"]["efficiency"], 0.4, rel_tol=0.01)
    assert told["sources"][0]["mean"] < 0.01


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--on", "small"), "there is no --fit"),
        (("--fit", "hbn"), "did you mean 'hbm'"),
        (("--fit", "dispatch", "--on", "large"), "unknown model 'large'"),
    ],
)
def test_options_that_cannot_be_are_told(tmp_path: Path, given: tuple[str, ...], said: str) -> None:
    shown = overlapse("validate", written(tmp_path, {}), *given)
    assert shown.exit_code == 2
    assert said in " ".join(shown.stderr.split())


def test_operators_have_no_efficiency_to_fit(tmp_path: Path) -> None:
    file = tmp_path / "operators.csv"
    file.write_text("suite,op,dtype,params,time_s\n")
    shown = overlapse("validate", file, "--fit", "dispatch")
    assert shown.exit_code == 2
    assert "no training steps" in " ".join(shown.stderr.split())
