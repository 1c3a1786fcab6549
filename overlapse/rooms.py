"""Whether the packages that Overlapse is made of are the ones that Python finds.

Model: the four rooms lie beside this package, in the repository as in an installation. Python takes the first module of
a name on its path, and the folder of a script comes first: a file `analysis.py` beside it is what `import analysis` gets.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path

ROOMS = ("hw", "simulator", "analysis", "scenarios")
"""The packages, in the order in which data flows."""

_HOME = Path(__file__).resolve().parent.parent


@lru_cache(maxsize=1)
def need_rooms() -> None:
    """Make sure that no module hides one of Overlapse's packages. Raises ImportError, which names every one that does."""
    hidden = [line for room in ROOMS if (line := _hidden(room))]
    if hidden:
        raise ImportError("\n".join(hidden))


def _hidden(room: str) -> str | None:
    """What is wrong with where Python finds a room, if anything is."""
    found = PathFinder.find_spec(room)
    if found is None:  # no file has the name: a finder of an editable installation has it
        return None
    ours = _HOME / room / "__init__.py"
    place = found.origin or next(iter(found.submodule_search_locations or ()), "?")
    if Path(place).resolve() == ours:
        return None
    return (
        f"{place}: this hides Overlapse's own package '{room}' ({ours.parent}); rename it, or start in another folder"
    )
