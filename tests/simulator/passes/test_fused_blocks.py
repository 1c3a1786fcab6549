"""Fused groups inside a block, which are joined once and stamped out.

Law: they are what the same rounds are when each is joined by itself, or written out under names of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from hw import System
from simulator import Kernel, OpGraph, Result, RunOptions, bind, fuse, parse_graph
from tests.support.strategies import chip_with, many, one, run

DIMS = {"M": 1024, "N": 512, "P": 512 * 513}
FIRST = "x:bf16[M,N] = relu(given:bf16[M,N])"
ROUNDS = 4
ONE = one()


@dataclass(frozen=True)
class Block:
    """Ops of a round, in which `{x}` is what the one before made, `{k}` the number of the round where it is written out;
    `carry`: what the next round reads, and of which op; the groups to fuse; and ops before it."""

    ops: Sequence[str]
    carry: dict[str, str]
    groups: Sequence[Sequence[str]]
    before: Sequence[str] = (FIRST,)
    system: System = ONE

    def repeated(self) -> list[Any]:
        """As a block."""
        names = {name: name for name in self.carry}
        lines = [op.format(**names, k="") for op in self.ops]
        return [*self.before, {"repeat": ROUNDS, "carry": self.carry, "ops": lines}]

    def written_out(self) -> tuple[list[str], list[list[str]]]:
        """As lines of their own, and the groups of these."""
        lines, groups = list(self.before), []
        names = {name: name for name in self.carry}
        for number in range(ROUNDS):
            lines += [op.format(**names, k=f"_{number}") for op in self.ops]
            groups += [[f"{name}_{number}" for name in group] for group in self.groups]
            names = {name: f"{made}_{number}" for name, made in self.carry.items()}
        return lines, groups


BIASED = (
    "m{k}:bf16[M,N] = matmul({x}, w{k}:bf16[N,N])",
    "a{k}:bf16[M,N] = add(m{k}, b{k}:bf16[N])",
    "y{k}:bf16[M,N] = relu(a{k})",
)
TIGHT = System(chip_with("tpu_v5e", {"on_chip.capacity": 1000}))

BLOCKS = {
    "a bias": Block(BIASED, {"x": "y"}, [["m", "a"]]),
    "all of a round": Block(BIASED, {"x": "y"}, [["m", "a", "y"]]),
    "spilled": Block(BIASED, {"x": "y"}, [["m", "a", "y"]], system=TIGHT),
    "on some chips": Block(
        [op.replace("relu(a{k})", "relu(a{k}, on=1)") for op in BIASED],
        {"x": "y"},
        [["m", "a"]],
        system=many("line(2)", {"X": 2}),
    ),
    # what is read in the next round is written, in the last round it stays on chip
    "kept but in the last": Block(
        ["a{k}:bf16[M,N] = add({x}, {s})", "y{k}:bf16[M,N] = relu(a{k})"],
        {"x": "y", "s": "a"},
        [["a", "y"]],
        before=(FIRST, "s:bf16[M,N] = relu(skipped:bf16[M,N])"),
    ),
    # a group reads two tensors in the first round, one of them twice in the others: each op by itself reads them alike
    "one tensor twice": Block(
        ["a{k}:bf16[M,N] = relu({x})", "y{k}:bf16[M,N] = add(a{k}, {s})"],
        {"x": "y", "s": "y"},
        [["a", "y"]],
        before=(FIRST, "s:bf16[M,N] = relu(skipped:bf16[M,N])"),
    ),
    "behind a view": Block(
        ["v{k}:bf16[M,N] = view({x})", *[op.replace("{x}", "v{k}") for op in BIASED]], {"x": "y"}, [["m", "a"]]
    ),
    "parts of a buffer": Block(
        ["w{k}:bf16[N,N] = view(all{k}:bf16[P])", "b{k}:bf16[N] = view(all{k})", BIASED[0].replace(":bf16[N,N])", ")"),
         BIASED[1].replace("b{k}:bf16[N]", "b{k}"), BIASED[2]],
        {"x": "y"}, [["m", "a"]],
    ),
    "waiting": Block(
        ["q{k}:bf16[M,N] = relu({x})", *BIASED[:2], "y{k}:bf16[M,N] = relu(a{k}, after=[q{k}])"], {"x": "y"}, [["a", "y"]]
    ),
}  # fmt: skip

every_block = pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS.keys())


def simulated(block: Block, lines: Sequence[Any], groups: Sequence[Sequence[str]]) -> Result:
    return run(lines, DIMS, block.system, RunOptions(overlap="full"), [list(group) for group in groups])


def unnamed(kernel: Kernel) -> Kernel:
    """All of a kernel that is a figure."""
    reads, writes = (
        tuple(replace(access, tensor="", view="") for access in each) for each in (kernel.reads, kernel.writes)
    )
    schedule = replace(kernel.schedule, after=("",) * len(kernel.schedule.after))
    ops = ("",) * len(kernel.ops)
    return replace(
        kernel, name="", ops=ops, written=(), template="", turn=(), reads=reads, writes=writes, schedule=schedule
    )


@every_block
def test_groups_of_a_block_are_those_joined_one_by_one(block: Block) -> None:
    plan = simulated(block, block.repeated(), block.groups).plan
    graph = parse_graph(block.repeated(), DIMS)
    joined = fuse(bind(OpGraph(graph.dims, graph.items), block.system), [*map(list, block.groups)], block.system)
    assert list(plan.kernels.kernels) == joined
    assert sum(kernel.kind == "fused" for kernel in joined) == ROUNDS * len(block.groups)


@every_block
def test_columns_of_a_block_say_what_its_kernels_read_and_make(block: Block) -> None:
    kernels = simulated(block, block.repeated(), block.groups).plan.kernels.kernels
    named, called = kernels.names.value_name, kernels.names.bases()
    for at, kernel in enumerate(kernels):
        assert [named(value) for value in kernels.read_by(at)] == [access.tensor for access in kernel.reads]
        made = [*(access.tensor for access in kernel.writes), *kernel.ops]
        assert [named(value) for value in kernels.made_by(at)] == made
        awaited = tuple(named(value) for value in kernels.awaited_by(at))
        assert awaited == kernel.schedule.after
        assert unnamed(kernels.like(at)) == replace(unnamed(kernel), schedule=replace(kernel.schedule, after=()))
        assert (kernels.names.kernel_name(at), called.names[called.of[at]]) == (kernel.name, kernel.base)
        assert kernels.names.op(at) == (kernel.ops[0], kernel.base_ops[0], kernel.turn)


@every_block
def test_a_block_is_what_its_rounds_written_out_are(block: Block) -> None:
    stamped = simulated(block, block.repeated(), block.groups)
    written = simulated(block, *block.written_out())
    assert [unnamed(each) for each in stamped.plan.kernels.kernels] == [
        unnamed(each) for each in written.plan.kernels.kernels
    ]
    assert list(stamped.begin_ps) == list(written.begin_ps)
    assert list(stamped.end_ps) == list(written.end_ps)


def test_of_alike_groups_one_is_joined() -> None:
    """Their kernels are of one template: what follows from it is worked out once."""
    block = BLOCKS["a bias"]
    kernels = simulated(block, block.repeated(), block.groups).plan.kernels.kernels
    assert len({kernels.code[at] for at, kernel in enumerate(kernels) if kernel.kind == "fused"}) == 1


def test_the_block_that_is_to_spill_does() -> None:
    block = BLOCKS["spilled"]
    kernels = simulated(block, block.repeated(), block.groups).plan.kernels.kernels
    spilled = [kernel.spilled_bytes for kernel in kernels if kernel.kind == "fused"]
    assert spilled
    assert all(spilled)
