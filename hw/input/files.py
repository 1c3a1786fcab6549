"""Files that a user names, read up to a limit: no file is read further, however long it is, or if it never ends."""

from __future__ import annotations

from pathlib import Path

from hw.input.errors import Mark, Problem, SpecError


def is_file(path: Path) -> bool:
    """Whether there is such a file; a name that no file can have is no file."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether there is such a folder; a name that none can have is no folder."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def read_bytes(path: Path, most: int, name: str) -> bytes:
    """What is in a file, of at most so many bytes; `name` is the file's in messages. Raises SpecError."""
    try:
        with path.open("rb") as file:
            raw = file.read(most + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SpecError([Problem(Mark(name), f"cannot read the file: {reason}")]) from None
    except ValueError as error:  # a file name with a NUL byte
        raise SpecError([Problem(Mark(ascii(name)), f"not a file name: {error}")]) from None
    if len(raw) > most:
        raise SpecError([Problem(Mark(name), f"the file is over {_size(most)}, the most that is read")])
    return raw


def read_text(path: Path, most: int, name: str) -> str:
    """The text of a file in UTF-8, without a byte order mark. Raises SpecError with the place of what is no text."""
    raw = read_bytes(path, most, name).removeprefix(b"\xef\xbb\xbf")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        raise SpecError([Problem(Mark(name, line, column), "not a text file in UTF-8")]) from None


def _size(count: int) -> str:
    return f"{count // 2**20} MiB" if count >= 2**20 else f"{count} bytes"
