"""Measured prefills and decodes of a serving engine on GPUs that rows name, a line each.

Columns: `Hardware`, `TP` (chips that share layers), `PP`, `Model`, `Workload` (a batch of requests, by its name here),
`real_prefill_ms` and `real_decode_ms`, the median of a token; `FA_Version`, if it is there, which fused attention it was
(`fa2`, FlashAttention-2; else the chip's own). Further columns are ignored; lines that begin with # are
comments. Left out, and told: hardware, models and workloads that are not known here, pipelines of single chips.
Model: a prefill is of as many requests of one length as have its tokens and its pairs of tokens, which attention goes by;
of a decode a token of its middle is judged, all requests being of their mean length.
The H100s of these rows are four a board without switches,
each joined to each other one by six of its links (the all-reduces of dataset/collective/H100 there: of two of four GPUs
112 GB/s, of four 322): two of them have only those.
Source of workloads: github:zksainx/pipeweave 55e0317, workload/ (a CSV of each): requests, tokens of all prompts together,
their squares together, tokens that each then made.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hw import Chip, Mark, Mesh, Problems, System, load_chip, parse_topology
from scenarios.validation.judge import Judged
from scenarios.validation.published.engine import SHAPES, Step, engine_seconds
from scenarios.validation.published.lines import Cells, read_table
from scenarios.validation.rows import Row
from scenarios.validation.table import columns_of

PREFILL, DECODE = "real_prefill_ms", "real_decode_ms"

_NEEDED = ("Hardware", "TP", "PP", "Model", "Workload", PREFILL, DECODE)


@dataclass(frozen=True, slots=True)
class _Workload:
    requests: int
    prompt_tokens: int
    squares: int
    made: int

    def prompts(self) -> tuple[int, int]:
        """Requests of one length, and their tokens, with as many tokens and about as many pairs of them as all have."""
        requests = round(self.prompt_tokens**2 / self.squares)
        return requests, round(self.prompt_tokens / requests)

    def middle(self) -> tuple[int, int]:
        """All requests, and what each has behind it in the middle of the decode."""
        return self.requests, round(self.prompt_tokens / self.requests + self.made / 2)


_WORKLOADS: Mapping[str, _Workload] = {
    "arxiv_8": _Workload(8, 27966, 98_902_624, 122),
    "arxiv_12": _Workload(12, 32350, 99_247_740, 182),
    "arxiv_16": _Workload(16, 35152, 89_344_482, 41),
    "arxiv_32": _Workload(32, 89471, 269_233_797, 68),
    "splitwise_32": _Workload(32, 33950, 54_901_672, 48),
    "splitwise_48": _Workload(48, 16266, 7_183_752, 143),
    "splitwise_64": _Workload(64, 60296, 121_347_966, 18),
    "splitwise_72": _Workload(72, 84891, 221_192_309, 18),
    "vllm_arxiv16": _Workload(16, 35152, 77_228_944, 403),
    "vllm_splitwise64": _Workload(64, 57664, 51_955_264, 169),
}

_CHIPS: Mapping[str, str] = {
    "A100": "a100_80gb_sxm",
    "A40": "a40",
    "H100": "h100_sxm",
    "H20": "h20",
    "H200": "h200",
    "H800": "h800",
    "L20": "l20",
    "L40": "l40",
    "RTX_6000_Ada": "rtx_6000_ada",
    "RTX_A6000": "rtx_a6000",
    "RTX_PRO_6000_S": "rtx_pro_6000",
}


_BOARDS: Mapping[tuple[str, int], Mapping[str, object]] = {
    ("h100_sxm", 2): {"links.nvlink.count": 6, "calibration.measured.collectives.nvlink.copy": 3 * 2.15}
}
"""What joins so many of the GPUs of a board without switches; what stays on a chip is copied as fast as ever."""


_ATTENTION: Mapping[str, str] = {"fa2": "ampere_flash_2"}
"""Whose attention an engine's prompts have, by what a row says; else the chip's own."""


def has_serving_rows(path: Path) -> bool:
    """Whether a file is of a serving engine, by its columns."""
    return {PREFILL, DECODE} <= set(columns_of(path))


def judged_serving(path: Path) -> list[Judged]:
    """A prefill and a decode of every row with their predictions. Raises SpecError with all wrong lines."""
    return [Judged(row, _predicted_s(row)) for row in read_serving(path)]


def read_serving(path: Path) -> list[Row]:
    """The rows of a file, two a line. Raises SpecError with every line that cannot be read."""
    return read_table(path, _NEEDED, _rows)


def _rows(lines: Cells, path: Path, problems: Problems) -> Iterator[Row]:
    for at, cells in lines:
        mark = Mark(str(path), at)
        try:
            times = {"prefill": float(cells[PREFILL]), "decode": float(cells[DECODE])}
            chips, stages = int(cells["TP"]), int(cells["PP"])
        except (TypeError, ValueError):
            problems.add(mark, f"TP, PP, {PREFILL} and {DECODE} want numbers")
            continue
        if not all(0 < each < math.inf for each in times.values()) or min(chips, stages) < 1:
            problems.add(mark, f"TP, PP, {PREFILL} and {DECODE} are more than 0")
            continue
        params = {"device": cells["Hardware"], "workload": cells["Workload"], "tp": chips, "pp": stages}
        params["attention"] = cells.get("FA_Version", "")
        for mode, milliseconds in times.items():
            yield Row("served", cells["Model"], mark, params, 1e-3 * milliseconds, "bf16", mode, "step")


def _predicted_s(row: Row) -> float | None:
    model, workload = SHAPES.get(row.name), _WORKLOADS.get(row.params["workload"])
    name, chips, stages = _CHIPS.get(row.params["device"]), row.params["tp"], row.params["pp"]
    if model is None or workload is None or name is None or model.kv_heads % chips or model.layers % stages:
        return None
    if chips == 1 < stages:
        return None
    decode = row.mode == "decode"
    requests, tokens = workload.middle() if decode else workload.prompts()
    return engine_seconds(model, Step(requests, tokens, decode, chips, stages), _system(_chip(name, row), chips))


def _chip(name: str, row: Row) -> Chip:
    """The chip of a row, with the links that join as many of its board, and the attention of the engine's prompts."""
    said: dict[str, object] = {}
    said |= _BOARDS.get((name, row.params["tp"]), {})
    attention = _ATTENTION.get(row.params["attention"])
    if attention is not None and row.mode == "prefill":
        said["calibration.measured.attention_like"] = attention
    return load_chip(name, set=said)


def _system(chip: Chip, chips: int) -> System:
    """So many chips behind a switch: of their first link, NVLink where they have it for more than two."""
    if chips == 1:
        return System(chip)
    return System(chip, parse_topology(f"switch({chips})", chip.links), Mesh({"X": chips}))
