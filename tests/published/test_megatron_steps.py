"""Training steps that Megatron-LM's papers printed, beside estimates with kernels as measured. Errors are printed.

Sources. Korthikanti et al. 2022 (Reducing Activation Recomputation, arXiv 2205.05198), table 5: seconds of an iteration with
full recomputation, and with sequence parallelism and selective recomputation; GPT of 22 B to 1 T on A100 80 GB, tensor
parallel 8, micro-batches and stages of its table 3. Narayanan et al. 2021 (Efficient Large-Scale Language Model Training,
arXiv 2104.04473), table 1: TFLOP/s a GPU, made seconds by its formula 96 B s l h^2 (1 + s / 6h + V / 16lh); it does not say
micro-batches, here of one sequence, nor interleaving, here none.
Nothing was fitted to any of these rows; limits are a little above what is found.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import pytest

from hw import Mark
from scenarios.validation import Trained, TrainingRow, trained

KORTHIKANTI = [
    # layers, hidden, heads, pp, interleave, micro-batch, batch, seconds: full, sequence and selective
    (48, 6144, 64, 1, 1, 4, 4, 1.42, 1.10),
    (96, 12288, 96, 8, 3, 1, 64, 18.13, 13.75),
    (105, 20480, 128, 35, 3, 1, 280, 49.05, 37.83),
    (128, 25600, 160, 64, 1, 1, 512, 94.42, 71.49),
]

NARAYANAN = [
    # layers, hidden, heads, tp, pp, chips, batch, TFLOP/s
    (24, 2304, 24, 1, 1, 32, 512, 137),
    (30, 3072, 32, 2, 1, 64, 512, 138),
    (36, 4096, 32, 4, 1, 128, 512, 142),
    (40, 6144, 48, 8, 1, 256, 1024, 135),
    (48, 8192, 64, 8, 2, 512, 1536, 138),
    (60, 10240, 80, 8, 4, 1024, 1792, 140),
    (80, 12288, 96, 8, 8, 1536, 2304, 148),
    (96, 16384, 128, 8, 16, 1920, 2160, 155),
    (105, 20480, 128, 8, 35, 2520, 2520, 163),
    (128, 25600, 160, 8, 64, 3072, 3072, 163),
]

SEQ, VOCAB = 2048, 51200


def row(name: str, seconds: float, line: int, **cells: object) -> TrainingRow:
    alike = {"seq": SEQ, "vocab": VOCAB, "dtype": "fp16", "chip": "A100-80GB", "sharding": "none"}
    told = {key: str(value) for key, value in {**alike, **cells}.items()}
    return TrainingRow(Mark(name, line), {"source": name, "model": name, **told}, seconds)


def korthikanti() -> Iterator[TrainingRow]:
    for at, (layers, hidden, heads, pp, interleave, micro, batch, full, selective) in enumerate(KORTHIKANTI):
        cells = {"layers": layers, "hidden": hidden, "heads": heads, "ffn": 4 * hidden, "tp": 8, "pp": pp, "dp": 1}
        cells |= {"n_chips": 8 * pp, "interleave": interleave, "micro_batch": micro, "global_batch": batch}
        yield row("Korthikanti", full, 2 * at, **cells, recompute="full", seq_parallel=False)
        yield row("Korthikanti", selective, 2 * at + 1, **cells, recompute="selective", seq_parallel=True)


def narayanan() -> Iterator[TrainingRow]:
    for at, (layers, hidden, heads, tp, pp, chips, batch, tera) in enumerate(NARAYANAN):
        more = 1 + SEQ / (6 * hidden) + VOCAB / (16 * layers * hidden)
        seconds = 96 * batch * SEQ * layers * hidden**2 * more / (chips * tera * 1e12)
        cells = {"layers": layers, "hidden": hidden, "heads": heads, "ffn": 4 * hidden, "tp": tp, "pp": pp}
        cells |= {"dp": chips // (tp * pp), "n_chips": chips, "global_batch": batch}
        yield row("Narayanan", seconds, at, **cells, recompute="full", seq_parallel=False)


def mean_error(found: list[Trained]) -> float:
    for each in found:
        cells = each.row
        told = (
            f"{cells.text('layers')} x {cells.text('hidden')}, {cells.text('n_chips')} A100, {cells.text('recompute')}"
        )
        print(f"{cells.source}, {told}: {cells.measured_s:.4g} s measured, {100 * each.error:+.1f} %")
    mean = statistics.fmean(abs(each.error) for each in found)
    print(f"{found[0].row.source}: {len(found)} rows, mean error {100 * mean:.1f} %")
    return mean


def test_table_5_of_korthikanti() -> None:
    """Found 6.0 %; Calculon, tuned on it, says 3.65 %. With pipelines 3 to 9 % too fast."""
    found = trained(list(korthikanti()))
    assert mean_error(found) <= 0.07
    # what recomputing selectively gains: 23 to 24 % of the iteration
    for full, selective in zip(found[::2], found[1::2], strict=True):
        assert full.predicted_s is not None
        assert selective.predicted_s is not None
        assert 0.18 <= 1 - selective.predicted_s / full.predicted_s <= 0.30


@pytest.mark.long
def test_table_1_of_narayanan() -> None:
    """Found 10.0 %; Calculon says 7.4 %. Without a pipeline 5 to 9 % too slow, with one 6 to 15 % too fast."""
    assert mean_error(trained(list(narayanan()))) <= 0.11
