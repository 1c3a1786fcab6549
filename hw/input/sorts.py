"""Files of another sort than the one that is asked for: the file of a chip where a scenario is meant, and the like.

Model: a sort has keys at the top of its files that no other sort has, and that its own files need. A file without those of
the sort that is asked for, and with those of another, is one of that other; what else is told of it would be noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hw.input.document import Document
from hw.input.errors import Problem, SpecError

_KEYS: Mapping[str, tuple[str, ...]] = {
    "scenario": ("workload", "extends", "run", "expect", "study"),
    "chip": ("matrix_unit", "vector_unit"),
    "system": ("scale_out", "slices", "topology", "chips"),
    "model": ("d_model", "layers", "ffn", "model_type", "architectures"),
}
"""By which keys a sort is known."""

_USES: Mapping[str, str] = {
    "scenario": "overlapse run FILE runs it",
    "chip": "it stands under system.chip of a scenario, and overlapse chips FILE shows it",
    "system": "it stands under system.base of a scenario, and overlapse systems FILE shows it",
    "model": "it stands under workload.model of a scenario, and overlapse models FILE shows it",
}


def sort_of(data: Any) -> str | None:
    """What a file's data are: a scenario, a chip, a system or a model; None where that cannot be told."""
    found = [sort for sort, keys in _KEYS.items() if isinstance(data, Mapping) and any(key in data for key in keys)]
    return found[0] if len(found) == 1 else None


def need_sort(document: Document, wanted: str) -> Document:
    """The same document. Raises SpecError for that of a file of another sort."""
    found = sort_of(document.data)
    if found is None or found == wanted:
        return document
    use = _USES[found].replace("FILE", document.file)
    message = f"this is the file of a {found}, and a {wanted} is wanted; {use}"
    raise SpecError([Problem(document.value_mark(()), message)])
