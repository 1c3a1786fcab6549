"""The architectures whose kernels ship, by name.

Model: a file of `hw/kernels` has the parameters of one architecture (`hw.chips.kernel_times`). A file of another library on
the same architecture says what it is `like`, and what is its own; it has the same lineage. A chip's file names an
architecture or gives the parameters themselves; a name stays one until somebody asks how long kernels take.
Source: each file's `source`.
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ValidatorFunctionWrapHandler, WrapValidator

from hw.chips.kernel_times import KernelTimes
from hw.input.document import Document
from hw.input.errors import Problems
from hw.input.validation import validate
from hw.input.wording import unknown
from hw.input.yaml_text import read_document

_FOLDER = Path(__file__).parent.parent / "kernels"


def kernel_times_names() -> list[str]:
    """The architectures whose kernels ship, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def _known(name: str) -> str:
    if name not in kernel_times_names():
        raise ValueError(unknown("architecture", name, kernel_times_names()))
    return name


@lru_cache(maxsize=16)
def load_kernel_times(name: str) -> KernelTimes:
    """The kernels of a shipped architecture. Raises ValueError for a name that there is not."""
    problems = Problems()
    found = validate(KernelTimes, _document(_known(name)), problems)
    problems.raise_if_any()
    assert found is not None
    return found.model_copy(update={"name": name})


@lru_cache(maxsize=16)
def lineage(name: str) -> str:
    """The architecture of a shipped file: of another library on one, that one."""
    like = read_document(_FOLDER / f"{name}.yaml", f"hw/kernels/{name}.yaml").data.get("like")
    return lineage(like) if like is not None else name


def _document(name: str) -> Document:
    """What a file says; of one that is `like` another, with what that one says of all else."""
    document = read_document(_FOLDER / f"{name}.yaml", f"hw/kernels/{name}.yaml")
    like = document.data.pop("like", None)
    if like is not None:
        document.data = _said_over(_document(_known(like)).data, document.data)
    return document


def _said_over(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of both, one's own before those of what it is like, at every level."""
    both = {key: _said_over(base[key], own[key]) for key in own if key in base and isinstance(own[key], dict)}
    return {**base, **own, **both}


def _named(value: object, read: ValidatorFunctionWrapHandler) -> object:
    # a name stays one: its file is read when somebody asks how long kernels take
    return _known(value) if isinstance(value, str) else read(value)


Architecture = Annotated[str, AfterValidator(_known)]
"""The name of a shipped architecture."""

NamedKernelTimes = Annotated[KernelTimes, WrapValidator(_named, json_schema_input_type=str | KernelTimes)]
"""The parameters, or the name of a shipped architecture (`kernel_times`)."""


def kernel_times(said: str | KernelTimes | None) -> KernelTimes | None:
    """The parameters that a chip says, by name or themselves."""
    return load_kernel_times(said) if isinstance(said, str) else said
