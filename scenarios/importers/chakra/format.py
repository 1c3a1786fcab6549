"""Chakra execution traces, one file a rank, as one scenario.

Model: a computation is its `num_ops` on the matrix unit and its `tensor_size` through HBM, and where it has neither, or is
the host's, as long as it was measured to be. A collective is the op that it stands for, `comm_size` bytes of each rank,
over the ranks of its group; the n-th of a group on one rank is the n-th on all others. Loads and stores are copies from
and to the host. Nodes run when what they depend on is done (`order: ready`), as ASTRA-sim has it.
Where all ranks do the same, one stands for all; so does a single file, for as many as `ranks` says (`--dim ranks=8`).
Groups stand in a file of their own, JSON with the ranks of each by its name; without it every collective is of all ranks.
Assumes: numbers are bf16, whose peak decides; `comm_size` counts as in ASTRA-sim: what a rank gives.
Source: mlcommons/chakra (schema), astra-sim (how attributes are used).
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from hw import Mark, Problem, SpecError
from scenarios.importers.chakra.dims import goes_along, named_dims, network_dims, take_groups
from scenarios.importers.chakra.nodes import MOST_FIELD, TYPES, ChakraNode, read_nodes
from scenarios.importers.chakra.tasks import Task, content_of, group_name, is_collective, ordered, without_marks
from scenarios.importers.collectives import Collective
from scenarios.importers.groups import Groups, layout_of
from scenarios.importers.imported import DEFAULT_CHIP, Imported, ImportOptions, Unpriced
from scenarios.importers.names import Names
from scenarios.importers.wire import WireError, fields, messages

_KINDS = {0: "all_reduce", 2: "all_gather", 5: "broadcast", 6: "all_to_all", 7: "reduce_scatter", 8: "reduce_scatter"}
"""Collectives of the schema that we have, by number; the others (reduce, gather, scatter, barrier) have no rule."""

_OTHERS = {1: "REDUCE", 3: "GATHER", 4: "SCATTER", 9: "BARRIER"}
_JSON = re.compile(rb'"(globalMetadata|ctrl_?[dD]eps|data_?[dD]eps|COMP_NODE|COMM_COLL_NODE)"')
_GROUPS = re.compile(rb'\s*\{\s*("[^"]{1,100}"\s*:\s*\[[\s\d,]*\]\s*,?\s*)+\}?')
_RANK = re.compile(r"(\d+)\D*$")


class Chakra:
    """Execution traces of Chakra, protobuf or JSON, and the groups beside them."""

    name = "chakra"
    about = "Chakra execution traces (.et or JSON), one file a rank"

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether a file begins as a stream of Chakra's messages, or says so in JSON."""
        if head.lstrip()[:1] in (b"{", b"["):
            return bool(_JSON.search(head)) or bool(_GROUPS.fullmatch(head))
        return _begins_as_stream(head)

    def read(self, paths: Sequence[Path], options: ImportOptions) -> Imported:
        """The scenario of all ranks. Raises SpecError."""
        groups: dict[str, tuple[int, ...]] = {}
        traces: list[Path] = []
        for path in paths:
            found = _groups_in(path)
            if found is None:
                traces.append(path)
            else:
                groups |= found
        if not traces:
            raise SpecError([Problem(Mark(str(paths[0])), "there are groups, but no trace")])
        return _Made(
            {_rank(path, at): read_nodes(path) for at, path in enumerate(traces)}, groups, options, traces
        ).imported()


def _may_be_node(head: bytes, begin: int, end: int) -> bool:
    """Whether a message has a name that can be printed and a type that exists, and no field that a node has not."""
    said = {each.number: each for each in fields(head, begin, end)}
    if not {2, 3} <= set(said) or max(said) > MOST_FIELD or said[2].is_number or not said[3].is_number:
        return False
    return said[2].text.isprintable() and said[3].whole < len(TYPES)


def _begins_as_stream(head: bytes) -> bool:
    """Whether bytes begin with a message about a trace (a version, and attributes) and a node behind it, or a node."""
    try:
        stream = messages(head)
        begin, end = next(stream)
        if _may_be_node(head, begin, end):
            return True
        about = [each.number for each in fields(head, begin, end)]
        if not about or not set(about) <= {1, 2} or about[0] != 1:
            return False
        begin, end = next(stream)
        return 1 in {each.number for each in fields(head, begin, end)} or end > begin
    except (WireError, StopIteration):
        return False


