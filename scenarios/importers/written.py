"""The scenario that the lines of a graph are: laid out on a system, with what must be told."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hw import Mark, Problem, SpecError
from scenarios.importers.exchanges import with_axes
from scenarios.importers.groups import Groups, layout_of
from scenarios.importers.imported import DEFAULT_CHIP, Imported, ImportOptions
from scenarios.importers.op_lines import OpLines


@dataclass(frozen=True, kw_only=True)
class Graph:
    """What a reader of graphs knows besides its lines. `source`: where errors point; `groups`: what collectives go over, by
    the letters that stand in for it; `axes`: groups that are an axis of the mesh as well; `world`: how many ranks there
    are at least; `rules`: what the workload says beside its ops; `open_dims`: those that it leaves open, by name."""

    source: Path | str
    name: str
    about: str
    groups: Mapping[Groups, str] = field(default_factory=dict)
    axes: Sequence[Groups] = ()
    world: int = 1
    rules: Mapping[str, Any] = field(default_factory=dict)
    open_dims: Collection[str] = ()


def written(lines: OpLines, graph: Graph, options: ImportOptions, notes: Iterable[str]) -> Imported:
    """The scenario of a graph. Raises SpecError for one in which nothing costs anything, and for sizes of dims that it has
    not."""
    options.check_dims(graph.open_dims)
    if not lines.lines:
        raise SpecError([Problem(Mark(str(graph.source)), "nothing in it costs anything")])
    ranks = [rank + 1 for groups in graph.groups for group in groups for rank in group]
    world = max([graph.world, *ranks])
    layout = layout_of([*graph.groups, *graph.axes], world, options.chip or DEFAULT_CHIP)
    letters = [layout.over.get(groups, "X") for groups in graph.groups]
    told = with_axes(list(notes), letters)
    if world > 1:
        wiring = layout.system.get("topology", "none")
        told.append(f"the program of each of {world} chips; how they are wired is a guess: {wiring}")
    return Imported(
        name=graph.name,
        about=graph.about,
        system=layout.system,
        ops=with_axes(lines.lines, letters),
        rules=graph.rules,
        unpriced=lines.unpriced,
        nbytes=lines.nbytes,
        by_bytes=lines.by_bytes,
        notes=tuple(told),
    )
