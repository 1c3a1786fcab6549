"""A measured run on another chip: each kernel scaled by what the other chip does faster or slower.

Model: where the trace has the shapes of the op that launched a kernel, its time is scaled by the ratio of the times that the
calibrated models of both chips give that op (their data sheets, where one is not calibrated). Else a kernel is held up by
something of its chip, whose rates are known, or by nothing that another chip does faster: so its time is scaled by at
least the least and at most the largest ratio of rates (or 1). Between these, kernels of matrix units are scaled by their
rate, all others by that of HBM, as it usually is. Copies from and to the host go over its link, communication over the
chip's links; the host itself takes what it took.
Assumes: libraries choose alike kernels on both; what fits into a cache on one does so on the other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from hw import Chip, SpecError, System
from scenarios.importers.kineto.changes import Run
from scenarios.importers.kineto.nodes import Node
from simulator import RunOptions, parse_graph, simulate

_MATRIX = re.compile(
    r"nvjet|gemm|cutlass|wgmma|xmma|flash|fmha|attention|sdpa|conv(?!ert)|Cijk|mfma|ampere_|hopper_", re.IGNORECASE
)
"""Names of kernels of matrix units, as cuBLAS, cuDNN, CUTLASS, FlashAttention and rocBLAS have them."""

_MATRIX_UNITS = ("matrix_unit.bf16", "matrix_unit.fp16", "matrix_unit.fp32")
"""Rates of matrix units, the first that both chips have: GPUs before Ampere have no bf16."""

_COMMUNICATION = re.compile(r"^nccl|^rccl|ncclDev|ncclKernel|nvshmem", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Scale:
    """Factors of a kernel's time: the least, the likely, the most. `by`: where they come from."""

    by: str
    least: float
    likely: float
    most: float

    @classmethod
    def within(cls, by: str, ratios: Mapping[str, float], likely: str) -> Scale:
        """Between the ratios of resources (and 1, of what no resource holds up), usually that of one of them."""
        every = [1.0, *ratios.values()]
        return cls(by, min(every), ratios.get(likely, 1.0), max(every))


def move(run: Run, old: Chip, new: Chip) -> None:
    """Scale what was measured on one chip to another."""
    scales = _Scales(old, new)
    took: Counter[str] = Counter()
    for node in run.nodes:
        if node.work is None:
            continue
        scale = scales.of(node)
        took[scale.by] += node.measured_ps
        node.changed = node.took.scaled(scale.least, scale.likely, scale.most)
    total = sum(took.values()) or 1
    shares = ", ".join(f"{100 * part / total:.3g} % by {by}" for by, part in took.most_common())
    run.notes.append(f"what {old.name} took is scaled to {new.name}: {shares}")


class _Scales:
    """Two chips: what each resource of the first does in the time in which the second does one."""

    def __init__(self, old: Chip, new: Chip) -> None:
        self.old, self.new = old, new
        self.calibrated = all(each.calibration.measured is not None for each in (old, new))
        self.rates = _ratios(_rates(old), _rates(new))
        self.links = _ratios(_links(old), _links(new))
        self.host = _ratios({"host": _to_host(old)}, {"host": _to_host(new)})
        self.known: dict[str, float | None] = {"": None}

    def of(self, node: Node) -> Scale:
        """How the time of a node's work changes."""
        assert node.work is not None
        name = node.work.name
        if node.collective is not None or _COMMUNICATION.search(name):
            return Scale.within("the chips' links", self.links, next(iter(self.links), ""))
        if node.work.category == "gpu_memcpy" and "DtoD" not in name:
            return Scale.within("the way to the host", self.host, "host")
        by_shape = self._by_model(node.line)
        if by_shape is not None:
            return Scale("models of their shapes", by_shape, by_shape, by_shape)
        units = [each for each in _MATRIX_UNITS if each in self.rates] if _MATRIX.search(name) else []
        return Scale.within("what the chips can do at all", self.rates, next(iter(units), "hbm"))

    def _by_model(self, line: str) -> float | None:
        """The ratio of the times that models of both chips give an op; None where there is none."""
        if line not in self.known:
            try:
                self.known[line] = self._time_s(line, self.new) / self._time_s(line, self.old)
            except (SpecError, ZeroDivisionError):
                self.known[line] = None
        return self.known[line]

    def _time_s(self, line: str, chip: Chip) -> float:
        options = RunOptions(calibration="measured" if self.calibrated else "spec")
        return simulate(parse_graph([line], {}), System(chip), options).time_s


def _rates(chip: Chip) -> dict[str, float]:
    """What may hold a kernel up: rates of units by format (of 64 bits no model computes), and of memories."""
    units = (("matrix_unit", chip.matrix_unit.peak_flops_per_s), ("vector_unit", chip.vector_unit.peak_flops_per_s))
    peaks = {f"{unit}.{dtype}": rate for unit, those in units for dtype, rate in those.items() if dtype != "fp64"}
    near = {name: memory.bytes_per_s for name, memory in chip.near_memories.items()}
    return {"hbm": chip.hbm.bytes_per_s, **near, **peaks}


def _links(chip: Chip) -> dict[str, float]:
    """The links of a chip, and its first one, whatever it is called."""
    named = {name: link.egress_bytes_per_s for name, link in chip.links.items()}
    first = {"first": next(iter(named.values()))} if named else {}
    return {**first, **named}


def _to_host(chip: Chip) -> float:
    """The rate of what a chip has to its host."""
    ways = [chip.links["pcie"].egress_bytes_per_s] if "pcie" in chip.links else []
    ways += [chip.host.bytes_per_s] if chip.host is not None else []
    return min(ways, default=0.0)


def _ratios(old: Mapping[str, float], new: Mapping[str, float]) -> dict[str, float]:
    """Times on the new chip over those on the old one, of what both have."""
    return {name: rate / new[name] for name, rate in old.items() if rate and new.get(name)}
