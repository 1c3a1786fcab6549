"""A scenario as callers give it: one that is loaded, or the path or library name of one."""

from __future__ import annotations

from pathlib import Path

from scenarios.building.build import Scenario, load_scenario

Given = Scenario | str | Path


def given_scenario(given: Given) -> Scenario:
    """The scenario that is meant. Raises SpecError with every problem of a file, TypeError for anything else."""
    if isinstance(given, Scenario):
        return given
    if isinstance(given, str | Path):
        return load_scenario(given)
    inside = "; its .scenario is one" if isinstance(getattr(given, "scenario", None), Scenario) else ""
    raise TypeError(f"a scenario is wanted (load_scenario), or the path of one, not {type(given).__name__}{inside}")
