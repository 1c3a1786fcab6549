"""Ops of which every tensor is sharded at random: einsums, and programs of element-wise ops, norms and sums.

Assumes: sixteen chips at most, on one, two or three axes; every dim divides by all chips.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from hypothesis import strategies as st

from tests.support.drawing import among, between, shuffled
from tests.support.executor import BINARY, ROWS, UNARY

MESHES = [
    dict(zip("XYZ", sizes, strict=False))
    for count in (1, 2, 3)
    for sizes in itertools.product((1, 2, 3, 4), repeat=count)
    if math.prod(sizes) <= 16
]

ANY_MESH = st.sampled_from(MESHES)


@st.composite
def annotated(draw: st.DrawFn, name: str, dims: Sequence[str], axes: str, partial: bool = True) -> str:
    """A tensor of these dims with each axis on one of them, in its partial sums, or not in it; half of them are not."""
    where = {axis: draw(among([*dims, *"." * len(dims), *("U" if partial else "")])) for axis in axes}
    used = {place: "".join(axis for axis in draw(shuffled(axes)) if where[axis] == place) for place in (*dims, "U")}
    written = ",".join(f"{dim}_{used[dim]}" if used[dim] else dim for dim in dims)
    return f"{name}:fp32[{written}]" + (f"{{U_{used['U']}}}" if used["U"] else "")


@st.composite
def einsums(draw: st.DrawFn) -> tuple[str, dict[str, int], dict[str, int]]:
    """A matmul, maybe batched, its dims in any order, all of its tensors sharded at random; the mesh; the dims."""
    mesh = draw(ANY_MESH)
    batch = draw(among(["", "", "G"]))
    x, w, y = (
        draw(annotated(name, draw(st.permutations(batch + dims)), "".join(mesh)))
        for name, dims in (("x", "BD"), ("w", "DF"), ("y", "BF"))
    )
    step = math.prod(mesh.values())
    return f"{y} = matmul({x}, {w})", mesh, dict.fromkeys("BDFG", step * (2 if step < 8 else 1))


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[str], dict[str, int], dict[str, int]]:
    """Element-wise ops, norms and sums on one matrix, each sharded in its own way; the mesh; the dims."""
    mesh = draw(ANY_MESH)
    axes = "".join(mesh)
    first = draw(annotated("x", "BF", axes))
    made, lines, typed = ["x"], [], {"x": first}
    for at in range(draw(between(1, 4))):
        kind = draw(among([*UNARY, *BINARY, *ROWS, "reduce"]))
        names = [draw(among(made)) for _ in range(2 if kind in BINARY else 1)]
        inputs = [typed.pop(name, name) for name in names]
        dims = draw(among(["B", "F"])) if kind == "reduce" else "BF"
        if kind in ROWS:
            inputs.append(f"axis={draw(among('BF'))}")
        out = draw(annotated(f"t{at}", dims, axes, partial=False))
        lines.append(f"{out} = {kind}({', '.join(inputs)})")
        made += [f"t{at}"] if kind != "reduce" else []
    step = math.prod(mesh.values())
    return lines, mesh, {"B": step, "F": 2 * step}
