"""An all-reduce of 64 MiB on 1024 chips, folded: from the text of the wiring to the result. CPU seconds, best of three."""

from __future__ import annotations

from benchmarks.core import cpu_s
from benchmarks.table import Figure, Figures
from hw import Mesh, System, load_chip, parse_topology
from simulator import RunOptions, parse_graph, simulate

ELEMENTS = 32 * 2**20
"""Of bf16: 64 MiB."""

WIRINGS = {
    "ring": ("tpu_v5e", "ring(1024)", {"X": 1024}),
    "torus 2-D": ("tpu_v5e", "torus(32,32)", {"X": 32, "Y": 32}),
    "torus 3-D": ("tpu_v5p", "torus(8,16,8)", {"X": 8, "Y": 16, "Z": 8}),
    "nodes of 8": ("h100_sxm", ["switch(8) over nvlink", "switch(128) over infiniband"], {"X": 8, "Y": 128}),
}


def all_reduce(name: str) -> Figures:
    """One wiring of the table."""
    chip_name, wiring, axes = WIRINGS[name]
    chip, over = load_chip(chip_name), "".join(axes)
    graph = parse_graph([f"y:bf16[N] = all_reduce(x:bf16[N]{{U_{over}}}, over={over})"], {"N": ELEMENTS})

    def work() -> None:
        simulate(graph, System(chip, parse_topology(wiring, chip.links), Mesh(axes)), RunOptions())

    return {"CPU s": Figure(min(cpu_s(work) for _ in range(3)))}
