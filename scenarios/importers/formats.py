"""The formats that `overlapse import` reads, one object each, and which of them a file is of.

Model: a format recognises a file by how it begins (unpacked, where it is packed with gzip) and makes one scenario of one
or of several files. A new one is an object with `name`, `about`, `recognises` and `read`, put in by `add_format`.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from hw import Mark, Problem, SpecError
from hw.input import is_file, unknown
from scenarios.importers.imported import Imported, ImportOptions

HEAD_BYTES = 1 << 16
"""How much of a file is looked at to tell its format."""

_GZIP = b"\x1f\x8b"


class Format(Protocol):
    """A kind of file that becomes a scenario."""

    name: str
    about: str

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether a file that begins so is of this format."""

    def read(self, paths: Sequence[Path], options: ImportOptions) -> Imported:
        """The scenario that files are. Raises SpecError with what is wrong."""


FORMATS: dict[str, Format] = {}
"""All formats by name, in the order in which they are asked."""


def add_format(made: Format) -> None:
    """Add a format; a second one of a name is refused."""
    if made.name in FORMATS:
        raise ValueError(f"format '{made.name}' is already there; known: {', '.join(FORMATS)}")
    FORMATS[made.name] = made


def format_of(path: Path) -> Format | None:
    """The format that a file is of, by what it begins with; None where no format knows it. Raises SpecError."""
    head = head_of(path)
    return next((each for each in FORMATS.values() if each.recognises(path, head)), None)


def import_files(
    paths: Sequence[Path | str], named: str | None = None, options: ImportOptions | None = None
) -> Imported:
    """The scenario that one file is, or several ranks of one run. `named`: the format, where it is not to be found out.
    Raises SpecError with what is wrong."""
    files = [Path(path) for path in paths]
    if not files:
        raise SpecError([Problem(Mark("import"), "there is no file to read")])
    form, asked = _chosen(files, named), options or ImportOptions()
    made = form.read(files, asked)
    if made.measured_s is None:
        strange = [
            Problem(Mark(each), f"this is for measured runs, not for {form.name}") for each in asked.of_replays()
        ]
        if strange:
            raise SpecError(strange)
    return made


def _chosen(files: Sequence[Path], named: str | None) -> Format:
    """The one format of all files. Raises SpecError."""
    if named is not None:
        if named not in FORMATS:
            raise SpecError([Problem(Mark("--as"), unknown("format", named, FORMATS))])
        for path in files:
            head_of(path)
        return FORMATS[named]
    found = [format_of(path) for path in files]
    strange = [Problem(Mark(str(path)), _no_format()) for path, each in zip(files, found, strict=True) if each is None]
    if strange:
        raise SpecError(strange)
    formats = {each.name: each for each in found if each is not None}
    if len(formats) > 1:
        names = ", ".join(formats)
        raise SpecError([Problem(Mark(str(files[0])), f"files of one run are of one format, not of {names}")])
    return next(iter(formats.values()))


def _no_format() -> str:
    known = "; ".join(f"{each.name}: {each.about}" for each in FORMATS.values())
    return f"no format that is known begins so. Known are {known}"


def head_of(path: Path) -> bytes:
    """The first bytes of a file, unpacked. Raises SpecError for what cannot be read."""
    if path.exists() and not path.is_dir() and not is_file(path):
        raise SpecError([Problem(Mark(str(path)), "this is no plain file")])
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        if not head.startswith(_GZIP):
            return head
        with gzip.open(path) as packed:
            return packed.read1(HEAD_BYTES)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise SpecError([Problem(Mark(str(path)), f"cannot unpack the file: {error}")]) from None
    except OSError as error:
        raise SpecError([Problem(Mark(str(path)), f"cannot read the file: {error.strerror or error}")]) from None
