"""Studies over networks: whatever varies of links, sizes and dtypes, each row is its own run, bit for bit.

A system of any wiring, collectives and transfers of any kind over it, and a few figures that vary: rates and latencies of
its links, sizes of what crosses them, how kernels and collectives are carried out. Most values lie near each other, so that
rows go together; some are equal, some are nothing, some make another algorithm the cheapest or another event the first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cases import written
from tests.support.together import assert_alone, runs_of

WIRINGS = {
    "ring(4) over ici": "X: 4",
    "ring(2) over ici": "X: 2",
    "ring(5) over ici": "X: 5",
    "line(3) over ici": "X: 3",
    "torus(2,4) over ici": "X: 2, Y: 4",
    "torus(4,3,wrap=[yes,no]) over ici": "X: 4, Y: 3",
    "grid(2,3) over ici": "X: 2, Y: 3",
    "full(4) over nvlink": "X: 4",
    "switch(4) over nvlink": "X: 4",
    "switch(8,in_switch_reduction=yes) over nvlink": "X: 2, Y: 4",
    "fat_tree(8,leaf=4,oversubscription=4) over nvlink": "X: 8",
    "fat_tree(6,leaf=4,spines=2) over nvlink": "X: 6",
    "dragonfly(2,2,2) over nvlink": "X: 8",
    '["switch(2) over nvlink", "switch(3,nics=2) over infiniband"]': "X: 2, Y: 3",
    '["switch(4) over nvlink", "switch(2) over infiniband"]': "X: 8",
    '["ring(4) over nvlink", "line(2) over infiniband"]': "X: 4, Y: 2",
    '["full(4) over nvlink", "fat_tree(2) over infiniband"]': "X: 4, Y: 2",
}
CHIPS = {"ici": "tpu_v5e", "nvlink": "h100_sxm"}
LINES = {
    "all_reduce": "{name}:{dtype}[B,D] = all_reduce(x{name}:{dtype}[B,D]{{U_{axes}}}, over={axes}{more})",
    "all_gather": "{name}:{dtype}[B,D] = all_gather(x{name}:{dtype}[B_{axes},D], over={axes}{more})",
    "reduce_scatter": "{name}:{dtype}[B_{axes},D] = reduce_scatter(x{name}:{dtype}[B,D]{{U_{axes}}}, over={axes}{more})",
    "all_to_all": "{name}:{dtype}[B_{axes},D] = all_to_all(x{name}:{dtype}[B,D_{axes}], over={axes}{more})",
    "broadcast": "{name}:{dtype}[B,D] = broadcast(x{name}:{dtype}[B,D], over={axes}, root=1{more})",
    "reduce_to": "{name}:{dtype}[B,D] = reduce_to(x{name}:{dtype}[B,D]{{U_{axes}}}, over={axes}, root=1{more})",
    "permute": "{name}:{dtype}[B,D] = permute(x{name}:{dtype}[B,D], over={axes}, shift=1{more})",
    "matmul": "{name}:{dtype}[B,F] = matmul(x{name}:{dtype}[B,D], w{name}:{dtype}[D,F])",
    "send": "{name}:{dtype}[B,D] = send(x{name}:{dtype}[B,D], from=0, to=1)",
}
SUMMED = (
    "{name}:{dtype}[B,F]{{U_{axes}}} = matmul(x{name}:{dtype}[B,D_{axes}], w{name}:{dtype}[D_{axes},F], chunks=2)",
    "s{name}:{dtype}[B,F] = all_reduce({name}, over={axes}, chunks=2)",
)


@st.composite
def graphs(draw: st.DrawFn, axes: str) -> list[str]:
    """Some ops side by side, at least two of which use the wires."""
    lines: list[str] = []
    kinds = st.lists(st.sampled_from([*LINES, "summed"]), min_size=2, max_size=5)
    for number, kind in enumerate(draw(kinds)):
        over = draw(st.sampled_from([axes, axes[0]]))
        dtype = draw(st.sampled_from(["bf16", "int8"]))
        more = draw(st.sampled_from(["", ", queue=other", ", chunks=2"]))
        words = {"name": f"t{number}", "dtype": dtype, "axes": over, "more": more}
        lines += [each.format(**words) for each in (SUMMED if kind == "summed" else (LINES[kind],))]
        if kind == "send":
            lines.append(f"r{number}:{dtype}[B,D] = recv(from=0, to=1)")
    return lines


def near(most: Sequence[Any], few: Sequence[Any]) -> list[Any]:
    """Values of which most are drawn from some."""
    return [*most, *most, *most, *few]


@st.composite
def studies(draw: st.DrawFn) -> tuple[str, dict[str, list[Any]]]:
    """A scenario as a text, and what may vary in it: some values by path."""
    wiring = draw(st.sampled_from(sorted(WIRINGS)))
    mesh = WIRINGS[wiring]
    link = "ici" if "ici" in wiring else "nvlink"
    run = {
        "collectives": draw(st.sampled_from(["canonical", "canonical", "auto", "ring", "tree", "direct", "per_axis"])),
        "routing": draw(st.sampled_from(["split", "split", "single", "minimal", "ecmp"])),
        "order": draw(st.sampled_from(["program", "ready"])),
        "overlap": draw(st.sampled_from(["auto", "full", "none"])),
        "network": draw(st.sampled_from(["task"] * 11 + ["messages"])),
        "fold": draw(st.sampled_from([True, True, False])),
    }
    lines = draw(graphs(mesh.replace(":", "").replace(",", "").translate(str.maketrans("", "", " 0123456789"))))
    ops = "".join(f'    - "{line}"\n' for line in lines)
    text = f"""name: random
