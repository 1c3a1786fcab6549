"""Training steps that papers printed, typed with their citations in docs/accuracy, beside estimates with measured kernels.
Errors are printed.

Nothing was fitted to any of these rows; limits are a little above what is found, and what is recorded must not get worse
(`docs/accuracy_tables.py --check`).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import pytest

from scenarios.validation import Trained, read_training_rows, trained, with_one_efficiency

TABLES = Path(__file__).parents[2] / "docs" / "accuracy"


def judged(table: str, most_chips: int = 20_000) -> list[Trained]:
    rows = read_training_rows(TABLES / f"{table}.csv")
    return trained([row for row in rows if (row.count("n_chips") or 0) <= most_chips])


def mean_error(found: Sequence[Trained]) -> float:
    for each in found:
        cells = each.row
        sizes = f"{cells.model}, {cells.text('n_chips')} chips, {cells.text('recompute')}"
        print(f"{cells.source}, {sizes}: {cells.measured_s:.4g} s measured, {100 * each.error:+.1f} %")
    mean = statistics.fmean(abs(each.error) for each in found)
    print(f"{found[0].row.source}: {len(found)} rows, mean error {100 * mean:.1f} %")
    return mean


def test_table_5_of_korthikanti() -> None:
    """Found 1.5 %; Calculon, tuned on it, says 3.65 %."""
    found = judged("korthikanti_2022")
    assert len(found) == 8
    assert mean_error(found) <= 0.025
    # what recomputing selectively gains: 23 to 24 % of the iteration
    for full, selective in zip(found[::2], found[1::2], strict=True):
        assert full.predicted_s is not None
        assert selective.predicted_s is not None
        assert 0.18 <= 1 - selective.predicted_s / full.predicted_s <= 0.30


def test_megatron_on_eight_b200() -> None:
    """By the H100's kernels and the B200's data sheet, nothing of a B200 measured but its NVLink: found 7.8 %; SimuMax, with
    514 shapes measured on one, says 5.6 %. Three rows of eight tensor-parallel chips are 18 to 22 % too fast, the nine
    others 3.6 % off. Until rotations and gates were told in one kernel each, as Megatron-LM's scripts leave them, the twelve
    were 5.6 % off: what these took in many kernels stood for what is missing."""
    found = judged("simumax_2026_b200")
    assert len(found) == 12
    short = [each for each in found if each.row.count("tp") == 8]
    assert len(short) == 3
    assert mean_error(short) <= 0.21
    assert mean_error([each for each in found if each not in short]) <= 0.045


@pytest.mark.long
def test_megatron_on_eight_b200_after_one_efficiency() -> None:
    """That of its host, fitted to the four layouts with four microbatches: 38 % of the calibrated one, near the 37 % that
    Transformer Engine's linear layer takes its host beside PyTorch's (its issue 2053). All twelve rows are of one model;
    found 3.3 % for the four, 2.7 for the eight others."""
    pytest.importorskip("scipy")
    rows = read_training_rows(TABLES / "simumax_2026_b200.csv")
    four = [row for row in rows if row.count("global_batch") == 4 * (row.count("dp") or 1)]
    assert len(four) == 4
    fitted = with_one_efficiency(four, "dispatch")
    print(f"dispatch at {100 * fitted.efficiency:.1f} %")
    assert 0.3 <= fitted.efficiency <= 0.5
    assert mean_error(fitted.found) <= 0.04
    others = [row for row in rows if row not in four]
    assert mean_error(trained(others, efficiency={"dispatch": fitted.efficiency})) <= 0.04


@pytest.mark.long
def test_table_1_of_narayanan() -> None:
    """Found 6.4 %, without a pipeline 1.7 %; Calculon says 7.4 %. With one 5 to 13 % too fast."""
    found = judged("narayanan_2021")
    assert len(found) == 10
    assert mean_error(found) <= 0.07
    assert mean_error(found[:4]) <= 0.025


@pytest.mark.long
def test_table_2_of_megascale() -> None:
    """Found 5.4 % up to 1,024 chips, 7.0 % of all: the more chips, the more is too fast."""
    found = judged("megascale_2024", 1024)
    assert len(found) == 4
    assert mean_error(found) <= 0.065
