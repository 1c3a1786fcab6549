"""Which tasks of a program follow each other with nobody beside them: told from the program alone, over columns.

Model: task t + 1 is coupled to task t where the end of t is what starts it, and starts nobody else: both are on one chip, in
one queue each; t is among what t + 1 waits for (a dependency, or the task before it in its queue), all else that t + 1 waits
for is over by then, and whoever else waits for t waits also for somebody who comes later.
Two tasks t + 1 and t + 2 of two queues are a pair where they run beside each other between two others: both are started by
the end of t and by nothing else, and the later of their ends, and nothing else, starts t + 3; whoever else waits for one of
them waits also for somebody who comes after both.

What is over when t ends: t and what stands before it in its queue; what t, or a task before it in its queue, waited for, and
what a task before t + 1 in the queue of that waited for, with all that stands before those in their queues.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from hw.rows import stable_order
from simulator.engine.program import Program

WORTH = 0.5
"""Share of the tasks that may be in trains at the least: a closer look at fewer does not pay."""


class Couplings:
    """Who waits for whom in a program, as columns: a line for each dependency, and for each two neighbours in a queue."""

    def __init__(self, program: Program, chips: Any) -> None:
        count = len(program)
        self.queue = np.asarray(program.queue, dtype=np.int64)
        self._chip = chips[self.queue]
        self._single = np.ones(count, dtype=bool)
        self._single[list(program.groups)] = False
        # queues of tasks that have several, or in another order than that of the numbers: who stands before whom is not told
        self._other_order = np.zeros(len(program.queues), dtype=bool)
        self._other_order[list({queue for queues in program.groups.values() for queue in queues})] = True
        self._other_order[list({queue for _, queue in program.places})] = True
        depended, depends = program.dependencies()
        before, after = self._neighbours()
        self._before = np.concatenate([depended, before])
        self._after = np.concatenate([depends, after])
        # the queues of both, which everything below asks for
        self._queue_before, self._queue_after = self.queue[self._before], self.queue[self._after]

    def _neighbours(self) -> tuple[Any, Any]:
        """Tasks that follow each other in a queue that has only tasks of one queue."""
        order = stable_order(self.queue)
        same = self.queue[order[:-1]] == self.queue[order[1:]]
        return order[:-1][same], order[1:][same]

    def coupled(self, within: Any) -> tuple[Any, Any]:
        """By task, whether the next one is in the same train, and the first tasks of pairs: all among those that may be in
        trains."""
        count = len(self.queue)
        fits = within & self._single & ~self._other_order[self.queue]
        # of one chip, and both may be in trains
        beside = np.zeros(count, dtype=bool)
        beside[:-1] = fits[:-1] & fits[1:] & (self._chip[:-1] == self._chip[1:])
        waits = self._waits_for(1)
        found = beside & np.concatenate([waits[1:], [False]])
        if np.count_nonzero(found) < WORTH * count:
            return np.zeros(count, dtype=bool), np.zeros(0, dtype=np.int64)
        over, held = self._over(slice(None), np.maximum(self._after - 1, 0)), self._held()
        pairs = self._pairs(beside, over, held)
        found[self._after[~over] - 1] = False
        found[self._before[(self._after != self._before + 1) & ~held]] = False
        for each in (-1, 0, 1):
            found[pairs + each] = True
        return found, pairs

    def _waits_for(self, back: int) -> Any:
        """By task, whether it waits for the one so many before it."""
        found = np.zeros(len(self.queue), dtype=bool)
        found[self._after[self._before + back == self._after]] = True
        return found

    def _pairs(self, beside: Any, over: Any, held: Any) -> Any:
        """The first tasks of pairs. `beside`: by task, whether the next one is on its chip and may be in trains as well;
        `over` and `held` as below."""
        queue, before, after = self.queue, self._before, self._after
        one, two = self._waits_for(1), self._waits_for(2)
        starts = beside[:-3] & one[1:-2] & two[2:-1]
        apart = beside[1:-2] & ~one[2:-1] & (queue[1:-2] != queue[2:-1])
        first = 1 + np.flatnonzero(starts & apart & beside[2:-1] & two[3:] & one[3:])
        first = first[np.diff(first, prepend=-len(queue)) > 2]
        # by task, its place behind the one that starts a pair; 0 of all others
        place = np.zeros(len(queue), dtype=np.int64)
        for each in (1, 2, 3):
            place[first + each - 1] = each
        wrong = np.zeros(len(queue) + 1, dtype=bool)
        # what the first one waits for, and what the two others wait for
        wrong[after[~over & (place[after] == 1)]] = True
        lines = np.flatnonzero(place[after] >= 2)
        late = place[after[lines]] == 3
        either = self._over(lines, after[lines] - 2) | (over[lines] & late)
        wrong[(after[lines] - 1 - late)[~either]] = True
        # who else waits for the one that starts them, and for them
        starts = place[np.minimum(before + 1, len(queue) - 1)] == 1
        others = (after <= before) | (after > before + 3)
        wrong[before[starts & others & ~held] + 1] = True
        lines = np.flatnonzero((place[before] == 1) | (place[before] == 2))
        begins = before[lines] - (place[before[lines]] - 1)
        beyond = self._waits_beyond(lines, begins + 1, (begins, begins + 1, begins + 2))
        wrong[begins[~beyond & (after[lines] != begins + 2)]] = True
        return first[~wrong[first]]

    def _over(self, lines: Any, last: Any) -> Any:
        """By line, whether who is waited for is over when some task, the `last`, ends before the waiting one."""
        before, awaited, waiting = self._before[lines], self._queue_before[lines], self._queue_after[lines]
        last_queue = self.queue[last]
        over = (awaited == last_queue) & (before <= last)
        key, furthest = self._furthest
        open_ = np.flatnonzero(~over)
        for queue in (last_queue[open_], waiting[open_]):
            pair = self._pair(queue, awaited[open_])
            at = np.searchsorted(key, pair + last[open_], side="right") - 1
            over[open_] |= (at >= 0) & (furthest[at] >= pair + before[open_])
        return over & ~self._other_order[awaited]

    def _pair(self, waiting: Any, awaited: Any) -> Any:
        """Where the numbers of a pair of queues begin: each pair has a range of its own, one number for each task."""
        return (waiting * len(self._other_order) + awaited) * len(self.queue)

    @cached_property
    def _furthest(self) -> tuple[Any, Any]:
        """By pair of queues and task of the one, how far in the other somebody has been waited for by then: keys in order,
        and beside each the furthest of its pair."""
        before, after = self._before, self._after
        pair = self._pair(self._queue_after, self._queue_before)
        # who waits for later numbers may wait for ever, and proves nothing
        proves = before < after
        if not proves.all():
            before, after, pair = before[proves], after[proves], pair[proves]
        key = pair + after
        order = np.argsort(key, kind="stable")
        # ranges of pairs do not meet, so that one running maximum serves all
        return key[order], np.maximum.accumulate((pair + before)[order])

    def _held(self) -> Any:
        """By line, whether the waiting task waits also for one that cannot have ended when the task before it (by number)
        ends: one behind that task in its queue, or at or behind the task after that in the queue of that."""
        before = self._before
        return self._waits_beyond(slice(None), before, (before, np.minimum(before + 1, len(self.queue) - 1)))

    def _waits_beyond(self, lines: Any, task: Any, others: Sequence[Any]) -> Any:
        """By line, whether the waiting task waits also for one behind some task in the queue of one of others. Of tasks in
        queues of another order this says nothing; those are not coupled."""
        queue, after = self.queue, self._after[lines]
        queues = [queue[each] for each in others]
        found = np.zeros(len(after), dtype=bool)
        for waited in (each[after] for each in self._latest):
            # that of few is later: only of these the queue is asked for
            later = np.flatnonzero(waited > task)
            found[later] |= np.any([queue[waited[later]] == each[later] for each in queues], axis=0)
        return found

    @cached_property
    def _latest(self) -> tuple[Any, Any]:
        """By task, the last one by number that it waits for, and the task before it in its queue; -1 where there is none."""
        latest, ahead = np.full((2, len(self.queue)), -1)
        np.maximum.at(latest, self._after, self._before)
        neighbours = self._queue_before == self._queue_after
        np.maximum.at(ahead, self._after[neighbours], self._before[neighbours])
        return latest, ahead