system: {system_of(wiring)}
run: {json.dumps(run)}
workload:
  dims: {{B: 960, D: 960, F: 480}}
  uneven: pad
  ops:
{ops}"""
    links = ("nvlink", "infiniband") if "infiniband" in wiring else (link,)
    varied: dict[str, list[Any]] = {
        "workload.dims.B": near([960, 968, 1008], [480, 1440, 7]),
        "workload.dims.D": near([960, 976, 1024], [480, 4096]),
        "run.launch": near([1e-6, 1.1e-6], [0, "2 us"]),
        f"run.efficiency.{link}": near([0.9, 0.91, 0.95], ["80 %", 1.0]),
    }
    for each in links:
        varied[f"system.set.links.{each}.bandwidth"] = near([4e10, 4.1e10, 4.3e10], [1e9, "4.5e10 B/s", 9e11])
        varied[f"system.set.links.{each}.latency"] = near([1e-6, 1.2e-6, 1.3e-6], [0, "2 us", 1e-4])
    return text, varied


@settings(max_examples=12)
@given(st.data())
def test_rows_over_links_are_those_of_their_own_runs(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    text, varied = data.draw(studies())
    path = written(tmp_path_factory.mktemp("case"), text)
    paths = data.draw(st.lists(st.sampled_from(sorted(varied)), min_size=1, max_size=2, unique=True))
    each = st.fixed_dictionaries({path: st.sampled_from(varied[path]) for path in paths})
    assert_alone(path, data.draw(st.lists(each, min_size=8, max_size=12)))


def system_of(wiring: str) -> str:
    """A system of chips that are wired so, as a line of a file."""
    link = "ici" if "ici" in wiring else "nvlink"
    text = wiring if wiring[0] == "[" else json.dumps(wiring)
    return f"{{chip: {CHIPS[link]}, topology: {text}, mesh: {{{WIRINGS[wiring]}}}}}"


@pytest.mark.parametrize("wiring", WIRINGS)
def test_rows_over_links_take_few_runs(wiring: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"""name: block
system: {system_of(wiring)}
workload:
  dims: {{B: 960, D: 960, F: 480}}
  ops:
    - repeat: 4
      ops:
        - y:bf16[B,F]{{U_X}} = matmul(x:bf16[B,D_X], w:bf16[D_X,F])
        - z:bf16[B,F] = all_reduce(y, over=X)
        - t:bf16[B_X,F] = all_to_all(u:bf16[B,F_X], over=X, queue=other)
        - s:bf16[B,F] = send(z, from=0, to=1)
        - r:bf16[B,F] = recv(from=0, to=1)
"""
    link = "ici" if "ici" in wiring else "nvlink"
    changes = {
        f"system.set.links.{link}.bandwidth": [4e10 + 1e8 * at for at in range(16)],
        "workload.dims.B": [960 + 120 * at for at in range(10)],
    }
    rows, runs = runs_of(written(tmp_path, text), changes, monkeypatch)
    assert rows == 160
    assert runs <= 20
