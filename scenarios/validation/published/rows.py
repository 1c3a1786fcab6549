"""Measured steps of published models on GPUs that rows name, a line each: forward passes and training in PyTorch.

Columns: `model_name` (bert_large, gpt2_large, gpt3_xl, gpt3_27, opt_13), `seqlen`, `batch`, `device`, `mode` (inf,
train), `option` (empty; fusion: compiled; dp4 and the like: several GPUs) and `label_all_e2e_latency`, milliseconds.
Further columns are ignored; lines that begin with # are comments. Left out, and told: models, devices and options that are
not known here.
Model: what the row says is carried out as Hugging Face's library does it, in fp32 (`published.hugging_face`), on the GPU's
own kernels where they were measured, else on those of its architecture by its data sheet; training on several GPUs as
Megatron-LM does it (`published.shared`).
Source of shapes: the models' papers; GPT-3 XL has 24 heads of 128 and so is 3,072 wide (Brown et al. 2020, table 2.1, whose
2,048 does not go with them; NeuSight's own FLOPs are those of 3,072).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from hw import Mark, Problems, System, load_chip
from scenarios.validation.judge import Judged
from scenarios.validation.published.hugging_face import Asked, Shape, seconds
from scenarios.validation.published.lines import Cells, read_table
from scenarios.validation.published.shared import layout_of, shared_seconds
from scenarios.validation.rows import Row
from scenarios.validation.table import columns_of

MILLISECONDS = "label_all_e2e_latency"

_NEEDED = ("model_name", "seqlen", "batch", "device", "mode", "option", MILLISECONDS)

_SHAPES: Mapping[str, Shape] = {
    "bert_large": Shape("bert", 24, 1024, 16, 4096, 30522),
    "gpt2_large": Shape("gpt2", 36, 1280, 20, 5120, 50257),
    "gpt3_xl": Shape("gpt2", 24, 3072, 24, 12288, 50257),
    "gpt3_27": Shape("gpt2", 32, 2560, 32, 10240, 50257),
    "opt_13": Shape("opt", 24, 2048, 32, 8192, 50272),
}

_CHIPS: Mapping[str, str] = {
    "Tesla_P100-PCIE-16GB": "p100_pcie",
    "Tesla_V100-PCIE-32GB": "v100_pcie_32gb",
    "Tesla_T4": "t4",
    "Tesla_P4": "p4",
    "NVIDIA_A100-PCIE-40GB": "a100_40gb_pcie",
    "NVIDIA_A100-SXM4-40GB": "a100_40gb_sxm",
    "NVIDIA_A100_80GB_PCIe": "a100_80gb_pcie",
    "NVIDIA_L4": "l4",
    "NVIDIA_H100_80GB_HBM3": "h100_sxm",
    "AMD_Instinct_MI100": "mi100",
    "AMD_Instinct_MI210": "mi210",
    # one of its two dies, which is what software sees as a GPU
    "AMD_Instinct_MI250": "mi210",
}

_MODES = {"inf": "inference", "train": "training"}
_OPTIONS = {"": "", "fusion": "compiled"}


def has_published_rows(path: Path) -> bool:
    """Whether a file is of published models, by its columns."""
    return MILLISECONDS in columns_of(path)


def judged_published(path: Path) -> list[Judged]:
    """Every row of a file with its prediction, in order; groups are modes. Raises SpecError with all wrong lines."""
    return [Judged(row, _predicted_s(row)) for row in read_published(path)]


def by_device(found: Iterable[Judged]) -> list[Judged]:
    """The same rows, in a group for each device."""
    return [replace(each, row=replace(each.row, mode=each.row.params["device"])) for each in found]


def read_published(path: Path) -> list[Row]:
    """The rows of a file. Raises SpecError with every line that cannot be read."""
    return read_table(path, _NEEDED, _rows)


def _rows(lines: Cells, path: Path, problems: Problems) -> Iterator[Row]:
    for at, cells in lines:
        mark = Mark(str(path), at)
        try:
            milliseconds = float(cells[MILLISECONDS])
            sizes = {"batch": int(cells["batch"]), "seq": int(cells["seqlen"])}
        except (TypeError, ValueError):
            problems.add(mark, f"batch, seqlen and {MILLISECONDS} want numbers")
            continue
        if not 0 < milliseconds < math.inf or min(sizes.values()) < 1:
            problems.add(mark, f"batch, seqlen and {MILLISECONDS} are more than 0")
            continue
        if cells["mode"] not in _MODES:
            problems.add(mark, f"mode is '{cells['mode']}'; it is inf or train")
            continue
        params = {**sizes, "device": cells["device"], "option": cells["option"]}
        yield Row(
            "published", cells["model_name"], mark, params, 1e-3 * milliseconds, "fp32", _MODES[cells["mode"]], "step"
        )


def _predicted_s(row: Row) -> float | None:
    shape, chip = _SHAPES.get(row.name), _CHIPS.get(row.params["device"])
    option = row.params["option"]
    if shape is not None and (layout := layout_of(option)) is not None and row.mode == _MODES["train"]:
        return shared_seconds(shape, row, layout)
    if shape is None or chip is None or option not in _OPTIONS:
        return None
    asked = Asked(row.params["batch"], row.params["seq"], row.mode == _MODES["train"], bool(_OPTIONS[option]))
    return seconds(shape, asked, System(load_chip(chip)))
