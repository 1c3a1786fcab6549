"""How a run is modelled: its options, each with what it may be and what it says to people.

Model: the default is the ideal data sheet. `RunOptions` is the one record of them: what a scenario's `run` section may
hold, the schema for editors, the short names of edits and the table in docs/language.md are made from its fields.
An option that is a word says which words it may be; what an option does is told in Markdown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from enum import Enum
from typing import Any, Literal, get_args

from hw import Mark, Problems
from hw.input import unknown
from hw.network import ROUTINGS, Routing
from simulator.collectives.choice import choices

Overlap = Literal["full", "none", "auto"]
QueueOrder = Literal["program", "ready"]
Calibration = Literal["spec", "measured"]
ShardingMode = Literal["canonical", "auto", "written"]
Clocks = Literal["sustained", "burst"]
Dispatch = Literal["graph", "fused_graph", "compiled", "fused", "eager"]
NetworkForm = Literal["task", "messages"]

NETWORKS: tuple[NetworkForm, ...] = get_args(NetworkForm)
"""How a collective may be carried out: as one task, or message by message."""

_OPTIONS = Mark("options")


class Holds(Enum):
    """What is written for an option in a scenario file."""

    WORD = "one of some words"
    NAME = "a name, checked where the system is known"
    FLAG = "true or false"
    TIME = "a time"
    SHARE = "a share below 1"
    EFFICIENCIES = "shares by resource, or by chip and resource"


@dataclass(frozen=True, slots=True)
class RunOption:
    """An option as people meet it: its key in a scenario file, what it holds and does, and what it is unless said (None:
    that follows from others). `words` are those that it may be, `earlier` what some of them were called at first."""

    key: str
    name: str
    holds: Holds
    about: str
    default: Any
    words: tuple[str, ...] = ()
    earlier: Mapping[str, str] = field(default_factory=dict)


def _written(
    about: str,
    holds: Holds,
    words: Callable[[], Sequence[str]] = tuple,
    key: str = "",
    earlier: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What a field says of itself as an option of a file; `key` where its name has a unit."""
    return {"about": about, "holds": holds, "words": words, "key": key, "earlier": earlier or {}}


