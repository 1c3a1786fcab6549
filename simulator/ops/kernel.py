"""What a chip executes: kernels, as numbers only.

Model: an op becomes one or more kernels. A kernel reads tensors from memories, computes on the matrix and vector units,
and writes tensors. All amounts are per chip (after sharding), in bytes and FLOP. Nothing here knows a chip: capacities
turn amounts into seconds later (`simulator.lowering.lowering`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Access:
    """Bytes of a tensor that a kernel moves from or to a memory; 0 bytes is a mere dependency. `view`: what shows them,
    where the kernel reads the tensor through one; `whole`: the bytes that there are behind it. `stays`: what is written
    is there to the end of the run, whoever reads it."""

    tensor: str
    nbytes: float
    memory: str = "hbm"
    item_bytes: float = 1.0
    view: str = ""
    whole: float = math.inf
    stays: bool = False


class MadeBeside(str):
    """The name of what an op makes beside its output, which knows who made it: `op`, and `what` the op calls it."""

    __slots__ = ("op", "what")
    op: str
    what: str

    def __new__(cls, op: str, what: str) -> MadeBeside:
        """Written as the op's name and what it is."""
        made = super().__new__(cls, f"{op}/{what}")
        made.op, made.what = op, what
        return made

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]  # its parts, not the whole
        return self.op, self.what


def beside(op: str, what: str) -> str:
    """The name of what an op makes beside its output."""
    return MadeBeside(op, what)


def maker_of(name: str) -> tuple[str, str]:
    """The op that made what is called so, and what that op calls it: nothing if it is its output. Told by the kind that gave
    the name, never read off it: a tensor may be called as it likes."""
    return (name.op, name.what) if isinstance(name, MadeBeside) else (name, "")


