"""NCCL on one node, measured by others, beside what a measured chip makes of it. Errors are printed; limits are above them.

Sources. H100 SXM, message sizes that were not fitted to: github:ai-dynamo/aiconfigurator 095f58a51 (nccl, half).
H100 SXM of another laboratory, none of which was: github:Azure/AI-benchmarking-guide 8fd0c6e (ND_H100_v5_results.md, NVLS).
A100, none of which was: all-reduces of github:VIA-Research/vTrain f8dda84 (profiles of NCCL on 2, 4 and 8 A100).
"""

from __future__ import annotations

import statistics

import pytest

from hw import Mesh, System, load_chip, parse_topology
from simulator import RunOptions, parse_graph, simulate

MIB = 2**20

H100 = {
    ("all_gather", 2): {1: 11.3, 16: 56.1, 256: 548.5},
    ("all_to_all", 2): {1: 14.8, 16: 55.8, 256: 499.7},
    ("reduce_scatter", 2): {1: 10.5, 16: 52.6, 256: 586.0},
    ("all_reduce", 2): {1: 14.4, 16: 81.3, 256: 879.9},
    ("all_gather", 4): {1: 13.6, 16: 65.5, 256: 661.9},
    ("all_to_all", 4): {1: 16.1, 16: 67.4, 256: 631.1},
    ("reduce_scatter", 4): {1: 11.8, 16: 59.3, 256: 677.5},
    ("all_reduce", 4): {1: 18.2, 16: 99.3, 256: 1186.0},
    ("all_gather", 8): {1: 17.0, 16: 67.5, 256: 730.4},
    ("all_to_all", 8): {1: 15.9, 16: 72.5, 256: 764.2},
    ("reduce_scatter", 8): {1: 14.7, 16: 71.1, 256: 721.3},
    ("all_reduce", 8): {1: 25.4, 16: 122.3, 256: 1090.1},
}
"""Microseconds by MiB; of exchanges those of one chip. The last all-reduce is added up by the switch."""

VTRAIN_A100 = {
    ("all_reduce", 2): {1: 44, 14: 122, 27: 199, 145: 857, 353: 1984, 561: 3089, 769: 4168, 977: 5241},
    ("all_reduce", 4): {1: 51, 14: 170, 27: 260, 145: 1143, 353: 2610, 561: 4058, 769: 5554, 977: 6966},
    ("all_reduce", 8): {1: 93, 14: 198, 27: 322, 145: 1309, 353: 2928, 561: 4571, 769: 6305, 977: 7832},
}

AZURE_H100 = {
    ("all_reduce", 8): {
        32: 198.7,
        64: 324.6,
        128: 586.3,
        256: 1109.6,
        512: 2142.8,
        1024: 4029.3,
        2048: 7956,
        8192: 31391,
    }
}
"""Made from bus bandwidths: 7 / 4 of the bytes over the time."""

LINES = {
    "all_reduce": "y:bf16[N] = all_reduce(x:bf16[N]{U_X}, over=X)",
    "all_gather": "y:bf16[N] = all_gather(x:bf16[N_X], over=X)",
    "reduce_scatter": "y:bf16[N_X] = reduce_scatter(x:bf16[N]{U_X}, over=X)",
    "all_to_all": "y:bf16[M,N_X] = all_to_all(x:bf16[M_X,N], over=X)",
}


def predicted_us(name: str, kind: str, chips: int, nbytes: int) -> float:
    chip = load_chip(name)
    system = System(chip, parse_topology(f"switch({chips}) over nvlink", chip.links), Mesh({"X": chips}))
    sizes = {"M": chips, "N": nbytes // 2} if kind == "all_to_all" else {"N": nbytes // 2}
    result = simulate(parse_graph([LINES[kind]], sizes), system, RunOptions(calibration="measured"))
    return 1e6 * result.time_s


@pytest.mark.parametrize(
    ("chip", "rows", "mean", "of_large", "worst_of_large"),
    [
        ("h100_sxm", H100, 0.08, 0.05, 0.12),
        ("a100_80gb_sxm", VTRAIN_A100, 0.08, 0.03, 0.10),
    ],
)
def test_collectives_in_a_node(
    chip: str,
    rows: dict[tuple[str, int], dict[int, float]],
    mean: float,
    of_large: float,
    worst_of_large: float,
) -> None:
    """`large`: above 8 MiB. What a small one takes is its start, which those who measure begin to count at other points."""
    errors, large = [], []
    for (kind, chips), measured in rows.items():
        for mib, us in measured.items():
            errors.append(abs(predicted_us(chip, kind, chips, mib * MIB) / us - 1))
            large += errors[-1:] if mib > 8 else []
            print(f"{chip} {kind} of {chips}, {mib} MiB: {us} us measured, off by {100 * errors[-1]:.1f} %")
    found, of_those = statistics.fmean(errors), statistics.fmean(large)
    print(
        f"{chip}: {len(errors)} rows, mean error {100 * found:.1f} %; {len(large)} large ones, {100 * of_those:.1f} %"
    )
    assert found <= mean
    assert of_those <= of_large
    assert max(large) <= worst_of_large


@pytest.mark.parametrize(
    ("name", "measured_us"),
    [
        ("h100_sxm", {133120: 8, 985088: 10, 3932160: 19, 13369344: 44, 40763392: 120, 65929216: 190}),
        ("a100_80gb_sxm", {133120: 16, 2359296: 22, 7077888: 33, 11796480: 51, 34471936: 158}),
    ],
)
def test_sends_from_one_chip_to_another(name: str, measured_us: dict[int, float]) -> None:
    """Medians of a DGX (github:microsoft/vidur 7d47513, profiling of send and recv); by wires alone the small ones took less
    than a microsecond."""
    chip = load_chip(name)
    system = System(chip, parse_topology("switch(2) over nvlink", chip.links), Mesh({"X": 2}))
    lines = ["a:bf16[N] = send(x:bf16[N], over=X, from=0, to=1)", "y:bf16[N] = recv(over=X, from=0, to=1)"]
    for nbytes, measured in measured_us.items():
        run = simulate(parse_graph(lines, {"N": nbytes // 2}), system, RunOptions(calibration="measured"))
        print(f"{name}, {nbytes} B: measured {measured} us, profile {1e6 * run.time_s:.1f} us")
        assert abs(1e6 * run.time_s / measured - 1) < (0.1 if name == "h100_sxm" else 0.35)
