"""A simulated run beside a measured trace of the same work: which op is which kernel, and where the difference lies.

    found = compare_measured(load_scenario("step.yaml"), "trace.json.gz")
    found.frame      # one row per op or kernel: op, family, kernel, a, b, difference (s)

Model: on one chip of either run every instant from the first piece of work to the last is given to one thing: the work that
began first of all that runs, or a gap before what comes next. A gap is the host's as long as what comes next was not yet
issued, else the device's (its start, a stream that waits, another chip). Kernels that one call launched are one piece.
Pieces are lined up by family, words and order (`analysis.timelines.line_up`). So the parts of each run add up to its time,
and the differences to the difference.
Assumes: the first device of the trace and chip 0 do the same work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import Summary
from analysis.timelines import Pair, Piece, line_up
from hw import Dimension, Mark, Problem, SpecError
from hw.input import notebook_html, show
from scenarios.building.given import Given, given_scenario
from scenarios.building.run_one import summarise
from scenarios.claims.claims import Claim, Verdict, judge
from scenarios.claims.scope import WordValues
from scenarios.expressions.expression import Expression
from scenarios.questions.pieces import Measured, measured_pieces, simulated_pieces

if TYPE_CHECKING:
    import pandas as pd

BOTH, ONLY_A, ONLY_B, HOST_GAPS, DEVICE_GAPS = (
    "work that both have", "work that only A has", "work that only B has", "gaps: not issued yet", "gaps: issued, but waits",
)  # fmt: skip
PARTS = (BOTH, ONLY_A, ONLY_B, HOST_GAPS, DEVICE_GAPS)
"""What the time of either run is made of."""

COLUMNS = (
    "op",
    "family",
    "call",
    "kernel",
    "count_a",
    "count_b",
    "a",
    "b",
    "difference",
    "gap_a",
    "gap_b",
    "gap_host_b",
)


@dataclass(frozen=True, slots=True)
class Moved:
    """An op (all rounds of it) beside the calls and kernels of a trace: how many there are, and seconds in A and B; the gaps
    before them, and what of that of B is the host's. Without an op only the trace has it, without a kernel only the run."""

    op: str
    family: str
    call: str
    kernel: str
    counts: tuple[int, int]
    a: float
    b: float
    gaps: tuple[float, float]
    gap_host_b: float

    def __repr__(self) -> str:
        return f"Moved({self.op or self.call}: {_moved(self.difference)})"

    @property
    def difference(self) -> float:
        """Seconds that B takes longer, gaps apart."""
        return self.b - self.a

    @property
    def name(self) -> str:
        """The op, else the call."""
        return self.op or self.call

    @property
    def record(self) -> dict[str, Any]:
        """Plain data, by `COLUMNS`."""
        values = (
            self.op,
            self.family,
            self.call,
            self.kernel,
            *self.counts,
            self.a,
            self.b,
            self.difference,
            *self.gaps,
        )
        return dict(zip(COLUMNS, (*values, self.gap_host_b), strict=True))


