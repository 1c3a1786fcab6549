"""How a system is written down: the keys of a scenario's `system`, and of a system file.

A system is chips (all alike, or a list), how they are wired (a topology, or a slice of a pod), a mesh, and hosts. A system
file adds what a name stands for: a line about it, its sources, how nodes of it are joined, which slices it comes in.
"""

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from hw.chips.host import Host
from hw.input.validation import Frozen, Spec
from hw.network.text import over_link

MAX_NODES = 65_536
_COUNTED = re.compile(r"\s*(\d{1,9})\s*[x*×]\s*(\S.*?)\s*")
_SLICE = re.compile(r"[1-9]\d{0,5}(x[1-9]\d{0,5}){0,2}")


def counted_chip(written: str) -> tuple[int, str]:
    """How many chips an entry of `chips` stands for, and what they are: '4 x a100' is (4, 'a100')."""
    match = _COUNTED.fullmatch(written)
    return (int(match[1]), match[2]) if match else (1, written.strip())


def chip_reference(written: str) -> str:
    """What an entry of `chips` names, without its count."""
    return counted_chip(written)[1]


def _slice(value: object) -> tuple[int, ...]:
    if isinstance(value, str) and _SLICE.fullmatch(value.replace(" ", "")):
        return tuple(int(size) for size in value.replace(" ", "").split("x"))
    raise ValueError(f"'{str(value)[:40]}' will not do for {{key}}: write the chips along each axis, as in 4x4x8")


SliceShape = Annotated[tuple[int, ...], BeforeValidator(_slice, json_schema_input_type=str)]
"""Chips along each axis, written 4x4x8."""


Chips = Annotated[Any, WithJsonSchema({"type": "array", "items": {"type": ["integer", "string"]}, "minItems": 1})]
"""Chips of a group: numbers and ranges, as in [0-3, 8]; read by `hw.systems.groups`."""


class Slices(Spec):
    """Which slices of a pod there are, and which of their axes wrap around."""

    link: str = "ici"
    largest: SliceShape = Field(description="the whole pod")
    wraps_at: int = Field(gt=1, strict=True, description="an axis wraps when its size is a multiple of this")
    together: bool = Field(default=False, description="axes wrap only if all of them can")

    def problem(self, sizes: tuple[int, ...]) -> str | None:
        """What is wrong with a slice; None if nothing is."""
        written, most = "x".join(map(str, sizes)), "x".join(map(str, self.largest))
        if len(sizes) != len(self.largest):
            return (
                f"a slice {written} will not do: it has {len(self.largest)} axes, as in {most}, which is the whole pod"
            )
        if any(size > limit for size, limit in zip(sorted(sizes), sorted(self.largest), strict=True)):
            return f"a slice {written} does not fit into the pod of {most}"
        return None

    def topology(self, sizes: tuple[int, ...]) -> str:
        """The wiring of a slice: a torus along the axes that wrap."""
        wraps = [size % self.wraps_at == 0 for size in sizes]
        if self.together and not all(wraps):
            wraps = [False] * len(wraps)
        inside = ",".join(map(str, sizes))
        if not any(wraps):
            return f"grid({inside}) over {self.link}"
        if all(wraps):
            return f"torus({inside}) over {self.link}"
        return f"torus({inside},wrap=[{','.join('yes' if wrap else 'no' for wrap in wraps)}]) over {self.link}"


class SystemSpec(Spec):
    """What the workload runs on."""

    base: str | None = Field(default=None, description="a system to start from: a shipped one's name, or a file")
    chip: str | dict[str, Any] | None = Field(
        default=None, description="catalogue name, path to a chip file, or an inline chip"
    )
    chips: list[str | dict[str, Any]] | None = Field(
        default=None, description="unlike chips in order: '4 x NAME', NAME, or {chip: NAME, count: 1, set: {...}}"
    )
    topology: str | list[str] | None = Field(
        default=None,
        description="ring(n), torus(a,b,c), switch(n), fat_tree(n,leaf=k), ..., optionally 'over LINK'; a graph file; or a "
        "list of levels, inside out",
    )
    slice: SliceShape | None = Field(default=None, description="a slice of the base's pod: 4x4x8")
    nodes: int | None = Field(default=None, gt=0, le=MAX_NODES, strict=True, description="so many of the base, joined")
    scale_out: str | None = Field(default=None, description="how nodes are joined: fat_tree({nodes}) over infiniband")
    slices: Slices | None = Field(default=None, description="which slices there are, and where they wrap around")
    mesh: dict[str, int] | None = Field(default=None, description="logical axes, single capitals, and their sizes")
    groups: dict[str, Chips] | None = Field(
        default=None, description="named groups of chips beside the mesh, single capitals: {A: [0-3], B: [4-7, 9]}"
    )
    set: dict[str, Any] = Field(default_factory=dict, description="figures of the chip by dotted name: hbm.bandwidth")
    host: Host | None = Field(default=None, description="hosts that chips share")

    @property
    def wired_links(self) -> frozenset[str]:
        """The links that its wiring names."""
        written = self.topology or []
        levels = [written] if isinstance(written, str) else written
        named = {over_link(text)[1] for text in (*levels, self.scale_out or "")} - {""}
        return frozenset(named | ({self.slices.link} if self.slices else set()))

    @property
    def wired(self) -> bool:
        """Whether it says how its chips are wired."""
        return self.topology is not None or self.slice is not None or (self.nodes or 1) > 1

    @property
    def joins_nothing(self) -> bool:
        """Whether it says how nodes are joined, but of no nodes."""
        return self.scale_out is not None and self.nodes is None and self.base is None


class SystemFile(SystemSpec):
    """A system file: a system with a name, and the sources of what is its own (its chips have theirs)."""

    name: str = Field(min_length=1)
    about: str = ""
    sources: Annotated[dict[str, str], Frozen] = Field(default_factory=dict)

    @property
    def joins_nothing(self) -> bool:
        """Never: how many nodes there are is for whoever starts from it."""
        return False

    def figures(self) -> list[str]:
        """The sections that hold figures of its own, and so need a source."""
        parts = ("topology", "slices", "scale_out")
        listed = [part for part in parts if getattr(self, part) is not None]
        if self.host is not None:
            named = ("chips", "memory", "disk", "pcie_switches", "uplink_bytes_per_s")
            listed += [f"host.{name.removesuffix('_bytes_per_s')}" for name in named if getattr(self.host, name)]
        return [*listed, *(f"set.{name}" for name in self.set)]


def slice_size(sizes: tuple[int, ...]) -> int:
    """How many chips a slice has."""
    return math.prod(sizes)
