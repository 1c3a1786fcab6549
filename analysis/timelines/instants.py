"""Every instant of a chip's run, given to what it does then and what that is bound by: the timeline's colours, added up.

Model: what a chip does at an instant is what `analysis.timelines.breakdown` says: it computes; else it communicates with
nothing to hide it; else it moves data; else a fixed time runs; else nothing. The instant then goes to the cause by which
the op that does so is bound, which is the colour of its slice. The parts add up to the run's time, and those of one thing
done to the breakdown's.
Assumes: of ops that do the same at once, that with the cause that comes first in `CAUSES` has the instant.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.frames.steps import does_codes, grouped, outer, steps
from analysis.frames.timeline import timeline_frame
from analysis.words.causes import CAUSES, DOES
from analysis.words.ops import OpFigures
from simulator import Result

IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Part:
    """What an instant can be given to: one of `DOES` (or `IDLE`), and the cause that binds it ("" where nothing runs)."""

    does: str
    cause: str

    def __repr__(self) -> str:
        return f"Part({self.label})"

    @property
    def exposed(self) -> bool:
        """Whether it is work that nothing computes beside."""
        return self.does in ("network", "memory")

    @property
    def label(self) -> str:
        """In words: 'exposed network'."""
        if not self.exposed:
            return self.cause or self.does
        bound = "" if self.cause == self.does else f", bound by {self.cause}"
        return f"exposed {self.does}{bound}"


PARTS = (*(Part(does, cause) for does in DOES for cause in CAUSES), Part(IDLE, ""))
"""The parts in the order in which an instant is given to them, and in which they are drawn."""


def instants(result: Result, figures: Sequence[OpFigures], chips: Collection[int]) -> dict[int, Mapping[Part, float]]:
    """Seconds of each part by chip; those that are 0 are left out."""
    timeline = outer(timeline_frame(result, list(chips)))
    number, keys = grouped(timeline, "chip")
    places = _places(timeline["op"].astype(str).tolist(), does_codes(timeline), figures)
    amounts = (places[:, None] == np.arange(len(PARTS) - 1)).astype(np.int32)
    begin, end = (timeline[name].to_numpy(np.float64) for name in ("begin", "end"))
    happening = steps(number, begin, end, amounts)
    running = happening.level > 0
    first = np.where(running.any(axis=1), running.argmax(axis=1), len(PARTS) - 1)
    seconds = np.zeros((len(keys), len(PARTS)))
    np.add.at(seconds, (happening.group, first), happening.seconds)
    seconds[:, -1] = np.maximum(0.0, result.time_s - seconds[:, :-1].sum(axis=1))
    negligible = 1e-12 * result.time_s
    return {
        int(chip): {part: float(took) for part, took in zip(PARTS, row, strict=True) if took > negligible}
        for chip, row in zip(keys["chip"], seconds, strict=True)
    }


def _places(ops: Sequence[str], does: NDArray[Any], figures: Sequence[OpFigures]) -> NDArray[np.int64]:
    """The place in `PARTS` of every row of a timeline."""
    order = {part: at for at, part in enumerate(PARTS)}
    cause = {each.name: each.bound_by for each in figures}
    return np.asarray(
        [order[Part(DOES[what], cause[op])] for op, what in zip(ops, does.tolist(), strict=True)],
        dtype=np.int64,
    )
