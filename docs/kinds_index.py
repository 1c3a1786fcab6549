"""The reference of op kinds, from the registry and the docstrings beside it: `python docs/kinds_index.py` writes kinds.md.

Model: what a kind is said to do is the first paragraph of its function; one without words of its own is element-wise, and
its FLOPs per element are those that it lowers to. Options, numbers of inputs and whether it can be differentiated are read
from its row.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from hw import System, load_chip  # noqa: E402 - found beside docs/ also where nothing is installed
from simulator import KINDS, GraphBuilder, RunOptions, simulate  # noqa: E402
from simulator.ops.options import COMMON_OPTIONS  # noqa: E402

PAGE = ROOT / "docs" / "kinds.md"
ELEMENTS = 1024

HEAD = """\
# Op kinds

Every kind of op that a workload can name, as the registry has it; `python docs/kinds_index.py` writes this page. An op is
`out:dtype[dims] = kind(inputs, option=value)`. Rules for all: every distinct input is read once and the output written
once, from and to HBM unless tensors say another memory; contractions run on the matrix unit at the peak of the widest
input dtype, all else on the vector unit; an unknown kind is an error, never free.

Every kind takes {common} ([what they mean](language.md)). V is the bytes of the gathered, or to-be-scattered, array on one
chip. *Backward*: whether training can differentiate it.
"""


def page() -> str:
    """The whole page."""
    common = ", ".join(f"`{name}=`" for name in COMMON_OPTIONS)
    return "\n".join([HEAD.format(common=common), *_sections()]) + "\n"


def _sections() -> Iterator[str]:
    """A table for each module that has kinds, in the order in which they are registered."""
    for module in dict.fromkeys(each.lower.__module__ for each in KINDS.values()):
        mine = [each for each in KINDS.values() if each.lower.__module__ == module]
        said, file = _first(import_module(module).__doc__), module.replace(".", "/")
        yield f"## {_title(module)}\n\n{said} ([{file}.py](../{file}.py))\n"
        yield "| kind | inputs | its own options | backward | what it does |\n|---|---|---|---|---|"
        yield from (_row(each) for each in mine)
        yield ""


def _title(module: str) -> str:
    parts = [part for part in module.removeprefix("simulator.ops.kinds.").split(".") if part != "forward"]
    return " ".join(parts).replace("_", " ").capitalize()


def _row(found: Any) -> str:
    least, most = found.inputs
    inputs = f"{least}" if most == least else f"{least} or more" if most is None else f"{least} to {most}"
    options = ", ".join(f"`{name}=`" for name in found.options) or "-"
    words = (
        _first(found.lower.__doc__) if found.lower.__name__ != "lower" and found.lower.__doc__ else _elementwise(found)
    )
    return f"| `{found.name}` | {inputs} | {options} | {'yes' if found.backward else '-'} | {words} |"


def _elementwise(found: Any) -> str:
    """What a kind without words of its own does, by trying it."""
    build = GraphBuilder(N=ELEMENTS)
    inputs = [f"x{at}:bf16[N]" for at in range(found.inputs[0])]
    build.op(found.name, *inputs, out="y:bf16[N]")
    plan = simulate(build.graph(), System(load_chip("tpu_v5e")), RunOptions()).plan
    flops = plan.kernels[0].kernel.flops / ELEMENTS
    return f"Element by element, {flops:g} FLOP each."


def _first(text: str | None) -> str:
    """The first paragraph of a docstring in one line, as a cell of a table may hold it."""
    paragraph = inspect.cleandoc(text or "").split("\n\n")[0]
    return " ".join(paragraph.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
