"""Who holds which of a chip's units (cores), where tasks of several queues ask for them.

Model: units are given in whole, to those that came first, until they are done: a kernel that fills a chip keeps it, and the
next one starts on what the last wave of the first leaves free. Of those that come in one instant the one of fewest units is
first, then the shortest. Nobody is ever made to give units back, so what is there only grows for who waits for more: it
makes its remaining blocks on more units, the new ones at once, the others as they become free.
What a task has not got units for stands still; that whose units are all there goes as fast as alone, or as fast as the
resources let it that it shares with others (`simulator.engine.fluid_pool`).
Law: the first of those that are there has all that it asks for, so while anything runs, serial work is done at a rate of at
least 1. At any instant no more units are held than there are.
Source: blocks of GPU kernels are placed in the order in which kernels come (Olmedo et al. 2020, Dissecting the CUDA
scheduling hierarchy); own measurements of matmuls beside copies on an H100, 2026-11-28.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from copy import copy

from hw.rows import Memo, largest, smallest
from simulator.engine.causes import UNITS
from simulator.engine.fluid_pool import Flow, Pool, Use
from simulator.engine.held import TICK, Held, ceiling
from simulator.engine.program import Program
from simulator.engine.shape import Shape


class Holder:
    """A task that holds units, or waits for them, and how far it is.

    Its flow had to do the part `left` of its work when it began, at a rate at which all of it takes `rate_ps`. One that
    makes blocks had `waves` to go then, on so many units (`on`), with blocks `waiting` for one of these to be free; `wave`
    is the part of its work that a wave is, and `after` that of its last wave, as long as that has a flow of its own to
    come, on `tail` units. In the last wave (`last`) nothing can be given to it.
    """

    __slots__ = (
        "after",
        "at",
        "chips",
        "flow",
        "has",
        "held",
        "last",
        "left",
        "on",
        "rate_ps",
        "tail",
        "task",
        "waiting",
        "wave",
        "waves",
    )

    def __init__(self, task: int, at: int, held: Held, chips: tuple[int, ...]) -> None:
        self.task, self.at, self.held, self.chips = task, at, held, chips
        self.has: dict[int, float] = dict.fromkeys(chips, 0)
        self.flow: Flow | None = None
        self.left, self.rate_ps = 1.0, 0.0
        self.on = self.waiting = self.waves = self.wave = self.after = self.tail = 0.0
        self.last = False

    def plan(self, units: float, now: int) -> tuple[float, float, float]:
        """On more units: waves to go, blocks that wait for another one to be done, and the units that it needs in the last
        of these waves."""
        if self.flow is None:
            waves, waiting = ceiling(self.held.blocks / units), self.held.blocks - units
            return waves, waiting, waiting - units * (waves - 2.0)
        togo = (self.flow.left_at(now) + self.after) / self.wave
        waiting = self.waiting - self.on * (ceiling(self.waves, TICK) - ceiling(togo, TICK))
        if waiting <= 0.0:
            return togo, 0.0, self.tail
        # the new units begin at once, the others when the blocks are done that they are at: in `soon` waves
        more, soon = units - self.on, togo - ceiling(togo, TICK) + 1.0
        rounds = ceiling(waiting / units)
        left = waiting - rounds * more - (rounds - 1.0) * self.on
        waiting = largest([0.0, waiting - more])
        if left <= 0.0:
            return rounds, waiting, self.on + left + more
        return rounds + soon, waiting, left + more


class Cores:
    """The units of all chips of a run. `full`: the resources that can be full; `enter(task)` is called when a task has its
    first units, or all that it waits for (then whoever gives it its work has to call `ended` when that is done);
    `finish(task)` when a task ends."""

    def __init__(
        self,
        program: Program,
        full: Collection[int],
        enter: Callable[[int], object],
        finish: Callable[[int], object],
    ) -> None:
        self._program, self._enter, self._finish = program, enter, finish
        self._full = frozenset(full)
        self._units = {at for at, resource in enumerate(program.resources) if resource.cause in UNITS}
        self._here: dict[int, dict[int, Holder]] = {chip: {} for chip in program.cores}
        self._came: list[Holder] = []
        self._of: dict[int, Holder] = {}
        self._changed: dict[int, None] = {}
        self._moved: dict[int, Holder] = {}
        self._uses: Memo[tuple[int, float, float], Use] = Memo()

    def start(self, task: int) -> None:
        """A task comes to work in this instant. The pool's `touch()` must follow."""
        at = self._program.shape[task]
        held = self._program.shapes[at].held
        assert held is not None, "only tasks that hold units come here"
        self._came.append(Holder(task, at, held, tuple(dict.fromkeys(self._program.chips_of(task)))))

    def is_busy(self, chip: int) -> bool:
        """Whether somebody holds units of a chip, or waits for some."""
        return bool(self._here.get(chip))

    def coming(self) -> Iterator[int]:
        """The chips to which tasks come in this instant."""
        return (chip for holder in self._came for chip in holder.chips)

    def holders(self, tasks: Collection[int]) -> list[Holder]:
        """Those of some tasks that have come, in that order."""
        return [self._of[task] for task in self._of if task in tasks]

    def adopt(self, other: Holder, flow: Flow | None, pool: Pool, later: int) -> None:
        """A task that has come elsewhere goes on here with its flow, so many ps later by the clock; without one that ends
        now."""
        holder = self._of[other.task] = copy(other)
        holder.has, holder.flow = dict(other.has), None
        for chip in holder.chips:
            self._here[chip][holder.task] = holder
        if flow is None or flow.ends + later <= pool.env.now:
            return
        use = flow.use
        if not holder.held.whole:  # the shapes of its uses are numbered as they come
            use = self._use(holder, smallest(holder.has.values()) / holder.held.of if holder.held.blocks else 0.0)
        holder.flow = pool.resume(holder.task, use, self.ended, flow.later(later))

    def offer(self, chips: Iterable[int]) -> None:
        """Units of chips have become free in this instant. The pool's `touch()` must follow."""
        self._changed.update(dict.fromkeys(chips))

    def settle(self, pool: Pool) -> None:
        """Give out the units that are free, and let flows begin; when all else of an instant has happened."""
        self._came.sort(key=self._turn)
        for holder in self._came:
            self._of[holder.task] = holder
            for chip in holder.chips:
                self._here[chip][holder.task] = holder
                self._changed[chip] = None
        self._came.clear()
        changed, self._changed = self._changed, {}
        for chip in changed:
            self._give(chip)
        moved, self._moved = self._moved, {}
        for task in sorted(moved):
            self._go(moved[task], pool)

    def _turn(self, holder: Holder) -> tuple[float, float, float, tuple[float, ...], int]:
        """Who of those that come at once is first, whatever they are called and wherever they are written."""
        held, shape = holder.held, self._shape(holder)
        others = (held.own, held.enough, *(time for _, time in shape.demands))
        return held.units, shape.alone_ps, held.blocks, others, holder.task

    def _give(self, chip: int) -> None:
        """Offer the units of a chip to those that are there, in the order in which they came."""
        free: float = self._program.cores[chip]
        for holder in self._here[chip].values():
            has = holder.has[chip]
            if not holder.last:
                most = smallest([holder.held.units, free])
                if most > has:
                    holder.has[chip] = has = most
                    self._moved[holder.task] = holder
            free -= has

    def _go(self, holder: Holder, pool: Pool) -> None:
        """Begin the flow of a task whose units are others than before."""
        held, now = holder.held, pool.env.now
        units = smallest(holder.has.values())
        if held.whole:
            if units >= held.units:
                self._enter(holder.task)
            return
        if holder.left == 1.0 and holder.flow is None:
            self._enter(holder.task)
        if held.blocks and not holder.last:
            plan = holder.plan(units, now)
            if holder.flow is not None:
                if plan[0] >= (holder.flow.left_at(now) + holder.after) / holder.wave:
                    return  # it has them, but ends no sooner for that
                holder.left = pool.leave(holder.flow) + holder.after
            self._go_in_waves(holder, units, *plan)
        elif not held.blocks:
            if holder.flow is not None:
                holder.left = pool.leave(holder.flow)
            holder.rate_ps = self._shape(holder).alone_ps * held.slowed(units)
        use = self._use(holder, units / held.of if held.blocks else 0.0)
        holder.flow = pool.start(holder.task, use, self.ended, holder.left)

    def _go_in_waves(self, holder: Holder, units: float, waves: float, waiting: float, tail: float) -> None:
        """What is left, in so many waves: first all but the last."""
        rest = holder.left
        holder.rate_ps = waves * self._shape(holder).alone_ps / holder.held.waves / rest
        holder.waves, holder.waiting, holder.on, holder.tail = waves, waiting, units, tail
        holder.wave, holder.last = rest / waves, waves <= 1.0
        holder.after = 0.0 if holder.last else holder.wave
        holder.left = rest - holder.after

    def ended(self, task: int) -> None:
        """The flow of a task has ended: its last wave is to come, or it is done. The pool's `touch()` must follow."""
        holder = self._of[task]
        self._changed.update(dict.fromkeys(holder.chips))
        if holder.after:
            (chip,) = holder.chips
            holder.has[chip] = holder.tail
            holder.left, holder.after, holder.last = holder.after, 0.0, True
            holder.flow, self._moved[task] = None, holder
            return
        del self._of[task]
        for chip in holder.chips:
            del self._here[chip][task]
        self._finish(task)

    def _use(self, holder: Holder, part: float) -> Use:
        """What a task asks of resources at its present rate; `part`: of the chip's units, and what belongs to them, that its
        blocks keep busy."""
        key = (holder.at, holder.rate_ps, part)
        found = self._uses.get(key)
        if found is None:
            shape, busy_ps = self._shape(holder), holder.held.filled * self._shape(holder).alone_ps
            demands = []
            for resource, time in shape.demands:
                if part and resource in self._units:
                    time = smallest([1.0, time / busy_ps]) * part * holder.rate_ps
                if resource in self._full:
                    demands.append((resource, time))
            weight = shape.weight * holder.rate_ps / shape.alone_ps
            number = -1 - len(self._uses)  # apart from those of plain shapes
            found = self._uses.put(key, Use(number, holder.rate_ps, tuple(demands), weight))
        return found

    def _shape(self, holder: Holder) -> Shape:
        return self._program.shapes[holder.at]
