"""A run in the words of the vocabulary, each computed when it is asked for.

A search over many runs often needs one word that follows from the work alone (`t_math >= t_network`); then nothing is
simulated. `Summary` takes the plan and a way to run it, and runs at most once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cached_property

from analysis.beside import Beside, BesideWork, Nothing
from analysis.intervals import difference, length, union
from analysis.memory import memory_peaks, on_chip_bytes
from analysis.ops import RESOURCE_WORDS, figures_of, inner_fixed_ps, largest_cause
from analysis.utilisation import hfu, mfu
from analysis.waiting import may_wait, waiting_ps
from analysis.words import CAUSES, OP_WORDS, RUN_WORDS, WORDS
from hw import Chip, System
from hw.errors import unknown
from simulator import OpGraph, Plan, Result, RunOptions, Simulation
from simulator.bounds import eta
from simulator.plan import Variant
from simulator.program import PS_PER_S

Value = float | str | bool | None

_CAUSE_WORD = {"math": "t_math", "vector": "t_vector", "memory": "t_memory", "network": "t_network", "host": "t_host"}
_SECONDS_PER_HOUR = 3600.0


class Summary:
    """The words of one run: `summary["time"]`, `summary["ops.y.time"]`. SI units; unknown words raise KeyError.

    `beside`: what takes part in the run beside its ops. `own`: how to work out words that a run as such does not have, or
    has in another way (money); those of them that are in `listed` belong to every word about the run.
    """

    def __init__(
        self,
        plan: Plan,
        run: Callable[[], Result],
        beside: Beside | None = None,
        own: Mapping[str, Callable[[Summary], Value]] | None = None,
        listed: Collection[str] = (),
    ) -> None:
        self.plan = plan
        self.beside: Beside = beside or Nothing()
        self._run = run
        self._own = own or {}
        self._listed = listed
        self._values: dict[str, Value] = {}

    @cached_property
    def result(self) -> Result:
        """The finished run."""
        return self._run()

    def __getitem__(self, word: str) -> Value:
        if word not in self._values:
            self._values[word] = self._compute(word)
        return self._values[word]

    def as_dict(self) -> dict[str, Value]:
        """Every word about the whole run."""
        return {word: self[word] for word in (*WORDS, *(word for word in self._listed if word not in WORDS))}

    def again(self, graph: OpGraph, system: System, options: RunOptions, beside: Beside | None = None) -> Result:
        """A run of something else, with the same taking part beside it (or `beside`): for questions what if. Raises as a
        run does."""
        simulation = Simulation(graph, system, options)
        (beside or self.beside).join(simulation)
        return simulation.run()

    def built_in(self, word: str) -> Value:
        """A word of WORDS as every run has it, whatever has been put in its place. Raises KeyError."""
        return _VALUES[word](self)

    def _compute(self, word: str) -> Value:
        if word.startswith("ops."):
            return self._of_op(word)
        if word in self._own:
            return self._own[word](self)
        if word in _CAUSE_WORD.values():
            return self._work_s[word]
        if word not in _VALUES:
            if word in RUN_WORDS:
                return None  # a run without an economics section has no such thing
            raise KeyError(unknown("word", word, [*RUN_WORDS, "ops.NAME.time"]))
        return _VALUES[word](self)

    def _of_op(self, word: str) -> Value:
        name, _, wanted = word[len("ops.") :].rpartition(".")
        if wanted not in OP_WORDS:
            raise KeyError(unknown("word about an op", wanted, OP_WORDS))
        figures = figures_of(name, self.result)
        if figures is None:
            names = {each for planned in self.plan.kernels for each in (*planned.kernel.ops, planned.kernel.name)}
            raise KeyError(unknown("op", name, names))
        return figures.word(wanted)

    @cached_property
    def _beside(self) -> BesideWork:
        return self.beside.work(self.plan)

    @cached_property
    def _work_s(self) -> Mapping[str, float]:
        """The t_ times that follow from work over capacity, on the busiest chip or link."""
        times = dict.fromkeys(_CAUSE_WORD.values(), 0.0)
        program, beside = self.plan.program, self._beside
        for resource, work in zip(program.resources, program.work_ps(), strict=True):
            word = _CAUSE_WORD[resource.cause]
            times[word] = max(times[word], work / PS_PER_S + beside.resource_s.get(resource.name, 0.0))
        times["t_host"] = max(times["t_host"], beside.host_s)
        return times

    @property
    def lower_bound_s(self) -> float:
        """The busiest resource's total work over its capacity."""
        return max(self._work_s.values())

    @property
    def bounds_s(self) -> tuple[float, float]:
        """(lower, upper): the busiest resource's total work over its capacity; nothing overlapping."""
        return self.lower_bound_s, self.result.upper_bound_s + self._beside.serial_s

    @cached_property
    def overhead_s(self) -> float:
        """Fixed times of the tasks of the busiest chip."""
        program = self.plan.program
        fixed: dict[int, int] = {}
        inner = inner_fixed_ps(program)
        for task, kernel in enumerate(program.kernel):
            if task in program.parts:
                for chip in program.chips_of(task):
                    fixed[chip] = fixed.get(chip, 0) + inner.get(kernel, 0)
        for task, shape in enumerate(program.shape):
            if program.shapes[shape].fixed_ps and not program.is_inner(task):
                for chip in program.chips_of(task):
                    fixed[chip] = fixed.get(chip, 0) + program.shapes[shape].fixed_ps
        return max(fixed.values(), default=0) / PS_PER_S

    @cached_property
    def waiting_s(self) -> float:
        """Time in which the chip that waits longest does nothing because of others."""
        if not may_wait(self.plan.program):
            return 0.0
        return max(waiting_ps(self.result).values(), default=0) / PS_PER_S

    @property
    def times_s(self) -> dict[str, float]:
        """All t_ times."""
        return {**self._work_s, "t_overhead": self.overhead_s, "t_waiting": self.waiting_s}

    def per_chip(self, amount: Callable[[Variant], float]) -> float:
        """The largest sum over a chip's kernels of an amount per kernel."""
        total: dict[int, float] = {}
        for planned in self.plan.kernels:
            for chip in planned.chips:
                total[chip] = total.get(chip, 0.0) + amount(self.plan.variant(planned, chip))
        return max(total.values(), default=0.0)

    @cached_property
    def sent_bytes(self) -> float:
        """What the chip that sends most puts on its links."""
        total: dict[int, float] = {}
        for planned in self.plan.kernels:
            for chip in planned.chips:
                total[chip] = total.get(chip, 0.0) + planned.traffic.sent_bytes
        return max(total.values(), default=0.0)

    @cached_property
    def exposed_s(self) -> tuple[float, float]:
        """(network, memory): running while no matrix or vector work runs, longest over chips."""
        computing: dict[int, list[tuple[int, int]]] = {}
        network: dict[int, list[tuple[int, int]]] = {}
        moving: dict[int, list[tuple[int, int]]] = {}
        result, program = self.result, self.plan.program
        for task, kernel in enumerate(program.kernel):
            planned = self.plan.kernels[kernel]
            words = {RESOURCE_WORDS[name] for name in planned.times_s}
            if planned.kernel.communication is not None:
                lane = network
            elif words & {"t_math", "t_vector"}:
                lane = computing
            elif words:
                lane = moving
            else:
                continue  # a fixed time moves nothing
            for chip in program.chips_of(task):
                lane.setdefault(chip, []).append((result.begin_ps[task], result.end_ps[task]))
        return _exposed(network, computing), _exposed(moving, computing)

    @cached_property
    def memory_peaks(self) -> Mapping[int, float]:
        """Most HBM alive on each simulated chip that holds anything."""
        return memory_peaks(self.result)

    @property
    def peak_memory_bytes(self) -> float:
        """Most HBM alive on one chip."""
        return max(self.memory_peaks.values(), default=0.0)


