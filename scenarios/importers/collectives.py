"""A collective as other tools say it, by its kind and how much each rank gives, as an op of ours.

Model: what every rank gives (`given` elements) is the whole array of an all-reduce, a reduce-scatter, a broadcast, its part
of an all-gather, and of an all-to-all all that it has. Elements that ranks cannot share evenly are padded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_KINDS: Mapping[str, tuple[str, ...]] = {
    "all_reduce": ("allreduce", "all_reduce", "all-reduce"),
    "all_gather": ("allgather", "all_gather", "all-gather"),
    "reduce_scatter": ("reducescatter", "reduce_scatter", "reduce-scatter"),
    "all_to_all": ("alltoall", "all_to_all", "all-to-all", "ragged-all-to-all"),
    "broadcast": ("broadcast", "collective-broadcast"),
}


def collective_kind(said: str) -> str | None:
    """The op kind that a collective's name means; None where we have none such."""
    word = said.lower().strip("_")
    return next((ours for ours, names in _KINDS.items() if word.startswith(names)), None)


@dataclass(frozen=True)
class Collective:
    """A collective of `size` ranks; `given`: elements of each."""

    kind: str
    dtype: str
    given: int
    size: int

    def line(self, name: str, over: str, after: Sequence[str], more: str = "") -> str:
        """The op line. `over`: mesh axes or named groups; `more`: further options."""
        axes = over.strip("[]").replace(", ", "")
        given, made = self._types(axes)
        waits = f", after=[{', '.join(after)}]" if after else ""
        return f"{name}:{made} = {self.kind}({name}_in:{given}, over={over}{more}{waits})"

    def _types(self, axes: str) -> tuple[str, str]:
        """The types of what it takes and makes."""
        whole = _even(self.given * (self.size if self.kind == "all_gather" else 1), self.size)
        part, partial = f"{self.dtype}[{whole}_{axes}]", f"{self.dtype}[{self.given}]{{U_{axes}}}"
        if self.kind == "all_reduce":
            return partial, f"{self.dtype}[{self.given}]"
        if self.kind == "all_gather":
            return part, f"{self.dtype}[{whole}]"
        if self.kind == "reduce_scatter":
            return f"{self.dtype}[{whole}]{{U_{axes}}}", part
        if self.kind == "all_to_all":
            each = whole
            return f"{self.dtype}[{self.size}_{axes},{each}]", f"{self.dtype}[{self.size},{each}_{axes}]"
        return f"{self.dtype}[{self.given}]", f"{self.dtype}[{self.given}]"


def _even(count: int, size: int) -> int:
    """A number of elements that ranks share evenly: what a library pads to."""
    return max(size, -(-count // size) * size)
