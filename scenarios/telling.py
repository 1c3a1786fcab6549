"""What a scenario adds to the report of its run: why it takes as long as it does, where every value came from, its study."""

from __future__ import annotations

from analysis import kind_labels
from analysis.report import Story
from scenarios.explain import chip_sources, provenance, reasons
from scenarios.outcome import Outcome
from scenarios.show import chip_figures
from scenarios.studies.what_if import what_if


def story_of(outcome: Outcome) -> Story:
    """The story of an outcome; a study and a what-if of the scenario are run for it. Raises SpecError, RunError."""
    scenario = outcome.scenario
    system = scenario.system
    labels = [f"{label} " for label in kind_labels(system)] if len(system.kinds) > 1 else [""]
    sources = [
        (f"{labels[kind]}{section}", chip_figures(system.kinds[kind], section), source)
        for kind, section, source in chip_sources(outcome)
    ]
    wanted = scenario.study is not None and scenario.study.what_if is not None
    return Story(
        name=scenario.name,
        about=scenario.about,
        notes=list(reasons(outcome)),
        sources=sources,
        settings=list(provenance(outcome)),
        inputs=outcome.sweep.paths if outcome.sweep is not None else (),
        study=outcome.sweep.frame if outcome.sweep is not None else None,
        what_if=what_if(scenario).frame if wanted else None,
    )
