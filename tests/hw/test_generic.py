"""Kernels of chips that nobody measured: an architecture's, by the chip's own data sheet, and said to be a profile."""

from __future__ import annotations

from typing import Any

import pytest

from analysis.runs import assumptions, grounds, margin
from analysis.words import Summary
from hw import SpecError, System, load_chip
from hw.chips import GENERIC, chip_kernels, chip_names, load_kernel_times
from simulator import Result, RunOptions, parse_graph, simulate
from tests.support.strategies import chip_with

MATMUL = ["y:fp16[M,N] = matmul(x:fp16[M,K], w:fp16[K,N])", "z:fp16[M,N] = gelu(y)"]
MEASURED = RunOptions(calibration="measured", dispatch="eager")
SIZES = {"M": 1024, "N": 1024, "K": 4096}


@pytest.mark.parametrize("name", [name for name in chip_names() if load_chip(name).kind == "gpu"])
def test_every_gpu_of_the_catalogue_has_kernels(name: str) -> None:
    """Its own or those of an architecture that is named; no faster than its data sheet."""
    chip = load_chip(name)
    found = chip_kernels(chip)
    assert found is not None
    assert found.own is (name in ("a100_40gb_sxm", "a100_80gb_sxm", "h100_sxm", "h200"))
    assert found.own or found.like in ("ampere", "cdna", "hopper")
    graph = parse_graph(MATMUL, SIZES)
    measured, spec = (simulate(graph, System(chip), options).time_s for options in (MEASURED, RunOptions()))
    assert spec < measured


def test_times_of_cores_go_as_the_clocks_and_shares_stay() -> None:
    ampere = load_kernel_times("ampere")
    found = chip_kernels(load_chip("a10"))
    assert found is not None
    assert ampere.clock_hz is not None
    slower = ampere.clock_hz / 1.695e9
    assert found.times.matmul.tile_s == pytest.approx(ampere.matmul.tile_s * slower)
    assert found.times.kinds["softmax"].row_s == pytest.approx(ampere.kinds["softmax"].row_s * slower)
    assert found.times.attention.split_s == pytest.approx(ampere.attention.split_s * slower)
    assert found.times.start_s == ampere.start_s
    assert found.times.dispatch == ampere.dispatch
    assert (found.times.hbm, found.times.matmul.rate) == (ampere.hbm, ampere.matmul.rate)


@pytest.mark.parametrize("library", ["hopper", "hopper_tensorrt_llm"])
def test_every_time_of_a_core_goes_as_the_clock(library: str) -> None:
    """Of tiles, blocks, tokens and passes alike; and what a core moves in a second."""
    chip = chip_with("h100_pcie", {"calibration": {"measured": {"kernels_like": library}}})
    found, there = chip_kernels(chip), load_kernel_times(library)
    assert found is not None
    assert found.times.start_s == there.start_s
    parts = [(each, getattr(found.times, each), getattr(there, each)) for each in _OF_CORES]
    parts.append(("token", found.times.attention.token, there.attention.token))
    parts += [(kind, found.times.kinds[kind], of) for kind, of in there.kinds.items()]
    for name, here, of in parts:
        for field in type(of).model_fields if of is not None else ():
            if field.endswith("_s"):
                by = 1.62 / 1.83 if field.endswith("_per_s") else 1.83 / 1.62
                assert getattr(here, field) == pytest.approx(getattr(of, field) * by), (name, field)


_OF_CORES = ("matmul", "convolution", "attention", "attention_backward")


@pytest.mark.parametrize(
    ("name", "dtype", "share"), [("l4", "bf16", 0.459), ("l4", "fp32", 0.359), ("h20", "bf16", 0.958)]
)
def test_long_matmuls_reach_what_was_measured_of_them(name: str, dtype: str, share: float) -> None:
    """Under sustained load; a clock above the architecture's share is its rate, one below is lost to power."""
    graph = parse_graph([f"y:{dtype}[N,M] = matmul(x:{dtype}[N,K], w:{dtype}[K,M])"], {"N": 8192, "M": 8192, "K": 8192})
    chip = load_chip(name)
    found = simulate(graph, System(chip), RunOptions(calibration="measured")).time_s
    peak = {str(each): rate for each, rate in chip.matrix_unit.peak_flops_per_s.items()}[dtype]
    assert 2 * 8192**3 / peak / found == pytest.approx(share, rel=0.06)


