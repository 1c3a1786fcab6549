"""HLO and StableHLO text as a scenario of one chip's program, on as many chips as it was partitioned for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hw import Mark, Problem, RunError, SpecError
from scenarios.importers.hlo import control, exchanges, kernels, libraries, solvers  # noqa: F401  (registers)
from scenarios.importers.hlo.lowering import Lowering
from scenarios.importers.hlo.module import Module, why
from scenarios.importers.hlo.partition import Partition
from scenarios.importers.hlo.sharding.annotations import is_partitioned
from scenarios.importers.hlo.sharding.spreading import Spreading
from scenarios.importers.hlo.stablehlo import read_stablehlo
from scenarios.importers.hlo.text import read_hlo
from scenarios.importers.imported import Imported, ImportOptions
from scenarios.importers.op_lines import OpLines
from scenarios.importers.written import Graph, written

_MOST_SHOWN = 12
_MOST_BYTES = 1 << 28
_MLIR = re.compile(rb"(\s*(#[^\n]*|//[^\n]*)\n)*\s*(module|func\.func)\b")
_HLO = re.compile(rb"(\s*(#|//)[^\n]*\n)*\s*HloModule\b")


class Hlo:
    """HLO text."""

    name = "hlo"
    about = "HLO text of XLA"

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether a file begins with HLO's first word."""
        return bool(_HLO.match(head))

    def read(self, paths: Sequence[Path], options: ImportOptions) -> Imported:
        """The scenario of a module. Raises SpecError."""
        path = one_of(paths)
        return made_of(read_hlo(path, text_of(path)), options)


class StableHlo:
    """StableHLO text."""

    name = "stablehlo"
    about = "StableHLO text, as jax's lowered.as_text() prints it"

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether a file begins as a module of MLIR with StableHLO in it."""
        return bool(_MLIR.match(head)) and (b"stablehlo." in head or b"mhlo." in head or b"func.func" in head)

    def read(self, paths: Sequence[Path], options: ImportOptions) -> Imported:
        """The scenario of a module. Raises SpecError."""
        path = one_of(paths)
        return made_of(read_stablehlo(path, text_of(path)), options)


def from_jax(
    function: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None = None,
    *,
    compiled: bool = False,
    options: ImportOptions | None = None,
) -> Imported:
    """The scenario of a function of JAX with example arguments (shapes will do): as it is traced, or with `compiled` as XLA
    has optimised and partitioned it for the devices that JAX has. Nothing is run. Raises SpecError, and RunError where jax
    is missing; what jax says of the function comes as it is."""
    try:
        import jax
    except ImportError:
        raise RunError("functions of JAX need jax: pip install 'overlapse[jax]'") from None
    traced = function if hasattr(function, "lower") else jax.jit(function)
    lowered = traced.lower(*args, **dict(kwargs or {}))
    path = Path(getattr(function, "__name__", "function"))
    if compiled:
        return made_of(read_hlo(path, lowered.compile().as_text()), options or ImportOptions())
    return made_of(read_stablehlo(path, lowered.as_text()), options or ImportOptions())


def one_of(paths: Sequence[Path]) -> Path:
    """The one file of a format that has no ranks. Raises SpecError."""
    if len(paths) > 1:
        raise SpecError([Problem(Mark(str(paths[1])), "one module is read at a time: all chips run the same")])
    return paths[0]


def text_of(path: Path) -> str:
    """The text of a file. Raises SpecError."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise SpecError(
                [Problem(Mark(str(path)), f"the file is over {_MOST_BYTES >> 20} MiB, the most that is read")]
            )
        return path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise SpecError([Problem(Mark(str(path)), f"cannot read the file: {error.strerror or error}")]) from None


def made_of(module: Module, options: ImportOptions) -> Imported:
    """The scenario of a module. Raises SpecError."""
    lines = OpLines(options)
    lowering = Lowering(module, lines, options.dims)
    shardings = shardings_of(module)
    lowering.run(shardings)
    notes = []
    if lowering.scalars:
        notes.append(f"{lowering.scalars:,} instructions on single numbers are left out")
    if lowering.branches:
        notes.append(f"of {lowering.branches:,} conditionals the branch with most FLOPs stands for all")
    if shardings is not None:
        notes.append(
            "sharded as it is annotated; its collectives are those that a partitioner would put in, by our rules"
        )
        cut = shardings.shown(lowering)
        if cut:
            more = f" and {len(cut) - _MOST_SHOWN} more" if len(cut) > _MOST_SHOWN else ""
            notes.append(f"arguments in parts: {', '.join(cut[:_MOST_SHOWN])}{more}")
    graph = Graph(
        source=module.path,
        name=module.name,
        about=f"{module.name} as XLA has it, the program of one chip.",
        groups=lowering.groups,
        axes=shardings.axes if shardings is not None else (),
        world=module.partitions,
        rules={} if module.scheduled else {"fuse": "elementwise"},
        open_dims=lowering.open_loops,
    )
    return written(lines, graph, options, notes)


def shardings_of(module: Module) -> Partition | None:
    """The shardings of a module that is annotated and not partitioned yet; it then has as many partitions as they say.
    Raises SpecError."""
    if module.scheduled or is_partitioned(module):
        return None
    try:
        spreading = Spreading(module)
    except SpecError:
        raise
    except (ValueError, KeyError, IndexError) as error:
        raise SpecError(
            [Problem(Mark(str(module.path)), f"the shardings of this module cannot be read: {why(error)}")]
        ) from None
    if not spreading.says_anything:
        return None
    module.partitions = max(module.partitions, spreading.digits[-1])
    return Partition(spreading, module.partitions)
