"""The derived values of a study: expressions of other values, in an order in which each finds what it names.

A name is a dotted path, or its last part where only one path ends so: first among the paths of the study, then among what
the scenario itself says (`D` is then workload.dims.D), unless the study puts something else in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from hw import Problems
from hw.input import Document, shown, unknown
from scenarios.expressions.expression import Expression, Number, parse_expression
from scenarios.language.op_options import is_op_option, option_said
from scenarios.language.source import split_path
from scenarios.language.value_text import in_base_units


@dataclass(frozen=True)
class Derived:
    """Expressions by path in the order to compute them; what their names mean; and values that do not vary."""

    expressions: Mapping[str, Expression]
    order: tuple[str, ...]
    meaning: Mapping[str, Mapping[str, str]]
    fixed: Mapping[str, Any]

    def values(self, inputs: Mapping[str, Any]) -> dict[str, Number]:
        """The derived values of a point; without those that follow from what is looked for where it has no value. Raises
        ValueError with a message for the user."""
        known = {**self.fixed, **inputs}
        found: dict[str, Number] = {}
        for path in self.order:
            if not all(meant in known for meant in self.meaning[path].values()):
                continue
            try:
                named = {name: _number(name, known[meant]) for name, meant in self.meaning[path].items()}
                known[path] = found[path] = self.expressions[path].value(named)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from None
        return found

    def following(self, path: str) -> list[str]:
        """The derived paths that follow from a path, directly or not."""
        found = [path]
        for each in self.order:
            if set(found) & set(self.meaning[each].values()):
                found.append(each)
        return found[1:]


def _number(name: str, value: Any) -> Number:
    """A plain number; a quantity counts in base units."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    try:
        return in_base_units(value)
    except ValueError:
        raise ValueError(f"{name} is {shown(value, 40)}, which is not a number") from None


def read_derived(
    derive: Mapping[str, Any], paths: Sequence[str], searched: Sequence[str], document: Document, problems: Problems
) -> Derived:
    """The expressions of `study.derive`; `paths` are all paths of the study, those `searched` have values only while they
    are looked for, else what the scenario says. Wrong ones go to the problems."""
    expressions: dict[str, Expression] = {}
    meaning: dict[str, dict[str, str]] = {}
    fixed: dict[str, Any] = {}
    for path, text in derive.items():
        mark = document.value_mark(("study", "derive", path))
        try:
            expressions[path] = parse_expression(text)
            meaning[path] = {}
            for name in expressions[path].names:
                meant = meaning[path][name] = _meant(name, paths, document)
                if meant not in paths or (meant in searched and _said(meant, document) is not None):
                    fixed[meant] = _said(meant, document)
            if not expressions[path].names:
                expressions[path].value({})
        except ValueError as error:
            problems.add(mark, f"{path}: {error}")
            expressions.pop(path, None)
    needs = {path: set(meaning[path].values()) & set(expressions) for path in expressions}
    try:
        order = tuple(TopologicalSorter(needs).static_order())
    except CycleError as error:
        circle = [*error.args[1]]
        where = document.value_mark(("study", "derive", next(path for path in derive if path in circle)))
        problems.add(where, f"derive goes round in a circle: {' <- '.join(circle)}")
        order = ()
    return Derived(expressions, order, meaning, fixed)


def _meant(name: str, paths: Sequence[str], document: Document) -> str:
    """The path that a name stands for. Raises ValueError with a message for the user."""
    ending = [path for path in paths if path == name or path.rpartition(".")[2] == name]
    if name in ending or len(ending) == 1:
        return name if name in ending else ending[0]
    if len(ending) > 1:
        raise ValueError(f"'{name}' could be {' or '.join(ending)}; write it whole")
    dim = f"workload.dims.{name}"
    for candidate in (name, dim):
        if not any(candidate.startswith(f"{path}.") for path in paths) and _said(candidate, document) is not None:
            return candidate
    dims = document.data.get("workload", {}).get("dims", {}) if isinstance(document.data.get("workload"), dict) else {}
    raise ValueError(unknown("name", name, {*paths, *(path.rpartition(".")[2] for path in paths), *dims}))


def _said(path: str, document: Document) -> Any:
    """What the scenario says at a path; None if nothing."""
    if is_op_option(path):
        return option_said(path, document.data)
    value: Any = document.data
    for part in split_path(path):
        value = value.get(part) if isinstance(value, dict) else None
    return value
