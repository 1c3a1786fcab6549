"""An exact, slow simulator of tasks that share resources: what the fast engine is compared with.
Model: a task waits for all its queues at once, holds them for `fixed` seconds, then is one fluid variable: it
progresses from 0 to 1 at a rate p <= 1/T. Alone it takes T, as a pipeline of k tiles over its resources:
T = max(t_r) + (sum(t_r) - max(t_r)) / k, with t_r = amount_r / capacity_r. On each resource, the sum of
p * amount stays within the capacity. Of all such rates the weighted max-min fair ones hold: the sorted
x = p * weight are lexicographically largest. So equal weights mean equal progress, and weights equal to the
bytes on a link mean equal bytes per second there.
Assumes: constant capacities; no task is preempted or cancelled; rates are solved anew whenever a task begins
or ends its work; at one instant all that is due ends, then all that can starts, until nothing more starts.
Law: conservation (the integral of a resource's rate is the work asked of it, never above capacity) and work
conservation (a task at work runs at 1/T, or a resource it uses is full). Times are fractions: ties are exact.
Source: progressive filling, Bertsekas and Gallager, "Data Networks", 2nd edition, section 6.5.2."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, NamedTuple

Order = Literal["program", "ready"]


@dataclass(frozen=True, kw_only=True)
class OracleTask:
    """One op, chunk or collective. Its index in the list given to `simulate` is its program order."""

    queues: tuple[int, ...]  # occupied from begin to end; a collective has one per member chip
    deps: tuple[int, ...] = ()  # indices of the tasks that must end first
    fixed: Fraction = Fraction(0)  # seconds between begin and work; queues are held, resources are not
    amounts: Mapping[int, Fraction]  # resource index -> bytes or FLOP; zero means: not used
    tiles: int | None = None  # k; None means infinity
    weight: Fraction = Fraction(1)  # fair shares equalise progress rate * weight
    priority: int = 0  # higher first, only under order="ready"


class Piece(NamedTuple):
    """A constant rate during [start, stop)."""

    start: Fraction
    stop: Fraction
    rate: Fraction


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Times by task (None: never, a deadlock) and rates, cut at every event; between pieces they are 0."""

    begin: list[Fraction | None]
    end: list[Fraction | None]
    usage: list[list[Piece]]  # by resource, in amount per second
    progress: list[list[Piece]]  # by task, in 1 per second


@dataclass(kw_only=True)
class _State:
    tasks: Sequence[OracleTask]
    capacities: Sequence[Fraction]
    order: Order
    out: Schedule
    now: Fraction = Fraction(0)
    work_at: dict[int, Fraction] = field(default_factory=dict)  # in its fixed time -> its end
    left: dict[int, Fraction] = field(default_factory=dict)  # at work -> 1 - progress
    rivals: dict[int, list[int]] = field(default_factory=dict)  # task -> the others that share a queue with it


def simulate(tasks: Sequence[OracleTask], capacities: Sequence[Fraction], order: Order = "program") -> Schedule:
    """Run all tasks from time 0. Tasks that can never start keep None."""
    _check(tasks, capacities, order)
    out = Schedule(
        begin=[None for _ in tasks],
        end=[None for _ in tasks],
        usage=[[] for _ in capacities],
        progress=[[] for _ in tasks],
    )
    state = _State(tasks=tasks, capacities=capacities, order=order, out=out)
    while True:
        _settle(state)
        if not state.work_at and not state.left:
            return out
        _advance(state)


def time_alone(task: OracleTask, capacities: Sequence[Fraction]) -> Fraction:
    """T, without the fixed time."""
    times = [amount / capacities[r] for r, amount in task.amounts.items()]
    longest = max(times, default=Fraction(0))
    if task.tiles is None:
        return longest
    return longest + (sum(times, Fraction(0)) - longest) / task.tiles


def fair_rates(
    tasks: Sequence[OracleTask], capacities: Sequence[Fraction], running: Iterable[int]
) -> dict[int, Fraction]:
    """The progress rates of the running tasks: one level of x rises for all that are not yet fixed."""
    cap = {i: tasks[i].weight / time_alone(tasks[i], capacities) for i in running}
    need = {i: {r: amount / tasks[i].weight for r, amount in tasks[i].amounts.items() if amount} for i in cap}
    per_level = {r: Fraction(0) for wanted in need.values() for r in wanted}  # what rises with the level, by resource
    room = {r: capacities[r] for r in per_level}  # what those that are fixed have left
    for wanted in need.values():
        for r, amount in wanted.items():
            per_level[r] += amount
    fixed: dict[int, Fraction] = {}
    rising = list(cap)
    while rising:
        full_at = {r: room[r] / each for r, each in per_level.items() if each > 0}  # the level at which it is full
        level = min([*full_at.values(), *(cap[i] for i in rising)])
        full = {r for r, at in full_at.items() if at == level}
        for i in rising:
            if cap[i] == level or not full.isdisjoint(need[i]):
                fixed[i] = level
                for r, amount in need[i].items():
                    per_level[r] -= amount
                    room[r] -= level * amount
        rising = [i for i in rising if i not in fixed]
    return {i: x / tasks[i].weight for i, x in fixed.items()}


