"""Measured traces as timelines: PyTorch's Kineto, XProf, Ascend, Holistic Trace Analysis' files, any Chrome trace, our own.

Model: every slice of a device becomes a row with the columns of `timeline_frame`: op is its name, kind its category,
queue its stream or thread, chip its device; `layer` and `round` are -1 but in files of our own. What the host did and
what only frames work is left out. `analysis.traces.reading.rows` says what is read of one file; this puts several together:
- chips of files that do not speak of one rank get the numbers that no other file has, in the order of the files;
- times start at 0 with the first slice of all files, or with the zero of our own; files that say from when they count
  (baseTimeNanoseconds) are laid side by side.
`waiting` is unknown (NaN), and nothing waits for anything.
Format: Trace Event Format, JSON object or bare array, packed with gzip or not; times in microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.frames.accessor import add_accessor
from analysis.traces.reading.file import LIMIT_BYTES
from analysis.words.causes import DOES
from hw import Dimension, Mark, Problem, SpecError
from hw.input import show

if TYPE_CHECKING:
    import pandas as pd

    from analysis.traces.reading.rows import TraceFile

_FAR_APART_PS = 3600 * 10**12
"""Files further apart than this hardly show one run."""


def read_trace(*paths: str | Path, network: Sequence[str] = (), limit_bytes: int = LIMIT_BYTES) -> pd.DataFrame:
    """The timeline of one trace, or of the traces of several ranks together.

    `network`: patterns (regular expressions) of names that are communication, beside those that are known;
    `limit_bytes`: how much text a file may have, unpacked. `attrs["notes"]`: what is odd, a line each;
    `attrs["numbered"]`: the chips of each of several files that do not speak of one rank; absent where all do.
    Raises SpecError for a file that cannot be read, is no trace, has no slice of a device, is there twice, or has the
    rank of another, and for what is no pattern; all problems at once.
    """
    add_accessor()

    files = _files([Path(path) for path in paths], network, limit_bytes)
    files, numbered = _numbered(files) if len(files) > 1 else (files, {})
    frame = _frame(files)
    frame.attrs["notes"] = [f"{file.path}: {note}" for file in files for note in file.notes] + list(_apart(files))
    if numbered:
        frame.attrs["numbered"] = numbered
    return frame


def _frame(files: Sequence[TraceFile]) -> pd.DataFrame:
    """The timeline of all files."""
    import pandas as pd

    zeros = [file.zero_ps for file in files if file.zero_ps is not None]
    rows = sorted((row for file in files for row in file.rows), key=lambda row: row.begin_ps)
    # the shift comes before numpy: counted from 1970, picoseconds have more digits than its integers
    first = min(rows[0].begin_ps, *zeros) if zeros else rows[0].begin_ps
    places = np.asarray([row.place for row in rows], dtype=np.int32)
    return pd.DataFrame(
        {
            "task": np.arange(len(rows), dtype=np.int32),
            "op": pd.Categorical([row.op for row in rows]),
            "kind": pd.Categorical([row.kind for row in rows]),
            "chip": np.asarray([row.chip for row in rows], dtype=np.int32),
            "queue": pd.Categorical([row.queue for row in rows]),
            "chunk": np.asarray([row.chunk for row in rows], dtype=np.int32),
            "begin": _seconds([row.begin_ps - first for row in rows]),
            "end": _seconds([row.end_ps - first for row in rows]),
            "waiting": np.full(len(rows), np.nan, dtype=np.float32),
            "does": pd.Categorical([row.does for row in rows], categories=list(DOES)),
            "message": np.asarray([row.message for row in rows], dtype=bool),
            "layer": places[:, 0],
            "round": places[:, 1],
        }
    )


def _seconds(times_ps: list[int]) -> NDArray[Any]:
    """Picoseconds as seconds."""
    return np.asarray(times_ps, dtype=np.float64) / 1e12


def _apart(files: Sequence[TraceFile]) -> Iterator[str]:
    """Notes on files that may not count from the same instant."""
    based = {file.based for file in files if file.zero_ps is None}
    if len(based) > 1:
        yield "not all files say from when they count (baseTimeNanoseconds): the others are taken to count from 1970"
    spans = sorted((min(row.begin_ps for row in file.rows), max(row.end_ps for row in file.rows)) for file in files)
    for (_, end), (begin, _) in pairwise(spans):
        if begin - end > _FAR_APART_PS:
            yield f"files lie {show((begin - end) / 1e12, Dimension.TIME)} apart: do they count from the same instant?"


def _patterns(network: Sequence[str]) -> list[re.Pattern[str]]:
    """The patterns of the caller. Raises SpecError with those that are none."""
    found, problems = [], []
    for text in network:
        try:
            found.append(re.compile(text))
        except re.error as error:
            column = 1 + (error.pos or 0)
            message = f"{text!r} is not a regular expression: {error.msg}"
            problems.append(Problem(Mark("--network", 1, column), message))
    if problems:
        raise SpecError(problems)
    return found


def _files(paths: Sequence[Path], network: Sequence[str], limit_bytes: int) -> list[TraceFile]:
    """All files. Raises SpecError with everything that is wrong with any."""
    from analysis.traces.reading.rows import read_file  # late: most runs read no trace, and its many patterns take long

    problems: list[Problem] = []
    patterns: list[re.Pattern[str]] = []
    try:
        patterns = _patterns(network)
    except SpecError as error:
        problems += error.problems
    files: list[TraceFile] = []
    seen: dict[Path, Path] = {}
    of_rank: dict[int, Path] = {}
    for path in paths:
        other = seen.setdefault(path.resolve(), path)
        if other is not path:
            problems.append(Problem(Mark(str(path)), f"this file is given twice: it is {other}"))
            continue
        try:
            file = read_file(path, patterns, limit_bytes)
        except SpecError as error:
            problems += error.problems
            continue
        files.append(file)
        if file.rank is not None and of_rank.setdefault(file.rank, path) is not path:
            message = f"this says rank {file.rank}, and so does {of_rank[file.rank]}"
            problems.append(Problem(Mark(str(path)), message))
    if not files and not problems:
        problems.append(Problem(Mark("trace"), "there is no file to read"))
    if problems:
        raise SpecError(problems)
    return files


def _numbered(files: Sequence[TraceFile]) -> tuple[list[TraceFile], dict[str, list[int]]]:
    """The files, chips of those that do not speak of one rank numbered by what no other file is; those chips, by file."""
    ranks = {file.rank for file in files if file.is_one_rank}
    free = (number for number in count() if number not in ranks)
    result: list[TraceFile] = []
    numbered: dict[str, list[int]] = {}
    for file in files:
        if not file.is_one_rank:
            place = {chip: next(free) for chip in sorted({row.chip for row in file.rows})}
            numbered[str(file.path)] = list(place.values())
            file = replace(file, rows=[replace(row, chip=place[row.chip]) for row in file.rows])
        result.append(file)
    return result, numbered
