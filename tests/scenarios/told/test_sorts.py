"""Files of another sort: the file of a chip, a model, a system or a scenario where another of them is wanted."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scenarios.cli import app

FILES = {
    "chip": """
name: mine
kind: accelerator
matrix_unit: {peak: {bf16: 400 TFLOP/s}}
vector_unit: {peak: {fp32: 20 TFLOP/s}}
hbm: {capacity: 96 GB, bandwidth: 4 TB/s}
""",
    "model": "base: llama3_8b\nname: two\nlayers: 2\n",
    "system": "name: pod\nchip: tpu_v5e\ntopology: ring(4)\nsources: {topology: mine}\n",
    "scenario": "name: s\nsystem: {chip: tpu_v5e}\nworkload: {ops: ['y:bf16[8] = relu(x:bf16[8])']}\n",
}
COMMANDS = {"chip": "chips", "model": "models", "system": "systems", "scenario": "run"}


def file_of(sort: str, folder: Path) -> str:
    path = folder / f"{sort}.yaml"
    path.write_text(FILES[sort], encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("sort", FILES)
def test_a_file_of_the_sort_that_is_wanted_is_read(sort: str, tmp_path: Path) -> None:
    assert CliRunner().invoke(app, [COMMANDS[sort], file_of(sort, tmp_path)]).exit_code == 0


@pytest.mark.parametrize(("given", "wanted"), [*permutations(FILES, 2)])
def test_another_is_told_as_what_it_is_and_nothing_else(given: str, wanted: str, tmp_path: Path) -> None:
    file = file_of(given, tmp_path)
    result = CliRunner().invoke(app, [COMMANDS[wanted], file])
    assert result.exit_code == 2
    assert f"this is the file of a {given}, and a {wanted} is wanted" in result.stderr
    assert f"overlapse {COMMANDS[given]} {file}" in " ".join(result.stderr.split())
    assert "unknown key" not in result.stderr


def test_roofs_of_a_chip_of_ones_own(tmp_path: Path) -> None:
    """A path of a chip file stands wherever its name could: it was taken for a scenario with nine unknown keys."""
    result = CliRunner().invoke(app, ["roofline", file_of("chip", tmp_path)])
    assert result.exit_code == 0
    assert "mine  400 TFLOP/s bf16, ridge 100" in result.stdout
