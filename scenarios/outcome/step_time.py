"""The time of one step of a model on a system, without a file: `step_time("llama3_8b", "dgx_h100", batch=64, seq=4096)`.

Model: the words are those of a scenario's `workload` and `run`; what is wrong with one is told under its name. A model that
does not fit has its time, too: `fits` is false then, and `why` says who needs what.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hw import Dimension, Mark, chip_names
from hw.input import Document, Key, plain, show
from scenarios.building.build import build_scenario
from scenarios.outcome.outcome import Outcome


@dataclass(frozen=True, slots=True)
class StepTime:
    """What a step came to, in SI units; `outcome` has all words, the timeline and the analyses of it."""

    time_s: float
    mfu: float
    peak_memory_bytes: float
    fits: bool
    tokens_per_s: float
    exposed_communication_s: float
    bound_by: str
    outcome: Outcome = field(repr=False, compare=False)

    @property
    def why(self) -> str:
        """Who needs what, and the smallest change that fits; empty where it fits."""
        return "" if self.outcome.misfit is None else "\n".join(self.outcome.misfit.lines())

    def __repr__(self) -> str:
        time, memory = show(self.time_s, Dimension.TIME), show(self.peak_memory_bytes, Dimension.DATA)
        fits = "" if self.fits else " that it has not"
        return f"StepTime({time}, MFU {100 * self.mfu:.1f} %, {memory} a chip{fits}, bound by {self.bound_by})"

    def _repr_html_(self) -> str:
        return self.outcome._repr_html_()


def step_time(
    model: str | Path | Mapping[str, Any],
    system: str | Path | Mapping[str, Any],
    run: Mapping[str, Any] | None = None,
    **workload: Any,
) -> StepTime:
    """One step of a model (a name of the catalogue, a path, or a description) on a system (a shipped one, a chip, a file, or
    a `system` section). `workload`: what else a scenario's workload says: batch, seq, mode, parallel, precision, ...; `run`:
    its run options. Raises SpecError with everything that is wrong."""
    data: dict[str, Any] = {
        "name": "step_time",
        "system": _system(system),
        "workload": {"model": plain(model), **{name: plain(value) for name, value in workload.items()}},
    }
    if run is not None:
        data["run"] = plain(run)
    places = {key: Mark(".".join(map(str, key))) for key in _keys(data, ())}
    document = Document("step_time", data, dict(places), dict(places))
    outcome = Outcome(build_scenario(document, Path.cwd() / "step_time"))
    words = outcome.words
    return StepTime(
        time_s=_number(words["time"]),
        mfu=_number(words["mfu"]),
        peak_memory_bytes=_number(words["peak_memory"]),
        fits=bool(words["fits"]),
        tokens_per_s=_number(words["tokens_per_s"]),
        exposed_communication_s=_number(words["exposed_network"]),
        bound_by=str(words["bound_by"]),
        outcome=outcome,
    )


def _system(given: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(given, Mapping):
        return dict(plain(given))
    given = str(given)
    return {"chip": given} if given in chip_names() else {"base": given}


def _keys(data: Any, before: Key) -> Iterator[Key]:
    """Where everything stands."""
    yield before
    if isinstance(data, dict):
        for name, value in data.items():
            yield from _keys(value, (*before, name))
    elif isinstance(data, list):
        for at, value in enumerate(data):
            yield from _keys(value, (*before, at))


def _number(value: Any) -> float:
    return float(value) if value is not None else float("nan")
