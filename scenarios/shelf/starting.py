"""A file to start from: a template with a comment on each part, or a copy of another scenario under a new name.

A copy is the text as its author wrote it, comments and order included. What would mean something else in another folder
(the base that it extends, the runs that it compares with) is written so that it means the same.
"""

from __future__ import annotations

import re
from pathlib import Path

from hw import Mark, Problem, SpecError
from scenarios.language.source import LIBRARY, find_file, library_names, read_source

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SCHEMA = re.compile(r"\A# yaml-language-server:.*\n")
_NAMED = re.compile(r"^name:.*$", re.MULTILINE)
_RUN_OF = re.compile(r"""run\((?P<quote>["'])(?P<base>[^"']+)(?P=quote)""")
_EXTENDS = re.compile(r"^extends:[ \t]*(?P<base>[^#\n]*[^#\s])", re.MULTILINE)


def new_scenario(name: str, start: str | None = None) -> Path:
    """Write NAME.yaml into the working directory; the file. `start`: a scenario to copy. Raises SpecError."""
    name = name.removesuffix(".yaml")
    if not _NAME.fullmatch(name):
        message = f"'{name}' is no name: letters, digits, '-', '_' and '.' are, as in my-block"
        raise SpecError([Problem(Mark("new"), message)])
    path = Path(f"{name}.yaml")
    if path.exists():
        raise SpecError([Problem(Mark(str(path)), "is there, and nothing is overwritten; choose another name")])
    text = _TEMPLATE.replace("NAME", name) if start is None else _copied(name, start)
    path.write_text(text, "utf-8")
    return path


def _copied(name: str, start: str) -> str:
    source = find_file(start)
    read_source(source)  # what is wrong with it is told now
    text = _SCHEMA.sub("", source.read_text("utf-8"))
    text = _EXTENDS.sub(lambda found: f"extends: {_from_here(found['base'], source)}", text)
    text = _RUN_OF.sub(lambda found: f"run({found['quote']}{_from_here(found['base'], source)}{found['quote']}", text)
    named = _NAMED.sub(f"name: {name}", text, count=1)
    return named if _NAMED.search(named) else f"name: {name}\n{named}"


def _from_here(base: str, source: Path) -> str:
    """A base as the working directory has to name it."""
    target = find_file(base.strip("'\""), source.parent).resolve()
    if LIBRARY.resolve() in target.parents:
        return f"library:{next(name for name, path in library_names().items() if path.resolve() == target)}"
    return str(target)


_TEMPLATE = """\
# `overlapse run NAME.yaml` shows where the time goes, `overlapse explain NAME.yaml` why, and from where each figure is.
name: NAME
about: The two matmuls of a feed-forward layer on eight H100, the hidden width cut over them.

# What it runs on. A chip of `overlapse chips` and how so many of them are wired; or a shipped system of
# `overlapse systems`: {base: dgx_h100, nodes: 2}
system:
  chip: h100_sxm
  topology: switch(8) over nvlink
  mesh: {X: 8}                      # the chips by name: an axis X of 8

# What is computed: tensors by dtype and dims, `[B,F_X]` is cut along F over the axis X, `{U_X}` is a sum of which each
# chip has a part. Or a whole model: {model: llama3_8b, mode: train, batch: 8, seq: 4096, parallel: {tp: 8}}
workload:
  dims: {B: 4096, D: 8192, F: 28672}
  ops:
    - h:bf16[B,F_X] = matmul(x:bf16[B,D], w1:bf16[D,F_X])
    - a:bf16[B,F_X] = gelu(h)
    - p:bf16[B,D]{U_X} = matmul(a, w2:bf16[F_X,D])
    - y:bf16[B,D] = all_reduce(p, over=X)

# How it runs. auto: compute and memory overlap as far as tiles on the chip allow; full; none.
run: {overlap: auto}

# What is asked beside: a row for each value. `overlapse study NAME.yaml` runs them.
study:
  vary: {workload.dims.B: [1024, 2048, 4096, 8192]}

# What you expect. `overlapse check NAME.yaml` compares, and exits with 1 where it is not so.
expect:
  t_math: 2 * 2 * B * D * F / 8 / 9.89e14    # each matmul on each chip, over the peak of its matrix unit in bf16
  ops.y.t_network: 2 * 7 / 8 * 2 * B * D / 450e9
"""
