"""The scenario language as models: what keys a scenario file may hold, for validation and for the JSON Schema.

The ops themselves are lines of text, read by `simulator.graph.text`; dims and expected values are checked by hand in
`scenarios.building.build` and `scenarios.claims.claims`, so that one wrong entry does not hide the others.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from hw.input import Efficiency, Seconds, Spec
from hw.systems import SystemSpec
from scenarios.language.economics_spec import EconomicsSpec
from scenarios.language.process_spec import LoaderSpec
from scenarios.language.study_spec import StudySpec
from simulator import choices

_EARLIER_FORMS = {"macro": "task", "expanded": "messages"}
"""What forms of a collective were called at first: files that say so still run."""


def _form(value: object) -> object:
    return _EARLIER_FORMS.get(value, value) if isinstance(value, str) else value


class WorkloadSpec(Spec):
    """Sizes, ops, and what to fuse."""

    dims: dict[str, Any] = Field(default_factory=dict, description="sizes by name; no underscore in a name")
    ops: list[str | dict[str, Any]] = Field(description="op lines: out:dtype[dims] = kind(inputs, key=value)")
    fuse: Literal["none", "elementwise"] | list[list[str]] = "none"
    uneven: Literal["refuse", "pad"] = Field(default="refuse", description="a dim that does not divide over its chips")
    split: Literal["equal", "proportional"] | dict[str, list[float]] = Field(
        default="equal",
        description="how unlike chips share dims out: equally, by speed, or by weights along a mesh axis",
    )


def _whose(value: object) -> str:
    return "of one chip" if isinstance(value, dict) else "of all"


OfAllOrOne = Annotated[
    Annotated[Efficiency, Tag("of all")] | Annotated[dict[str, Efficiency], Tag("of one chip")], Discriminator(_whose)
]
"""An efficiency of all chips, or those of one by resource."""


class RunSpec(Spec):
    """How the run is modelled. `calibration: measured` turns the chip's measured efficiencies, padding and launch time
    on; each can also be set by itself, and then wins."""

    overlap: Literal["full", "none", "auto"] = "auto"
    order: Literal["program", "ready"] = "program"
    calibration: Literal["spec", "measured"] = "spec"
    padding: bool | None = Field(default=None, description="round matmul dims up to the matrix unit's tile")
    launch: Seconds | None = Field(default=None, description="launch time of every kernel")
    efficiency: dict[str, OfAllOrOne] = Field(
        default_factory=dict,
        description="measured over data sheet, by resource: matrix_unit, hbm, a link; under a chip's name its own",
    )
    tile_level: str = Field(
        default="on_chip",
        description="the memory in which tiles and what is fused must fit: on_chip, or a level by name",
    )
    memory_latency: bool = Field(
        default=False, description="a kernel waits once for the first answer of the memories that it reads"
    )
    sharding: Literal["canonical", "auto", "written"] = Field(
        default="canonical", description="collectives that the planner inserts: the textbook's, the cheapest, or none"
    )
    collectives: str = Field(
        default="canonical",
        description="the textbook's forms, the cheapest, or one algorithm where it fits",
        json_schema_extra={"enum": list(choices())},
    )
    network: Annotated[Literal["task", "messages"], BeforeValidator(_form)] = Field(
        default="task", description="a collective as one task, or carried out message by message: a check of the model"
    )
    routing: Literal["split", "single", "ecmp", "minimal"] = Field(
        default="split", description="which of equally short ways messages take"
    )
    fold: bool = Field(default=True, description="simulate alike chips once; the result is the same")
    network_share: float = Field(
        default=0.0, ge=0, lt=1, description="part of a chip's units that a collective takes while it runs"
    )


class ScenarioSpec(Spec):
    """A scenario file: a system, a workload, how to run it, and what must come out."""

    name: str = Field(min_length=1)
    about: str = ""
    extends: str | None = Field(default=None, description="a scenario file to start from; maps merge, null deletes")
    system: SystemSpec
    workload: WorkloadSpec
    run: RunSpec = RunSpec()
    processes: dict[str, LoaderSpec] = Field(
        default_factory=dict, description="data loaders by name; ops wait for them"
    )
    economics: EconomicsSpec | None = Field(default=None, description="prices, how often it runs, what it replaces")
    study: StudySpec | None = None
    expect: dict[str, Any] = Field(
        default_factory=dict, description="result word -> value, or {value, tolerance}; checked by `overlapse check`"
    )
