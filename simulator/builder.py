"""Graphs from Python, one call an op:

    g = GraphBuilder(B=256, D=8192, F=8192)
    y = g.matmul("x:bf16[B,D]", "w:bf16[D,F]", out="y:bf16[B,F]", tiles=4)
    z = g.relu(y, out="z:bf16[B,F]")
    graph = g.graph()

    with g.repeat(32, x="z"): ...        # a block: in the next round x is the last round's z
    with g.repeat("L", reverse=True): ...  # as many rounds as dim L says, from the last to the first

Every op kind is a method; inputs are names of earlier tensors or typed new ones, options are keywords. A call writes the
same line that a scenario file would hold, so both forms mean the same and share their errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

from hw import Mark, Problem, SpecError
from hw.input import few, plain, unknown
from simulator.graph.op_graph import FuseRule, OpGraph, SplitRule
from simulator.graph.text import parse_graph
from simulator.ops.registry import KINDS


class GraphBuilder:
    """Collects op lines. Keyword arguments of the constructor are the sizes of the dims."""

    def __init__(self, **dims: int) -> None:
        self._dims = plain(dims)
        self._lines: list[Any] = []
        self._open = 0

    def __repr__(self) -> str:
        dims = few((f"{name}={size}" for name, size in self._dims.items()), 8)
        return f"GraphBuilder({len(self._lines)} lines, {dims or 'no dims'})"

    def __dir__(self) -> list[str]:
        """Its own methods, and every op kind, which are methods too."""
        return sorted({*super().__dir__(), *KINDS})

    def __getattr__(self, kind: str) -> Callable[..., str]:
        if kind not in KINDS:
            raise AttributeError(unknown("op kind", kind, sorted(KINDS)))

        def add(*inputs: str, out: str, **options: Any) -> str:
            return self.op(kind, *inputs, out=out, **options)

        return add

    def op(self, kind: str, /, *inputs: str, out: str, **options: Any) -> str:
        """Append `out = kind(inputs, options)`; returns the name of the new tensor. Option `from_=` means `from=`."""
        written = [f"{name.rstrip('_')}={_text(value)}" for name, value in options.items()]
        self._lines.append(f"{out} = {kind}({', '.join([*inputs, *written])})")
        return out.split(":", 1)[0].strip()

    @contextmanager
    def repeat(self, count: int | str, /, *, reverse: bool = False, **carry: str) -> Iterator[None]:
        """The ops added inside form a block of `count` rounds (a number or a dim), from the last to the first if `reverse`;
        `carry` maps what a round takes in to what it makes. A block that an exception ends is as if it had not begun."""
        for name, value in carry.items():
            if not isinstance(value, str):
                raise SpecError(
                    [Problem(Mark("repeat"), f"{name}={value!r}: what is carried is written repeat(3, x='y')")]
                )
        outside, self._lines = self._lines, []
        self._open += 1
        try:
            yield
        except BaseException:
            self._lines = outside
            raise
        finally:
            self._open -= 1
        walked = {"reverse": True} if reverse else {}
        block: dict[str, Any] = {"repeat": plain(count), **walked, "carry": carry, "ops": self._lines}
        self._lines = [*outside, block]

    def graph(
        self, fuse: FuseRule = "none", uneven: Literal["refuse", "pad"] = "refuse", split: SplitRule = "equal"
    ) -> OpGraph:
        """The graph so far; `fuse`, `uneven` and `split` as in `OpGraph`. Raises SpecError with every problem."""
        if uneven not in ("refuse", "pad"):
            raise SpecError([Problem(Mark("uneven"), unknown("rule", str(uneven), ("refuse", "pad")))])
        if self._open:
            raise SpecError([Problem(Mark("graph"), "a block of repeat is open: the graph is there when it has ended")])
        return replace(parse_graph(self._lines, self._dims), fuse=fuse, uneven=uneven, split=split)


def _text(value: Any) -> str:
    value = plain(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return str(value)