@dataclass(frozen=True, slots=True)
class Contraction:
    """A (batched) matmul inside a kernel: [m,k] x [k,n], `batch` times; `share` of it is not masked away. `ragged`: which of
    m, n and k is only the mean of matrices that differ, and lie one behind the other (groups of rows, by experts); `filled`:
    the share of its rows that hold anything of the model (slots of experts, as many as the fullest asks for); `window`:
    of the scores of attention over a window how many keys before and behind its own place a query sees."""

    batch: int
    m: int
    n: int
    k: int
    share: float = 1.0
    ragged: Literal["", "m", "n", "k"] = ""
    filled: float = 1.0
    window: tuple[int, int] | None = None

    @property
    def flops(self) -> float:
        """2mnk a matrix: k multiplications and k additions an element (exactly 2k-1; the field says 2k)."""
        return 2.0 * self.batch * self.m * self.n * self.k * self.share

    def padded_flops(self, tile: tuple[int, int]) -> float:
        """FLOPs with k and n rounded up to the matrix unit's tile: a 64-wide dim wastes half of a 128-wide unit."""
        k, n = (-(-size // side) * side for size, side in zip((self.k, self.n), tile, strict=True))
        return 2.0 * self.batch * self.m * n * k * self.share


@dataclass(frozen=True, slots=True)
class Work:
    """Arithmetic of a kernel on one unit at one dtype; `contractions` say what padding makes of it, `others_flops`
    how much of it is none of the model's, `efficiency` what part of the unit's peak it reaches, `alike` how many
    chips do the same."""

    unit: str
    dtype: str
    flops: float
    contractions: tuple[Contraction, ...] = ()
    others_flops: float = 0.0
    efficiency: float = 1.0
    alike: int = 1

    @property
    def filled_flops(self) -> float:
        """FLOPs but for those of rows that hold nothing."""
        if all(part.filled == 1 for part in self.contractions):
            return self.flops
        whole = sum(part.flops for part in self.contractions)
        return self.flops * sum(part.flops * part.filled for part in self.contractions) / whole if whole else 0.0

    @property
    def model_flops(self) -> float:
        """FLOPs that the model asks for: each product once, however often it is made; of what several chips make alike
        each has its part."""
        return 0.0 if self.others_flops == self.flops else (self.filled_flops - self.others_flops) / self.alike

    def issued_flops(self, tile: tuple[int, int] | None) -> float:
        """FLOPs that the unit spends: with padding to `tile`, dims are rounded up."""
        if tile is None or not self.contractions or not self.flops:
            return self.flops
        useful = sum(part.flops for part in self.contractions)
        return self.flops * sum(part.padded_flops(tile) for part in self.contractions) / useful


@dataclass(frozen=True, slots=True)
class Tile:
    """One way to cut a kernel: pipeline steps (k), how often each read happens, and a word for people."""

    steps: float
    rereads: tuple[float, ...]
    label: str


class Tiling(Protocol):
    """The ways in which a kernel can be cut so that its tiles fit on-chip memory, double-buffered."""

    def tiles(self, on_chip_bytes: float, unit: tuple[int, int]) -> Iterator[Tile]:
        """Every tile worth considering; at least one, the smallest, even if nothing fits."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Communication:
    """A transfer between chips: its kind, the mesh axes or the two chips, V, and what some kinds and runs add.

    V is the bytes of the whole array on one chip (of an all-to-all: over all chips). `root` is the place of the chip that
    a broadcast comes from, `shift` how far a permute goes. Of uneven ones `held` is the part of V that each place has
    before, `shares` the part that goes to each place, and `group_bytes` is V of each group where they differ. `axes`: mesh
    axes, or named groups of chips. A send or recv is from the chip `source` to the chip `target`; with axes these are
    places along them, and every group makes one transfer.
    """

    kind: str
    nbytes: float
    axes: str = ""
    source: int = -1
    target: int = -1
    root: int = 0
    shift: int = 1
    shares: tuple[float, ...] = ()
    held: tuple[float, ...] = ()
    group_bytes: tuple[float, ...] = ()
    algorithm: str = ""

    @property
    def pair(self) -> bool:
        """Whether it is one end of transfers between two chips, a send or a recv."""
        return self.source >= 0


@dataclass(frozen=True, slots=True)
class Chips:
    """The chips that `on=` names: numbers of chips, or, with `axes`, places along those: all chips at these places."""

    at: tuple[int, ...]
    axes: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What an op says about when and how it is issued."""

    tiles: int | None = None
    chunks: int = 1
    priority: int = 0
    queue: str | None = None
    after: tuple[str, ...] = ()
    on: Chips | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One kernel. `ops` are the ops it carries out (several when fused); `tiling` is None where there is one tile.
    `recompute`: it does again what was thrown away, so its work is none of the model's; `others_flops`: so are those of its
    matrix FLOPs with which it makes again, within itself, what was thrown away, or moves what a copy could; `alike`: how
    many chips do the same. `efficiency`: what part of the peaks of the units it reaches, as its op says. `launches`: how
    often a library issues it, a part each time; `awaited`: the host that issues kernels waits for its end. `grown`:
    (tensor, tensor) for each that it writes into the memory of one that it reads. `parts`: the kernels that it falls into
    where one of them is fused. `host_s`: work of the host that issues kernels. `written`: what its ops are called without
    the numbers of rounds, where that is something else; `turn`: those numbers; `template`: of a fused kernel, its own name
    without them.
    """

    name: str
    ops: tuple[str, ...]
    kind: str
    reads: tuple[Access, ...] = ()
    writes: tuple[Access, ...] = ()
    matrix_flops: float = 0.0
    matrix_dtype: str = ""
    vector_flops: float = 0.0
    vector_dtype: str = ""
    contractions: tuple[Contraction, ...] = ()
    tiling: Tiling | None = None
    row_elements: int = 1
    fusable: bool = False
    reduces: bool = False
    fixed_s: float = 0.0
    host_s: float = 0.0
    communication: Communication | None = None
    schedule: Schedule = Schedule()
    spilled_bytes: float = 0.0
    recompute: bool = False
    alike: int = 1
    others_flops: float = 0.0
    efficiency: float = 1.0
    launches: int = 1
    awaited: bool = False
    grown: tuple[tuple[str, str], ...] = ()
    parts: tuple[Kernel, ...] = ()
    members: tuple[Work, ...] = ()
    written: tuple[str, ...] = ()
    template: str = ""
    turn: tuple[int, ...] = ()

    @property
    def base(self) -> str:
        """Its name without the numbers of rounds: the same in every round of a block."""
        return self.template or (self.written[0] + self.name.removeprefix(self.ops[0]) if self.written else self.name)

    @property
    def base_ops(self) -> tuple[str, ...]:
        """Its ops by the names with which they are written."""
        return self.written or self.ops

    @property
    def works(self) -> tuple[Work, ...]:
        """What it computes, by unit and dtype; of a fused kernel, what its members do."""
        matrix, vector = self.matrix_flops, self.vector_flops
        others = (matrix, vector) if self.recompute else (self.others_flops, 0.0)
        own = (
            Work("matrix_unit", self.matrix_dtype, matrix, self.contractions, others[0], self.efficiency, self.alike),
            Work("vector_unit", self.vector_dtype, vector, (), others[1], self.efficiency, self.alike),
        )
        return self.members or tuple(work for work in own if work.flops)

    @property
    def hbm_bytes(self) -> float:
        """Bytes to and from HBM, each tensor once."""
        return sum(access.nbytes for access in (*self.reads, *self.writes) if access.memory == "hbm")

    @property
    def flops(self) -> float:
        """FLOPs on both units."""
        return self.matrix_flops + self.vector_flops
