"""Estimates of training steps against runs of the same steps: what is equal, and what bounds what.

Laws: `lower_bound` and the t_words are those of the run; `lower_bound` <= `earliest` <= time <= `upper_bound`, and the upper
bound is the run's where all chips do the same; what is given is what the run has from its begin; the peak is the run's
without a pipeline and with nothing beside the backward pass; what an estimator knows already changes nothing.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import Summary
from analysis.runs import holdings
from hw import Mesh, SpecError, System, load_chip, parse_topology
from simulator import Estimate, Estimator, Parallel, Result, RunOptions, Training, simulate, train_graph
from simulator.models import Attention, Embedding, Ffn, Head, Moe, Norm, Position, Transformer

SMALL = Transformer(
    name="small",
    family="decoder",
    layers=5,
    d_model=256,
    attention=Attention(heads=8, kv_heads=4, head_dim=32),
    ffn=Ffn(d_ff=512),
    norm=Norm(),
    position=Position(),
    head=Head(),
    embedding=Embedding(vocab=1024),
)
BIASED = Transformer(
    name="biased",
    family="decoder",
    layers=4,
    d_model=256,
    attention=Attention(heads=8, kv_heads=8, head_dim=32, qkv_bias=True, out_bias=True),
    ffn=Ffn(d_ff=512, gated=False, activation="gelu", bias=True),
    norm=Norm(kind="layer"),
    position=Position(kind="learned", longest=2048),
    head=Head(),
    embedding=Embedding(vocab=1000, tied=True),
)
SEQ = 256


def system_for(parallel: Parallel) -> System:
    """Chips in nodes of eight, or one switch of fewer."""
    chip = load_chip("h100_sxm")
    if parallel.chips == 1:
        return System(chip)
    wiring: Any = f"switch({parallel.chips}) over nvlink"
    if parallel.chips > 8:
        wiring = ["switch(8) over nvlink", f"switch({parallel.chips // 8}) over infiniband"]
    return System(chip, parse_topology(wiring, chip.links), Mesh(parallel.mesh))


def both(
    parallel: Parallel, micro: int, model: Transformer = SMALL, options: RunOptions | None = None, **how: Any
) -> tuple[Estimate, Result]:
    """An estimate and a run of a step of so many microbatches."""
    training = Training(batch=parallel.replicas * parallel.microbatch * micro, seq=SEQ, **how)
    options, system = options or RunOptions(), system_for(parallel)
    result = simulate(train_graph(model, parallel, training), system, options)
    return Estimator(model, system, options).estimate(parallel, training), result


SIZES = st.fixed_dictionaries(
    {
        "tp": st.sampled_from((1, 2, 4)),
        "dp": st.sampled_from((1, 2)),
        "pp": st.sampled_from((1, 2, 4)),
        "zero": st.integers(0, 3),
        "microbatch": st.sampled_from((1, 2)),
        "sequence": st.booleans(),
        "overlap_gradients": st.booleans(),
        "schedule": st.sampled_from(("gpipe", "1f1b", "zero_bubble")),
    }
)
HOW = st.fixed_dictionaries(
    {
        "recompute": st.sampled_from(("none", "selective", "full", 3)),
        "optimizer": st.sampled_from(("adamw", "sgd")),
        "clip": st.booleans(),
    }
)
MODELS = st.sampled_from((SMALL, BIASED))
OPTIONS = st.builds(
    RunOptions,
    overlap=st.sampled_from(("full", "none", "auto")),
    launch_s=st.sampled_from((None, 5e-6)),
    network_share=st.sampled_from((0.0, 0.1)),
)


@given(SIZES, HOW, st.integers(1, 4), MODELS, OPTIONS)
@settings(max_examples=25, deadline=None)
def test_the_bounds_are_those_of_the_run_and_hold(
    sizes: dict[str, Any], how: dict[str, Any], micro: int, model: Transformer, options: RunOptions
) -> None:
    found, result = both(Parallel(**sizes), micro, model, options, **how)
    run = Summary(result.plan, lambda: result)
    slack = 1e-9 + 1e-12 * len(result.plan.program) / result.time_s
    for word in ("lower_bound", "t_math", "t_vector", "t_memory", "t_network"):
        assert getattr(found, word) == pytest.approx(run[word], rel=1e-9), word
    assert found.lower_bound <= found.earliest * (1 + 1e-12)
    assert found.earliest <= result.time_s * (1 + slack)
    assert result.time_s <= found.upper_bound * (1 + slack)
    if sizes["pp"] == 1:
        assert found.upper_bound == pytest.approx(result.upper_bound_s, rel=1e-9)
