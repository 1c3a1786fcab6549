"""Systems by name or by file: nodes and pods as they are sold, each figure with its source.

A system is a file, not a class: `hw/systems/NAME.yaml`, in the words of a scenario's `system` section, which takes one as
its `base` and changes what it likes. `load_system("dgx_h100", nodes=16)` gives one from Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from hw.chips.catalogue import is_path
from hw.input.document import Document
from hw.input.errors import Mark, Problem, Problems, SpecError
from hw.input.files import is_file
from hw.input.sorts import need_sort
from hw.input.validation import validate
from hw.input.wording import unknown
from hw.input.yaml_text import read_document
from hw.systems.build import SystemBuilder
from hw.systems.spec import SystemFile
from hw.systems.system import System

_SYSTEMS = Path(__file__).parent
_SHOWN = "hw/systems/"


def system_names() -> list[str]:
    """The names of the shipped systems, sorted."""
    return sorted(path.stem for path in _SYSTEMS.glob("*.yaml"))


def is_shipped(reference: str) -> bool:
    """Whether a name, whatever its case, is that of a shipped system."""
    return reference.lower() in system_names()


@lru_cache(maxsize=64)
def _shipped(name: str) -> Document:
    return read_document(_SYSTEMS / f"{name}.yaml", f"{_SHOWN}{name}.yaml")


def system_document(reference: str, mark: Mark, base: Path | None = None) -> Document:
    """The document of a system, by name or by path (relative to `base`), to be read only. Raises SpecError at `mark`."""
    if is_path(reference):
        path = (base or Path()) / reference
        if not is_file(path):
            raise SpecError([Problem(mark, f"there is no system file '{path}'")])
        return need_sort(read_document(path), "system")
    if not is_shipped(reference):
        raise SpecError([Problem(mark, unknown("system", reference, system_names()))])
    return _shipped(reference.lower())


def folder_of(mark: Mark, otherwise: Path) -> Path:
    """The folder of the file that a mark is in; `otherwise` if it is in none (a value of the command line, say)."""
    if mark.file.startswith(_SHOWN):
        return _SYSTEMS
    path = Path(mark.file)
    return path.parent if is_file(path) else otherwise


def system_file(reference: str) -> SystemFile:
    """The description of a system, with its sources. Raises SpecError."""
    problems = Problems()
    spec = validate(SystemFile, system_document(reference, Mark(reference)), problems)
    problems.raise_if_any()
    assert spec is not None
    return spec


def load_system(
    reference: str | Path, nodes: int | None = None, slice: str | None = None, mesh: Mapping[str, int] | None = None
) -> System:
    """A shipped system, or one of a file; so many nodes of it, or a slice of it, under a mesh. Raises SpecError."""
    reference = str(reference)
    document = system_document(reference, Mark(reference))
    asked = {"nodes": nodes, "slice": slice, "mesh": dict(mesh) if mesh else None}
    changes = {key: value for key, value in asked.items() if value is not None}
    if isinstance(document.data, dict):
        document = Document(document.file, {**document.data, **changes}, dict(document.values), dict(document.keys))
    for key, value in changes.items():
        document.forget((key,))
        document.values[key,] = Mark(f"{reference}, {key}={value}")
    problems = Problems()
    spec = validate(SystemFile, document, problems)
    problems.raise_if_any()
    assert spec is not None
    built = SystemBuilder(spec, document, (), lambda mark: folder_of(mark, Path()), problems).build()
    problems.raise_if_any()
    return built.system