class BesideTrace:
    """A run (A) beside a trace (B). Seconds count from the first work of the device in either."""

    def __init__(self, name: str, summary: Summary, trace: Measured) -> None:
        self.names = (name, trace.name)
        self.summary, self.trace = summary, trace
        self.a: Sequence[Piece] = simulated_pieces(summary.result)
        self.b: Sequence[Piece] = trace.pieces
        self.pairs: list[Pair] = line_up(self.a, self.b)

    def __repr__(self) -> str:
        a, b = (show(each, Dimension.TIME) for each in self.times)
        return f"BesideTrace({self.names[0]} {a}, {self.names[1]} {b})"

    @property
    def times(self) -> tuple[float, float]:
        """Seconds of A and of B."""
        a, b = (sum(each.seconds + each.host_s + each.device_s for each in side) for side in (self.a, self.b))
        return a, b

    @cached_property
    def parts(self) -> dict[str, tuple[float, float]]:
        """Seconds of A and of B of each of `PARTS`."""
        work = {BOTH: [0.0, 0.0], ONLY_A: [0.0, 0.0], ONLY_B: [0.0, 0.0]}
        for pair in self.pairs:
            part = work[BOTH if pair.a and pair.b else ONLY_A if pair.a else ONLY_B]
            part[0] += sum(self.a[at].seconds for at in pair.a)
            part[1] += sum(self.b[at].seconds for at in pair.b)
        found = {name: (a, b) for name, (a, b) in work.items()}
        found[HOST_GAPS] = (sum(each.host_s for each in self.a), sum(each.host_s for each in self.b))
        found[DEVICE_GAPS] = (sum(each.device_s for each in self.a), sum(each.device_s for each in self.b))
        return found

    @cached_property
    def moves(self) -> list[Moved]:
        """By op, what takes how long in either, the largest difference first; rounds of a block and kernels of one name
        that only B has together."""
        groups: dict[tuple[str, str], list[Pair]] = {}
        for pair in self.pairs:
            op = _longest(self.a, pair.a).name if pair.a else ""
            groups.setdefault((op, "" if op else _longest(self.b, pair.b).name), []).append(pair)
        found = [self._moved_group(op, pairs) for (op, _), pairs in groups.items()]
        return sorted(found, key=lambda each: (-abs(each.difference), each.name))

    def _moved_group(self, op: str, pairs: Sequence[Pair]) -> Moved:
        a = [self.a[at] for pair in pairs for at in pair.a]
        b = [self.b[at] for pair in pairs for at in pair.b]
        longest = max(b, key=lambda each: each.seconds, default=None)
        return Moved(
            op=op,
            family=(a[0] if a else b[0]).family,
            call=longest.name if longest is not None else "",
            kernel=longest.kernel if longest is not None else "",
            counts=(sum(each.count for each in a), sum(each.count for each in b)),
            a=sum(each.seconds for each in a),
            b=sum(each.seconds for each in b),
            gaps=(sum(each.host_s + each.device_s for each in a), sum(each.host_s + each.device_s for each in b)),
            gap_host_b=sum(each.host_s for each in b),
        )

    @property
    def gaps(self) -> list[Moved]:
        """The same by the gaps before ops, the largest difference first."""
        return sorted(self.moves, key=lambda each: (-abs(each.gaps[1] - each.gaps[0]), each.name))

    @property
    def matched(self) -> tuple[float, float]:
        """The shares of the work of A and of B that the other has as well."""
        a, b = (sum(each.seconds for each in side) for side in (self.a, self.b))
        both = self.parts[BOTH]
        return (both[0] / a if a else 1.0, both[1] / b if b else 1.0)

    @property
    def frame(self) -> pd.DataFrame:
        """One row per op or call, columns `COLUMNS`; seconds. `a` and `gap_a` add up to A's time, `b` and `gap_b` to B's."""
        import pandas as pd

        return pd.DataFrame([each.record for each in self.moves], columns=list(COLUMNS))

    def _repr_html_(self) -> str:
        rows = [(name, *_cells(a, b)) for name, (a, b) in self.parts.items()]
        about = f"beside {self.names[1]}, of which {100 * self.matched[1]:.1f} % is lined up"
        return notebook_html(self.names[0], about, ("", "A", "B", "B - A"), [*rows, ("together", *_cells(*self.times))])

    def as_json(self) -> dict[str, Any]:
        """Plain data, seconds."""
        a, b = self.times
        return {
            "a": {"name": self.names[0], "time": a, "lined_up": self.matched[0]},
            "b": {"name": self.names[1], "time": b, "lined_up": self.matched[1]},
            "difference": b - a,
            "parts": [{"part": name, "a": one, "b": two} for name, (one, two) in self.parts.items()],
            "ops": [each.record for each in self.moves],
            "notes": list(self.trace.notes),
        }


def compare_measured(scenario: Given, trace: str | Path, step: str | None = None) -> BesideTrace:
    """Run a scenario and set it beside a measured trace; `step`: a range of the program, such as ProfilerStep#3. Raises
    SpecError, RunError."""
    scenario = given_scenario(scenario)
    measured = measured_pieces(Path(trace), step, {op.name: op.kind for op in scenario.graph.every_op()})
    try:
        return BesideTrace(scenario.name, summarise(scenario), measured)
    except ValueError as error:
        raise SpecError([Problem(Mark(str(trace)), str(error))]) from None


def verdicts_of_trace(outcome: Summary, claims: Sequence[Claim], trace: Measured) -> list[Verdict]:
    """The claims of a scenario about what a trace has, too, held against that."""
    found = []
    for claim in claims:
        if claim.asked.is_name and claim.word in trace.words:
            want = claim.want.value(WordValues(outcome)) if isinstance(claim.want, Expression) else claim.want
            found.append(judge(replace(claim, want=want), trace.words[claim.word], len(trace.pieces)))
    return found


def _longest(pieces: Sequence[Piece], numbers: Sequence[int]) -> Piece:
    return max((pieces[at] for at in numbers), key=lambda each: each.seconds)


def _cells(a: float, b: float) -> Iterator[str]:
    yield show(a, Dimension.TIME)
    yield show(b, Dimension.TIME)
    yield _moved(b - a)


def _moved(seconds: float) -> str:
    return f"{'+' if seconds > 0 else ''}{show(seconds, Dimension.TIME)}" if seconds else "0"
