"""Steps as PyTorch's FSDP2 and its pipelines run them: the matmuls of plain ones, with more that is held and copied.

Closed forms: two gathered groups that follow each other in one stream's pool, reduced gradients in another's; what is in no
block gathered until the backward pass is over; of a pipeline each microbatch's stream into and out of a stage, and the
gradients of both. What is gathered or scattered over the tensor axis is copied once.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from analysis import memory_frame
from simulator import PRECISIONS, Parallel, Result
from tests.support.models import SMALL
from tests.support.training_steps import SEQ, flops_of_all, peak, step

BLOCK = 256 * (256 + 2 * 128 + 256) + 3 * 256 * 512 + 2 * 256
ENDS = 2 * 1024 * 256 + 256
WORKSPACES = 3 * 32 * 2**20


def run(parallel: Parallel, micro: int = 1, engine: str = "pytorch", **how: Any) -> Result:
    return step(parallel, micro, precision=PRECISIONS["bf16"], engine=engine, **how)


def bytes_of(result: Result, name: str, chip: int = 0) -> float:
    """Bytes of tensors whose name begins so on a chip, and that are there before the run."""
    frame = memory_frame(result)
    mine = frame[(frame["chip"] == chip) & frame["given"]]
    return float(mine.loc[mine["tensor"].astype(str).str.startswith(name), "bytes"].sum())


@pytest.mark.parametrize(
    "parallel", [Parallel(dp=4, zero=3), Parallel(dp=2, pp=2, zero=1), Parallel(tp=2, pp=2, collective_matmul=2)]
)
def test_the_work_is_that_of_a_plain_step(parallel: Parallel) -> None:
    pytorch, plain = (run(parallel, 2, engine) for engine in ("pytorch", "plain"))
    assert flops_of_all(pytorch) == flops_of_all(plain)
    assert pytorch.time_s == plain.time_s
    assert peak(pytorch) > peak(plain) + WORKSPACES


def test_parts_of_sequences_are_copied_to_their_places() -> None:
    """Two gathers and two scatters a block, one of each at the ends; forwards and backwards."""
    pytorch, plain = (run(Parallel(tp=2), engine=engine) for engine in ("pytorch", "plain"))
    moved = [sum(each.kernel.hbm_bytes for each in result.plan.kernels) for result in (pytorch, plain)]
    stream = 2 * SEQ * 256
    assert moved[0] - moved[1] == 2 * stream * 2 * (4 * SMALL.layers + 2)
    assert flops_of_all(pytorch) == flops_of_all(plain)
    assert pytorch.plan.inserted == ()


@pytest.mark.parametrize(("zero", "passes"), [(1, 0), (2, 2), (3, 2)])
def test_flat_gradients_are_put_together_and_divided(zero: int, passes: int) -> None:
    """By PyTorch's first FSDP, microbatch by microbatch: all gradients of a chip are read and written in either pass."""
    micro = 2
    flat, plain = (run(Parallel(dp=2, zero=zero), micro, engine) for engine in ("fsdp1", "plain"))
    moved = [sum(each.kernel.hbm_bytes for each in result.plan.kernels) for result in (flat, plain)]
    assert moved[0] - moved[1] == micro * passes * 2 * 2 * (SMALL.layers * BLOCK + ENDS)
    assert flops_of_all(flat) == flops_of_all(plain)
    assert (flat.time_s > plain.time_s) == (passes > 0)


@pytest.mark.parametrize("tp", [1, 2])
def test_pools_of_streams(tp: int) -> None:
    """The root's flat buffer and a block's: what is whole on chips of the tensor axis, norms, once on each."""
    norms, root_norms = 2 * 256, 256
    block, root = (BLOCK - norms) // tp + norms, (ENDS - root_norms) // tp + root_norms
    shared = run(Parallel(dp=2, tp=tp, zero=3))
    assert bytes_of(shared, "flats") == 2 * (max(root, block) + block)
    assert bytes_of(shared, "workspaces") == WORKSPACES
    assert bytes_of(shared, "reduced") == 0
    kept = run(Parallel(dp=2, tp=tp, zero=1))
    assert bytes_of(kept, "reduced") == 2 * (root + 4 * block) / 2


def test_what_is_in_no_block_stays_gathered() -> None:
    """Until the last gradient is there; the table of tokens is not read after the first op."""

    def table_until(engine: str) -> float:
        result = run(Parallel(dp=4, zero=3), engine=engine)
        frame = memory_frame(result)
        return float(frame.loc[frame["tensor"] == "wIn", "end"].iloc[0] / result.time_s)

    assert table_until("plain") < 0.2
    assert table_until("pytorch") > 0.8


def held_to_the_end(result: Result, chip: int) -> pd.Series:
    """Bytes that stages of a pipeline hold on a chip until the step is over, by what tensors are called."""
    frame = memory_frame(result)
    mine = frame[frame["chip"] == chip]
    name = mine["tensor"].astype(str)
    over = mine.loc[name.str.startswith("held.s"), "begin"].item()
    kept = mine[(mine["end"] >= over) & (mine["begin"] < over)]
    found: pd.Series = kept["bytes"].groupby(kept["tensor"].astype(str).str.split(".").str[0]).sum()
    return found


def test_a_stage_holds_what_it_made_and_received() -> None:
    """The middle of three stages: the stream of each microbatch both ways, and the gradients of both."""
    micro, stream = 5, 2 * SEQ * 256
    held = held_to_the_end(run(Parallel(pp=3, layers=(1, 2, 1)), micro), chip=1)
    names = ("x", "y", "dx", "dy")
    assert {name: held[name] for name in names} == dict.fromkeys(names, micro * stream)


def test_the_last_stage_holds_logits() -> None:
    assert held_to_the_end(run(Parallel(pp=2), 4), chip=1)["logits"] == 4 * 2 * SEQ * 1024


def test_a_loop_lets_go_of_what_the_model_returned() -> None:
    ends = {}
    for engine in ("plain", "pytorch"):
        result = run(Parallel(), engine=engine, eager=True)
        frame = memory_frame(result)
        ends[engine] = float(frame.loc[frame["tensor"] == "logits", "end"].iloc[0] / result.time_s)
    assert ends["plain"] == 1.0
    assert ends["pytorch"] < 1.0
