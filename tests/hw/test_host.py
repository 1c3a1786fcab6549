"""What chips share on the way to their host: its memory, its disks, the uplinks of its PCIe switches.

Each case is worked by hand: a copy streams, so it takes what its slowest part takes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analysis import Summary
from hw import Host, Memory, Mesh, SpecError, System, load_chip, parse_topology
from simulator import HostPorts, RunOptions, Simulation, parse_graph
from tests.support.strategies import chip_with

H100 = load_chip("h100_sxm")
PCIE = H100.links["pcie"].egress_bytes_per_s
NBYTES = 2e9
COPY = "y:bf16[N] = copy(x:bf16[N]@host)"


def memory(bytes_per_s: float) -> Memory:
    return Memory.model_validate({"capacity": 1e12, "bandwidth": bytes_per_s})


def node(chips: int = 8, **host: Any) -> System:
    topology = parse_topology(f"switch({chips}) over nvlink", H100.links) if chips > 1 else None
    given = {"chips": 8, "memory": memory(400e9), **host}
    if "uplink" not in given:
        given["uplink"] = None
    return System(H100, topology, Mesh({"X": chips} if chips > 1 else {}), host=Host.model_validate(given))


def run(system: System, *lines: str, **options: Any) -> Summary:
    graph = parse_graph(list(lines), {"N": int(NBYTES) // 2})
    simulation = Simulation(graph, system, RunOptions(**{"overlap": "full", **options}))
    return Summary(simulation.plan, simulation.run)


def close(got: Any, want: float) -> None:
    print(f"got {float(got):.9g}, want {want:.9g}")
    assert float(got) == pytest.approx(want, rel=1e-9)


def test_eight_chips_share_the_memory_of_their_host() -> None:
    shared = run(node(), COPY)
    close(shared["time"], 8 * NBYTES / 400e9)
    assert shared["bound_by"] == "host"
    close(shared["t_host"], 8 * NBYTES / 400e9)
    close(shared["ops.y.t_host"], 8 * NBYTES / 400e9)
    assert shared["t_network"] == 0
    assert shared["network_bytes"] == 0
    assert shared.plan.classes == 1


def test_one_chip_alone_has_its_own_link_as_the_limit() -> None:
    alone = run(node(), COPY.replace(")", ", on=3)"))
    close(alone["time"], NBYTES / PCIE)
    close(run(node(1), COPY)["time"], NBYTES / PCIE)


def test_sixteen_chips_sit_in_two_hosts() -> None:
    close(run(node(16), COPY)["time"], 8 * NBYTES / 400e9)
    close(run(node(12), COPY)["time"], 8 * NBYTES / 400e9)  # eight in the first host, four in the second


def test_chips_behind_one_switch_share_its_uplink_each_way() -> None:
    narrow = node(memory=memory(1e13), pcie_switches=4, uplink=PCIE)
    close(run(narrow, COPY)["time"], 2 * NBYTES / PCIE)
    both = run(narrow, COPY, "z:bf16[N]@host = copy(w:bf16[N], queue=out)")
    close(both["time"], 2 * NBYTES / PCIE)  # an uplink carries each way on its own
    close(run(node(memory=memory(1e13), pcie_switches=8, uplink=PCIE), COPY)["time"], NBYTES / PCIE)


def test_memory_carries_both_ways_together() -> None:
    both = run(node(), COPY, "z:bf16[N]@host = copy(w:bf16[N], queue=out)")
    close(both["time"], 2 * 8 * NBYTES / 400e9)


def test_what_alike_kernels_ask_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    plain = HostPorts.loads

    def counted(ports: HostPorts, chip: int, moved: Any) -> dict[int, float]:
        asked.append(chip)
        return plain(ports, chip, moved)

    monkeypatch.setattr(HostPorts, "loads", counted)
    copies = [f"y{at}:bf16[N] = copy(x{at}:bf16[N]@host)" for at in range(20)]
    close(run(node(), *copies)["time"], 20 * 8 * NBYTES / 400e9)
    assert sorted(asked) == list(range(8))


def test_kernels_that_move_less_or_run_elsewhere_are_not_alike() -> None:
    whole, few = COPY, "a:bf16[N] = copy(b:bf16[N]@host, on=[0,1,2,3,4,5,6])"
    half = "c:bf16[M] = copy(d:bf16[M]@host)"
    graph = parse_graph([whole, few, half], {"N": int(NBYTES) // 2, "M": int(NBYTES) // 4})
    simulation = Simulation(graph, node(), RunOptions(overlap="full"))
    summary = Summary(simulation.plan, simulation.run)
    for name, nbytes in (("y", 8 * NBYTES), ("a", 7 * NBYTES), ("c", 4 * NBYTES)):
        close(summary[f"ops.{name}.t_host"], nbytes / 400e9)
    close(summary["time"], 19 * NBYTES / 400e9)


def test_disks_are_shared_too() -> None:
    line = COPY.replace("@host", "@disk")
    close(run(node(disk=memory(60e9)), line)["time"], 8 * NBYTES / 60e9)


def test_without_overlap_the_shared_way_is_one_stage_beside_the_link_and_hbm() -> None:
    serial = run(node(), COPY.replace(")", ", on=0)"), overlap="none")
    close(serial["time"], NBYTES / 400e9 + NBYTES / PCIE + NBYTES / H100.hbm.bytes_per_s)


def test_efficiency_slows_what_is_shared() -> None:
    close(run(node(), COPY, efficiency={"host": 0.5})["time"], 8 * NBYTES / 200e9)


def test_without_a_host_section_the_chips_own_figure_counts() -> None:
    bare = replace(node(), host=None)
    assert H100.host is not None
    close(run(bare, COPY)["time"], NBYTES / min(PCIE, H100.host.bytes_per_s))


def test_a_collective_on_shared_host_memory_is_refused() -> None:
    with pytest.raises(SpecError, match="all_gather cannot reach x @host, which chips of a host share"):
        run(node(), "y:bf16[N] = all_gather(x:bf16[N_X]@host, over=X)")


LINES = [
    "a:bf16[N] = copy(x:bf16[N]@host)",
    "b:bf16[N] = copy(u:bf16[N]@host, queue=more, on=[0, 1, 5])",
    "c:bf16[N]@host = copy(v:bf16[N], queue=out)",
    "d:bf16[N] = relu(a)",
]


@pytest.mark.parametrize("chips", [8, 12, 16])
@pytest.mark.parametrize("slow", [False, True])
def test_folded_is_full(chips: int, slow: bool) -> None:
    system = node(chips, pcie_switches=4, uplink=80e9)
    if slow:
        straggler = chip_with("h100_sxm", {"links.pcie.bandwidth": "20 GB/s"})
        system = replace(system, chips=tuple(straggler if at == 2 else H100 for at in range(chips)))
    folded, full = (run(system, *LINES, fold=fold) for fold in (True, False))
    assert folded.plan.classes < full.plan.classes == chips
    for word in ("time", "lower_bound", "dependency_bound", "t_host", "ops.a.time", "ops.b.time", "ops.c.time"):
        assert folded[word] == pytest.approx(full[word], rel=1e-9), word


def test_a_process_may_share_a_hosts_memory() -> None:
    graph = parse_graph([COPY], {"N": int(NBYTES) // 2})
    simulation = Simulation(graph, node(), RunOptions(overlap="full"))
    simulation.use({"host0.memory": 8 * NBYTES})
    # nine streams at an equal pace until the eight copies have ended; the ninth goes on alone, after the run
    assert simulation.run().time_s == pytest.approx(9 * NBYTES / 400e9, rel=1e-9)
