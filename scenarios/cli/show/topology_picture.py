"""Topologies as text pictures, a level at a time: inside a node its chips, outside it the nodes.

Model: a picture fits a screen. What does not is left out with an ellipsis, and a line below says what was; nothing is drawn
that is not there. Rings and lines as rows, grids as planes (a third axis by counting planes), trees as boxes over what they
join, graphs as a list of neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hw import Axis, Level, Topology

WIDTH = 76
_ROWS, _NEIGHBOURS = 6, 16
_GAP = "…"


class Picture:
    """One level drawn: lines of text, and remarks below."""

    def __init__(self, topology: Topology, number: int) -> None:
        self.topology, self.number = topology, number
        self.level: Level = topology.levels[number]
        self.lines, remarks = _DRAWERS.get(self.level.kind, _graph)(self)
        self.remarks = [*remarks, *_recognised(self.level)]

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


def chosen(count: int, room: int) -> list[int | None]:
    """Which of so many things to draw in so much room; None is the ellipsis."""
    if count <= room:
        return list(range(count))
    head = max(1, room - 3)
    return [*range(head), None, *range(count - max(1, min(2, room - head - 1)), count)]


def _recognised(level: Level) -> list[str]:
    """What a graph was recognised as, and how a ring goes through it."""
    remarks = [f"recognised as {level.drawn}"] if level.drawn not in ("", "graph") else []
    if level.round:
        way = [_GAP if at is None else str(level.round[at]) for at in chosen(len(level.round), _NEIGHBOURS)]
        remarks.append(f"a ring goes {'-'.join(way)}")
    return remarks


def _one_axis(picture: Picture) -> tuple[list[str], list[str]]:
    count, wide = picture.level.children, picture.widest
    axis = max(picture.level.axes, key=lambda each: each.size)
    labels = [_GAP if at is None else picture.at({axis: at}) for at in chosen(count, (WIDTH - 6) // (wide + 4))]
    row = " ── ".join(label.center(wide) for label in labels)
    if axis.kind == "line" or count == 1:
        return [f"  {row}"], []
    if count == 2:
        return [f"  {picture.label(0)} ══ {picture.label(1)}"], ["a ring of two: two links between the same pair"]
    return [f"╭─ {row} ─╮", f"╰{'─' * (len(row) + 4)}╯"], []


def _plane(picture: Picture) -> tuple[list[str], list[str]]:
    axes = [axis for axis in picture.level.axes if axis.size > 1]
    if len(axes) < 2:
        return _one_axis(picture)
    return _two_axes(picture, axes)


def _two_axes(picture: Picture, axes: Sequence[Axis]) -> tuple[list[str], list[str]]:
    down, along = axes[-2], axes[-1]
    drawn = picture.level.drawn  # then any chip may stand in any plane
    wide = picture.widest if drawn else len(picture.label(down.size * along.size - 1))
    columns = chosen(along.size, (WIDTH - 8) // (wide + 4))
    rows = chosen(down.size, _ROWS)
    wraps = along.kind == "ring"
    edge, far = ("╶─ ", " ─╴") if wraps else ("   ", "   ")
    bars = "    ".join(("│" if at is not None else " ").center(wide) for at in columns)
    lines: list[str] = []
    for number, row in enumerate(rows):
        if row is None:
            lines.append("   " + "    ".join(("⋮" if at is not None else " ").center(wide) for at in columns))
            continue
        if number and rows[number - 1] is not None:
            lines.append("   " + bars)
        labels = [_GAP if at is None else picture.at({down: row, along: at}) for at in columns]
        lines.append(edge + " ── ".join(label.center(wide) for label in labels) + far)
    if down.kind == "ring":
        stub = "    ".join(("╷" if at is not None else " ").center(wide) for at in columns)
        lines = ["   " + stub, *lines, "   " + stub.replace("╷", "╵")]
    return [line.rstrip() for line in lines], list(_plane_remarks(picture, wraps or down.kind == "ring"))


def _plane_remarks(picture: Picture, wraps: bool) -> list[str]:
    axes = [axis for axis in picture.level.axes if axis.size > 1]
    remarks = ["open ends wrap around"] if wraps else []
    if len(axes) == 3:
        shape = "ring" if axes[0].kind == "ring" else "line"
        remarks.append(f"the first of {axes[0].size} planes; chips of like place in them form a {shape}")
    if any(axis.kind == "ring" and axis.size == 2 for axis in axes):
        remarks.append("along an axis of two, two links join each pair")
    return remarks


def _hanging(labels: Sequence[str], name: str) -> list[str]:
    """Things hanging from a box."""
    wide = max(len(label) for label in labels)
    widths = [3 if label == _GAP else wide + 2 for label in labels]
    room = max(sum(widths), len(name) + 2)
    ticks = "".join(_tick(label, width) for label, width in zip(labels, widths, strict=True)).ljust(room, "─")
    under = "".join(label.center(width) for label, width in zip(labels, widths, strict=True))
    return [*_box(name, room), f"└{ticks}┘", f" {under}".rstrip()]


def _box(text: str, width: int) -> list[str]:
    return [f"┌{'─' * width}┐", f"│{text.center(width)}│"]


def _tick(label: str, width: int) -> str:
    return "─" * width if label == _GAP else "─" * (width // 2) + "┬" + "─" * (width - width // 2 - 1)


def _labels(picture: Picture, children: range, room: int) -> list[str]:
    count = max(3, room // (picture.widest + 2))
    return [_GAP if at is None else picture.label(children[at]) for at in chosen(len(children), count)]


def _switch(picture: Picture) -> tuple[list[str], list[str]]:
    level = picture.level
    return _hanging(_labels(picture, range(level.children), WIDTH - 4), "switch"), _nic_remark(picture)


def _nic_remark(picture: Picture) -> list[str]:
    text = picture.level.text
    if "nics=" not in text:
        return []
    nics = text.partition("nics=")[2].partition(",")[0].partition(")")[0]
    return [f"through {nics} NIC{'s' if nics != '1' else ''} a node, which its {picture.level.inner} chips share"]


def _option(text: str, name: str, default: str) -> str:
    _, found, rest = text.partition(f"{name}=")
    return rest.partition(",")[0].partition(")")[0].strip() if found else default


def _fat_tree(picture: Picture) -> tuple[list[str], list[str]]:
    level = picture.level
    wide = min(int(_option(level.text, "leaf", str(level.children))), level.children)
    starts = list(range(0, level.children, wide))
    remarks = _tree_remarks(picture, len(starts))
    if len(starts) == 1:
        return _hanging(_labels(picture, range(level.children), WIDTH - 4), "leaf"), remarks
    shown = chosen(len(starts), max(2, WIDTH // (3 * picture.widest + 12)))
    room = WIDTH // sum(at is not None for at in shown) - 6
    blocks = [_leaf(picture, at, starts, wide, room) for at in shown]
    return _under_spine(picture, blocks), remarks


def _under_spine(picture: Picture, blocks: list[list[str]]) -> list[str]:
    """Leaves side by side below the spines."""
    widths = [max(map(len, block)) for block in blocks]
    height = max(map(len, blocks))
    rows = [
        "  ".join(
            block[row].ljust(width) if row < len(block) else " " * width
            for block, width in zip(blocks, widths, strict=True)
        )
        for row in range(height)
    ]
    room = len(rows[0])
    top, first, place = ["─"] * room, list(rows[0]), 0
    for block, width in zip(blocks, widths, strict=True):
        if block[0]:
            top[place + width // 2], first[place + width // 2] = "┬", "┴"
        place += width + 2
    spines = _option(picture.level.text, "spines", "1")
    name = "spine" if spines == "1" else f"{spines} spines"
    lines = [*_box(name, room - 2), f"└{''.join(top[1:-1])}┘", "".join(first), *rows[1:]]
    return [line.rstrip() for line in lines]


def _leaf(picture: Picture, at: int | None, starts: Sequence[int], wide: int, room: int) -> list[str]:
    if at is None:
        return ["", f" {_GAP} "]
    children = range(starts[at], min(starts[at] + wide, picture.level.children))
    return _hanging(_labels(picture, children, room), f"leaf{at}")


def _tree_remarks(picture: Picture, leaves: int) -> list[str]:
    level, remarks = picture.level, list[str]()
    ratio = _option(level.text, "oversubscription", "1")
    if leaves > 1:
        part = "as much as its downlinks" if ratio == "1" else f"its downlinks' bandwidth / {ratio}"
        remarks.append(f"{leaves} leaves; the uplinks of each carry together {part}")
    if not level.shared:
        rails = _option(level.text, "nics", str(level.inner))
        remarks.append(f"{rails} rails: one such tree for each place in a node")
    return [*remarks, *_nic_remark(picture)]


def _full(picture: Picture) -> tuple[list[str], list[str]]:
    count = picture.level.children
    labels = [
        _GAP if at is None else picture.label(at) for at in chosen(count, min(9, (WIDTH - 8) // (picture.widest + 3)))
    ]
    wide = max(len(label) for label in labels)
    lines = [" " * (wide + 1) + " ".join(label.rjust(wide) for label in labels)]
    for row, label in enumerate(labels):
        marks = ["·" if row == at else "━" if _GAP not in (label, other) else " " for at, other in enumerate(labels)]
        lines.append(f"{label.rjust(wide)} " + " ".join(mark.rjust(wide) for mark in marks))
    return lines, [f"each joined to each of the others ({count * (count - 1) // 2} links)"]


def _dragonfly(picture: Picture) -> tuple[list[str], list[str]]:
    inner, wide = picture.level.inner, 2 * len(str(picture.level.children * picture.level.inner - 1)) + 1
    groups, routers, places = (int(size) for size in picture.level.text.partition("(")[2].partition(")")[0].split(","))
    per_router = places * inner
    lines = []
    for group in chosen(groups, _ROWS):
        if group is None:
            lines.append("  ⋮")
            continue
        cells = []
        for router in chosen(routers, 3):
            first = 0 if router is None else (group * routers + router) * per_router
            span = f"{first}-{first + per_router - 1}" if per_router > 1 else str(first)
            cells.append(_GAP if router is None else f"router{router} {span.center(wide)}")
        lines.append(f"{f'group{group}':<9}┃ " + " ━ ".join(cells) + " ┃")
    return lines, ["routers of a group are joined each to each, and groups by one link a pair"]


def _graph(picture: Picture) -> tuple[list[str], list[str]]:
    span = picture.level.inner * picture.level.children
    prefix = f"level{picture.number}.0." if len(picture.topology.levels) > 1 else ""
    port = min((wire.bytes_per_s for _, wire in picture.topology.of_level(picture.number)), default=1.0)
    near: dict[str, dict[str, float]] = {f"chip{chip}": {} for chip in range(span)}
    for _, wire in picture.topology.of_level(picture.number):
        chip = picture.topology.chip_numbers.get(wire.source)
        if (chip is None and not wire.source.startswith(prefix)) or (chip is not None and chip >= span):
            continue
        others = near.setdefault(wire.source.removeprefix(prefix), {})
        name = wire.target.removeprefix(prefix)
        others[name] = others.get(name, 0.0) + wire.bytes_per_s
    wide = max(len(name) for name in near)
    lines = []
    for at in chosen(len(near), _NEIGHBOURS):
        if at is None:
            lines.append(f"{_GAP.rjust(wide)}")
            continue
        name, others = list(near.items())[at]
        texts = [f"{other}{_times(rate / port)}" for other, rate in others.items()]
        shown = [_GAP if other is None else texts[other] for other in chosen(len(texts), 6)]
        lines.append(f"{name.rjust(wide)} ── {'  '.join(shown)}"[:WIDTH])
    wider = next((times for others in near.values() for rate in others.values() if (times := _times(rate / port))), "")
    return lines, [f"{wider.strip()}: so many times the bandwidth of the narrowest link"] if wider else []


def _times(ratio: float) -> str:
    return "" if abs(ratio - 1) < 1e-9 else f" x{ratio:.3g}"


_DRAWERS: Mapping[str, Callable[[Picture], tuple[list[str], list[str]]]] = {
    "line": _one_axis,
    "ring": _one_axis,
    "torus": _plane,
    "grid": _plane,
    "switch": _switch,
    "fat_tree": _fat_tree,
    "full": _full,
    "dragonfly": _dragonfly,
}
"""How each wiring is drawn; others as lists of neighbours."""
