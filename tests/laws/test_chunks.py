"""Cut into chunks an op has no other share: beside any strangers it ends when it would in one piece, and so do they.

Model: without latency a chunk asks for an n-th of everything and counts an n-th of the bytes, so while it flows it has the
rate that the whole would have, and the next one follows at once. Pieces are a picosecond or so longer, each.
Law 9 (shares) for what is split; law 7 (one piece or several) beside strangers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from simulator import Result, RunOptions, parse_graph, simulate
from tests.support.wirings import DIMS, KERNELS, KINDS, Wired, wirings


@dataclass(frozen=True)
class Meeting:
    """An op that is cut, its line with a place for the cut, and strangers in queues of their own."""

    wired: Wired
    cut: str
    strangers: tuple[str, ...]
    chunks: int
    collectives: str

    def run(self, chunks: int) -> Result:
        """The run with the first op in so many chunks."""
        more = f", chunks={chunks}" if chunks > 1 else ""
        lines = [self.cut.replace("CUT", more), *self.strangers]
        options = RunOptions(overlap="full", collectives=self.collectives)
        return simulate(parse_graph(lines, DIMS), self.wired.system(0.0), options)


@st.composite
def meetings(draw: st.DrawFn) -> Meeting:
    """A collective or a kernel, and one to three strangers that begin with it."""
    wired = draw(wirings())
    size = wired.system().size

    def op(at: int, more: str) -> str:
        menu = draw(st.sampled_from([tuple(KINDS.values()), tuple(KINDS.values()), KERNELS[:4]]))
        return draw(st.sampled_from(menu)).format(at=at, o=draw(st.sampled_from(wired.axes)), more=more)

    strangers: list[str] = []
    for at in range(1, draw(st.integers(2, 4))):
        if draw(st.integers(0, 2)):
            strangers.append(op(at, f", queue=q{at}"))
        else:
            here, there = draw(st.lists(st.integers(0, size - 1), min_size=2, max_size=2, unique=True))
            ends = f"from={here}, to={there}, queue=q{at}"
            strangers += [f"y{at}:bf16[E,F] = send(x{at}:bf16[E,F], {ends})", f"r{at}:bf16[E,F] = recv({ends})"]
    algorithm = draw(st.sampled_from(["canonical", "auto", "ring", "direct"]))
    return Meeting(wired, op(0, "CUT, queue=q0"), tuple(strangers), draw(st.integers(2, 5)), algorithm)


def ends_s(result: Result) -> Sequence[float]:
    """When each op has ended everywhere."""
    program = result.plan.program
    found = [0.0] * len(result.plan.kernels)
    for task, kernel in enumerate(program.kernel):
        found[kernel] = max(found[kernel], result.end_ps[task] / 1e12)
    return found


@given(meetings())
@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.generate])
def test_what_is_cut_into_chunks_has_the_share_of_the_whole(meeting: Meeting) -> None:
    whole, cut = meeting.run(1), meeting.run(meeting.chunks)
    slack = 20e-12 * meeting.chunks
    assert ends_s(cut) == pytest.approx(ends_s(whole), rel=1e-9, abs=slack)
