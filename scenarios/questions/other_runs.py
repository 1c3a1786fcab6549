"""Runs of other scenario files, as `run("other.yaml").time` names them in conditions and claims."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis import Summary
from hw import RunError, SpecError
from scenarios.building.build import load_scenario
from scenarios.building.run_one import summarise
from scenarios.claims.scope import file_of, value_of
from scenarios.expressions.expression import Reference


@dataclass
class OtherRuns:
    """Words of other files' runs; each file is run once for each way in which it is changed (`run(FILE, "a.b=v")`)."""

    known: dict[tuple[Path, tuple[str, ...]], Summary] = field(default_factory=dict)

    def value(self, reference: Reference, folder: Path) -> Any:
        """A word of another run. Raises ValueError for a file that is wrong, RunError for one that cannot be run."""
        path, sets = file_of(reference, folder).resolve(), tuple(map(str, reference.at[1:]))
        try:
            if (path, sets) not in self.known:
                self.known[path, sets] = summarise(load_scenario(str(path), sets))
            return value_of(self.known[path, sets], reference.word)
        except SpecError as error:
            raise ValueError(f"{reference}: {error.problems[0]}") from None
        except RunError as error:
            raise RunError(f"{reference}: {error}") from None


@dataclass
class FromOtherRuns:
    """What a condition may ask beside its own run: words of files in a folder."""

    folder: Path
    runs: OtherRuns = field(default_factory=OtherRuns)

    def found(self) -> Any:
        """A condition decides what is found; it does not ask."""
        raise ValueError("find cannot be asked here")

    def of_row(self, reference: Reference) -> Any:
        """A condition is about one run."""
        raise ValueError(f"{reference}: there are no rows here")

    def of_run(self, reference: Reference) -> Any:
        """A word of another run."""
        return self.runs.value(reference, self.folder)
