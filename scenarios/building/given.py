"""A scenario as callers give it: one that is loaded, or the path or library name of one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from scenarios.building.build import Scenario, build_scenario, load_scenario
from scenarios.language.source import copied, listed, overridden

Given = Scenario | str | Path


def given_scenario(given: Given, overrides: Iterable[str] = ()) -> Scenario:
    """The scenario that is meant, after `a.b=v` overrides. Raises SpecError with every problem of a file, TypeError for
    anything else."""
    sets = listed(overrides)
    if isinstance(given, Scenario):
        return build_scenario(overridden(copied(given.document), sets), given.path) if sets else given
    if isinstance(given, str | Path):
        return load_scenario(given, sets)
    inside = "; its .scenario is one" if isinstance(getattr(given, "scenario", None), Scenario) else ""
    raise TypeError(f"a scenario is wanted (load_scenario), or the path of one, not {type(given).__name__}{inside}")
