"""What a scenario adds to the report of its run: why it takes as long as it does, where every value came from, its study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from analysis import Summary, kind_labels
from analysis.report import Story
from scenarios.building.build import Scenario
from scenarios.outcome.chip_figures import chip_figures
from scenarios.outcome.provenance import chip_sources, provenance
from scenarios.questions.software import software_advice
from scenarios.questions.what_if import WhatIf
from scenarios.studies.sweeps import Study


def story_of(
    scenario: Scenario,
    words: Summary,
    why: Iterable[str],
    study: Study | None,
    what_if: WhatIf | None,
    beside: Mapping[str, list[str]],
) -> Story:
    """The story of a scenario and its run, from what came of it: `why` are sentences (`bare_reasons`), `beside` lines on
    what the run is a part of, by title."""
    system = scenario.system
    labels = [f"{label} " for label in kind_labels(system)] if len(system.kinds) > 1 else [""]
    sources = [
        (f"{labels[kind]}{section}", chip_figures(system.kinds[kind], section), source)
        for kind, section, source in chip_sources(scenario)
    ]
    return Story(
        name=scenario.name,
        about=scenario.about,
        notes=list(why),
        sources=sources,
        settings=list(provenance(scenario.document)),
        inputs=study.paths if study is not None else (),
        study=study.frame if study is not None else None,
        what_if=what_if.frame if what_if is not None else None,
        also=software_advice(scenario, words),
        beside=beside,
    )
