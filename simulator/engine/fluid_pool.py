"""Flows on shared resources inside a SimPy environment.

Model: a running task is one fluid variable; its rate is at most its cap, and on every resource the rates are max-min
fair (`simulator.engine.fairness`). Loads are kept as the sum of the caps' uses: while that sum fits, every flow runs at
its cap and nothing is solved (the test is exact). Only resources that overflow are `tight`; they tie flows into
components, and a component is solved again when one of its flows comes or goes. Solutions are remembered by the
multiset of shapes. A flow that is slowed keeps its event in SimPy's heap and re-arms when it fires; only a speed-up
pushes a new one. Instants have two phases: first everything that ends or begins at this time, then one `settle`.
Time is integer picoseconds: a deadline is rounded once, when it is set, and is at least 1 ps away. What is due at half a
picosecond is due at the next: sizes are round, so halves are common, and the last digit of a rate, which depends on the
order in which loads are added up, would decide whom a queue takes first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from heapq import heappush
from operator import attrgetter
from typing import Any

from simpy.events import NORMAL, Event, EventPriority

from hw.rows import largest, smallest
from simulator.engine.clock import Clock
from simulator.engine.fairness import FlowShape, fair_rates
from simulator.engine.program import ADDED

_AFTER_ALL = EventPriority(2)
"""SimPy priority of the settling phase: after every event of an instant."""

_LIMIT = 1.0 + ADDED
_NEVER = 1 << 200
_NUDGE = 0.0123
"""Picoseconds by which a deadline is late before it is rounded: far above float noise, and no simple fraction is so near a
half."""
_NOTHING: Any = ()
"""The callbacks of an event that no longer counts."""
_REMEMBERED = 100_000


class Use:
    """A shape as the pool sees it: only resources that can bind, and the load at full speed."""

    __slots__ = ("alone_ps", "alone_rate", "cap", "load", "number", "per_level", "resources", "ties", "top", "weight")

    def __init__(self, number: int, alone_ps: float, demands: tuple[tuple[int, float], ...], weight: float) -> None:
        self.number = number
        self.alone_ps = max(1, round(alone_ps + _NUDGE)) if alone_ps > 0 else 0
        self.cap = 1.0 / alone_ps if alone_ps > 0 else 0.0
        self.weight = weight
        # a demand that stands for several alike tasks can be more than the resource gives in the time of one
        self.alone_rate = smallest([self.cap, *(1.0 / time for _, time in demands if time > 0.0)])
        self.top = self.cap * weight
        self.per_level = tuple((resource, time / weight) for resource, time in demands)
        # the resources that this flow ties together; one alone ties nothing
        self.resources = tuple(resource for resource, _ in demands)
        self.ties = self.resources if len(demands) > 1 else ()
        self.load = tuple((resource, time * self.cap) for resource, time in demands)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a flow has come: the share of its work that was left `since` an instant, its rate, and when it will end."""

    left: float
    rate: float
    since: int
    ends: int


class Flow(Event):
    """One running task. It is its own SimPy event: it fires when the task ends."""

    __slots__ = ("armed", "done", "ends", "key", "left", "number", "rate", "since", "use", "wake")

    _ok = True
    _value = None
    armed: int  # when its pending event fires
    ends: int  # when its work ends at the present rate
    left: float  # share of the work still to do at `since`
    rate: float
    since: int

    def __init__(self, callbacks: Any, key: int, use: Use, done: Callable[[int], object], left: float = 1.0) -> None:
        # not Event.__init__: the event is scheduled by the pool, and this constructor is the hot path
        self.callbacks = callbacks
        self.key = key
        self.number = use.number
        self.use = use
        self.done = done
        self.left = left
        self.wake: Any = None

    def left_at(self, now: int) -> float:
        """The share of the work that is still to do."""
        return self.left - self.rate * (now - self.since)

    def later(self, ps: int) -> Progress:
        """How far it has come, by a clock that is so many ps ahead."""
        return Progress(self.left, self.rate, self.since + ps, self.ends + ps)


class _Wake(Event):
    """A later event of a flow that was sped up; the flow knows which of its events counts."""

    __slots__ = ("flow",)

    _ok = True
    _value = None

    def __init__(self, callbacks: Any, flow: Any) -> None:
        self.callbacks = callbacks
        self.flow = flow


