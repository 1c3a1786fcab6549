"""What an importer makes of files: a scenario in plain data, what it could not price, and what it has to say.

Model: `ops` are lines (and blocks) of the scenario language. An op for which there is no rule stands among them as a
`custom` without numbers, which nothing runs: whoever has the file writes them in, or has every such op priced by the bytes
that it moves (`unknown="bytes"`). Both are told, with their counts and their share of all bytes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hw import Dimension, Mark, Problem, SpecError
from hw.input import printable, show, unknown
from scenarios.importers.workload_text import workload_lines
from simulator import OpGraph, parse_graph

MADE_BY = "# made by overlapse import"
"""How files of ours begin, so that they may be written again."""


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """How files are read.

    `chip`: what the scenario runs on; where nothing is said, what the file names, else `DEFAULT_CHIP`. `unknown`: what
    becomes of ops without a rule: `refuse` leaves them without a price, so that nothing runs, `bytes` prices them by what
    they move. `dims`: sizes of dims that the file leaves open. The rest is for traces: `step` is a range of the profiler's
    (ProfilerStep#3) that is replayed alone; `collectives` that are `modelled` go over the system's links and take what
    these allow, instead of what was `measured`; without `launches` the host issues nothing, as in a captured graph;
    `faster`: how many times faster kernels are whose names have a pattern in them; `buckets`: up to how many bytes
    collectives of gradients are joined; `overlap`: patterns of kernels that run beside all others; `onto`: another chip, to
    which what was measured is scaled.
    """

    chip: str | None = None
    unknown: Literal["refuse", "bytes"] = "refuse"
    dims: Mapping[str, int] = field(default_factory=dict)
    step: str | None = None
    collectives: Literal["measured", "modelled"] = "measured"
    launches: bool = True
    faster: Mapping[str, float] = field(default_factory=dict)
    buckets: float | None = None
    overlap: tuple[str, ...] = ()
    onto: str | None = None

    def check_dims(self, open_dims: Collection[str]) -> None:
        """Raises SpecError with the dims that are given a size and that a file does not leave open."""
        wrong = [name for name in self.dims if name not in open_dims]
        if wrong:
            raise SpecError([Problem(Mark("--dim"), _no_dim(name, open_dims)) for name in wrong])

    def of_replays(self) -> list[str]:
        """The options that are asked for and speak of measured runs alone."""
        usual = ImportOptions()
        return [option for name, option in _OF_REPLAYS.items() if getattr(self, name) != getattr(usual, name)]


def _no_dim(name: str, open_dims: Collection[str]) -> str:
    if not open_dims:
        return f"there is no dim '{name}' to give a size to: the file leaves none open"
    return unknown("dim", name, open_dims)


_OF_REPLAYS: Mapping[str, str] = {
    "step": "--step",
    "collectives": "--collectives",
    "launches": "--no-launches",
    "faster": "--faster",
    "buckets": "--buckets",
    "overlap": "--overlap",
    "onto": "--onto",
}

DEFAULT_CHIP = "h100_sxm"


@dataclass(frozen=True, kw_only=True)
class Unpriced:
    """Ops of one kind that have no rule: how many, and the bytes that they would move, each tensor once."""

    kind: str
    count: int
    nbytes: float


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A scenario that files became. `nbytes`: what all its ops move, each tensor once; `measured_s`: how long the run took
    that was recorded, None where nothing was; `between_s`: the least and the most that it may take with what was
    changed in it; `by_bytes`: whether unpriced ops were priced by their bytes;
    `rules`: what the workload says beside its ops."""

    name: str
    about: str
    system: Mapping[str, Any]
    ops: Sequence[Any]
    dims: Mapping[str, int] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)
    rules: Mapping[str, Any] = field(default_factory=dict)
    unpriced: tuple[Unpriced, ...] = ()
    nbytes: float = 0.0
    by_bytes: bool = False
    measured_s: float | None = None
    between_s: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Imported({self.name}, {len(self.ops):,} ops, {sum(each.count for each in self.unpriced)} unpriced)"

    @property
    def text(self) -> str:
        """The scenario as a file, with notes as comments."""
        return "\n".join(self._lines()) + "\n"

    def graph(self) -> OpGraph:
        """The ops as a graph; it is not bound to a system yet. Raises SpecError."""
        return parse_graph(self.ops, self.dims)

    def told(self) -> Iterator[str]:
        """Between what a changed run lies, notes, and what has no price: a line each."""
        if self.between_s is not None:
            least, most = (show(each, Dimension.TIME) for each in self.between_s)
            yield f"with that changed, it takes {least} to {most}, whatever else waited for what"
        yield from self.notes
        if not self.unpriced:
            return
        total = sum(each.nbytes for each in self.unpriced)
        done = "priced by their bytes" if self.by_bytes else "NOT priced: the file does not run until they are"
        count = sum(each.count for each in self.unpriced)
        yield f"{count:,} ops without a rule, {self._share(total)} of all bytes, are {done}"
        for each in sorted(self.unpriced, key=lambda one: (-one.nbytes, one.kind)):
            yield f"  {each.kind}: {each.count:,}, {self._share(each.nbytes)} of all bytes"

    def _share(self, nbytes: float) -> str:
        return f"{100 * nbytes / self.nbytes:.2g} %" if self.nbytes else "0 %"

    def _lines(self) -> Iterator[str]:
        yield MADE_BY
        yield from (f"# {printable(line)}" for line in self.told())
        yield f"name: {_quoted(self.name)}"
        yield f"about: {_quoted(self.about)}"
        for section, words in (("system", self.system), ("run", self.run)):
            if words:
                yield f"{section}:"
                yield from (f"  {key}: {_flow(value)}" for key, value in words.items())
        dims = {"dims": self.dims} if self.dims else {}
        yield from workload_lines({**dims, **self.rules, "ops": self.ops})


def _flow(value: Any) -> str:
    """A value in YAML's flow style, text in quotes."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    """Text as YAML has it in double quotes, in one line."""
    return json.dumps(printable(text), ensure_ascii=False)
