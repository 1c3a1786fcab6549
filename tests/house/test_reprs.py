"""Everything public in hw and analysis says in one line what it is: no dump of a thousand wires, no address."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path

import pytest

from analysis import WORDS, Summary, op_figures
from analysis.economics import PricePath
from analysis.report import Story
from analysis.runs import BesideWork, Hidden, Margin, advice, compare, levers, roofline_points, schedule_path
from analysis.timelines import Pair, Part, Piece
from analysis.traces import TraceOptions, TraceText
from analysis.words import CAUSES, mean_of, rounds_figures
from hw import Mark, Mesh, Problem, Problems, Router, System, load_chip, load_system, parse_topology
from hw.chips import CollectiveTimes, chip_kernels, load_kernel_times
from hw.input import Dimension, QuantityOf, Sign, UnknownNames, parse_document, validate, validate_rest
from hw.network import WIRINGS, Canvas, Instance, Site, WiringShape, drawn_level, level_facts
from hw.systems import Built, SystemBuilder, SystemSpec, system_file
from scenarios import run

DOORS = ("hw", "hw.input", "hw.chips", "hw.network", "hw.systems", "analysis", "analysis.words", "analysis.frames",
         "analysis.timelines", "analysis.runs", "analysis.traces", "analysis.plots", "analysis.report",
         "analysis.terminal", "analysis.economics")  # fmt: skip
LONGEST = 160
BASES = {"Spec"}
"""Public classes of which there are only kinds."""


def public_classes() -> set[type]:
    """Every class at a door, exceptions apart: those show their message."""
    named = (getattr(module, name) for module in map(import_module, DOORS) for name in module.__all__)
    found = {each for each in named if inspect.isclass(each) and not issubclass(each, Exception)}
    return {each for each in found if each.__name__ not in BASES}


def examples() -> list[object]:
    """One of each, as large as they come."""
    chip, system = load_chip("tpu_v5e"), load_system("dgx_h100", nodes=64)
    topology = system.topology
    assert topology is not None
    many = parse_topology([f"switch(8) over {next(iter(chip.links))}", "switch(64,nics=2) over pcie"], chip.links)
    facts, document = level_facts(topology), parse_document("chip: tpu_v5e\ntopology: ring(2)", "system.yaml")
    problems = Problems([Problem(Mark("a.yaml", 3, 4), "a line\nand another")])
    spec = validate(SystemSpec, document, problems)
    assert spec is not None
    result = run("library:llama3_8b_block").result
    summary = Summary(result.plan, lambda: result)
    assert summary["time"]
    rooflines = list(roofline_points(result))
    instance = Instance(topology, 0, topology.levels[0], range(8), dict(enumerate(topology.wires)))
    site = Site(
        range(8), 1, 0, "nvlink", lambda _chip: chip.links["ici"], lambda _link: 1.0, wires=list(topology.wires)
    )
    kernels = load_kernel_times("hopper")
    return [
        kernels, kernels.matmul, kernels.attention, kernels.kinds["adamw"], kernels.dispatch,
        load_kernel_times("hopper_tensorrt_llm").attention.token, load_kernel_times("tpu_v5p").matmul.grouped,
        CollectiveTimes(start=5e-6), Margin(0.1, 1.0, 2.0), chip_kernels(load_chip("t4")),
        chip, load_chip("h100_sxm").matrix_unit.derived, chip.hbm, *chip.links.values(), system.host, system,
        system.mesh, Mesh({"X": 4}, {"A": range(4000)}), System(chip),
        topology, topology.levels[0], topology.axes[0], topology.wires[0], many.trunks(1)[0], system.wires,
        next(iter(topology.nodes.values())), Router(topology), Router(topology).route(0, 500), facts[1], facts[1].bisection,
        WIRINGS["torus"], WiringShape((4, 8), (("wrap", "[yes,no]"),)), drawn_level(topology, 0), Canvas(topology, 0),
        instance, site, system_file("dgx_h100"), spec, Built(chip, system, True),
        SystemBuilder(spec, document, (), lambda _mark: Path(), problems),
        Mark("a.yaml", 3, 4), *problems.found, problems, document, validate_rest(SystemSpec, document),
        UnknownNames("node", [f"n{at}" for at in range(9999)]),
        Dimension.DATA, Sign.POSITIVE, QuantityOf(Dimension.TIME),
        WORDS["mfu"], CAUSES["waiting"], summary, Summary(result.plan, lambda: result), op_figures(result)[0],
        rounds_figures(result)[0],
        schedule_path(result)[0], rooflines[0], levers(result.plan)[0], advice(summary)[0], BesideWork(),
        compare(result, result), compare(result, result).changes[0], TraceOptions(), Story(), Part("network", "host"),
        TraceText(Path("rank0.json"), "[]" * 9999),
        Piece("up", "matmul", False, frozenset(), 1e-3), Pair((0,), tuple(range(999))),
        Hidden("r", "all_reduce", "X", 1e-3, 2e-4),
        mean_of([1.0, 2.0, 3.0, 4.0, 5.0]), PricePath([(3600.0 * hour, 3.0) for hour in range(999)], 86400.0),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def things() -> list[object]:
    return examples()


def test_there_is_one_of_every_public_class(things: list[object]) -> None:
    assert {each.__name__ for each in public_classes()} <= {type(each).__name__ for each in things}


def test_each_is_one_short_line_that_names_it(things: list[object]) -> None:
    for each in things:
        text = repr(each)
        assert type(each).__name__ in text
        assert len(text) <= LONGEST, text
        assert text.isprintable(), text
        assert " object at 0x" not in text