class Pool:
    """The resources of one environment and the flows on them."""

    def __init__(self, env: Clock, resources: int) -> None:
        self.env = env
        self.flows: list[dict[int, Flow]] = [{} for _ in range(resources)]
        self.load = [0.0] * resources
        self.tight: set[int] = set()
        self.solved = 0
        self._dirty: dict[int, None] = {}
        self.arrivals: list[Flow] = []
        self._settling = False
        self._memory: dict[tuple[int, ...], list[float]] = {}
        self._on_flow: Any = (self._due,)
        self._on_wake: Any = (self._wake_due,)
        self._on_settle: Any = (self._settle_fired,)
        self.before_settle: Callable[[], None] | None = None
        self.before_admit: Callable[[], object] | None = None

    def start(self, key: int, use: Use, done: Callable[[int], object], left: float = 1.0) -> Flow:
        """Begin a flow in this instant, or what is `left` of one; `done(key)` is called at the end of its work. `touch()`
        must follow."""
        flow = Flow(self._on_flow, key, use, done, left)
        self.arrivals.append(flow)
        return flow

    def leave(self, flow: Flow) -> float:
        """Take a flow away in this instant: the share of its work that is left. `touch()` must follow."""
        left = flow.left_at(self.env.now)
        flow.ends = _NEVER
        flow.callbacks = _NOTHING
        if flow.wake is not None:
            flow.wake.callbacks = _NOTHING
        self._unload(flow)
        return left

    def touch(self) -> None:
        """Settle this instant: at once if nothing else happens in it, else after everything that does."""
        if self._settling or not (self.arrivals or self._dirty or self.before_settle):
            return
        due = self.env.due
        if not due or due[0][0] > self.env.now:
            self._settle()
        else:
            self._settling = True
            self.env.schedule(_Wake(self._on_settle, None), _AFTER_ALL)

    def _settle_fired(self, _event: Event) -> None:
        self._settling = False
        self._settle()

    def _wake_due(self, wake: _Wake) -> None:
        self._due(wake.flow)

    def _due(self, flow: Flow) -> None:
        """The flow's deadline has come, or one that was set before it was slowed."""
        now = self.env.now
        if flow.ends > now:  # it was slowed after this event was set: the event moves to the new deadline
            event = flow.wake
            event.callbacks = self._on_flow if event is flow else self._on_wake
            flow.armed = flow.ends
            self.env.after(flow.ends - now, event)
            return
        self._unload(flow)
        flow.wake = None  # what knows itself stays until somebody looks for circles
        flow.done(flow.key)
        if not self._settling:
            self.touch()

    def _unload(self, flow: Flow) -> None:
        load, flows, tight, key = self.load, self.flows, self.tight, flow.key
        for resource, amount in flow.use.load:
            here = flows[resource]
            del here[key]
            load[resource] = load[resource] - amount if here else 0.0
            if resource in tight:
                self._dirty[resource] = None

    def _arm(self, flow: Flow, now: int) -> None:
        """Push an event for the flow's deadline; an event pushed before no longer counts."""
        event: Any = flow
        if flow.wake is not None:
            flow.wake.callbacks = _NOTHING
            event = _Wake(self._on_wake, flow)
        flow.wake = event
        flow.armed = flow.ends
        self.env.after(flow.ends - now, event)

    def _settle(self) -> None:
        if self.before_settle:
            self.before_settle()
        now = self.env.now
        crowded = self._admit(now) if self.arrivals else ()
        if not self._dirty:
            return
        seeds, self._dirty = self._dirty, {}
        seen: set[int] = set()
        for seed in seeds:
            if seed not in seen:
                self._solve(self._component(seed, seen), now)
        for flow in crowded:
            if flow.ends == _NEVER:  # what it overflowed was found to have room after all
                self._set_rate(flow, flow.use.cap, now)

    def resume(self, key: int, use: Use, done: Callable[[int], object], come: Progress) -> Flow:
        """A flow that is under way already, and has come so far."""
        flow = Flow(self._on_flow, key, use, done, come.left)
        for resource, amount in use.load:
            self.load[resource] += amount
            self.flows[resource][key] = flow
        flow.rate, flow.since, flow.wake = come.rate, come.since, flow
        flow.ends = flow.armed = come.ends
        self.env.after(flow.ends - self.env.now, flow)
        return flow

    def crowd(self, tight: Collection[int], freed: Iterable[int]) -> None:
        """Flows that were resumed fill resources; of some of these another flow went in this instant."""
        self.tight.update(tight)
        self._dirty.update(dict.fromkeys(freed))

    def _admit(self, now: int) -> list[Flow]:
        """Load the flows that begin now; those that fit run at their cap, the others are returned, not yet armed."""
        if self.before_admit is not None:
            self.before_admit()
        arrivals, self.arrivals = self.arrivals, []
        load, tight, flows, env = self.load, self.tight, self.flows, self.env
        for flow in arrivals:
            for resource, amount in flow.use.load:
                load[resource] = total = load[resource] + amount
                flows[resource][flow.key] = flow
                if total > _LIMIT:
                    tight.add(resource)
                    self._dirty[resource] = None
        crowded = []
        for flow in arrivals:  # only now is it known who meets whom: arming earlier would set deadlines in vain
            flow.rate, flow.since = flow.use.cap, now
            if tight and not tight.isdisjoint(flow.use.resources):
                flow.ends = flow.armed = _NEVER
                crowded.append(flow)
            else:
                flow.wake = flow
                whole = flow.left == 1.0
                lasts = flow.use.alone_ps if whole else largest([1, round(flow.left / flow.use.cap + _NUDGE)])
                flow.ends = flow.armed = ends = now + lasts
                heappush(env.due, (ends, NORMAL, next(env.numbers), flow))  # env.after(lasts, flow)
        return crowded

    def _component(self, seed: int, seen: set[int]) -> list[Flow]:
        """The flows that hang together with `seed` over tight resources; refreshes which resources are tight."""
        seen.add(seed)
        tight = self.tight
        resources = [seed]
        flows: dict[int, Flow] = {}
        for resource in resources:
            for key, flow in self.flows[resource].items():
                if key in flows:  # what it ties was found with the resource that led to it
                    continue
                flows[key] = flow
                for other in flow.use.ties:
                    if other in tight and other not in seen:
                        seen.add(other)
                        resources.append(other)
        for resource in resources:
            if self.load[resource] <= _LIMIT:
                tight.discard(resource)
        return list(flows.values())

    def _solve(self, flows: list[Flow], now: int) -> None:
        if not flows:
            return
        self.solved += 1
        if len(flows) == 1:
            self._set_rate(flows[0], flows[0].use.alone_rate, now)
            return
        flows.sort(key=_number)
        key = tuple([flow.number for flow in flows])
        rates = self._memory.get(key)
        if rates is None:
            rates = self._rates(flows, len(set(key)) == len(key))
            if len(self._memory) >= _REMEMBERED:
                self._memory.clear()
            self._memory[key] = rates
        for flow, rate in zip(flows, rates, strict=True):
            if rate != flow.rate or flow.ends == _NEVER:
                self._set_rate(flow, rate, now)

    def _rates(self, flows: list[Flow], distinct: bool) -> list[float]:
        """The fair rate of each flow, sorted by shape: one variable a shape."""
        if distinct:
            return fair_rates([flow.use for flow in flows], [1] * len(flows), self.tight)
        shapes: list[FlowShape] = []
        counts: list[int] = []
        last: Use | None = None
        for flow in flows:
            if flow.use is not last:
                last = flow.use
                shapes.append(last)
                counts.append(0)
            counts[-1] += 1
        fair = fair_rates(shapes, counts, self.tight)
        return [rate for rate, count in zip(fair, counts, strict=True) for _ in range(count)]

    def _set_rate(self, flow: Flow, rate: float, now: int) -> None:
        left = flow.left
        if flow.since != now:
            flow.left = left = left - flow.rate * (now - flow.since)
            flow.since = now
        flow.rate = rate
        flow.ends = ends = now + (round(left / rate + _NUDGE) or 1) if left > 0.0 else now + 1
        if ends < flow.armed:
            self._arm(flow, now)


_number = attrgetter("number")
