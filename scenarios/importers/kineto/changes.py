"""What is changed in a run whose nodes are settled: kernels made faster, hosts left out, kernels that hold nothing up.

Model: nodes keep the instants that were measured; a change says what a node takes instead (`Node.changed`), what it no
longer waits for, or leaves it out. So what was a pause stays one. `freed` are the nodes that a path through the run no
longer has to pass: what bounds the answer from below (see `bounds`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hw import Mark, Problem, SpecError
from scenarios.importers.kineto.nodes import Node
from scenarios.importers.kineto.streams import by_stream, in_order

BESIDE = "_beside"
"""What the queue of overlapped work is called behind the name of its stream."""


@dataclass(slots=True)
class Run:
    """A settled run. `nodes`: what is replayed of `measured`, which is all that there was; `notes`: what was changed;
    `without_hosts`: whether what hosts did is left out."""

    measured: Sequence[Node]
    nodes: list[Node] = field(init=False)
    freed: set[int] = field(default_factory=set)
    without_hosts: bool = False
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.nodes = list(self.measured)

    def kernels_named(self, pattern: str, option: str) -> list[Node]:
        """Work with a pattern in its name or its op's. Raises SpecError where there is none."""
        hits = [node for node in self.nodes if node.work and (pattern in node.title or pattern in node.work.name)]
        if not hits:
            raise SpecError([Problem(Mark(option), f"no kernel has '{pattern}' in its name or its op's")])
        return hits


def make_faster(run: Run, pattern: str, factor: float) -> None:
    """Kernels with a pattern in their names take a `factor`-th of their time. Raises SpecError for a pattern of none."""
    hits = run.kernels_named(pattern, "--faster")
    for node in hits:
        node.changed = node.took.scaled(1 / factor, 1 / factor, 1 / factor)
    run.notes.append(f"{len(hits):,} kernels with '{pattern}' in their names are {factor:g} times as fast")


def leave_out(run: Run, hosts: Sequence[Node]) -> None:
    """No host issues anything: what devices waited for it alone is no pause either."""
    gone = {id(node) for node in hosts}
    run.freed |= gone
    run.without_hosts = True
    run.nodes = [node for node in run.nodes if id(node) not in gone]
    for node in run.nodes:
        node.after = [each for each in node.after if id(each) not in gone]
    run.notes.append(f"{len(gone):,} launches and waits of hosts are left out")


def overlap(run: Run, pattern: str) -> None:
    """Kernels with a pattern in their names run beside everything: on a queue of their own, behind what stood before them;
    nothing on a device waits for them, only hosts that say so. Raises SpecError for a pattern of none."""
    hits = run.kernels_named(pattern, "--overlap")
    beside = {id(node) for node in hits}
    for queue in by_stream(in_order(run.nodes)).values():
        before: Node | None = None
        for node in queue:
            if id(node) not in beside:
                before = node
            elif before is not None and before not in node.after:
                node.after.append(before)
    for node in hits:
        node.queue += BESIDE
    # a meeting of such kernels goes on waiting for those before it, which are in its queues; a host waits as it did
    own = {id(each) for node in hits for each in node.after if each.meets}
    for node in run.nodes:
        if id(node) not in own and not node.host:
            node.after = [each for each in node.after if id(each) not in beside]
    run.freed |= beside
    run.notes.append(
        f"{len(hits):,} kernels with '{pattern}' in their names run beside all others, which wait for none"
    )
