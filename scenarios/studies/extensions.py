"""What a user has added to Overlapse: op kinds, algorithms, forms of axes, wirings. Rows of a study depend on them.

Model: an entry of a table is the user's if a function of it is. All of them have one digest (`Fingerprint`), which is part
of a row's key in a store, and which a worker process must come to as well: it imports the modules that they are from, and
where they are others there, or none, that is said instead of a number.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from hw import Mark, Problem, SpecError
from hw.network import WIRINGS
from scenarios.studies.fingerprint import Fingerprint, has_theirs
from simulator import ALGORITHMS, AXIS_FORMS, KINDS

_MAIN = ("__main__", "__mp_main__")

_TABLES: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("op kind", KINDS),
    ("algorithm", ALGORITHMS),
    ("forms of axes of kind", AXIS_FORMS),
    ("wiring", WIRINGS),
)


@dataclass(frozen=True, slots=True)
class Extensions:
    """The user's entries in words, the modules that they are from, and the digest of what they are; none has none.
    `exact`: whether all of them could be read."""

    titles: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    digest: str = ""
    exact: bool = True

    @property
    def only_here(self) -> bool:
        """Whether one is written in the script, the notebook or the prompt itself, which workers may not have."""
        return any(module in _MAIN for module in self.modules)

    @property
    def key(self) -> str:
        """What stands for them in a store; what could not be read is never found again."""
        return self.digest if self.exact else os.urandom(16).hex()

    def need(self) -> None:
        """Import what they are from. Raises SpecError where they are not what they were made to be."""
        if not self.modules:
            return
        for module in self.modules:
            if module not in _MAIN:
                with suppress(ImportError):
                    import_module(module)
        if extensions().digest != self.digest:
            message = f"{', '.join(self.titles)}: not there, or another one; put it into a file, and import that"
            raise SpecError([Problem(Mark(", ".join(self.modules)), message)])


def extensions() -> Extensions:
    """What has been added until now."""
    if not has_theirs(entry for _, entries in _TABLES for entry in entries.values()):
        return Extensions()
    whole, titles = Fingerprint(), []
    for table, entries in _TABLES:
        for name, entry in sorted(entries.items()):
            mark = Fingerprint()
            mark.feed(entry)
            if mark.modules:
                titles.append(f"{table} '{name}'")
                whole.feed(name)
                whole.feed(entry)
    return Extensions(tuple(titles), tuple(whole.modules), whole.digest, whole.exact)