def _groups_in(path: Path) -> dict[str, tuple[int, ...]] | None:
    """The groups of ranks that a file lists; None for a trace."""
    try:
        with path.open("rb") as file:
            if not _GROUPS.match(file.read(1 << 16)):
                return None
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or not all(
        isinstance(ranks, list) and ranks and all(isinstance(rank, int) for rank in ranks) for ranks in data.values()
    ):
        return None
    return {str(name): tuple(ranks) for name, ranks in data.items()}


def _rank(path: Path, at: int) -> int:
    """The rank of a file: the last number in its name, else its place."""
    found = _RANK.search(path.stem)
    return int(found[1]) if found else at


class _Made:
    """A scenario in the making."""

    def __init__(
        self,
        ranks: Mapping[int, list[ChakraNode]],
        groups: Mapping[str, tuple[int, ...]],
        options: ImportOptions,
        paths: Sequence[Path],
    ) -> None:
        if len(ranks) < len(paths):
            raise SpecError(
                [Problem(Mark(str(paths[0])), "two files have one number at the end of their names: one rank")]
            )
        options.check_dims(named_dims(options.dims))
        self.paths, self.options, self.groups = paths, options, dict(groups)
        self.notes: list[str] = []
        self.unpriced: Counter[str] = Counter()
        self.unpriced_bytes: Counter[str] = Counter()
        self.nbytes = 0.0
        self.left_out: Counter[str] = Counter()
        self.alike = len({content_of(nodes) for nodes in ranks.values()}) == 1
        first = next(iter(ranks))
        self.ranks = {first: ranks[first]} if self.alike else dict(sorted(ranks.items()))
        self._take_dims()
        listed = [rank + 1 for group in self.groups.values() for rank in group]
        peers = [
            int(node.number(key)) + 1 for nodes in ranks.values() for node in nodes for key in ("comm_src", "comm_dst")
        ]
        dims = math.prod(network_dims(options.dims))
        self.world = max([len(ranks), dims, options.dims.get("ranks", 1), *listed, *(peers if not self.alike else [])])
        if not self.alike and len(ranks) < self.world:
            problem = f"there are {self.world} ranks by what the files say, but {len(ranks)} files, which differ"
            raise SpecError([Problem(Mark(str(paths[0])), problem)])

    def _take_dims(self) -> None:
        """Groups for what goes along some dims of the network; where nobody says how large these are, that is told."""
        sizes = network_dims(self.options.dims)
        for rank, nodes in self.ranks.items():
            self.groups |= take_groups(nodes, rank, sizes)
        left = sum(bool(goes_along(node)) for nodes in self.ranks.values() for node in nodes)
        if left:
            said = (
                f"{math.prod(sizes)} ranks in {len(sizes)} dims fit none"
                if sizes
                else "how large these are, no trace says"
            )
            self.notes.append(
                f"{left:,} collectives go along some dims of a network alone, and are taken over all ranks: {said}; say "
                "their sizes, the innermost first: --dim dim0=8 --dim dim1=4"
            )

    def imported(self) -> Imported:
        """The scenario."""
        tasks = self._tasks()
        over_of = {
            key: self._group(key) for key in {group_name(task.node) for task in tasks if is_collective(task.node)}
        }
        layout = layout_of(over_of.values(), self.world, self.options.chip or DEFAULT_CHIP, self.alike)
        if len(self.paths) == 1 and self.world == 1 and over_of:
            self.notes.append(
                "one file, one rank: collectives have nobody to talk to; say how many there are: --dim ranks=8"
            )
        names = Names()
        lines: list[str] = []
        for task in tasks:
            task.name = names.fresh(task.node.name or task.node.type.lower())
            after = [tasks[at].name for at in sorted(task.before)]
            over = layout.over.get(over_of.get(group_name(task.node), ()), "")
            lines.append(self._line(task, after, over))
        for kind, count in self.left_out.items():
            self.notes.append(
                f"{count:,} nodes of type {kind} cost nothing: left out; what depends on them waits for theirs"
            )
        if self.alike and self.world > 1:
            self.notes.append(f"all ranks do the same: one stands for {self.world}")
        unpriced = tuple(
            Unpriced(kind=kind, count=count, nbytes=self.unpriced_bytes[kind]) for kind, count in self.unpriced.items()
        )
        return Imported(
            name=self.paths[0].name.partition(".")[0] or "chakra",
            about=f"Chakra execution traces of {self.world} ranks.",
            system=layout.system,
            ops=lines,
            run={"order": "ready"},
            unpriced=unpriced,
            nbytes=self.nbytes,
            by_bytes=self.options.unknown == "bytes",
            notes=tuple(self.notes),
        )

    def _group(self, name: str) -> Groups:
        """The groups of a process group's name, side by side where one rank stands for all of them."""
        ranks = self.groups.get(name)
        if ranks is None:
            if name and self.groups:
                known = ", ".join(sorted(self.groups)[:8])
                raise SpecError([Problem(Mark(str(self.paths[0])), f"no group '{name}' is listed; there are: {known}")])
            return (tuple(range(self.world)),)
        return (ranks,)

    def _tasks(self) -> list[Task]:
        """All nodes in an order in which each stands behind what it depends on; collectives of one number are one task."""
        tasks: list[Task] = []
        of: dict[tuple[int, int], int] = {}
        met: dict[tuple[str, int], int] = {}
        for rank, nodes in self.ranks.items():
            counts: Counter[str] = Counter()
            for node in nodes:
                if is_collective(node):
                    group = group_name(node)
                    key = group, counts[group]
                    counts[group] += 1
                    if key in met:
                        of[rank, node.id] = met[key]
                        continue
                    met[key] = len(tasks)
                of[rank, node.id] = len(tasks)
                tasks.append(Task(rank, node))
        missing = 0
        for rank, nodes in self.ranks.items():
            for node in nodes:
                known = [of[rank, each] for each in node.deps if (rank, each) in of]
                missing += len(node.deps) - len(known)
                tasks[of[rank, node.id]].before.update(known)
        if missing:
            self.notes.append(f"{missing:,} dependencies are on nodes that the files do not have: left out")
        return without_marks(ordered(tasks, self.paths), self.left_out)

    def _line(self, task: Task, after: Sequence[str], over: str) -> str:
        node = task.node
        on = "" if self.alike else f", on={task.rank}"
        waits = f", after=[{', '.join(after)}]" if after else ""
        if is_collective(node):
            return self._collective(task, after, over)
        if node.type in ("COMM_SEND_NODE", "COMM_RECV_NODE"):
            return _transfer(task, waits)
        size = int(node.number("tensor_size"))
        if node.type in ("MEM_LOAD_NODE", "MEM_STORE_NODE") and size:
            memories = ("@host", "") if node.type == "MEM_LOAD_NODE" else ("", "@host")
            return f"{task.name}:int8[{size}]{memories[1]} = copy({task.name}_in:int8[{size}]{memories[0]}{on}{waits})"
        return f"{task.name}:bf16[1] = custom({self._price(node, size)}{on}{waits})"

    def _price(self, node: ChakraNode, size: int) -> str:
        """What a computation costs."""
        flops = node.number("num_ops")
        self.nbytes += size
        on_host = node.attributes.get("is_cpu_op") in (True, 1)
        queue = ", queue=host" if on_host else ""
        if (flops or size) and not (on_host and node.duration_us):
            said = [f"flops={flops:.15g} FLOP"] if flops else []
            return ", ".join([*said, f"bytes={size} B", *(["unit=matrix"] if flops else [])]) + queue
        time = node.duration_us or node.number("runtime")
        return f"time={time:.12g} us{queue}"

    def _collective(self, task: Task, after: Sequence[str], over: str) -> str:
        node = task.node
        number, size = int(node.number("comm_type")), int(node.number("comm_size"))
        ranks = len(self._group(group_name(node))[0])
        self.nbytes += size
        if ranks == 1:
            waits = f", after=[{', '.join(after)}]" if after else ""
            return f"{task.name}:int8[1] = custom(bytes=0 B{waits})"
        if number not in _KINDS or not size:
            kind = _OTHERS.get(number, f"COMM_COLL_NODE of type {number}")
            self.unpriced[kind] += 1
            self.unpriced_bytes[kind] += size
            waits = ", ".join(
                [f"bytes={size} B"] * (self.options.unknown == "bytes") + [f"after=[{', '.join(after)}]"] * bool(after)
            )
            return f"{task.name}:int8[1] = custom({waits})"
        return Collective(_KINDS[number], "int8", size, ranks).line(task.name, over, after)


def _transfer(task: Task, waits: str) -> str:
    node = task.node
    size = max(1, int(node.number("comm_size")))
    source, target = int(node.number("comm_src")), int(node.number("comm_dst"))
    ends = f"from={source}, to={target}"
    if node.type == "COMM_SEND_NODE":
        return f"{task.name}:int8[{size}] = send({task.name}_in:int8[{size}], {ends}{waits})"
    return f"{task.name}:int8[{size}] = recv({ends}{waits})"
