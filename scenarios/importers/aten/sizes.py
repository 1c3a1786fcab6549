"""Sizes of dims that an export leaves open.

Model: an open size is an expression of symbols (`8*s77`). A symbol is what is asked for, else what
the graph was traced with, which must be told; one whose size depends on data was never seen, and
is asked for.
Source: torch.fx.experimental.symbolic_shapes, SymInt and ShapeEnv.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class OpenSizes:
    """Open sizes of one graph. `names`: the symbols in them; `taken`: what those were taken for that nobody has said;
    `places`: where they came in."""

    def __init__(self, said: Mapping[str, int]) -> None:
        self.said = said
        self.names: set[str] = set()
        self.taken: dict[str, int] = {}
        self.places: dict[str, str] = {}

    def come_in(self, name: str, shape: Sequence[Any]) -> None:
        """Note where an input brings symbols in."""
        for at, size in enumerate(shape):
            if not isinstance(size, int):
                self.places.setdefault(str(size), f"dim {at} of {name}")

    def size(self, size: Any) -> int:
        """A size as a number. Raises ValueError for one that depends on data and is not said."""
        if isinstance(size, int):
            return size
        if getattr(size, "node", None) is None:
            return int(size)
        expression, env = size.node.expr, size.node.shape_env
        numbers = {symbol: self._symbol(symbol, env) for symbol in expression.free_symbols}
        return int(expression.subs(numbers))

    def notes(self) -> list[str]:
        """What must be told."""
        told = []
        for name, size in self.taken.items():
            place = f" ({self.places[name]})" if name in self.places else ""
            told.append(f"dim {name}{place} is taken to be {size}: say another with --dim {name}=N")
        return told

    def _symbol(self, symbol: Any, env: Any) -> int:
        name = str(symbol)
        self.names.add(name)
        if name in self.said:
            return self.said[name]
        hint = env.size_hint(symbol, allow_none=True)
        if hint is None:
            raise ValueError(f"how large dim {name} is depends on data: say it with --dim {name}=N")
        self.taken[name] = int(hint)
        return int(hint)
