"""The op graph of a scenario as text: what is printed can be pasted into a scenario, and is the same run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hw.input import parse_document
from scenarios import library_names, load_scenario, run
from scenarios.cli import app

SMALL = (
    "{base: llama3_8b, layers: 3, d_model: 512, ffn: {d_ff: 1024}, attention: {heads: 8, kv_heads: 4}, "
    "embedding: {vocab: 2048}}"
)

MODEL = f"""
name: m
system: {{base: dgx_h100}}
workload:
  model: {SMALL}
  mode: train
  batch: 16
  seq: 256
"""

WAYS = [
    "parallel={zero: 3}",
    "parallel={tp: 2, cp: 2, zero: 1}",
    "parallel={pp: 2, tp: 2, layers: [2, 1]}",
    "parallel={tp: 8}",
    "recompute={blocks: 1}",
]


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["graph", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def pasted(original: str, text: str, folder: Path) -> str:
    """A scenario file with what was printed as its workload, and the mesh that stands above it."""
    file = folder / "pasted.yaml"
    scenario = load_scenario(original)
    mesh = text.partition("\n")[0].removeprefix("# system.mesh: ") if text.startswith("#") else ""
    data = dict(scenario.document.data)
    system = {**data["system"], **({"mesh": parse_document(mesh, "mesh").data} if mesh else {})}
    data = {name: part for name, part in data.items() if name not in ("workload", "extends", "expect", "study")}
    data["system"] = system
    file.write_text("\n".join([*(f"{key}: {json.dumps(part)}" for key, part in data.items()), text]), "utf-8")
    return str(file)


@pytest.mark.parametrize("way", WAYS)
def test_a_model_that_is_pasted_takes_the_same_time(way: str, tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    key, _, value = way.partition("=")
    file.write_text(f"{MODEL}  {key}: {value}\n", "utf-8")
    before = run(str(file))
    after = run(pasted(str(file), printed(str(file)), tmp_path))
    assert after.scenario.model is None
    for word in ("time", "lower_bound", "upper_bound", "flops", "peak_memory", "network_bytes"):
        assert after.summary[word] == before.summary[word], word


@pytest.mark.parametrize("name", ["llama3_8b_block", *sorted(library_names())[::9]])
def test_a_plain_workload_that_is_pasted_takes_the_same_time(name: str, tmp_path: Path) -> None:
    original = f"library:{name}"
    if "data_loader" in name or load_scenario(original).loaders.names:
        pytest.skip("its loader is a file beside it")
    after = run(pasted(original, printed(original), tmp_path))
    assert after.summary["time"] == run(original).summary["time"]


INSERTED = """
name: sums
system: {chip: tpu_v5e, topology: ring(4)}
workload:
  dims: {B: 1024, D: 4096}
  ops:
    - y:bf16[B,D] = matmul(x:bf16[B,D_X], w:bf16[D_X,D])
run: {sharding: SHARDING}
"""


@pytest.mark.parametrize("sharding", ["canonical", "auto"])
def test_what_the_planner_inserts_is_printed(sharding: str, tmp_path: Path) -> None:
    file = tmp_path / "sums.yaml"
    file.write_text(INSERTED.replace("SHARDING", sharding), "utf-8")
    record = json.loads(printed(str(file), "--json"))
    assert set(record) == {"name", "mesh", "workload"}
    assert record["mesh"] == {"X": 4}
    assert len(record["workload"]["ops"]) > 1
    after = run(pasted(str(file), printed(str(file)), tmp_path))
    assert after.sharding.inserted == ()
    assert after.summary["time"] == run(str(file)).summary["time"]


def test_dims_stand_first_and_blocks_once(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(MODEL, "utf-8")
    lines = printed(str(file)).splitlines()
    assert lines[:3] == ["# system.mesh: {D: 8}", "workload:", "  dims:"]
    assert sum(line.strip().startswith("- a:bf16") for line in lines) == 1
    assert sum(line.strip() == "- repeat: 3" for line in lines) >= 2
