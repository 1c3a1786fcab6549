"""What the text pictures of wirings are drawn with: labels of what stands where, boxes, and ellipses.

Model: a picture fits a screen. What does not is left out with an ellipsis, and a remark says what was; nothing is drawn
that is not there. A picture shows one level: inside a node its chips, outside it the nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hw.network.axes import Axis
from hw.network.topology import Level, Topology

WIDTH = 76
ROWS = 6
NEIGHBOURS = 16
GAP = "…"

Drawn = tuple[list[str], list[str]]
"""Lines of a picture, and remarks below it."""


@dataclass(frozen=True)
class Canvas:
    """A level of a topology, to be drawn."""

    topology: Topology
    number: int

    def __repr__(self) -> str:
        return f"Canvas({self.level.text})"

    @property
    def level(self) -> Level:
        """The level."""
        return self.topology.levels[self.number]

    def label(self, child: int) -> str:
        """A chip's number, or the chips of a node."""
        inner = self.level.inner
        return str(child) if inner == 1 else f"{child * inner}-{child * inner + inner - 1}"

    def at(self, places: Mapping[Axis, int]) -> str:
        """What stands at some places along the axes, at the first of all others."""
        first = self.level.axes[0]
        chip = first.chip_at(sum(axis.stride * place for axis, place in places.items()))
        return self.label(chip // self.level.inner)

    @property
    def widest(self) -> int:
        """The width of the longest label."""
        return len(self.label(self.level.children - 1))

    def labels(self, children: range, room: int) -> list[str]:
        """The labels of some children that fit into a room."""
        count = max(3, room // (self.widest + 2))
        return [GAP if at is None else self.label(children[at]) for at in chosen(len(children), count)]


def chosen(count: int, room: int) -> list[int | None]:
    """Which of so many things to draw in so much room; None is the ellipsis."""
    if count <= room:
        return list(range(count))
    head = max(1, room - 3)
    return [*range(head), None, *range(count - max(1, min(2, room - head - 1)), count)]


def hanging(labels: Sequence[str], name: str) -> list[str]:
    """Things hanging from a box."""
    wide = max(len(label) for label in labels)
    widths = [3 if label == GAP else wide + 2 for label in labels]
    room = max(sum(widths), len(name) + 2)
    ticks = "".join(_tick(label, width) for label, width in zip(labels, widths, strict=True)).ljust(room, "─")
    under = "".join(label.center(width) for label, width in zip(labels, widths, strict=True))
    return [*box(name, room), f"└{ticks}┘", f" {under}".rstrip()]


def box(text: str, width: int) -> list[str]:
    """The upper part of a box with a text in it."""
    return [f"┌{'─' * width}┐", f"│{text.center(width)}│"]


def _tick(label: str, width: int) -> str:
    return "─" * width if label == GAP else "─" * (width // 2) + "┬" + "─" * (width - width // 2 - 1)
