"""The `run` section as the simulator's options: every name in it checked against the system's chips and links."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hw import Problems, System
from hw.chips import MEASURED, chip_kernels
from hw.input import Document, unknown
from scenarios.building.sections import Section
from scenarios.language.run_spec import RunSpec
from simulator import DISPATCH, Holds, RunOptions, choices, run_options

_AT = ("run", "efficiency")


def read_options(ran: Section, system: System | None, document: Document, problems: Problems) -> RunOptions:
    """The options of a run. What is wrong is added to the problems; without a system its names are not checked."""
    run: RunSpec = ran.spec or RunSpec()
    before = len(problems.found)
    _check_collectives(run.collectives, document, problems)
    if system is None:
        return RunOptions()
    for chip in system.kinds if run.calibration == "measured" else ():
        if chip.calibration.measured is None and chip_kernels(chip) is None:
            message = f"{chip.name} has no measured calibration; write calibration: spec, or set efficiency yourself"
            problems.add(document.value_mark(("run", "calibration")), message)
    of_all, of_chips = _efficiencies(_named(ran, run), system, document, problems)
    near = [name for name in system.chip.near_memories if all(name in chip.near_memories for chip in system.kinds)]
    if run.tile_level not in ("on_chip", *near):
        where = document.value_mark(("run", "tile_level"))
        problems.add(where, unknown("memory on the chip", run.tile_level, dict.fromkeys(("on_chip", *near))))
    if len(problems.found) > before:
        return RunOptions()
    plain = (option for option in run_options() if option.holds is not Holds.EFFICIENCIES)
    said = {option.name: getattr(run, option.key) for option in plain}
    return RunOptions(**said, efficiency=of_all, chip_efficiency=of_chips)


def _named(ran: Section, run: RunSpec) -> Mapping[str, Any]:
    """Efficiencies, also those that were left out for their value: their names are to be checked."""
    found: dict[str, Any] = dict(run.efficiency)
    for key in ran.out:
        if key[:2] == _AT and len(key) == 3:
            found[str(key[2])] = 1.0
        elif key[:2] == _AT and len(key) == 4 and isinstance(found.get(str(key[2]), {}), Mapping):
            found[str(key[2])] = {**found.get(str(key[2]), {}), str(key[3]): 1.0}
    return found


def _check_collectives(name: str, document: Document, problems: Problems) -> None:
    if name not in choices():
        problems.add(document.value_mark(("run", "collectives")), unknown("run.collectives", name, choices()))


def _efficiencies(
    given: Mapping[str, Any], system: System, document: Document, problems: Problems
) -> tuple[dict[str, float], dict[str, Mapping[str, float]]]:
    """Efficiencies of all chips by resource, and of some by chip and resource."""
    chips = {chip.name: list(_resources([chip], system)) for chip in system.kinds}
    everywhere = list(_resources(system.kinds, system))
    of_all: dict[str, float] = {}
    of_chips: dict[str, Mapping[str, float]] = {}
    for name, value in given.items():
        where = document.key_mark((*_AT, name))
        if not isinstance(value, Mapping):
            of_all[name] = value
            if name in chips:
                problems.add(where, f"{name} is a chip: its efficiencies are by resource, as in {{matrix_unit: 80 %}}")
            elif name not in everywhere:
                problems.add(where, unknown("resource", name, [*everywhere, *(chips if len(chips) > 1 else ())]))
            continue
        of_chips[name] = value
        if name not in chips:
            problems.add(where, unknown("chip", name, chips))
            continue
        for resource in value:
            if resource not in chips[name]:
                place = document.key_mark((*_AT, name, resource))
                problems.add(place, f"{name}: {unknown('resource', resource, chips[name])}")
    return of_all, of_chips


def _resources(chips: Any, system: System) -> Iterator[str]:
    """What may have an efficiency: units and memories, the host that issues kernels, levels and links of some chips and
    those of the wiring."""
    yield from (*MEASURED, DISPATCH)
    yield from dict.fromkeys(level for chip in chips for level in chip.levels)
    links = [link for chip in chips for link in chip.links]
    levels = system.topology.levels if system.topology is not None else ()
    yield from dict.fromkeys([*links, *(level.link for level in levels if level.link)])