def _exposed(lane: Mapping[int, list[tuple[int, int]]], computing: Mapping[int, list[tuple[int, int]]]) -> float:
    times = (length(difference(union(spans), union(computing.get(chip, [])))) for chip, spans in lane.items())
    return max(times, default=0) / PS_PER_S


def _intensity(summary: Summary) -> Value:
    flops, nbytes = summary["flops"], summary["hbm_bytes"]
    return float(flops) / float(nbytes) if flops is not None and nbytes else None


def _per_time(amount: float, time_s: float) -> float:
    return amount / time_s if time_s > 0 else 0.0


def _fits(summary: Summary) -> bool:
    system, held = summary.plan.system, on_chip_bytes(summary.plan)
    beside = min(chip.on_chip.capacity_bytes if chip.on_chip else 0.0 for chip in system.kinds)
    peaks = summary.memory_peaks.items()
    return held <= beside and all(peak <= system.chip_at(chip).hbm.capacity_bytes for chip, peak in peaks)


def _over_chips(summary: Summary, rate: Callable[[Chip], float | None]) -> float | None:
    """A rate per hour times the hours of all chips; None if one of them has none."""
    system = summary.plan.system
    counts = [sum(1 for kind in system.kind_of if kind == at) for at in range(len(system.kinds))]
    rates = [rate(chip) for chip in system.kinds]
    hours = summary.result.time_s / _SECONDS_PER_HOUR
    return (
        None if None in rates else sum((each or 0.0) * count for each, count in zip(rates, counts, strict=True)) * hours
    )


def _cost(summary: Summary) -> Value:
    return _over_chips(summary, lambda chip: chip.price_usd_per_h)


def _energy(summary: Summary) -> Value:
    joules_per_hour = _over_chips(summary, lambda chip: chip.power_watts)
    return None if joules_per_hour is None else joules_per_hour * _SECONDS_PER_HOUR


_VALUES: Mapping[str, Callable[[Summary], Value]] = {
    "time": lambda s: s.result.time_s,
    "lower_bound": lambda s: s.lower_bound_s,
    "upper_bound": lambda s: s.bounds_s[1],
    "dependency_bound": lambda s: s.result.dependency_bound_s,
    "eta": lambda s: eta(s.result.time_s, *s.bounds_s),
    "bound_by": lambda s: largest_cause(s.times_s),
    "t_overhead": lambda s: s.overhead_s,
    "t_waiting": lambda s: s.waiting_s,
    "flops": lambda s: s.per_chip(lambda variant: variant.kernel.flops),
    "hbm_bytes": lambda s: s.per_chip(lambda variant: variant.hbm_bytes),
    "network_bytes": lambda s: s.sent_bytes,
    "intensity": _intensity,
    "flops_per_s": lambda s: _per_time(s.per_chip(lambda variant: variant.kernel.flops), s.result.time_s),
    "mfu": lambda s: mfu(s.plan, s.result.time_s),
    "hfu": lambda s: hfu(s.plan, s.result.time_s),
    "exposed_network": lambda s: s.exposed_s[0],
    "exposed_memory": lambda s: s.exposed_s[1],
    "peak_memory": lambda s: s.peak_memory_bytes,
    "fits": _fits,
    "tokens_per_s": lambda _s: None,
    "cost": _cost,
    "cost_per_million_tokens": lambda _s: None,
    "energy": _energy,
}

assert set(_VALUES) | set(_CAUSE_WORD.values()) == set(WORDS)
assert set(CAUSES.values()) <= set(WORDS)
