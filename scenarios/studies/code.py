"""A digest of what computes: results of other code, or of another catalogue, are not results of this one.

Model: the digest is over the files of the four packages, by name and content, wherever they are installed: every mend
changes it, as a version number does not. The catalogue's chips and systems belong to it, since scenarios refer to them by
name; the library's scenarios do not, a key has what they say. Computed once in a process: code does not change under way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("hw", "simulator", "analysis", "scenarios")
_SOURCES = (".py", ".yaml", ".json")
_COMPILED = ".pyc"
"""Stands for the sources where a package is installed without them."""

_ASIDE = {"__pycache__", "library", "assets", "examples"}
"""Folders whose files no result depends on."""


@lru_cache(maxsize=1)
def code_digest() -> str:
    """The digest of the code of this process."""
    return digest_of(dict(_folders()))


def digest_of(folders: Mapping[str, Path]) -> str:
    """The digest of the files in the folders of packages, by name of the package."""
    whole = hashlib.sha256()
    for package, folder in sorted(folders.items()):
        for path in sorted(_files(folder)):
            name = f"{package}/{path.relative_to(folder).as_posix()}"
            for part in (name.encode(), path.read_bytes()):
                whole.update(len(part).to_bytes(8, "big"))  # so that no byte can move from one part to the next
                whole.update(part)
    return whole.hexdigest()


def _folders() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        found = find_spec(package)
        for place in (found.submodule_search_locations or ()) if found else ():
            yield package, Path(place)


def _files(folder: Path) -> list[Path]:
    every = [path for path in folder.rglob("*") if not _ASIDE & set(path.relative_to(folder).parts)]
    sources = [path for path in every if path.suffix in _SOURCES]
    compiled = [path for path in every if path.suffix == _COMPILED]
    return sources if any(path.suffix == ".py" for path in sources) else [*sources, *compiled]
