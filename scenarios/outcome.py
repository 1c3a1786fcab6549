"""Run a scenario from Python: `run("library:llama3_8b_block").timeline`.

outcome = run("scenario.yaml", ["workload.dims.B=512"])
outcome.summary["time"]        # every word of the vocabulary, SI units
outcome.timeline               # a DataFrame, one row per task and chip
outcome.failed                 # claims of `expect` that did not come true
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import Summary, Value, timeline_frame, write_trace
from analysis.network import network_record
from hw import Problem, SpecError
from scenarios.build import Scenario, load_scenario
from scenarios.claims import Verdict, verdicts
from scenarios.study import Row, find, summarise, vary
from simulator import Result

if TYPE_CHECKING:
    import pandas as pd


class Outcome:
    """A scenario that has been run. Studies are run when they are asked for."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.words: Summary = summarise(scenario)

    @property
    def result(self) -> Result:
        """The finished run: begin and end of every task."""
        return self.words.result

    @cached_property
    def summary(self) -> dict[str, Value]:
        """Every word about the run, in SI units, and `find` where the study has one."""
        words = self.words.as_dict()
        if self.scenario.study is not None and self.scenario.study.find is not None:
            words["find"] = self.found
        return words

    @cached_property
    def found(self) -> int | None:
        """The answer to `study.find`."""
        return find(self.scenario)

    @cached_property
    def rows(self) -> list[Row]:
        """The runs of `study.vary`."""
        return vary(self.scenario)

    @property
    def timeline(self) -> pd.DataFrame:
        """One row per task and chip, seconds."""
        return timeline_frame(self.result)

    @property
    def study(self) -> pd.DataFrame:
        """One row per run of `study.vary`: inputs, words, error."""
        import pandas as pd

        return pd.DataFrame([{**row.inputs, **row.words, "error": row.error} for row in self.rows])

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """Every claim and whether it holds. Raises SpecError for a claim about a kernel that does not exist."""
        for claim in self.scenario.claims:
            if claim.word.startswith("ops."):
                self._known(claim.word)
        wants_find = any(claim.word == "find" for claim in self.scenario.claims)
        return verdicts(self.scenario.claims, self.words, self.found if wants_find else None)

    def _known(self, word: str) -> None:
        try:
            self.words[word]
        except KeyError as error:
            mark = self.scenario.document.key_mark(("expect", word))
            raise SpecError([Problem(mark, str(error.args[0]))]) from None

    @property
    def failed(self) -> list[Verdict]:
        """The claims that did not come true."""
        return [verdict for verdict in self.verdicts if not verdict.holds]

    def as_json(self) -> dict[str, Any]:
        """The summary, and the rows of a grid where there is one, ready for JSON."""
        words: dict[str, Any] = {"name": self.scenario.name, **self.summary}
        if self.words.plan.system.size > 1:
            words["network"] = network_record(self.words.plan)
        if self.rows:
            words["study"] = [{**row.inputs, **row.words, "error": row.error} for row in self.rows]
        return words

    def write(self, folder: Path) -> list[Path]:
        """Write timeline.csv, trace.json and summary.json into `folder`; returns their paths. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / name for name in ("timeline.csv", "trace.json", "summary.json")]
        self.timeline.to_csv(paths[0], index=False)
        with paths[1].open("w", encoding="utf-8") as out:
            write_trace(self.result, out)
        paths[2].write_text(json.dumps(self.as_json(), indent=2) + "\n", encoding="utf-8")
        return paths

    def _repr_html_(self) -> str:
        from analysis.html import summary_html

        return summary_html(self.scenario.name, self.scenario.about, self.words)


def run(reference: str, overrides: Iterable[str] = ()) -> Outcome:
    """Run a scenario file, or one of the library (`library:NAME`). Raises SpecError, RunError."""
    outcome = Outcome(load_scenario(str(reference), tuple(overrides)))
    _ = outcome.result
    return outcome
