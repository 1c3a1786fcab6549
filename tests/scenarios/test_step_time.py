"""The time of one step without a file: the same as that of a scenario with the same words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hw import SpecError
from scenarios import run, step_time

TINY = {"base": "llama3_8b", "layers": 2}
FILE = """
name: m
about: A step.
system: {base: dgx_h100, nodes: 2}
workload: {model: {base: llama3_8b, layers: 2}, batch: 32, seq: 512, parallel: {tp: 2, zero: 3, order: [tp, cp, ep, dp, pp]}}
run: {overlap: full}
"""


def test_a_step_is_that_of_a_scenario(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(FILE, encoding="utf-8")
    words = run(str(path)).words
    parallel = {"tp": 2, "zero": 3, "order": ("tp", "cp", "ep", "dp", "pp")}
    system = {"base": "dgx_h100", "nodes": 2}
    step = step_time(TINY, system, {"overlap": "full"}, batch=32, seq=512, parallel=parallel)
    assert step.time_s == words["time"]
    assert step.mfu == words["mfu"]
    assert step.peak_memory_bytes == words["peak_memory"]
    assert step.exposed_communication_s == words["exposed_network"]
    assert step.tokens_per_s == pytest.approx(32 * 512 / step.time_s)
    assert step.bound_by == words["bound_by"]
    assert step.fits
    assert step.why == ""
    assert "\n" not in repr(step)


def test_a_chip_is_a_system_and_a_model_may_be_a_file(tmp_path: Path) -> None:
    model = tmp_path / "tiny.yaml"
    model.write_text("name: tiny\nbase: llama3_8b\nlayers: 2\n", encoding="utf-8")
    asked: dict[str, Any] = {"mode": "decode", "batch": 4, "context": 256}
    assert step_time(str(model), "h100_sxm", **asked) == step_time(TINY, {"chip": "h100_sxm"}, **asked)


@pytest.mark.long
def test_what_does_not_fit_has_its_time_and_says_why() -> None:
    step = step_time("llama3_8b", "h100_sxm", batch=1, seq=512)
    assert not step.fits
    assert step.time_s > 0
    assert "llama3_8b does not fit" in step.why
    assert "optimizer" in step.why


def test_everything_that_is_wrong_is_told_under_its_name() -> None:
    with pytest.raises(SpecError) as caught:
        step_time("llama3_8", "dgx_h10", batch=8, sqe=4096, parallel={"zero": 7})
    told = {each.mark.file: each.message for each in caught.value.problems}
    assert "did you mean 'llama3_8b'" in told["workload.model"]
    assert "did you mean 'dgx_h100'" in told["system.base"]
    assert "did you mean 'workload.seq'" in told["workload.sqe"]
    assert "at most 3" in told["workload.parallel.zero"]
