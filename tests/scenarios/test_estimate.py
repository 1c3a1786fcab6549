"""The command `estimate`: what it prints of a scenario that trains a model, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hw import SpecError
from scenarios import estimate, run
from tests.support.cases import overlapse, written

STEP = """
name: step
about: GPT-2 in two stages.
system: {base: dgx_h100}
workload: {model: gpt2, mode: train, batch: 16, seq: 256, parallel: {pp: 2}}
"""


@pytest.mark.long
def test_it_says_what_the_run_says(tmp_path: Path) -> None:
    file = written(tmp_path, STEP)
    found, words = estimate(file), run(file).summary
    for word in ("lower_bound", "upper_bound", "t_math", "t_memory"):
        assert getattr(found, word) == pytest.approx(words[word], rel=1e-9)
    # the stages exchange the table's gradients beside what else is stepped
    assert found.peak_memory == pytest.approx(words["peak_memory"], rel=0.06)


@pytest.mark.parametrize("told", ["offload: [optimizer]", "offload: [optimizer, activations]"])
def test_what_goes_to_the_host_is_estimated(tmp_path: Path, told: str) -> None:
    """Also from a file, in which it is a list."""
    file = written(
        tmp_path, f"name: m\nsystem: {{chip: h100_sxm}}\nworkload: {{model: gpt2, batch: 2, seq: 256, {told}}}"
    )
    found, held = estimate(file), run(file).summary["peak_memory"]
    assert isinstance(held, float)
    assert found.least_memory <= held * (1 + 1e-9)
    assert held <= found.late_memory * (1 + 1e-9)
    assert found.peak_memory < estimate(file, ["workload.offload=[]"]).peak_memory


def test_what_does_not_train_a_model_is_refused() -> None:
    with pytest.raises(SpecError, match="training of a transformer"):
        estimate("library:llama3_8b_block")


def test_the_command_says_the_same_in_words_and_in_json(tmp_path: Path) -> None:
    file = written(tmp_path, STEP)
    found = estimate(file)
    told = json.loads(overlapse("estimate", file, "--json").stdout)
    assert (told["earliest"], told["peak_memory"], told["fits"]) == (found.earliest, found.peak_memory, True)
    assert [sum(stage["by_owner"].values()) for stage in told["stages"]] == pytest.approx(
        [stage.peak for stage in found.memory]
    )
    shown = overlapse("estimate", file).stdout
    assert "at least" in shown
    assert "fits" in shown
    assert "optimizer" in shown
