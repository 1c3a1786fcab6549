"""Studies of random small graphs: whatever they are of and whatever varies, each row is its own run, bit for bit.

Most values lie near each other, so that rows go together; some are equal, some cross from one bound to another or from one
tile to the next, some are wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenarios import load_scenario, sweep
from tests.support.cases import written

DIMS = "BDFH"
SYSTEMS = {
    "chip: tpu_v5e": "ici",
    "chip: h100_sxm": "nvlink",
    "chip: a100_80gb_sxm": "nvlink",
    "chip: tpu_v5p": "ici",
    "chip: h100_sxm, topology: switch(2) over nvlink, mesh: {X: 2}": "nvlink",
    "chip: tpu_v5e, topology: ring(4), mesh: {X: 4}": "ici",
}


@st.composite
def graphs(draw: st.DrawFn, shared: bool) -> list[str]:
    """Ops one after another, each of what an earlier one made; `shared`: rows lie over a mesh axis, and are summed up."""
    rows, made = ("B_X" if shared else "B"), [("x:bf16", "D")]
    lines: list[str] = []
    for number in range(draw(st.integers(2, 6))):
        source, dim = draw(st.sampled_from(made[-2:]))
        taken = f"{source}[{rows},{dim}]" if ":" in source else source
        kind = draw(st.sampled_from(["matmul", "matmul", "gelu", "rms_norm", "add", "chunks", "tiles"]))
        if kind in ("matmul", "chunks", "tiles"):
            wide = draw(st.sampled_from(DIMS[1:]))
            option = f", {kind}={draw(st.sampled_from([2, 4]))}" if kind != "matmul" else ""
            lines.append(f"t{number}:bf16[{rows},{wide}] = matmul({taken}, w{number}:bf16[{dim},{wide}]{option})")
            dim = wide
        elif kind == "add":
            lines.append(f"t{number}:bf16[{rows},{dim}] = add({taken}, r{number}:bf16[{rows},{dim}])")
        else:
            lines.append(f"t{number}:bf16[{rows},{dim}] = {kind}({taken})")
        made.append((f"t{number}", dim))
    if shared:
        lines.append(f"g:bf16[D,H]{{U_X}} = matmul(a:bf16[{rows},D], b:bf16[{rows},H])")
        lines.append("s:bf16[D,H] = all_reduce(g, over=X)")
    return lines


@st.composite
def scenarios_at_random(draw: st.DrawFn) -> tuple[str, dict[str, list[Any]]]:
    """A scenario as a text, and what may vary in it: some values by path."""
    system = draw(st.sampled_from(sorted(SYSTEMS)))
    shared = "mesh" in system
    run = {
        "overlap": draw(st.sampled_from(["auto", "auto", "full", "none"])),
        "order": draw(st.sampled_from(["program", "ready"])),
        "memory_latency": draw(st.booleans()),
    }
    text = [f"name: random\nsystem: {{{system}}}\nrun: {json.dumps(run)}\nworkload:"]
    text.append("  dims: {B: 512, D: 256, F: 1024, H: 768}\n  ops:")
    text += [f'    - "{line}"' for line in draw(graphs(shared))]
    if draw(st.booleans()) and not shared:
        text.append("  fuse: elementwise")
    varied = {f"workload.dims.{dim}": near([512, 520, 528, 544, 576, 640], [64, 1000, 0, 16384]) for dim in DIMS}
    varied |= {
        "system.set.hbm.bandwidth": near([8e11, 8.1e11, 8.3e11, 8.7e11, 9e11], [1e11, "2 TB/s", "800 GB/s", "3 GB"]),
        "system.set.hbm.capacity": near([16e9, 17e9], ["1 MB", "80 GB", "3 MB"]),
        "system.set.matrix_unit.peak.bf16": near([1e14, 1.01e14, 1.05e14, 1.2e14], ["100 TFLOP/s", 989e12, 1e13]),
        "run.launch": near([1e-6, 1.1e-6, 1.5e-6, 2e-6], [0, "1 us", 5e-5, -1]),
        "run.efficiency.hbm": near([0.9, 0.91, 0.95, 1.0], ["80 %", 0.1, 2.0]),
        "ops.t0.chunks": near([2, 3, 4], [1, 8, 0]),
    }
    if shared:
        link = SYSTEMS[system]
        varied[f"system.set.links.{link}.bandwidth"] = near([4e10, 4.1e10, 5e10], [1e9, "4.5e10 B/s", 9e11])
        varied[f"system.set.links.{link}.latency"] = near([1e-6, 1.2e-6], [0, "2 us"])
    return "\n".join(text) + "\n", varied


def near(most: list[Any], few: list[Any]) -> list[Any]:
    """Values of which most are drawn from some."""
    return 4 * most + few


@settings(max_examples=20)
@given(st.data())
def test_rows_of_random_studies_are_those_of_their_own_runs(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    text, varied = data.draw(scenarios_at_random())
    path = written(tmp_path_factory.mktemp("case"), text)
    paths = data.draw(st.lists(st.sampled_from(sorted(varied)), min_size=1, max_size=3, unique=True))
    points = data.draw(
        st.lists(
            st.fixed_dictionaries({each: st.sampled_from(varied[each]) for each in paths}), min_size=10, max_size=24
        )
    )
    assert_alone(path, points)


def assert_alone(path: str, points: Sequence[Mapping[str, Any]]) -> None:
    """Each row of a study of some points is that of a study of its point only."""
    columns = {"zip": {each: [point[each] for point in points] for each in points[0]}}
    with pytest.MonkeyPatch.context() as patched:  # few rows go together, too
        patched.setattr("scenarios.studies.batches._FEW", 1)
        patched.setattr("scenarios.studies.batches._TRIES", len(points))
        study = sweep(load_scenario(path), columns, jobs=1)
    assert len(study.rows) == len(points)
    scenario, told = load_scenario(path), dict[str, str]()
    for row in study.rows:
        key = json.dumps(row.inputs)
        if key not in told:  # points repeat
            (alone,) = sweep(scenario, {"zip": {each: [value] for each, value in row.inputs.items()}}, jobs=1).rows
            told[key] = json.dumps([alone.words, alone.error, alone.exit])
        assert json.dumps([row.words, row.error, row.exit]) == told[key]
