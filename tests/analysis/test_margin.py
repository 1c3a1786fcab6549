"""How sure a measured run is: by hand from shares and residuals, and against real steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from analysis.runs import NINE_OF_TEN, Margin, grounds, margin
from hw import Mesh, System, load_chip, parse_topology
from simulator import Result, RunOptions, parse_graph, simulate

H100 = load_chip("h100_sxm")
ONE = System(H100)
FOUR = System(H100, parse_topology("switch(4) over nvlink", H100.links), Mesh({"X": 4}))
MEASURED = RunOptions(calibration="measured")

PASS = "y:bf16[N,N] = gelu(x:bf16[N,N])"
MATMUL = "z:bf16[N,N] = matmul(y, w:bf16[N,N])"
UNKNOWN = "t:bf16[N,N] = tanh(z)"
SUM = "s:bf16[N,N] = all_reduce(p:bf16[N,N]{U_X}, over=X)"


def ran(lines: Sequence[str], system: System = ONE, options: RunOptions = MEASURED) -> Result:
    return simulate(parse_graph(list(lines), {"N": 4096}), system, options)


def found(result: Result) -> Margin:
    sure = margin(result)
    assert sure is not None
    return sure


def residual(family: str) -> float:
    measured = H100.calibration.measured
    assert measured is not None
    assert measured.kernels is not None
    return dict(measured.kernels.residuals)[family]  # type: ignore[index]


def test_of_one_family_it_is_its_residual() -> None:
    sure = found(ran([PASS]))
    assert sure.relative == pytest.approx(NINE_OF_TEN * residual("passes"))
    assert sure.covers == pytest.approx(1.0)
    assert (sure.low_s + sure.high_s) / 2 == pytest.approx(sure.time_s)


def test_families_err_independently_of_each_other() -> None:
    result = ran([PASS, MATMUL])
    one, other = ran([PASS]).time_s, ran([MATMUL.replace("(y,", "(y:bf16[N,N],")]).time_s
    whole = one + other
    want = math.hypot(one / whole * residual("passes"), other / whole * residual("matmul"))
    assert found(result).relative == pytest.approx(NINE_OF_TEN * want, rel=1e-6)


def test_of_what_was_not_measured_nothing_is_said_and_that_is_told() -> None:
    result = ran([PASS, MATMUL, UNKNOWN])
    shares = grounds(result)
    assert shares is not None
    assert found(result).covers == pytest.approx(shares["measured"])
    assert margin(ran([UNKNOWN.replace("(z)", "(z:bf16[N,N])")])) is None


def test_collectives_have_theirs() -> None:
    measured = H100.calibration.measured
    assert measured is not None
    mean = measured.collectives["nvlink"].residual
    assert mean is not None
    assert found(ran([SUM], FOUR)).relative == pytest.approx(NINE_OF_TEN * mean)


def test_by_the_data_sheet_there_is_none() -> None:
    assert margin(ran([PASS], options=RunOptions())) is None
