"""What is told of how figures came about: padding only where some dim does not fill its tile, and nothing is run again
where all do."""

from __future__ import annotations

import pytest

from analysis import Summary
from analysis.runs import assumptions
from hw import Mesh, System, load_chip, parse_topology
from simulator import RunOptions
from tests.support.strategies import one, run

LINE = "y:bf16[M,N] = matmul(x:bf16[M,K], w:bf16[K,N])"
FULL = {"M": 4096, "K": 4096, "N": 4096}


def summary_of(**dims: int) -> Summary:
    result = run([LINE], dims, one(), RunOptions(overlap="full"))
    return Summary(result.plan, lambda: result)


def test_chips_that_differ_are_told_with_what_that_costs() -> None:
    """Of four the slowest is 1.029 deviations above most."""
    chip = load_chip("h100_sxm")
    node = System(chip, parse_topology("switch(4) over nvlink", chip.links), Mesh({"X": 4}))
    lines = [LINE, "g:bf16[M,N] = all_gather(p:bf16[M_X,N], over=X)"]
    result = run(lines, FULL, node, RunOptions(overlap="full", spread=0.03))
    assert assumptions(Summary(result.plan, lambda: result))[0] == "kernels +3.1 %: slowest of 4, spread 3 %"


def test_nothing_is_run_again_where_dims_fill_their_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    summary = summary_of(**FULL)
    monkeypatch.setattr(Summary, "again", lambda *_: pytest.fail("there is nothing to pad"))
    assert assumptions(summary) == []


def test_a_dim_that_does_not_fill_its_tile_is_told() -> None:
    """Half a tile of 128 x 128 takes the unit as long as a whole one, and arithmetic decides."""
    summary = summary_of(M=4096, N=4096 + 64, K=64 * 129)
    wanted = (65 * 128 * 33 * 128) / (64 * 129 * (4096 + 64)) - 1
    assert assumptions(summary) == [f"no padding of dims to tiles (with it +{100 * wanted:.1f} %)"]