def test_a_power_limit_leaves_what_the_energy_of_a_flop_allows() -> None:
    """A B200 has 1,000 W for 2.25 PFLOP/s, the H100 700 W for 0.989: 0.911 x 0.628. fp32 keeps the architecture's share."""
    hopper, found = load_kernel_times("hopper"), chip_kernels(load_chip("b200"))
    assert found is not None
    assert found.times.sustained == pytest.approx(hopper.sustained * (1000 / 2250) / (700 / 989), rel=1e-3)
    assert found.times.sustained_plain == hopper.sustained
    # kernels of a chip's own under another limit; as they were measured where it is the same
    capped, own = (
        chip_kernels(load_chip("h100_sxm", set=changes)) for changes in ({"power": "500 W"}, {"power": "700 W"})
    )
    assert capped is not None
    assert own is not None
    assert (capped.own, own.times) == (True, hopper)
    assert capped.times.sustained == pytest.approx(hopper.sustained * 5 / 7)
    plenty = chip_kernels(chip_with("b200", {"power": 5000.0}))
    assert plenty is not None
    assert plenty.times.sustained == 1.0

    def seconds(dtype: str, clocks: str) -> float:
        graph = parse_graph(
            [f"y:{dtype}[N,M] = matmul(x:{dtype}[N,K], w:{dtype}[K,M])"], {"N": 8192, "M": 8192, "K": 8192}
        )
        return simulate(graph, System(load_chip("b200")), RunOptions(calibration="measured", clocks=clocks)).time_s  # type: ignore[arg-type]

    for dtype, left in (("bf16", found.times.sustained), ("fp32", hopper.sustained)):
        assert seconds(dtype, "burst") / seconds(dtype, "sustained") == pytest.approx(left, rel=0.02)


def test_of_twice_the_chip_a_long_stream_takes_half() -> None:
    """HBM twice as fast: all of a long stream but its start takes half."""
    graph = parse_graph(["y:fp16[N] = gelu(x:fp16[N])"], {"N": 2**28})
    options = RunOptions(calibration="measured")
    slow, fast = (
        simulate(graph, System(chip_with("t4", {"hbm.bandwidth": rate})), options).time_s for rate in (3.2e11, 6.4e11)
    )
    start = load_kernel_times("ampere").start_s
    assert (fast - start) == pytest.approx((slow - start) / 2, rel=1e-6)


def said(result: Result) -> list[str]:
    """What a screen says of kernels that are another's."""
    summary = Summary(result.plan, lambda: result)
    return [line for line in assumptions(summary) if line.startswith("kernels")]


def test_a_run_says_that_it_rests_on_a_profile_and_is_less_sure() -> None:
    graph = parse_graph(MATMUL, SIZES)
    own, like = (simulate(graph, System(load_chip(name)), MEASURED) for name in ("a100_80gb_sxm", "a100_80gb_pcie"))
    assert grounds(own) == {"measured": pytest.approx(1.0), "profile": 0.0, "data_sheet": 0.0}
    assert grounds(like) == {"measured": 0.0, "profile": pytest.approx(1.0), "data_sheet": 0.0}
    assert not said(own)
    assert said(like) == ["kernels of a100_80gb_pcie as those of ampere, by its data sheet (none measured)"]
    graph = parse_graph(MATMUL[:1], {"M": 8192, "N": 8192, "K": 8192})
    sure, unsure = (
        margin(simulate(graph, System(load_chip(name)), RunOptions(calibration="measured")))
        for name in ("a100_80gb_sxm", "a100_80gb_pcie")
    )
    assert sure is not None
    assert unsure is not None
    assert unsure.covers == 1.0
    assert unsure.relative > 1.5 * sure.relative


