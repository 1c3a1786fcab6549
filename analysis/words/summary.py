"""A run in the words of the vocabulary, each computed when it is asked for.

A search over many runs often needs one word that follows from the work alone (`t_math >= t_network`); then nothing is
simulated. `Summary` takes the plan and a way to run it, and runs at most once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property

from analysis.words import per_chip
from analysis.words.causes import HOST, OF_RESOURCES, OVERHEAD, WAITING
from analysis.words.columns.rounds import figures_of
from analysis.words.memory import memory_peaks, near_bytes
from analysis.words.mfu import hfu, mfu
from analysis.words.ops import largest_cause
from analysis.words.per_chip import OnChips
from analysis.words.processes import Beside, BesideWork, Nothing
from analysis.words.waiting import may_wait, waiting_ps
from analysis.words.words import OP_WORDS, RUN_WORDS, WORDS
from hw import Chip, System
from hw.input import unknown
from hw.rows import largest
from simulator import PS_PER_S, OpGraph, Plan, Result, RunOptions, Simulation, eta

Value = float | str | bool | None
"""What a word can be: SI units for numbers, None where it does not apply."""

_WORK_WORDS = tuple(cause.word for cause in OF_RESOURCES.values())
"""The t_ words that follow from work over capacity."""

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
        self._on_chips: dict[str, OnChips] = {}

    def __repr__(self) -> str:
        told = "not run yet"
        if "result" in self.__dict__:
            told = ", ".join(f"{word} {WORDS[word].text(self[word])}" for word in ("time", "bound_by", "eta"))
        return f"Summary({self.plan.system.name}: {told})"

    @cached_property
    def result(self) -> Result:
        """The finished run."""
        return self._run()

    def __getitem__(self, word: str) -> Value:
        if word not in self._values:
            self._values[word] = self._compute(word)
        return self._values[word]

    def __iter__(self) -> Iterator[str]:
        """Every word about the whole run; none is worked out."""
        yield from WORDS
        yield from (word for word in self._listed if word not in WORDS)

    def as_dict(self) -> dict[str, Value]:
        """Every word about the whole run."""
        return {word: self[word] for word in self}

    def again(self, graph: OpGraph, system: System, options: RunOptions, beside: Beside | None = None) -> Result:
        """A run of something else, with the same taking part beside it (or `beside`): for questions what if. Raises as a
        run does. What differs in rates and fixed times only costs less."""
        simulation = Simulation(graph, system, options, like=self.plan)
        (beside or self.beside).join(simulation)
        return simulation.run()

    def built_in(self, word: str) -> Value:
        """A word of WORDS as every run has it, whatever has been put in its place. Raises KeyError."""
        return _VALUES[word](self) if word in _VALUES else self.most(word)

    def _compute(self, word: str) -> Value:
        if word.startswith("ops."):
            return self._of_op(word)
        if word in self._own:
            return self._own[word](self)
        if word in _WORK_WORDS:
            return self._work_s[word]
        if word in PER_CHIP and word not in _VALUES:
            return self.most(word)
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
        times = {word: time for word, (time, _) in self._busiest.items()}
        times[HOST.word] = largest([times[HOST.word], self._beside.host_s])
        return times

    @cached_property
    def _busiest(self) -> Mapping[str, tuple[float, int]]:
        """By t_ word, the time of its busiest resource, and the chip of that (-1: of no chip)."""
        found = dict.fromkeys(_WORK_WORDS, (0.0, -1))
        program, beside = self.plan.program, self._beside
        for resource, work in zip(program.resources, program.work_ps(), strict=True):
            word = OF_RESOURCES[resource.cause].word
            time = work / PS_PER_S + beside.resource_s.get(resource.name, 0.0)
            if time > found[word][0]:
                found[word] = time, resource.chip
        return found

    @property
    def _work_chip(self) -> Mapping[str, int]:
        """The chips of the busiest resources."""
        at_work = {word: chip for word, (time, chip) in self._busiest.items() if chip >= 0}
        if self._beside.host_s >= self._work_s[HOST.word]:
            at_work.pop(HOST.word, None)
        return at_work

    @property
    def lower_bound_s(self) -> float:
        """The busiest resource's total work over its capacity."""
        most: float = largest(self._work_s.values())
        return most

    @property
    def bounds_s(self) -> tuple[float, float]:
        """(lower, upper): the busiest resource's total work over its capacity; nothing overlapping."""
        return self.lower_bound_s, self.result.upper_bound_s + self._beside.serial_s

    @cached_property
    def waiting_s(self) -> OnChips:
        """How long each chip does nothing because of others."""
        if not may_wait(self.plan.program):
            return {}
        return {chip: time / PS_PER_S for chip, time in waiting_ps(self.result).items()}

    @property
    def times_s(self) -> dict[str, float]:
        """All t_ times."""
        return {**self._work_s, **{word: self.most(word) for word in (OVERHEAD.word, WAITING.word)}}

    @cached_property
    def exposed_s(self) -> tuple[OnChips, OnChips]:
        """(network, memory) of each chip: running while no matrix or vector work runs."""
        return per_chip.exposed_s(self.result)

    def on_chips(self, word: str) -> OnChips:
        """A word of `PER_CHIP` of every simulated chip that has one."""
        if word not in self._on_chips:
            self._on_chips[word] = PER_CHIP[word](self)
        return self._on_chips[word]

    def most(self, word: str) -> float:
        """A word of `PER_CHIP` of the chip with the most of it; 0 where no chip has any."""
        most: float = largest(self.on_chips(word).values(), default=0.0)
        return most

    def chip_of(self, word: str) -> int | None:
        """The chip that a word speaks of: the first with the most of it. None of words about the system or its links."""
        if word in PER_CHIP:
            on_chips = self.on_chips(word)
            return max(sorted(on_chips), key=lambda chip: on_chips[chip], default=None)
        return self._work_chip.get(word)

    @cached_property
    def memory_peaks(self) -> Mapping[int, float]:
        """Most HBM alive on each simulated chip that holds anything."""
        return memory_peaks(self.result)