def _settle(state: _State) -> None:
    """One instant: ends, then starts, until nothing starts. A task without duration ends a round later."""
    while True:
        _end_due(state)
        startable = [i for i in range(len(state.tasks)) if _can_start(state, i)]
        if not startable:
            return
        for i in startable:
            state.out.begin[i] = state.now
            state.work_at[i] = state.now + state.tasks[i].fixed


def _end_due(state: _State) -> None:
    for i in [i for i, time in state.work_at.items() if time == state.now]:
        del state.work_at[i]
        works = time_alone(state.tasks[i], state.capacities) > 0
        state.left[i] = Fraction(1) if works else Fraction(0)
    for i in [i for i, left in state.left.items() if left == 0]:
        del state.left[i]
        state.out.end[i] = state.now


def _can_start(state: _State, i: int) -> bool:
    if not _is_candidate(state, i):
        return False
    if state.order == "program":
        return all(state.out.end[j] is not None for j in _rivals(state, i) if j < i)
    rivals = _rivals(state, i)
    if any(state.out.begin[j] is not None and state.out.end[j] is None for j in rivals):
        return False  # one of its queues is busy
    return all(_rank(state, i) < _rank(state, j) for j in rivals if _is_candidate(state, j))


def _is_candidate(state: _State, i: int) -> bool:
    """It has not begun, and all it depends on has ended."""
    return state.out.begin[i] is None and all(state.out.end[j] is not None for j in state.tasks[i].deps)


def _rivals(state: _State, i: int) -> list[int]:
    """The other tasks that share a queue with it."""
    if i not in state.rivals:
        queues = set(state.tasks[i].queues)
        found = [j for j, other in enumerate(state.tasks) if j != i and not queues.isdisjoint(other.queues)]
        state.rivals[i] = found
    return state.rivals[i]


def _rank(state: _State, i: int) -> tuple[int, int]:
    return -state.tasks[i].priority, i


def _advance(state: _State) -> None:
    """Move to the next end of a task or of a fixed time, at constant rates."""
    rates = fair_rates(state.tasks, state.capacities, state.left)
    ends = [state.now + left / rates[i] for i, left in state.left.items()]
    start, stop = state.now, min([*ends, *state.work_at.values()])
    for i, rate in rates.items():
        state.left[i] -= rate * (stop - start)
        state.out.progress[i].append(Piece(start, stop, rate))
    used: dict[int, Fraction] = {}
    for i, rate in rates.items():
        for r, amount in state.tasks[i].amounts.items():
            used[r] = used.get(r, Fraction(0)) + rate * amount
    for r, amount in used.items():
        if amount > 0:
            state.out.usage[r].append(Piece(start, stop, amount))
    state.now = stop


def _check(tasks: Sequence[OracleTask], capacities: Sequence[Fraction], order: Order) -> None:
    if order not in ("program", "ready"):
        raise ValueError(f"order {order!r}: must be 'program' or 'ready'")
    if not all(isinstance(capacity, Fraction) and capacity > 0 for capacity in capacities):
        raise ValueError(f"capacities {capacities!r}: must be fractions > 0")
    for i, task in enumerate(tasks):
        if len(set(task.queues)) < len(task.queues):
            raise ValueError(f"task {i}: queues {task.queues!r} name one twice")
        if not all(0 <= j < len(tasks) for j in task.deps):
            raise ValueError(f"task {i}: deps {task.deps!r} must be in 0..{len(tasks) - 1}")
        if not all(0 <= r < len(capacities) for r in task.amounts):
            raise ValueError(f"task {i}: amounts {task.amounts!r} name an unknown resource")
        numbers = (task.fixed, *task.amounts.values())
        if not all(isinstance(number, Fraction) and number >= 0 for number in numbers):
            raise ValueError(f"task {i}: fixed and amounts must be fractions >= 0")
        if not (isinstance(task.weight, Fraction) and task.weight > 0):
            raise ValueError(f"task {i}: weight {task.weight!r} must be a fraction > 0")
        if task.tiles is not None and task.tiles < 1:
            raise ValueError(f"task {i}: tiles {task.tiles!r} must be >= 1, or None for infinity")
