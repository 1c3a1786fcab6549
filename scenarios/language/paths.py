"""Dotted paths of a scenario: whether there is such a thing to vary.

A path is followed through the models of the scenario language; below `system.set` through those of a chip. What the models
leave open (a link's name, an inline chip) is accepted here and judged when the scenario is built. `ops.NAME.tiles` is an
option of an op.
"""

from __future__ import annotations

import types
from collections.abc import Collection
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from hw import Chip, Problems, System
from hw.chips import HOST_LINK
from hw.input import Document, unknown
from scenarios.language.op_options import is_op_option, option_problem
from scenarios.language.scenario_spec import ScenarioSpec

SAYS_NOTHING = ("name", "about", "extends", "study", "expect")
"""Sections that no run depends on."""


_NAMED_BY_USERS = (
    "expect",
    "processes",
    "run.efficiency",
    "study.derive",
    "study.random.values",
    "study.vary",
    "study.zip",
    "system.groups",
    "system.mesh",
)
"""Maps whose names are a user's own."""


def path_problem(path: str, document: Document, swapped: Collection[str] = ()) -> str | None:
    """What is wrong with a path, or None. `swapped`: the other paths of the study, which may put new things in place."""
    parts = path.split(".")
    if not all(parts):
        return f"'{path}' is not a dotted path, as in workload.dims.B"
    if is_op_option(path):
        return None if "workload" in swapped or "workload.ops" in swapped else option_problem(path, document.data)
    if parts[0] in SAYS_NOTHING or parts[0] not in ScenarioSpec.model_fields:
        return unknown("section", parts[0], _varied_sections())
    if parts[:2] == ["system", "set"]:
        return _unknown_key(Chip, parts[2:], "system.set.")
    wrong = _unknown_key(ScenarioSpec, parts, "")
    if wrong is None and parts[:2] == ["workload", "dims"] and not {"workload", "workload.dims"} & set(swapped):
        wrong = _unknown_dim(parts, document)
    return wrong


def check_nulls(document: Document, problems: Problems) -> None:
    """Nulls that delete nothing may stand for what could be there; names that nothing has, and dims, are mistaken."""
    for key, mark in document.unmet.items():
        parts = [str(part) for part in key]
        if parts[:2] == ["system", "set"]:
            wrong = _unknown_key(Chip, ".".join(parts[2:]).split("."), "system.set.")
        elif parts[:2] == ["workload", "dims"]:
            wrong = _unknown_dim(parts, document)
        elif ".".join(parts[:-1]) in _NAMED_BY_USERS:
            wrong = f"{'.'.join(parts[:-1])} has no '{parts[-1]}'"
        else:
            wrong = _unknown_key(ScenarioSpec, parts, "")
        if wrong:
            problems.add(mark, f"there is nothing to delete: {wrong}")


def link_problem(path: str, system: System, swapped: Collection[str] = ()) -> str | None:
    """What is wrong with a path to a figure of a link: that neither a chip of the system nor its wiring has the link. With
    another system in its place (`swapped`, the other paths of the study) that cannot be said."""
    parts = path.split(".")
    elsewhere = any(each.split(".")[0] == "system" and not each.startswith("system.set.") for each in swapped)
    if parts[:3] != ["system", "set", "links"] or len(parts) < 4 or elsewhere:
        return None
    wires = system.topology.wires if system.topology is not None else ()
    known = {*(name for chip in system.kinds for name in chip.links), *(wire.link for wire in wires), HOST_LINK}
    return None if parts[3] in known else unknown("link", parts[3], known)


def _varied_sections() -> list[str]:
    return [*(name for name in ScenarioSpec.model_fields if name not in SAYS_NOTHING), "ops.NAME"]


def _unknown_dim(parts: list[str], document: Document) -> str | None:
    """Setting a dim that the workload does not have would change nothing."""
    workload = document.data.get("workload")
    dims = workload.get("dims", {}) if isinstance(workload, dict) else None
    if len(parts) == 2 or not isinstance(dims, dict) or ".".join(parts[2:]) in dims:
        return None
    if isinstance(workload, dict) and "model" in workload:
        dim = ".".join(parts[2:])
        return f"there is no dim '{dim}' to set: the dims of a model follow from workload.batch, seq and so on"
    return unknown("dim", ".".join(parts[2:]), dims)


def _unknown_key(model: type[BaseModel], parts: list[str], above: str) -> str | None:
    """The message for the first part that no model on the way knows."""
    if not parts:
        return None
    known = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
    if parts[0] not in known:
        return unknown("key", above + parts[0], [above + name for name in known])
    inner, is_map = _inside(known[parts[0]])
    taken = 2 if is_map else 1
    return _unknown_key(inner, parts[taken:], above + ".".join(parts[:taken]) + ".") if inner else None


def _inside(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model inside an annotation such as `Memory | None` or `dict[str, Link]`, and whether it is in a map. An
    annotation that also allows other things has none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    origin, arguments = get_origin(annotation), [each for each in get_args(annotation) if each is not type(None)]
    if origin is Annotated or (origin in (Union, types.UnionType) and len(arguments) == 1):
        return _inside(arguments[0])
    if origin is dict and len(arguments) == 2:
        return _inside(arguments[1])[0], True
    return None, False
