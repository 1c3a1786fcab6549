"""One op line, read from left to right: `out:dtype[dims]{U_X}@memory = kind(inputs, key=value)`.

Pure syntax: names, types, options as written, and the column of every part. What a name means, and whether a kind exists,
is decided by `simulator.graph.text` and `simulator.passes.soundness`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hw.input import nearest, unknown
from simulator.graph.dtypes import check_dtype
from simulator.graph.items import MEMORIES, Dim, Round, Tensor

_NAME = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*")
_TYPE = re.compile(r":\s*([A-Za-z]\w*)\s*\[([^\[\]()=]*)\]")
_PARTIAL = re.compile(r"\{\s*U_([A-Z]+)\s*\}")
_MEMORY = re.compile(r"@\s*(\w+)")
_ROUNDS = re.compile(r"@\s*(\d{1,6}|round\b)")
_MORE_ROUNDS = re.compile(r"\.\s*(\d{1,6}|round\b)")
_SHIFT = re.compile(r"([+-])\s*(\d{1,6})")
_OPTION = re.compile(r"([A-Za-z_]\w*)\s*=(?!=)\s*")
_VALUE = re.compile(r"(?:[A-Z]+\s*@\s*)?\[[^\[\]()]*\]|[^,()\[\]=]+")
_PLACES = re.compile(r"([A-Z]+)\s*@\s*")
_FORM = "OUT:DTYPE[DIMS] = KIND(INPUTS, OPTION=VALUE), as in y:bf16[B,D] = relu(x)"
_LOWER_AXES = re.compile(r"[A-Z][A-Z0-9]*_[A-Za-z]+")
"""A dim whose axes are written small: its name is in capitals, so that both can be meant in capitals."""

_DIM = re.compile(r"(?:([A-Za-z][A-Za-z0-9]*)|(\d{1,18}))(?:_([A-Z]+))?")
_TYPED = re.compile(
    r"(?<![\w.])[A-Za-z_][\w.]*+\s*+:\s*+[A-Za-z]\w*+\s*+\[[^\[\]]*+\]"
    r"(?:\s*\{\s*U_[A-Z]+\s*\})?(?:\s*@\s*\w+)?"
)
_END = re.compile(r"$")
_SPACE = re.compile(r"\s*")


MAX_LINE = 20_000
"""Characters of an op line."""


class LineError(Exception):
    """A line that cannot be read: the column (from 0) and why; `others`: what else is wrong before that place."""

    def __init__(self, column: int, message: str) -> None:
        super().__init__(message)
        self.column = column
        self.message = message
        self.others: tuple[LineError, ...] = ()


@dataclass(slots=True)
class Written:
    """A tensor as written: its name, its type if given, where, and of which rounds it is meant. `sound`: all of its type
    can be read; what cannot stands as bf16, in HBM, or not at all."""

    name: str
    column: int
    type: Tensor | None
    rounds: tuple[Round, ...] = ()
    dims: str = ""
    dims_at: int = 0
    sound: bool = True


class _Cursor:
    """Reads one line from left to right; `wrong` is what was wrong on the way and hides nothing behind it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.column = 0
        self.wrong: list[LineError] = []

    def note(self, column: int, message: str) -> None:
        """Something is wrong, and reading goes on behind it."""
        self.wrong.append(LineError(column, message))

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Skip space; consume and return a match here, if there is one."""
        space = _SPACE.match(self.text, self.column)
        start = space.end() if space else self.column
        match = pattern.match(self.text, start)
        if match is not None:
            self.column = match.end()
        else:
            self.column = start
        return match

    def literal(self, token: str) -> bool:
        """Skip space; consume `token` if it stands here."""
        return self.take(re.compile(re.escape(token))) is not None

    @property
    def found(self) -> str:
        """What stands here, for a message."""
        text = self.text[self.column : self.column + 12]
        return f"'{text}'" if text else "the end of the line"

    def expect(self, token: str, after: str, hint: str = "") -> None:
        """Consume `token` or fail here; `hint` says what else may be meant."""
        if not self.literal(token):
            raise LineError(self.column, f"expected '{token}' after {after}, found {self.found}{hint}")


def _read_tensor(cursor: _Cursor, what: str) -> Written:
    match = cursor.take(_NAME)
    if match is None:
        raise LineError(cursor.column, f"expected the name of {what}, found {cursor.found}")
    name, column = match[0], match.start()
    typed = cursor.take(_TYPE)
    if typed is None:
        if cursor.column < len(cursor.text) and cursor.text[cursor.column] == ":":
            raise LineError(cursor.column, f"expected a type after '{name}:', such as bf16[B,D]")
        return Written(name, column, None, _read_rounds(cursor, name))
    before, dtype = len(cursor.wrong), typed[1]
    wrong = check_dtype(dtype)
    if wrong:
        cursor.note(typed.start(1), wrong)
        dtype = "bf16"
    dims = tuple(_read_dims(cursor, typed[2], typed.start(2)))
    partial = cursor.take(_PARTIAL)
    memory = cursor.take(_MEMORY)
    where = memory[1] if memory else "hbm"
    if memory is not None and where not in MEMORIES and nearest(where, MEMORIES):
        # any other name may be a level of the chip's memory, which only binding can tell
        cursor.note(memory.start(1), unknown("memory", where, MEMORIES))
        where = "hbm"
    tensor = Tensor(name, dtype, dims, partial[1] if partial else "", where)
    _check_axes(cursor, tensor, column)
    sound = len(cursor.wrong) == before
    return Written(name, column, tensor, dims_at=typed.start(2), dims=typed[2], sound=sound)


def _dim_columns(part: str, written: Written) -> Iterator[tuple[str, int]]:
    """Where the dims of a tensor stand, as 'in0.D'; each at its first place."""
    at = written.dims_at + len(written.dims)
    for text in reversed(written.dims.split(",")):
        at -= len(text)
        name = text.strip().partition("_")[0]
        yield f"{part}.{name}", at + len(text) - len(text.lstrip())
        at -= 1


def _read_rounds(cursor: _Cursor, name: str) -> tuple[Round, ...]:
    """The rounds of which a tensor is meant: '@3', '@round-1', '@round.3'; nothing where none stand here."""
    found = cursor.take(_ROUNDS)
    if found is None:
        if cursor.text[cursor.column : cursor.column + 1] == "@":
            raise LineError(cursor.column, f"expected a round after '{name}@': a number, round, round-1 or round+1")
        return ()
    rounds: list[Round] = []
    while found is not None:
        if found[1] == "round":
            shift = cursor.take(_SHIFT)
            rounds.append(Round(int(shift[1] + shift[2]) if shift else 0, relative=True))
        else:
            rounds.append(Round(int(found[1])))
        found = cursor.take(_MORE_ROUNDS)
    return tuple(rounds)


def read_reference(text: str) -> tuple[str, tuple[Round, ...]]:
    """A name with the rounds of which it is meant. Raises LineError."""
    cursor = _Cursor(text)
    written = _read_tensor(cursor, "an op")
    if written.type is not None or cursor.take(_END) is None or cursor.wrong:
        raise LineError(written.column, f"'{text}' is not a name, or a name and its round such as {written.name}@3")
    return written.name, written.rounds


def _read_dims(cursor: _Cursor, text: str, column: int) -> Iterator[Dim]:
    for part in text.split(",") if text.strip() else ():
        match = _DIM.fullmatch(part.strip())
        if match is None:
            hint = f", did you mean '{part.strip().upper()}'?" if _LOWER_AXES.fullmatch(part.strip()) else ""
            message = f"'{part.strip()}' is not a dim; write a name or a size, with axes as in D_XY{hint}"
            cursor.note(column + len(part) - len(part.lstrip()), message)
        elif match[2] is not None and int(match[2]) == 0:
            cursor.note(column, "a dim of size 0 holds nothing; it must be at least 1")
        else:
            yield Dim(match[1] if match[1] else int(match[2]), match[3] or "")
        column += len(part) + 1


def _check_axes(cursor: _Cursor, tensor: Tensor, column: int) -> None:
    used = tensor.axes + tensor.partial
    twice = next((axis for axis in used if used.count(axis) > 1), None)
    if twice:
        cursor.note(column, f"mesh axis {twice} is used twice in {tensor.name}:{tensor.type_text}")


@dataclass(slots=True)
class Line:
    """One line as written; `wrong`: what of it cannot be meant, from left to right."""

    output: Written
    kind: str
    inputs: list[Written]
    options: list[tuple[str, str]]
    columns: dict[str, int]
    wrong: list[LineError]


def read_line(text: str) -> Line:
    """One op line, taken apart. Raises LineError at the first thing that cannot be read."""
    line = take_apart(text)
    if line.wrong:
        raise line.wrong[0]
    return line


def take_apart(text: str) -> Line:
    """One op line as far as it can be read. Raises LineError where nothing behind a place can be."""
    if len(text) > MAX_LINE:
        raise LineError(MAX_LINE, f"an op line has at most {MAX_LINE:,} characters, this one {len(text):,}")
    cursor = _Cursor(text)
    try:
        return _read_line(cursor)
    except LineError as error:
        error.others = tuple(cursor.wrong)
        raise


def _read_line(cursor: _Cursor) -> Line:
    text = cursor.text
    output = _read_tensor(cursor, "the output")
    if output.rounds:
        cursor.note(output.column, f"an op makes '{output.name}' in every round; only inputs are of a round")
    columns = {"out": output.column, **dict(_dim_columns("out", output))}
    cursor.expect("=", f"'{output.name}'", f"; an op line is {_FORM}")
    kind = cursor.take(_NAME)
    if kind is None:
        raise LineError(cursor.column, "expected an op kind such as matmul after '='")
    columns["kind"] = kind.start()
    cursor.expect("(", f"'{kind[0]}'")
    line = Line(output, kind[0], [], [], columns, cursor.wrong)
    while not cursor.literal(")"):
        if (line.inputs or line.options) and not cursor.literal(","):
            raise LineError(cursor.column, f"expected ',' or ')' after an argument, found {cursor.found}")
        _read_argument(cursor, line)
    if cursor.take(_END) is None:
        raise LineError(cursor.column, f"nothing may follow the closing bracket, found '{text[cursor.column :][:12]}'")
    return line


def _read_argument(cursor: _Cursor, line: Line) -> None:
    option = cursor.take(_OPTION)
    if option is None:
        written = _read_tensor(cursor, "an input or an option")
        if line.options:
            cursor.note(written.column, f"input '{written.name}' stands after an option; inputs come first")
        part = f"in{len(line.inputs)}"
        line.columns |= {part: written.column, **dict(_dim_columns(part, written))}
        line.inputs.append(written)
        return
    value = cursor.take(_VALUE)
    if value is None or not value[0].strip():
        cursor.note(cursor.column, f"option {option[1]}= has no value")
        return
    if any(option[1] == name for name, _ in line.options):
        cursor.note(option.start(1), f"option {option[1]}= is given twice")
        return
    line.columns[option[1]] = option.start(1)
    line.options.append((option[1], _canonical(value[0])))


def line_name(text: str) -> str:
    """The name of the op that a line makes, as far as it can be made out."""
    match = _NAME.match(text.lstrip())
    return match[0] if match is not None else ""


def option_of(text: str, name: str) -> str | None:
    """An option as a line has it; None where it has none. Raises LineError for a line that cannot be read."""
    return dict(read_line(text).options).get(name)


def with_option(text: str, name: str, raw: str | None) -> str:
    """A line with another value of an option, or without it (None); all else stays as it is written. Raises LineError for
    a line that cannot be read, and for a value that no line can hold."""
    line = read_line(text)
    if raw is not None and not _VALUE.fullmatch(raw):
        raise LineError(0, f"'{raw[:40]}' cannot stand in an op line")
    start = line.columns.get(name)
    if start is None:
        end = text.rindex(")")
        comma = ", " if line.inputs or line.options else ""
        return text if raw is None else f"{text[:end].rstrip()}{comma}{name}={raw}{text[end:]}"
    cursor = _Cursor(text)
    cursor.column = start
    cursor.take(_OPTION)
    cursor.take(_VALUE)
    if raw is not None:
        return f"{text[:start]}{name}={raw}{text[cursor.column :]}"
    before = text[:start].rstrip()
    if before.endswith(","):
        return before[:-1] + text[cursor.column :]
    return before + text[cursor.column :].lstrip().removeprefix(",").lstrip()


def _canonical(raw: str) -> str:
    raw = raw.strip()
    along = _PLACES.match(raw)
    if along is not None:  # places along a mesh axis: on=P@[0, 1]
        return f"{along[1]}@{_canonical(raw[along.end() :])}"
    if raw.startswith("["):
        return f"[{', '.join(part.strip() for part in raw[1:-1].split(','))}]"
    return raw


def typed_tensors(text: str) -> Iterator[tuple[Tensor, bool]]:
    """The typed tensors that can be made out in a line that cannot be read as a whole, and whether each is the output."""
    begin = len(text) - len(text.lstrip())
    for match in _TYPED.finditer(text[:MAX_LINE]):
        try:
            written = _read_tensor(_Cursor(match[0]), "a tensor")
        except LineError:
            continue
        if written.type is not None and written.sound:
            yield written.type, match.start() == begin
