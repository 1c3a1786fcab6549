"""Kernels of an earlier architecture on a later one: its instructions are there, and slower than the later one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from hw import Chip, System, load_chip
from hw.chips import chip_kernels, load_kernel_times
from simulator import RunOptions, parse_graph, simulate

TOKENS, WIDTH = 16384, 2048
"""Of each timing of FlashAttention-2 on an H100 SXM, by heads and mask: its sequences have as many tokens together."""

FORWARD: Mapping[tuple[int, str], Sequence[int]] = {
    (64, "false"): (282, 306, 318, 321, 322, 324),
    (64, "true"): (180, 229, 262, 284, 295, 299),
    (128, "false"): (309, 350, 362, 368, 370, 370),
    (128, "true"): (191, 260, 298, 319, 333, 335),
}
BACKWARD: Mapping[tuple[int, str], Sequence[int]] = {
    (64, "false"): (198, 238, 264, 279, 287, 291),
    (128, "false"): (214, 260, 291, 310, 318, 322),
}
"""TFLOP/s of sequences of 512 to 16,384: Shah et al. 2024 (FlashAttention-3), figures 5 and 6."""

_QKV = ", ".join(f"{name}:fp16[B,H,S,D]" for name in "qkv")
_LINES = {
    1.0: f"o:fp16[B,H,S,D] = attention({_QKV}, causal=CAUSAL)",
    2.5: f"d:fp16[B,H,S,D] = attention_backward({_QKV}, o:fp16[B,H,S,D], y:fp16[B,H,S,D], causal=CAUSAL)",
}


def _teraflops(chip: Chip, head: int, causal: str, tokens: int, work: float) -> float:
    sizes = {"B": TOKENS // tokens, "H": WIDTH // head, "S": tokens, "D": head}
    graph = parse_graph([_LINES[work].replace("CAUSAL", causal)], sizes)
    seconds = simulate(graph, System(chip), RunOptions(calibration="measured", clocks="burst")).time_s
    return work * 4 * TOKENS * tokens * WIDTH / (2 if causal == "true" else 1) / seconds / 1e12


@pytest.mark.parametrize(("work", "measured", "least"), [(1.0, FORWARD, 0.08), (2.5, BACKWARD, 0.04)])
def test_an_older_attention_on_a_newer_chip_is_as_it_was_measured(
    work: float, measured: Mapping[tuple[int, str], Sequence[int]], least: float
) -> None:
    """FlashAttention-2's kernels have Ampere's instructions: on an H100 they reach half of its peak."""
    chip = load_chip("h100_sxm", set={"calibration.measured.attention_like": "ampere_flash_2"})
    errors = [
        abs(_teraflops(chip, head, causal, 512 * 2**at, work) / reached - 1.0)
        for (head, causal), curve in measured.items()
        for at, reached in enumerate(curve)
    ]
    print(f"{len(errors)} timings, {100 * sum(errors) / len(errors):.1f} % off, {100 * max(errors):.1f} % at most")
    assert sum(errors) / len(errors) < least
    assert max(errors) < 0.25


def test_instructions_of_an_earlier_architecture_are_slower_on_a_later_one_alone() -> None:
    """By data sheets the H100's matrix unit is 3.17 times the A100's; the same kernel is less than twice as fast there."""
    like = {"calibration.measured.attention_like": "ampere"}
    a100, h100 = (
        _teraflops(load_chip(name, set=like), 128, "true", 8192, 1.0) for name in ("a100_80gb_sxm", "h100_sxm")
    )
    assert a100 == _teraflops(load_chip("a100_80gb_sxm"), 128, "true", 8192, 1.0)
    assert 1.5 < h100 / a100 < 2.0
    # another library of the same architecture has its instructions
    own = {"calibration.measured.attention_like": "hopper_tensorrt_llm"}
    kernels = chip_kernels(load_chip("h100_sxm", set=own))
    assert kernels is not None
    assert kernels.times.attention.rate == load_kernel_times("hopper_tensorrt_llm").attention.rate
