"""Finished runs in a sqlite file, each under the key of what was run and of the code that ran it.

Model: one row per finished run, committed by itself, in WAL mode with `synchronous=NORMAL`. Who comes second with the same
key is ignored, so two processes may fill one store. The key of a row has a digest of the code and the catalogue: what
other code has computed is not found. Each row has a checksum over all of it; a row that does not match it (a damaged disk,
an editor) is never an answer: it is thrown out and counted, and its run is made again.
What survives: Ctrl-C, SIGKILL and a full disk lose no committed row. What does not: NORMAL does not wait for the disk at
every commit, so a power cut or a crash of the operating system may lose the last commits; it never harms the file. WAL
needs a local disk, not a network file system.
Source: sqlite.org/wal.html and the notes on PRAGMA synchronous.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hw import VERSION, Dimension, Mark, Problem, RunError, SpecError
from hw.input import show
from scenarios.studies.code import code_digest
from scenarios.studies.extensions import extensions
from scenarios.studies.worker import Ran

SCHEMA_VERSION = 2
_READABLE = (0, 1, SCHEMA_VERSION)
"""0 is a new file; rows of 1 have no checksums: they stay where they are, and are not used."""

_APPLICATION = 0x4F564C50  # "OVLP", in sqlite's field for whose file it is
_BUSY_S = 60.0
_BATCH = 500

_PAGE_BYTES = 2048
"""A commit writes whole pages: small ones suit small rows."""

_CHECKPOINT_PAGES = 16_000
"""How long the log gets (32 MB) before it is worked into the file."""

_COLUMNS = ("key", "words", "error", "exit", "inputs", "scenario", "version")
_TABLE = """
CREATE TABLE runs (
    number INTEGER PRIMARY KEY,     -- in the order of finishing: rows are appended, whatever their keys
    key TEXT NOT NULL UNIQUE,       -- hash of the scenario's document, of what it refers to, and of the code
    words TEXT NOT NULL,            -- JSON, the words for results
    error TEXT NOT NULL,            -- why there are none; empty if there are
    exit TEXT NOT NULL,             -- the exit code that a run alone would have
    inputs TEXT NOT NULL,           -- JSON, what was varied, for people
    scenario TEXT NOT NULL,
    version TEXT NOT NULL,
    checksum TEXT NOT NULL          -- over all of these but the number
)
""".strip()
_NAMED = ", ".join((*_COLUMNS, "checksum"))
_INSERT = f"INSERT OR IGNORE INTO runs ({_NAMED}) VALUES ({', '.join('?' * (len(_COLUMNS) + 1))})"
_ENCODER = json.JSONEncoder(default=str)


class Store:
    """Runs that are kept in a file. Raises SpecError for a file that is no store, RunError if it cannot be written."""

    def __init__(self, path: str | Path, scenario: str = "") -> None:
        self.path, self._scenario = Path(path), scenario
        self._code = f"{code_digest()} {extensions().key}"
        self.outdated = False
        """Whether there are rows of an older Overlapse, without checksums."""
        self.refused = 0
        """Rows that did not match their checksums, so far."""
        if self.path.exists() and not (self.path.is_file() or self.path.is_dir()):
            raise self._refused("is no file that can be written and read again")
        with self._explaining(opening=True):
            # autocommit: each row is a transaction of its own
            self._sqlite = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)
        self._sqlite.text_factory = _as_it_is
        try:
            with self._explaining(opening=True):
                self._open()
        except BaseException:
            self._sqlite.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, keys: Iterable[str]) -> dict[str, Ran]:
        """Those of the keys that are there and undamaged; damaged rows are thrown out."""
        asked = {self._of_this_code(key): key for key in keys}
        wanted = list(asked)
        found: dict[str, Ran] = {}
        with self._explaining():
            for start in range(0, len(wanted), _BATCH):
                part = wanted[start : start + _BATCH]
                marks = ",".join("?" * len(part))
                rows = self._sqlite.execute(f"SELECT number, {_NAMED} FROM runs WHERE key IN ({marks})", part)
                for number, *cells in rows.fetchall():
                    read = _undamaged(cells)
                    if read is None or read[0] not in asked:
                        self._throw_out(number)
                    else:
                        found[asked[read[0]]] = read[1]
        return found

    @property
    def warning(self) -> str:
        """What should be known of the rows that were not used; empty where there is nothing."""
        if self.outdated:
            return f"store {self.path}: its rows are of an older Overlapse, without checksums; they are run again"
        rows = "1 row was" if self.refused == 1 else f"{self.refused:,} rows were"
        told = f"store {self.path}: {rows} damaged (not what the checksum says); thrown out and run again"
        return told if self.refused else ""

    def _of_this_code(self, key: str) -> str:
        """The key of a row: what was run, and which code ran it."""
        return hashlib.sha256(f"{self._code} {key}".encode()).hexdigest()[:40]

    def _throw_out(self, number: int) -> None:
        self.refused += 1
        self._sqlite.execute("DELETE FROM runs WHERE number = ?", (number,))

    def put(self, key: str, ran: Ran, inputs: Mapping[str, Any]) -> None:
        """Commit a finished run."""
        about = (_ENCODER.encode(inputs), self._scenario, VERSION)
        row = (self._of_this_code(key), ran.words, ran.error, str(ran.exit), *about)
        with self._explaining():
            self._sqlite.execute(_INSERT, (*row, _checksum(row)))

    def close(self) -> None:
        """Close the file. What is committed stays, even where there is no room to tidy up."""
        try:
            self._sqlite.close()
        except sqlite3.Error:
            return

    def _open(self) -> None:
        """Make the tables of a new file; refuse one that is not ours, before anything in it is changed."""
        self._check()
        self._sqlite.execute(f"PRAGMA page_size={_PAGE_BYTES}")  # says something to a new file only
        self._to_wal()
        self._sqlite.execute("PRAGMA synchronous=NORMAL")
        self._sqlite.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        if self._pragma("user_version") != SCHEMA_VERSION:
            self._make_table()
        if self._described() != _TABLE:
            raise self._refused("is damaged: its table is not the one that Overlapse makes; use a new file")

    def _make_table(self) -> None:
        self._sqlite.execute("BEGIN IMMEDIATE")
        try:
            version = self._pragma("user_version")
            self.outdated = version not in (0, SCHEMA_VERSION)
            if version != SCHEMA_VERSION:  # nobody else was faster
                if self.outdated:
                    self._sqlite.execute("ALTER TABLE runs RENAME TO runs_without_checksums")
                self._sqlite.execute(_TABLE)
                self._sqlite.execute(f"PRAGMA application_id={_APPLICATION}")
                self._sqlite.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            self._sqlite.execute("COMMIT")
        except sqlite3.Error:
            if self._sqlite.in_transaction:
                self._sqlite.execute("ROLLBACK")
            raise

    def _described(self) -> str:
        """How the table was made, as sqlite remembers it."""
        row = self._sqlite.execute("SELECT sql FROM sqlite_master WHERE name = 'runs'").fetchone()
        return str(row[0]) if row else ""

    def _check(self) -> None:
        owner, version = self._pragma("application_id"), self._pragma("user_version")
        tables = self._sqlite.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if owner != _APPLICATION and (tables or version or owner):
            raise self._refused("is a sqlite file, but not a store of studies")
        if version not in _READABLE:
            raise self._refused(f"has schema version {version}, this Overlapse reads {SCHEMA_VERSION}; use a new file")

    def _to_wal(self) -> None:
        """Switch to WAL. The switch needs the file for itself and does not wait by itself."""
        until = time.monotonic() + _BUSY_S
        while True:
            try:
                self._sqlite.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
            time.sleep(0.01)

    def _pragma(self, name: str) -> int:
        return int(self._sqlite.execute(f"PRAGMA {name}").fetchone()[0])

    def _refused(self, message: str) -> SpecError:
        return SpecError([Problem(Mark(str(self.path)), f"the store {message}")])

    @contextmanager
    def _explaining(self, opening: bool = False) -> Iterator[None]:
        """Turn sqlite's complaints into ours."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if opening and "unable to open" in str(error):
                raise self._refused(f"cannot be opened: {error}") from None
            held = (
                f": another process has held it for {show(_BUSY_S, Dimension.TIME)}" if "locked" in str(error) else ""
            )
            raise RunError(f"store {self.path}: {error}{held}") from None
        except SpecError:
            raise
        except UnicodeDecodeError:  # sqlite quotes the damaged text in its complaint
            raise self._refused("cannot be read: it is damaged, its text is no UTF-8; use a new file") from None
        except (sqlite3.Error, ValueError) as error:  # ValueError: a file name with a NUL byte
            raise self._refused(f"cannot be read: {error}; use a new file") from None


def _as_it_is(raw: bytes) -> str:
    """Text of the file, whatever is in it: what is no UTF-8 is for the checksum to find."""
    return raw.decode("utf-8", "surrogateescape")


def _checksum(row: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(row).encode()).hexdigest()


def _undamaged(cells: Sequence[object]) -> tuple[str, Ran] | None:
    """The key and the run of a row as it was written; None if it is not as it was written."""
    try:
        *row, checksum = (cell for cell in cells if isinstance(cell, str))
        if len(row) != len(_COLUMNS) or checksum != _checksum(row):
            return None
        ran = Ran(row[1], row[2], exit=int(row[3]))
        ran.as_dict()
    except (ValueError, TypeError):  # no cells, no number, no JSON, or not of words
        return None
    return row[0], ran
