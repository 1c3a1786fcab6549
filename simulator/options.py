"""How a run is modelled: its options, each with what it may be.

Model: the default is the ideal data sheet. An option that is a word has a tuple of the words that it may be, so that the
language, the command and the messages name the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from hw import Mark, Problems
from hw.input import unknown
from hw.network import ROUTINGS, Routing
from simulator.collectives.choice import choices

Overlap = Literal["full", "none", "auto"]
OVERLAPS = ("full", "none", "auto")
ORDERS = ("program", "ready")
NETWORKS = ("task", "messages")
"""How a collective may be carried out: as one task, or message by message."""
CALIBRATIONS = ("spec", "measured")
SHARDINGS = ("canonical", "auto", "written")

_OPTIONS = Mark("options")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run is modelled. The default is the ideal data sheet: no launch time, no padding, efficiency 1.

    `efficiency` maps a resource ('matrix_unit', 'vector_unit', 'hbm', 'on_chip', 'host', 'disk', a link's name) to 0..1
    for all chips, `chip_efficiency` does for the chips of a name, which goes first. `calibration`: "measured" takes
    what neither says, and the launch time, from each chip's own calibration. `speedup` multiplies rates on top of that,
    for what-ifs. `sharding`: which collectives the planner inserts. `collectives`: the textbook's forms, the cheapest,
    or one by name. `routing`: how messages choose among equally short ways. `fold`: whether alike chips are simulated
    once. `network`: a collective is one task; `messages` carries it out message by message, as a check of the model.
    `tile_level`: the memory in which tiles must fit, and what is fused must pass. `memory_latency`: whether a kernel
    waits for the first answer of the memories that it reads.
    `network_share`: what part of a chip's units a collective takes while it runs (on GPUs, copy kernels).
    """

    overlap: Overlap = "auto"
    order: Literal["program", "ready"] = "program"
    padding: bool = False
    launch_s: float | None = None
    efficiency: Mapping[str, float] = field(default_factory=dict)
    chip_efficiency: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    calibration: Literal["spec", "measured"] = "spec"
    speedup: Mapping[str, float] = field(default_factory=dict)
    sharding: Literal["canonical", "auto", "written"] = "canonical"
    collectives: str = "canonical"
    routing: Routing = "split"
    fold: bool = True
    network_share: float = 0.0
    tile_level: str = "on_chip"
    memory_latency: bool = False
    network: Literal["task", "messages"] = "task"

    def __post_init__(self) -> None:
        problems = Problems()
        for name, value, allowed in (
            ("overlap", self.overlap, OVERLAPS),
            ("order", self.order, ORDERS),
            ("sharding", self.sharding, SHARDINGS),
            ("collectives", self.collectives, choices()),
            ("routing", self.routing, ROUTINGS),
            ("network", self.network, NETWORKS),
            ("calibration", self.calibration, CALIBRATIONS),
        ):
            if value not in allowed:
                problems.add(_OPTIONS, unknown(name, str(value), allowed))
        if self.launch_s is not None and not (math.isfinite(self.launch_s) and self.launch_s >= 0):
            problems.add(_OPTIONS, f"launch_s is {self.launch_s}; it must be 0 or more")
        if not 0 <= self.network_share < 1:
            problems.add(_OPTIONS, f"network_share is {self.network_share}; it must be from 0 to below 1")
        for shares in (self.efficiency, *self.chip_efficiency.values()):
            for resource, share in shares.items():
                if not (math.isfinite(share) and share > 0):
                    problems.add(_OPTIONS, f"efficiency of {resource} is {share}; it must be more than 0")
        for resource, factor in self.speedup.items():
            if not factor > 0:
                problems.add(_OPTIONS, f"speedup of {resource} is {factor}; it must be more than 0")
        problems.raise_if_any()
