"""Shardings as XLA and Shardy write them, in one form: which digits of a chip's number cut which dim.

Model: chips are numbered, and a digit of a number has a stride and a size; an axis of a mesh is a digit, and so is a part of
an axis. A dim that is cut by digits (the first of them major) is cut into as many parts as these have values; digits that
cut no dim mean copies. Digits that overlap are split until no two do.
Source: openxla.org, "Sharding representation" of Shardy, and HloSharding of XLA (tiles, `<=` and `T`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from scenarios.importers.hlo.replica_groups import Piece

Pieces = tuple[Piece, ...]

_MESH = re.compile(r'([\w.\-]+)\s*=\s*(?:#sdy\.mesh)?<\[((?:\s*"[^"]*"\s*=\s*\d+\s*,?)*)\]')
_AXIS = re.compile(r'"([^"]*)"\s*=\s*(\d{1,7})')
_NAMED = re.compile(r"<(?:@([\w.\-]+)|mesh<\[([^\]]*)\][^<>]*>)\s*,\s*\[((?:\s*\{[^{}]*\}(?:p\d+)?\s*,?)*)\]")
_WHENCE = re.compile(r'metadata=\{(?:"[^"]*"|[^{}"]|\{(?:"[^"]*"|[^{}"])*\})*\}')
_DIM = re.compile(r"\{([^{}]*)\}")
_USED = re.compile(r'"([^"]*)"(?::\((\d{1,7})\)(\d{1,7}))?')
_TILED = re.compile(r"\{[^{}]*\}")
_DEVICES = re.compile(r"devices=\[([\d,]+)\](?:<=\[([\d,]+)\](?:T\(([\d,]+)\))?|([\d,]+))")
_LAST = re.compile(r"last_tile_dims=\{([^}]*)\}")


@dataclass(frozen=True, slots=True)
class Layout:
    """How an array lies. `cuts`: the digits that cut each dim, none for copies everywhere; `open`: dims that may be cut by
    more; `manual`: in the shapes of one chip already."""

    cuts: tuple[Pieces, ...] = ()
    open: tuple[bool, ...] = ()
    manual: bool = False


Meshes = Mapping[str, Mapping[str, int]]
"""Axes and their sizes, by the name of a mesh."""


def meshes_in(text: str) -> dict[str, dict[str, int]]:
    """The meshes that a module names."""
    found = _MESH.findall(plain(text))
    return {name: _axes(axes) for name, axes in found}


def _axes(text: str) -> dict[str, int]:
    return {axis: int(size) for axis, size in _AXIS.findall(text)}


def plain(text: str) -> str:
    """Text without the escapes that quotes have inside of quotes."""
    return text.replace('\\"', '"').replace("\\22", '"')


def layouts_in(text: str, meshes: Meshes) -> list[Layout]:
    """All shardings in a text, in order. Raises ValueError."""
    text = plain(text)
    named = _NAMED.findall(text)
    if named:
        return [_named(dims, _axes(axes) if axes else meshes.get(mesh, {})) for mesh, axes, dims in named]
    return [_tiled(part) for part in _TILED.findall(_LAST.sub(_last_dims, _WHENCE.sub("", text)))]


def _named(dims: str, mesh: Mapping[str, int]) -> Layout:
    """Dims by the axes of a mesh: `{"x", "y":(1)2, ?}`."""
    names, cuts, open_ = list(mesh), [], []
    for dim in _DIM.findall(dims):
        pieces: list[Piece] = []
        for axis, before, part in _USED.findall(dim):
            if axis not in mesh:
                raise ValueError(f"there is no axis {axis} in this mesh")
            stride = math.prod(mesh[name] for name in names[names.index(axis) + 1 :])
            size = int(part or mesh[axis])
            pieces.append((max(1, stride * (mesh[axis] // max(1, int(before or 1) * size))), size))
        cuts.append(tuple(each for each in pieces if each[1] > 1))
        open_.append("?" in dim)
    return Layout(tuple(cuts), tuple(open_))


def _last_dims(found: re.Match[str]) -> str:
    """What is said of the last dims of a tile, without braces."""
    words = found[1].replace(" ", "").split(",")
    return f"last_tile_dims_{len(words)}{'_manual' if words[0] == 'manual' else ''}"


def _tiled(text: str) -> Layout:
    """A tile of devices: `{devices=[2,1,4]<=[8] last_tile_dim_replicate}`."""
    devices = _DEVICES.search(text)
    if "manual" in text:
        return Layout(manual=True)
    if devices is None:
        return Layout()
    tile = [int(size) for size in devices[1].split(",")]
    more = re.search(r"last_tile_dims_(\d)", text)
    dropped = int(more[1]) if more else 1 if "last_tile_dim_replicate" in text else 0
    cut = tile[: len(tile) - dropped]
    if devices[2]:
        dims = [int(size) for size in devices[2].split(",")]
        order = [int(at) for at in devices[3].split(",")] if devices[3] else list(range(len(dims)))
        if sorted(order) != list(range(len(dims))) or math.prod(dims) != math.prod(tile):
            raise ValueError("this sharding's tile does not fit its devices")
        digits = [(math.prod(dims[at + 1 :]), dims[at]) for at in order]
    else:
        digits = _digits_of([int(each) for each in devices[4].split(",")], tile)
    cuts = _shared_out(digits, cut)
    return Layout(cuts, (False,) * len(cuts))


def _shared_out(digits: Sequence[Piece], tile: Sequence[int]) -> tuple[Pieces, ...]:
    """Digits in order, shared out among the dims of a tile. Raises ValueError where one fits neither whole nor in part."""
    left = [each for each in digits if each[1] > 1]
    cuts: list[Pieces] = []
    for wanted in tile:
        taken: list[Piece] = []
        while wanted > 1:
            if not left:
                raise ValueError("this sharding has fewer devices than parts")
            stride, size = left.pop(0)
            first = math.gcd(size, wanted)
            if first < 2 or (first < size and first < wanted):
                raise ValueError("this sharding cuts chips in a way that fits no mesh")
            taken.append((stride * (size // first), first))
            if first < size:
                left.insert(0, (stride, size // first))
            wanted //= first
        cuts.append(tuple(taken))
    return tuple(cuts)


def _digits_of(devices: Sequence[int], tile: Sequence[int]) -> list[Piece]:
    """The digits of devices that are listed one by one, tile dim by tile dim."""
    if sorted(devices) != list(range(len(devices))) or len(devices) != math.prod(tile):
        raise ValueError("this sharding's devices are not each there once")
    found: list[Piece] = []
    for at, size in enumerate(tile):
        step = math.prod(tile[at + 1 :])
        found += _along([devices[turn * step] for turn in range(size)])
    said = [0]
    for stride, size in found:
        said = [place + turn * stride for place in said for turn in range(size)]
    if said != list(devices):
        raise ValueError("this sharding lists devices in an order that is no mesh")
    return found


def _along(line: Sequence[int]) -> list[Piece]:
    """The digits of a line of devices from 0 on, the last runs fastest."""
    made: list[Piece] = []
    while len(line) > 1:
        step = line[1] - line[0]
        run = next((at for at, (a, b) in enumerate(pairwise(line), 1) if b - a != step), len(line))
        if step < 1 or len(line) % run:
            raise ValueError("this sharding lists devices in an order that is no mesh")
        made.insert(0, (step, run))
        line = line[::run]
    return made


def common_cuts(layouts: Iterable[Layout]) -> list[int]:
    """Where all digits together cut a chip's number, from 1 on. Raises ValueError where one cut divides not the next."""
    found = {1}
    for layout in layouts:
        for stride, size in (piece for pieces in layout.cuts for piece in pieces):
            found |= {stride, stride * size}
    cuts = sorted(found)
    if any(b % a for a, b in pairwise(cuts)):
        raise ValueError("shardings of this module cut chips in ways that fit no mesh")
    return cuts


def split_at(layout: Layout, cuts: Sequence[int]) -> Layout:
    """A layout whose digits are split wherever any is cut, the major part first."""
    made = []
    for pieces in layout.cuts:
        parts: list[Piece] = []
        for stride, size in pieces:
            between = [cut for cut in cuts if stride <= cut <= stride * size]
            parts += [(low, high // low) for low, high in pairwise(between)][::-1]
        made.append(tuple(parts))
    return Layout(tuple(made), layout.open, layout.manual)