def _default(each: Field[Any]) -> object:
    return each.default if each.default_factory is MISSING else each.default_factory()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run is modelled. The default is the ideal data sheet: no launch time, no padding, efficiency 1.

    Each field says what it does where it stands. `efficiency` is that of all chips, `chip_efficiency` that of the chips
    of a name, which goes first; `calibration: measured` takes what neither says, the launch time and the padding from
    each chip's own calibration. `speedup` multiplies rates on top of that, for what-ifs; no file has it.
    """

    overlap: Overlap = field(
        default="auto",
        metadata=_written(
            "inside an op: `full`, `none`, or `auto`: tiles that fit on-chip memory",
            Holds.WORD,
            lambda: get_args(Overlap),
        ),
    )
    order: QueueOrder = field(
        default="program",
        metadata=_written(
            "of a queue: `program`, or `ready`: the ready task of highest priority",
            Holds.WORD,
            lambda: get_args(QueueOrder),
        ),
    )
    calibration: Calibration = field(
        default="spec",
        metadata=_written(
            "the data sheet, or `measured`: how long every chip's kernels were measured to take, else its efficiencies, "
            "padding and launch time, which can also be set by themselves, and then win",
            Holds.WORD,
            lambda: get_args(Calibration),
        ),
    )
    clocks: Clocks = field(
        default="sustained",
        metadata=_written(
            "of a matrix unit whose kernels were measured: `sustained`, what its power leaves in a step that goes on and "
            "on, or `burst`, the first milliseconds",
            Holds.WORD,
            lambda: get_args(Clocks),
        ),
    )
    dispatch: Dispatch = field(
        default="graph",
        metadata=_written(
            "who issues kernels: `graph`: the chip itself, as captured; else its host, op by op, for as long as was "
            "measured: `eager`, or what a compiler has made (`compiled`: also fewer passes over memory), or such "
            "kernels of a library that Python calls as it calls eager ops (`fused`: Transformer Engine, Apex); "
            "`fused_graph`: kernels of these two, captured",
            Holds.WORD,
            lambda: get_args(Dispatch),
        ),
    )
    padding: bool | None = field(
        default=None,
        metadata=_written("dims of matmuls rounded up to the matrix unit's tile", Holds.FLAG),
    )
    launch_s: float | None = field(
        default=None,
        metadata=_written("time before every kernel", Holds.TIME, key="launch"),
    )
    efficiency: Mapping[str, float] = field(
        default_factory=dict,
        metadata=_written(
            "measured over data sheet, by resource: `matrix_unit`, `vector_unit`, `hbm`, `on_chip`, `host`, `disk`, any "
            "link; `dispatch`: the pace of a host that issues kernels over that of the one that was measured; under a "
            "chip's name, its own: `{hbm: 90 %, v100_sxm2_32gb: {hbm: 80 %}}`",
            Holds.EFFICIENCIES,
        ),
    )
    chip_efficiency: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    speedup: Mapping[str, float] = field(default_factory=dict)
    sharding: ShardingMode = field(
        default="canonical",
        metadata=_written(
            "collectives that annotations demand and nobody wrote: the textbook's, `auto` the cheapest, `written`: refuse "
            "what is missing",
            Holds.WORD,
            lambda: get_args(ShardingMode),
        ),
    )
    collectives: str = field(
        default="canonical",
        metadata=_written(
            "the textbook's forms, `auto` the cheapest, or one algorithm by name, where it fits", Holds.NAME, choices
        ),
    )
    network: NetworkForm = field(
        default="task",
        metadata=_written(
            "a collective is one task; `messages` carries it out message by message, as a check of the model: each has the "
            "latency of the data sheet, and nothing of what a library was measured to lose on a collective "
            "(`calibration: measured`), nor its cores",
            Holds.WORD,
            lambda: NETWORKS,
            earlier={"macro": "task", "expanded": "messages"},
        ),
    )
    routing: Routing = field(
        default="split",
        metadata=_written(
            "which of equally short ways messages take: `split` axis by axis and both ways round to a chip half-way, "
            "`single` one way, `ecmp` one by hash, `minimal` every order of the axes",
            Holds.WORD,
            lambda: ROUTINGS,
        ),
    )
    fold: bool = field(
        default=True,
        metadata=_written("simulate alike chips once; the result is the same", Holds.FLAG),
    )
    tile_level: str = field(
        default="on_chip",
        metadata=_written(
            "the memory in which tiles of `overlap: auto`, and what fused ops pass on, must fit: a level of the chip",
            Holds.NAME,
        ),
    )
    spread: float = field(
        default=0.0,
        metadata=_written(
            "standard deviation, as a share, of how long chips take for the same kernels: each keeps its pace, and all are "
            "taken to be as slow as the slowest, on average, of the chips that wait for each other",
            Holds.SHARE,
        ),
    )
    memory_latency: bool = field(
        default=False,
        metadata=_written("a kernel waits once for the first answer of the memories that it reads", Holds.FLAG),
    )
    network_share: float = field(
        default=0.0,
        metadata=_written(
            "part of a chip's units that a collective takes while it runs (on GPUs, copy kernels)", Holds.SHARE
        ),
    )

    def __repr__(self) -> str:
        """Only what differs from the default."""
        said = [each for each in fields(self) if getattr(self, each.name) != _default(each)]
        return f"RunOptions({', '.join(f'{each.name}={getattr(self, each.name)!r}' for each in said)})"

    def __post_init__(self) -> None:
        problems = Problems()
        for option in run_options():
            value = getattr(self, option.name)
            if option.words and value not in option.words:
                problems.add(_OPTIONS, unknown(option.name, str(value), option.words))
        if self.launch_s is not None and not 0 <= self.launch_s < math.inf:
            problems.add(_OPTIONS, f"launch_s is {self.launch_s}; it must be 0 or more")
        for name, share in (("network_share", self.network_share), ("spread", self.spread)):
            if not 0 <= share < 1:
                problems.add(_OPTIONS, f"{name} is {share}; it must be from 0 to below 1")
        for shares in (self.efficiency, *self.chip_efficiency.values()):
            for resource, share in shares.items():
                if not 0 < share < math.inf:
                    problems.add(_OPTIONS, f"efficiency of {resource} is {share}; it must be more than 0")
        for resource, factor in self.speedup.items():
            if not factor > 0:
                problems.add(_OPTIONS, f"speedup of {resource} is {factor}; it must be more than 0")
        problems.raise_if_any()

    @property
    def fused_kernels(self) -> bool:
        """Whether kernels are as few, and read as little, as a compiler or a library of fused ones has them."""
        return self.dispatch in ("compiled", "fused", "fused_graph")

    @property
    def by_host(self) -> bool:
        """Whether a host issues kernels one by one; not where they were captured as a graph."""
        return self.dispatch not in ("graph", "fused_graph")

    @property
    def pads(self) -> bool:
        """Whether dims are padded: as `padding` says, else where the calibration is measured."""
        return self.calibration == "measured" if self.padding is None else self.padding


def run_options() -> tuple[RunOption, ...]:
    """The options that a scenario file may set, in the order in which they are told."""
    return tuple(_option(each.name, each.default, each.metadata) for each in fields(RunOptions) if each.metadata)


def _option(name: str, default: Any, said: Mapping[str, Any]) -> RunOption:
    without = None if default is MISSING else default  # a mapping: empty unless said
    return RunOption(
        said["key"] or name, name, said["holds"], said["about"], without, tuple(said["words"]()), said["earlier"]
    )
