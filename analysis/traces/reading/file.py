"""The text of a trace file: unpacked, within a size, and of a kind that can be read; other kinds are told by name.

Model: a trace is JSON text, packed with gzip or not. A file that is larger than the limit, or unpacks to more, is
refused while it is read, before memory runs out. Text that was cut off while it was packed, and bytes that are no text,
are read as far as they go, with a note. What is not JSON is recognised by its first bytes, else by the end of its name.
Assumes: a trace begins with { or [, after blanks and a byte order mark.
Source: signatures of SQLite, ZIP, Zstandard, xz, bzip2, Parquet as their formats define them; RFC 1952 for gzip.
"""

from __future__ import annotations

import codecs
import gzip
import json
import stat
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from hw import Mark, Problem, SpecError

ZERO = "overlapse_zero_us"
"""Where our own traces say, in otherData, at which of their microseconds the run began."""

MESSAGE = "message"
"""What our own traces add to the category of a message."""

LIMIT_BYTES = 2 << 30
"""Bytes of text, unpacked, that a trace may have: some five million slices."""

READS = (
    "`import` reads Chrome traces in JSON, packed with gzip or not: of PyTorch (Kineto), XProf, Ascend, Perfetto, "
    "and Overlapse's own; graphs of other tools become scenarios: HLO, StableHLO, ONNX, Chakra, torch.export, nsys' SQLite"
)

NO_MEMORY = "there is not memory enough to read it: record fewer steps, or without stacks and shapes"

_CHUNK = 1 << 20
_HARMLESS_BYTES = 64 << 20
_MOST_PACKED = 200
"""How many times its size a packed file may have, beyond what is harmless: traces pack 10 to 40 times."""
_HEAD = 4096
_GZIP = b"\x1f\x8b"
_BLANK = b" \t\r\n\x00"
_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

_SIGNATURES = {
    b"SQLite format 3\x00": "an SQLite database, as Nsight Systems, rocprof and msprof export them",
    b"PK\x03\x04": "a ZIP archive: unpack it first",
    b"\x28\xb5\x2f\xfd": "packed with zstd: unpack it first",
    b"\xfd7zXZ": "packed with xz: unpack it first",
    b"BZh": "packed with bzip2: unpack it first",
    b"PAR1": "a Parquet file",
    b"\x89HDF": "an HDF5 file",
    b"<": "a page (HTML or XML)",
}

_ENDINGS = {
    ".pb": "a protobuf, as XProf's xplane.pb: take the trace.json.gz that lies beside it, or export one",
    ".et": "a Chakra execution trace: it has the graph of a run, not its times",
    ".chakra": "a Chakra execution trace: it has the graph of a run, not its times",
    ".pftrace": "a Perfetto protobuf: convert it with `traceconv json`",
    ".perfetto-trace": "a Perfetto protobuf: convert it with `traceconv json`",
    ".proto": "a protobuf: if it is Perfetto's, convert it with `traceconv json`",
    ".nsys-rep": "a report of Nsight Systems",
    ".qdrep": "a report of Nsight Systems",
    ".ncu-rep": "a report of Nsight Compute",
    ".csv": "a table, as rocprof and nvprof write them",
    ".db": "a database, as rocprof and msprof write them",
    ".pickle": "a Python pickle, as PyTorch's memory snapshots are",
    ".pkl": "a Python pickle",
    ".html": "a page (HTML)",
    ".yaml": "YAML: a scenario is run by `overlapse run`",
    ".yml": "YAML: a scenario is run by `overlapse run`",
}


def refusal(path: Path, message: str, line: int = 1, column: int = 1) -> SpecError:
    """The error for a file that cannot be read."""
    return SpecError([Problem(Mark(str(path), line, column), message)])


def trace_text(path: Path, limit_bytes: int = LIMIT_BYTES) -> tuple[str, list[str]]:
    """The text of a trace file, and notes on what is odd about it. Raises SpecError."""
    notes: list[str] = []
    try:
        _check_size(path, limit_bytes)
        with path.open("rb") as file:
            packed = file.peek(2)[:2] == _GZIP
            chunks = _unpacked(file, path, notes) if packed else iter(lambda: file.read(_CHUNK), b"")
            return _decoded(_gathered(chunks, path, limit_bytes), notes), notes
    except gzip.BadGzipFile as error:
        reason = f"cannot unpack the file: {error}"
    except zlib.error as error:
        reason = f"cannot unpack the file: {error}"
    except OSError as error:
        reason = f"cannot read the file: {error.strerror or error}"
    except MemoryError:
        reason = NO_MEMORY
    raise refusal(path, reason)


def _check_size(path: Path, limit_bytes: int) -> None:
    """Raise SpecError for a file that can be refused unread: a device, which may never end, or one that is too large."""
    about = path.stat()
    if stat.S_ISCHR(about.st_mode) or stat.S_ISBLK(about.st_mode):
        raise refusal(path, f"this is a device, not a file. {READS}")
    if about.st_size > limit_bytes:
        size = f"{about.st_size / 2**30:.1f} GiB"
        raise refusal(path, _too_large(size, limit_bytes))


def _too_large(size: str, limit_bytes: int) -> str:
    return (
        f"the file has {size} of text; a trace may have {limit_bytes / 2**30:g} GiB unpacked: "
        "record fewer steps, or without stacks and shapes"
    )


def _unpacked(file: BinaryIO, path: Path, notes: list[str]) -> Iterator[bytes]:
    """What a gzip file holds, a piece at a time; one that was cut off, as far as it goes. Raises SpecError for a bomb."""
    unpacked_bytes = 0
    with gzip.GzipFile(fileobj=file) as unpacked:
        while True:
            try:
                # read1: what was unpacked before the end is missed must not be lost
                chunk = unpacked.read1(_CHUNK)
            except EOFError:
                notes.append("the packed file is cut off: read as far as it goes")
                return
            if not chunk:
                return
            unpacked_bytes += len(chunk)
            if unpacked_bytes > _HARMLESS_BYTES and unpacked_bytes > _MOST_PACKED * file.tell():
                raise refusal(path, f"the file unpacks to more than {_MOST_PACKED} times its size, as no trace does")
            yield chunk


def _gathered(chunks: Iterable[bytes], path: Path, limit_bytes: int) -> bytearray:
    """All pieces as one. Raises SpecError once they can be no trace: too many bytes, or something else than JSON."""
    data = bytearray()
    begun = False
    for chunk in chunks:
        data += chunk
        if len(data) > limit_bytes:
            raise refusal(path, _too_large("more", limit_bytes))
        if not begun and (head := bytes(data[:_HEAD].lstrip(_BLANK))):
            begun = True
            _check_kind(head, path)
    return data


def _check_kind(head: bytes, path: Path) -> None:
    """Raise SpecError for a file that does not begin as JSON does, with what it is and what can be read."""
    if head.startswith(_MARKS) or head[:1] in b"{[":
        return
    signed = next((what for sign, what in _SIGNATURES.items() if head.startswith(sign)), None)
    name = path.name.lower().removesuffix(".gz")
    named = next((what for ending, what in _ENDINGS.items() if name.endswith(ending)), None)
    if what := signed or named:
        raise refusal(path, f"this is no trace that can be read: it is {what}. {READS}")
    if b"\x00" in head:
        raise refusal(path, f"this is no text. {READS}")


def _decoded(data: bytearray, notes: list[str]) -> str:
    """Bytes as text; those that are none are replaced, with a note."""
    encoding = json.detect_encoding(data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        notes.append(f"byte {error.start + 1:,} and perhaps others are no {encoding} text: replaced by \ufffd")
        return data.decode(encoding, errors="replace")
