"""The JSON Schemas of scenario and chip files, made from the models; editors use the shipped copies."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from hw import Chip, Mark, Problem, SpecError
from hw.input import unknown
from scenarios.language.scenario_spec import ScenarioSpec

_MODELS: dict[str, type[BaseModel]] = {"scenario": ScenarioSpec, "chip": Chip}


def schema_of(what: str) -> dict[str, Any]:
    """The schema of 'scenario' or 'chip' files. Raises SpecError for anything else."""
    if what not in _MODELS:
        raise SpecError([Problem(Mark("schema"), unknown("schema", what, _MODELS))])
    schema: dict[str, Any] = _MODELS[what].model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    if what == "scenario":
        # a file that extends another need not repeat what the other has
        schema["anyOf"] = [{"required": ["extends"]}, {"required": schema.pop("required")}]
        for part in schema["$defs"].values():
            part.pop("required", None)
    return schema
