"""Modules of PyTorch whose weights are shared out among ranks: their graph is that of one, with its collectives."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hw import SpecError
from scenarios import summarise
from scenarios.importers import ImportOptions, from_torch, import_files

torch: Any = pytest.importorskip("torch", reason="PyTorch is not here: pip install '.[torch]'", exc_type=ImportError)
distributed: Any = pytest.importorskip("torch.distributed")
tensor: Any = pytest.importorskip("torch.distributed.tensor")
parallel: Any = pytest.importorskip("torch.distributed.tensor.parallel")
meshes: Any = pytest.importorskip("torch.distributed.device_mesh")
fake: Any = pytest.importorskip("torch.testing._internal.distributed.fake_pg")

from tests.scenarios.importers.test_torch import built, functional, matrix_flops, nn  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

ROWS, WIDTH, WIDE, RANKS = 16, 64, 128, 8
WEIGHT = WIDTH * WIDE * 4
PRODUCT = 2 * ROWS * WIDTH * WIDE


@pytest.fixture(autouse=True)
def ranks() -> Iterator[None]:
    """Eight ranks that never answer: nothing is run."""
    distributed.init_process_group("fake", rank=0, world_size=RANKS, store=fake.FakeStore())
    yield
    distributed.destroy_process_group()


def mesh(*sizes: int) -> Any:
    return meshes.init_device_mesh("cpu", sizes, mesh_dim_names=("dp", "tp")[: len(sizes)])


class Mlp(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, WIDE, bias=False), nn.Linear(WIDE, WIDTH, bias=False)

    def forward(self, x: Any) -> Any:
        return self.down(functional.relu(self.up(x)))


class Step(nn.Module):  # type: ignore[misc]
    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Any) -> Any:
        return (self.module(x).pow(2).mean(),)


def words(made: Any) -> dict[str, float]:
    summary = summarise(built(made))
    return {name: float(str(summary[name])) for name in ("network_bytes", "t_network")}


def columns_and_rows() -> Any:
    plan = {"up": parallel.ColwiseParallel(), "down": parallel.RowwiseParallel()}
    return parallel.parallelize_module(Mlp(), mesh(2, 4)["tp"], plan)


def test_columns_then_rows_are_added_up() -> None:
    """Megatron's MLP on four of eight ranks: a quarter of two products, and a sum of 16 x 64 numbers over them."""
    made = from_torch(columns_and_rows(), (torch.zeros(ROWS, WIDTH),))
    assert made.system["mesh"] == {"X": 2, "Y": 4}
    assert matrix_flops(made) == 2 * PRODUCT / 4
    assert words(made)["network_bytes"] == 2 * 3 / 4 * ROWS * WIDTH * 4
    assert not made.unpriced


def test_backward_too() -> None:
    """Forward, and both weights' gradients and the inner one's; the input wants none, so that nothing more is added up."""
    made = from_torch(Step(columns_and_rows()), (torch.zeros(ROWS, WIDTH),), train=True)
    assert matrix_flops(made) == 5 * PRODUCT / 4
    assert words(made)["network_bytes"] == 2 * 3 / 4 * ROWS * WIDTH * 4


class Sharded(nn.Module):  # type: ignore[misc]
    """FSDP written out: weights in eighths, gathered where they are used, gradients scattered."""

    def __init__(self) -> None:
        super().__init__()
        for name, size in (("up", (WIDTH, WIDE)), ("down", (WIDE, WIDTH))):
            whole = torch.zeros(*size)
            part = tensor.distribute_tensor(whole, mesh(RANKS), [tensor.Shard(0)])
            self.register_parameter(name, nn.Parameter(part))

    def whole(self, weight: Any) -> Any:
        gathered = weight.redistribute(placements=[tensor.Replicate()])
        return gathered.to_local(grad_placements=[tensor.Partial()])

    def forward(self, x: Any) -> Any:
        return (functional.relu(x @ self.whole(self.up)) @ self.whole(self.down)).pow(2).mean()


def test_a_step_of_fsdp_gathers_weights_and_scatters_gradients() -> None:
    """Seven eighths of each weight on the way there and on the way back."""
    made = from_torch(Sharded(), (torch.zeros(ROWS, WIDTH),), train=True)
    assert matrix_flops(made) == 5 * PRODUCT
    assert words(made)["network_bytes"] == 2 * 2 * 7 / 8 * WEIGHT
    products = 5 * (ROWS * WIDTH + WIDTH * WIDE + ROWS * WIDE)
    relu, loss = 5 * ROWS * WIDE, 11 * ROWS * WIDTH  # there and back; squares, their mean, and the gradient of both
    moved = 4 * (WIDTH * WIDE + WIDTH * WIDE // RANKS)  # two are gathered, two scattered
    by_hand = 4 * (products + relu + loss + moved)
    assert float(str(summarise(built(made))["hbm_bytes"])) == pytest.approx(by_hand, rel=1e-4)
    kinds = [line.partition(" = ")[2].partition("(")[0] for line in made.ops]
    assert (kinds.count("all_gather"), kinds.count("reduce_scatter")) == (2, 2)


SAVE = """
import sys, torch, torch.distributed as distributed
import torch.distributed._functional_collectives as collectives
from torch.testing._internal.distributed.fake_pg import FakeStore
distributed.init_process_group("fake", rank=0, world_size=8, store=FakeStore())

class Gathered(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.part = torch.nn.Parameter(torch.zeros(16, 128))
    def forward(self, x):
        whole = collectives.all_gather_tensor(self.part, 0, distributed.group.WORLD)
        return collectives.all_reduce(x @ whole, "sum", distributed.group.WORLD)

torch.export.save(torch.export.export(Gathered(), (torch.zeros(16, 128),), strict=False), sys.argv[1])
"""


def test_groups_of_another_process_are_as_large_as_they_say(tmp_path: Path) -> None:
    distributed.destroy_process_group()
    try:
        path = tmp_path / "ranks.pt2"
        subprocess.run([sys.executable, "-c", SAVE, str(path)], check=True, capture_output=True)
        made = import_files([path])
        assert any("is taken for 8 ranks" in note for note in made.notes)
        assert words(made)["network_bytes"] == 7 / 8 * 128 * 128 * 4 + 2 * 7 / 8 * 16 * 128 * 4
    finally:
        distributed.init_process_group("fake", rank=0, world_size=RANKS, store=fake.FakeStore())


def test_a_group_that_nobody_knows_is_asked_for() -> None:
    distributed.destroy_process_group()
    try:
        from scenarios.importers.aten.exchanges import _groups
        from scenarios.importers.aten.walk import Walk
        from scenarios.importers.op_lines import OpLines

        walk = Walk(OpLines(ImportOptions()), {}, "m")
        with pytest.raises((SpecError, ValueError), match="say it with --dim 7=8"):
            _groups(walk, "7", 0)
    finally:
        distributed.init_process_group("fake", rank=0, world_size=RANKS, store=fake.FakeStore())