def test_what_a_chip_says_itself_comes_first() -> None:
    """Kernels of its own, an architecture by name, or efficiencies of its units: then nothing generic."""
    assert GENERIC["gpu"] == "ampere"
    named = chip_kernels(chip_with("t4", {"calibration": {"measured": {"kernels_like": "hopper"}}}))
    own = chip_kernels(chip_with("t4", {"calibration": {"measured": {"kernels": "hopper", "kernels_like": "ampere"}}}))
    assert named is not None
    assert own is not None
    assert (named.own, named.like, own.own) == (False, "hopper", True)
    assert chip_kernels(chip_with("t4", {"calibration": {"measured": {"matrix_unit": 0.7}}})) is None
    assert chip_kernels(chip_with("t4", {"calibration": {"measured": {"pcie": 0.7}}})) is not None
    assert chip_kernels(load_chip("tpu_v3")) is None
    with pytest.raises(SpecError, match="unknown architecture 'hoper', did you mean 'hopper'"):
        chip_with("t4", {"calibration": {"measured": {"kernels_like": "hoper"}}})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("kernels.corner", 0.5, "wants 1.0 or more"),
        ("kernels.power", "0 W", "kernels.power must be more than 0"),
        ("kernels.long_row", 1024, "long_row, 1024, is not more than short_row, 1024"),
        ("kernels.short_row", 9000, "long_row, 8192, is not more than short_row, 9000"),
        ("kernels.matmul.rate", {"bf61": 0.8}, "unknown format 'bf61', did you mean 'bf16'"),
        ("kernels.attention.corner", 0.0, "wants 1.0 or more"),
        ("long_matmuls", {"int8": 0.5}, "wants 'bf16', 'fp16' or 'fp32'"),
        ("long_matmuls", {"bf16": 0.5}, "long_matmuls says nothing beside `kernels`"),
        ("collectives", {"nvlnk": {"start": "5 us"}}, "unknown link 'nvlnk', did you mean 'nvlink'"),
    ],
)
def test_kernel_times_that_cannot_be_are_refused_where_they_stand(key: str, value: object, message: str) -> None:
    """What would divide by nothing or be passed over in silence: at the key, with what is allowed."""
    measured: dict[str, Any] = {"kernels": plain_kernels()}
    place = measured
    *way, last = key.split(".")
    for name in way:
        place = place[name]
    place[last] = value
    with pytest.raises(SpecError, match=message):
        chip_with("h100_sxm", {"calibration": {"measured": measured}})


def plain_kernels() -> dict[str, Any]:
    """The least that kernels of a chip's own say."""
    matmul = {"rate": {"bf16": 0.8}, "tiles": [[128, 128]], "feed": 2.0, "tile": "1 us", "split": "3 us"}
    attention = {"rate": 0.8, "pair": 28.0, "tail": 0.5}
    both = {"attention": attention, "attention_backward": dict(attention)}
    return {"source": "made up", "start": "2 us", "hbm": 0.9, "matmul": matmul, **both}


def test_an_older_attention_brings_its_own_errors_and_nothing_else() -> None:
    hopper = chip_kernels(load_chip("h100_sxm"))
    found = chip_kernels(load_chip("h100_sxm", set={"calibration.measured.attention_like": "ampere"}))
    assert hopper is not None
    assert found is not None
    assert (found.own, found.times.matmul, found.times.kinds) == (True, hopper.times.matmul, hopper.times.kinds)
    assert found.times.residuals["attention"] == load_kernel_times("ampere").elsewhere["attention"]
    assert found.times.residuals["matmul"] == hopper.times.residuals["matmul"]
    assert chip_kernels(load_chip("tpu_v3", set={"calibration": {"measured": {"attention_like": "ampere"}}})) is None


def test_no_chip_is_said_to_be_like_itself() -> None:
    result = simulate(parse_graph(MATMUL, SIZES), System(load_chip("tpu_v5p")), MEASURED)
    assert said(result) == ["kernels of tpu_v5p by its data sheet, few of them measured"]
