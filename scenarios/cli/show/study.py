"""What is printed of a study: one line per run, its inputs and the words that say most."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from analysis import JOB_WORDS, PRICED_WORDS, RUN_WORDS, WORDS, word_named
from hw import Dimension
from hw.input import cut, show
from hw.network import GRAPH_SUFFIXES
from scenarios.claims.scope import FIND
from scenarios.console.price_marks import mark_lines, price_marks
from scenarios.console.terminal import print_whole
from scenarios.studies.sweeps import Study, StudyRow

MOST_ROWS = 50
_MOST_ERRORS = 10
_WIDEST = 28


Columns = Mapping[str, tuple[str, Callable[[Any], str]]]
"""The title of each word, and how its values read."""

_MAIN: Columns = {
    "time": ("time", lambda value: show(value, Dimension.TIME)),
    "bound_by": ("bound by", str),
    "eta": ("eta", WORDS["eta"].text),
    "mfu": ("MFU", lambda value: f"{100 * value:.1f} %"),
    "fits": ("fits", lambda value: "yes" if value else "no"),
}
"""Words that every table shows (`fits` only where one does not), by title, and how their values read."""


PRICED_BY = "priced_by"

_OF_A_JOB = ("job_time", "goodput", "failures", "job_cost", "effective_price")
"""Words about a job that say most; the others are shown where they are asked for."""


def show_study(console: Console, study: Study, asked: Sequence[str] = ()) -> None:
    """The table, with the words that are asked for, then every error that it numbers, and how many there are."""
    messages = Counter(row.error for row in study.rows if row.error)
    if study.asked is not None:
        asked = asked or [word for word in study.words if word != PRICED_BY]
    rows = study.rows[:MOST_ROWS]
    columns = _chosen(rows, asked)
    marks = price_marks(row.words.get(PRICED_BY) for row in rows) if set(columns) & set(PRICED_WORDS) else {}
    table = study_table(study.paths, rows, list(messages), columns, marks)
    files = any(_names_a_file(value) for row in rows for value in row.inputs.values())
    width = console.width
    if files:  # a path in two pieces, or cut, cannot be opened: the table is as wide as it needs
        console.width = max(width, Measurement.get(console, console.options.update(width=10_000), table).maximum)
    console.print(table)
    console.width = width
    for line in mark_lines(marks):
        console.print(Text(line, style="yellow"))
    notes = Counter(row.note for row in study.rows if row.note)
    for note, count in list(notes.items())[:_MOST_ERRORS]:
        console.print(Text(f"note, {_rows(count)}: {note}", style="yellow"))
    hidden = len(study.rows) - MOST_ROWS
    if hidden > 0:
        console.print(Text(f"... and {hidden:,} rows more; --export FILE.csv has all", style="dim"))
    for number, (message, count) in enumerate(list(messages.items())[:_MOST_ERRORS], 1):
        print_whole(console, Text(f"error {number}, {_rows(count)}: {cut(message)}", style="red"))
    if len(messages) > _MOST_ERRORS:
        console.print(Text(f"... and {len(messages) - _MOST_ERRORS:,} other errors", style="red"))
    errors = f", {study.failed:,} with errors" if study.failed else ""
    console.print(Text(f"{_rows(len(study.rows))}, {study.ran:,} run now{errors}", style="dim"))


def study_table(
    paths: Sequence[str],
    rows: Sequence[StudyRow],
    messages: Sequence[str],
    columns: Columns,
    marks: Mapping[str, str],
) -> Table:
    """One line per row: inputs under the last part of their path, then words, or the number of the error's message. `marks`:
    of sources of prices."""
    numbers = {message: number for number, message in enumerate(messages, 1)}
    words = {
        title: ["" if row.words.get(word) is None else read(row.words[word]) for row in rows]
        for word, (title, read) in columns.items()
    }
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for path in paths:
        table.add_column(escape(_title(path, paths)).replace(".", "\n"), no_wrap=True, vertical="bottom")
    for title, cells in words.items():
        # in a narrow terminal inputs give way, results do not
        table.add_column(title, no_wrap=True, min_width=max(len(cell) for cell in (title, *cells)), vertical="bottom")
    if marks:
        table.add_column("price", no_wrap=True, min_width=len("price"), vertical="bottom")
    if numbers:
        table.add_column("error", no_wrap=True)
    for at, row in enumerate(rows):
        inputs = [escape(_cell(row.inputs.get(path, ""))) for path in paths]
        priced = [marks.get(str(row.words.get(PRICED_BY)), "")] if marks else []
        error = [Text(str(numbers.get(row.error, "")), style="red")] if numbers else []
        table.add_row(*inputs, *(cells[at] for cells in words.values()), *priced, *error)
    return table


def _chosen(rows: Sequence[StudyRow], asked: Sequence[str]) -> Columns:
    """The words that are asked for, else those that say most."""
    return _asked(asked) if asked else _columns([row for row in rows if not row.error])


def _asked(words: Sequence[str]) -> Columns:
    """The words that are asked for, in their order."""
    plain = {word: (word.replace("_", " "), word_named(word).text if word != FIND else _cell) for word in words}
    return {word: _MAIN.get(word, column) for word, column in plain.items()}


def _columns(rows: Sequence[StudyRow]) -> Columns:
    """The main words, and those that sections about money, a model or a job have asked for."""
    fit = all(row.words.get("fits") is not False for row in rows)
    columns = {word: column for word, column in _MAIN.items() if not (word == "fits" and fit)}
    for word in dict.fromkeys(word for row in rows for word in row.words if word not in WORDS):
        if word == FIND:
            columns[word] = (FIND, _cell)
            continue
        if word not in JOB_WORDS or word in _OF_A_JOB:
            columns[word] = (word.replace("_", " "), RUN_WORDS[word].text)
    return columns


def _rows(count: int) -> str:
    return f"{count:,} row{'s' if count != 1 else ''}"


def _title(path: str, paths: Sequence[str]) -> str:
    """The last parts of a path, as many as tell it from the others."""
    parts = path.split(".")
    for count in range(1, len(parts)):
        title = parts[-count:]
        if sum(each.split(".")[-count:] == title for each in paths) == 1:
            return ".".join(title)
    return path


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _WIDEST or _names_a_file(value) else f"{text[: _WIDEST - 3]}..."


def _names_a_file(value: Any) -> bool:
    """Whether a value is the path of a file; what is wired over what may follow it."""
    return isinstance(value, str) and value.split(" over ")[0].endswith((".yaml", ".yml", *GRAPH_SUFFIXES))