def _intensity(summary: Summary) -> Value:
    return summary.most("intensity") if summary.on_chips("intensity") else None


def _per_time(amount: float, time_s: float) -> float:
    return amount / time_s if time_s > 0 else 0.0


def _fits(summary: Summary) -> bool:
    system = summary.plan.system
    held = near_bytes(summary.plan)
    near = all(
        nbytes <= min(chip.memories[name].capacity_bytes if name in chip.memories else 0.0 for chip in system.kinds)
        for name, nbytes in held.items()
    )
    peaks = summary.memory_peaks.items()
    return near and all(peak <= system.chip_at(chip).hbm.capacity_bytes for chip, peak in peaks)


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


def priced_by(system: System, tier: str = "on_demand") -> str | None:
    """How the chips of a system are rented and who asks their prices, each once; None where one has no price."""
    told = [chip.prices.told(tier) for chip in system.kinds]
    return None if None in told else "; ".join(dict.fromkeys(each for each in told if each))


def _energy(summary: Summary) -> Value:
    joules_per_hour = _over_chips(summary, lambda chip: chip.power_watts)
    return None if joules_per_hour is None else joules_per_hour * _SECONDS_PER_HOUR


PER_CHIP: Mapping[str, Callable[[Summary], OnChips]] = {
    OVERHEAD.word: lambda s: per_chip.overhead_s(s.plan, lambda: s.result),
    WAITING.word: lambda s: s.waiting_s,
    "flops": lambda s: per_chip.flops(s.plan),
    "hbm_bytes": lambda s: per_chip.hbm_bytes(s.plan),
    "network_bytes": lambda s: per_chip.network_bytes(s.plan),
    "intensity": lambda s: per_chip.intensity(s.plan),
    "flops_per_s": lambda s: {c: _per_time(n, s.result.time_s) for c, n in s.on_chips("flops").items()},
    "exposed_network": lambda s: s.exposed_s[0],
    "exposed_memory": lambda s: s.exposed_s[1],
    "peak_memory": lambda s: s.memory_peaks,
}
"""Words that each chip has; that of the run is the most of them."""

_VALUES: Mapping[str, Callable[[Summary], Value]] = {
    "time": lambda s: s.result.time_s,
    "lower_bound": lambda s: s.lower_bound_s,
    "upper_bound": lambda s: s.bounds_s[1],
    "dependency_bound": lambda s: s.result.dependency_bound_s,
    "eta": lambda s: eta(s.result.time_s, *s.bounds_s),
    "bound_by": lambda s: largest_cause(s.times_s),
    "intensity": _intensity,
    "mfu": lambda s: mfu(s.plan, s.result.time_s),
    "hfu": lambda s: hfu(s.plan, s.result.time_s),
    "fits": _fits,
    "tokens_per_s": lambda _s: None,
    "cost": _cost,
    "priced_by": lambda s: priced_by(s.plan.system),
    "cost_per_million_tokens": lambda _s: None,
    "energy": _energy,
}

assert set(_VALUES) | set(PER_CHIP) | set(_WORK_WORDS) == set(WORDS)
