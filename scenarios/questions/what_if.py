"""What if: the run again with each resource faster, and with named edits, every time really simulated.

    found = what_if(load_scenario("library:llama3_8b_block"), ["overlap=full", "fuse=gate+up"])
    found.frame      # one row per resource: resource, time, x1_1, x2, infinite (s), elasticity; the largest gain first
    found.edits      # one row per edit: its text, the time that it leads to (s), what it saves, or why it cannot be run

The resources and what "faster" means are those of `analysis.runs.elasticity`, the edits those of `edits`. A
data loader stands beside them under its name: its own time on a batch is what gets faster. A resource that the run asks
nothing of is not run again, unless the run chooses its collectives by cost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from analysis import Summary
from analysis.runs import FACTORS, Lever, elasticity, levers
from hw import Dimension, Mark, Problems, RunError, SpecError
from hw.input import show
from scenarios.building.build import Scenario
from scenarios.building.given import Given, given_scenario
from scenarios.building.run_one import summarise
from scenarios.questions.edits import edited, read_edit

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("resource", "time", "x1_1", "x2", "infinite", "elasticity")
"""The columns of `WhatIf.frame`: a resource's name; seconds of the run as it is, with the resource 1.1x, 2x and infinitely
fast; ln(T'/T)/ln(1.1) at 1.1x."""

EDIT_COLUMNS = ("edit", "time", "gain", "error", "note")
"""The columns of `WhatIf.edits_frame`."""


@dataclass(frozen=True, slots=True)
class Effect:
    """A resource, and the time of the run (s) as it is and with the resource 1.1x, 2x and infinitely fast."""

    resource: str
    time: float
    x1_1: float
    x2: float
    infinite: float

    @property
    def elasticity(self) -> float:
        """ln(T'/T)/ln(c) at c = 1.1: -1 where the resource alone decides, 0 where it does not matter."""
        return elasticity(self.time, self.x1_1)

    def gain(self, time_s: float) -> float:
        """The share of the run's time that another time saves."""
        return 1.0 - time_s / self.time if self.time else 0.0


@dataclass(frozen=True, slots=True)
class Edited:
    """An edit and the time (s) that it leads to; without one, `error` says why it cannot be run. `note`: what should be
    known of the edited scenario beside."""

    edit: str
    time: float | None
    gain: float | None
    error: str = ""
    note: str = ""


class WhatIf:
    """The answers for one scenario. `effects` are sorted by what twice the speed saves, then infinite speed, then name."""

    def __init__(self, scenario: Scenario, effects: Sequence[Effect], edits: Sequence[Edited], time_s: float) -> None:
        self.scenario = scenario
        self.time_s = time_s
        self.effects = sorted(effects, key=lambda each: (each.x2, each.infinite, each.resource))
        self.edits = list(edits)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row per resource, columns `COLUMNS`, the largest gain first."""
        import pandas as pd

        rows = [[getattr(each, name) for name in COLUMNS] for each in self.effects]
        return pd.DataFrame(rows, columns=list(COLUMNS))

    @cached_property
    def edits_frame(self) -> pd.DataFrame:
        """One row per edit: edit, time (s), gain (share of the time saved), error, note."""
        import pandas as pd

        return pd.DataFrame([asdict(each) for each in self.edits], columns=list(EDIT_COLUMNS))

    def __repr__(self) -> str:
        best = next((each for each in self.effects if each.gain(each.x2) > 0), None)
        helps = "nothing alone helps" if best is None else f"{best.resource} x2 saves {100 * best.gain(best.x2):.1f} %"
        return f"WhatIf({self.scenario.name}: {show(self.time_s, Dimension.TIME)}; {helps})"

    def _repr_html_(self) -> str:
        from analysis.report import what_if_html

        return what_if_html(self.scenario.name, self.frame)

    def as_json(self) -> dict[str, Any]:
        """Plain data, SI units."""
        return {
            "name": self.scenario.name,
            "time": self.time_s,
            "resources": [{name: getattr(each, name) for name in COLUMNS} for each in self.effects],
            "edits": [asdict(each) for each in self.edits],
        }


def what_if(scenario: Given, edits: Iterable[str] = ()) -> WhatIf:
    """Every resource of the scenario's system faster; then its own edits and `edits`, each by itself. Raises SpecError with
    every edit that cannot be made, RunError if the scenario itself cannot be run; an edited one that cannot is a row."""
    scenario = given_scenario(scenario)
    asked = _asked(scenario, edits)
    summary = summarise(scenario)
    time_s = _time(summary)
    effects = [_effect(name, faster, time_s) for name, faster in _pulled(scenario, summary)]
    return WhatIf(
        scenario, effects, [_edited(text, changed, scenario.notes, time_s) for text, changed in asked], time_s
    )


def check_forms(edits: Iterable[str]) -> None:
    """Raises SpecError with every text that is no edit of anything."""
    problems = Problems()
    for number, text in enumerate(edits, 1):
        try:
            read_edit(text)
        except ValueError as error:
            problems.add(Mark("--edit", number), str(error))
    problems.raise_if_any()


def check_edits(scenario: Scenario) -> None:
    """Raises SpecError with every edit of a scenario's own that cannot be made."""
    _asked(scenario, ())


Faster = Callable[[float], float]


def _pulled(scenario: Scenario, summary: Summary) -> Iterator[tuple[str, Faster | None]]:
    """The name of each lever, and the time with it so much faster; None where nothing can come of it."""
    loaders = scenario.loaders
    decides = "auto" in (scenario.options.sharding, scenario.options.collectives)
    for lever in levers(summary.plan):
        worth = lever.used or decides or bool(loaders.loaders)  # what loaders ask is not in the plan
        yield lever.name, _with(scenario, summary, lever) if worth else None
    for loader in loaders.loaders:
        if loader.every_s:
            yield loader.name, _loading(scenario, summary, loader.name)


def _with(scenario: Scenario, summary: Summary, lever: Lever) -> Faster:
    def time_s(factor: float) -> float:
        return summary.again(scenario.graph, *lever.pull(scenario.system, scenario.options, factor)).time_s

    return time_s


def _loading(scenario: Scenario, summary: Summary, name: str) -> Faster:
    def time_s(factor: float) -> float:
        loaders = scenario.loaders.faster(name, factor)
        return summary.again(scenario.graph, scenario.system, scenario.options, loaders).time_s

    return time_s


def _effect(name: str, faster: Faster | None, time_s: float) -> Effect:
    if faster is None:
        return Effect(name, *(time_s,) * 4)
    return Effect(name, time_s, *(faster(factor) for factor in FACTORS))


def _edited(text: str, changed: Scenario, own: Collection[str], time_s: float) -> Edited:
    note = "; ".join(note for note in changed.notes if note not in own)
    try:
        found = _time(summarise(changed))
    except SpecError as error:
        return Edited(text, None, None, error.problems[0].message, note)
    except (RunError, ValueError) as error:  # also what feeds an op that is no more
        return Edited(text, None, None, str(error).splitlines()[0], note)
    return Edited(text, found, 1.0 - found / time_s if time_s else 0.0, note=note)


def _asked(scenario: Scenario, edits: Iterable[str]) -> list[tuple[str, Scenario]]:
    """Each edit with the scenario that it makes: those of the scenario's own study first."""
    study, value_mark = scenario.study, scenario.document.value_mark
    own = study.what_if.edits if study is not None and study.what_if is not None else []
    texts = [(text, value_mark(("study", "what_if", "edits", at))) for at, text in enumerate(own)]
    texts += [(text, Mark("--edit", number)) for number, text in enumerate(edits, 1)]
    problems = Problems()
    found: list[tuple[str, Scenario]] = []
    for text, mark in texts:
        try:
            found.append((text, edited(scenario, read_edit(text), mark)))
        except SpecError as error:
            for problem in error.problems:
                problems.add(problem.mark, problem.message)
        except ValueError as error:
            problems.add(mark, str(error))
    problems.raise_if_any()
    return found


def _time(summary: Summary) -> float:
    return summary.result.time_s
