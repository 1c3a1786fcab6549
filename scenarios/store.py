"""Finished runs in a sqlite file, each under the key of what was run.

Model: one row per finished run, committed by itself, in WAL mode with `synchronous=NORMAL`. A row is never changed: who
comes second with the same key is ignored, so two processes may fill one store.
What survives: Ctrl-C, SIGKILL and a full disk lose no committed row. What does not: NORMAL does not wait for the disk at
every commit, so a power cut or a crash of the operating system may lose the last commits; it never harms the file. WAL
needs a local disk, not a network file system.
Source: sqlite.org/wal.html and the notes on PRAGMA synchronous.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hw import VERSION, Mark, Problem, RunError, SpecError
from scenarios.ran import Ran

SCHEMA_VERSION = 1
_APPLICATION = 0x4F564C50  # "OVLP", in sqlite's field for whose file it is
_BUSY_S = 60.0
_BATCH = 500

_PAGE_BYTES = 2048
"""A commit writes whole pages: small ones suit small rows."""

_CHECKPOINT_PAGES = 16_000
"""How long the log gets (32 MB) before it is worked into the file."""

_TABLE = """
CREATE TABLE runs (
    number INTEGER PRIMARY KEY,     -- in the order of finishing: rows are appended, whatever their keys
    key TEXT NOT NULL UNIQUE,       -- hash of the scenario's document and the version
    words TEXT NOT NULL,            -- JSON, the words for results
    error TEXT NOT NULL,            -- why there are none; empty if there are
    inputs TEXT NOT NULL,           -- JSON, what was varied, for people
    scenario TEXT NOT NULL,
    version TEXT NOT NULL
)
"""
_INSERT = """
INSERT OR IGNORE INTO runs (key, words, error, inputs, scenario, version) VALUES (?, ?, ?, ?, ?, ?)
"""
_ENCODER = json.JSONEncoder(default=str)


class Store:
    """Runs that are kept in a file. Raises SpecError for a file that is no store, RunError if it cannot be written."""

    def __init__(self, path: str | Path, scenario: str = "") -> None:
        self.path, self._scenario = Path(path), scenario
        with self._explaining(opening=True):
            # autocommit: each row is a transaction of its own
            self._sqlite = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)
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
        """Those of the keys that are there."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, Ran] = {}
        with self._explaining():
            for start in range(0, len(wanted), _BATCH):
                part = wanted[start : start + _BATCH]
                marks = ",".join("?" * len(part))
                rows = self._sqlite.execute(f"SELECT key, words, error FROM runs WHERE key IN ({marks})", part)
                found.update({key: Ran(words, error) for key, words, error in rows})
        return found

    def put(self, key: str, ran: Ran, inputs: Mapping[str, Any]) -> None:
        """Commit a finished run."""
        row = (key, ran.words, ran.error, _ENCODER.encode(inputs), self._scenario, VERSION)
        with self._explaining():
            self._sqlite.execute(_INSERT, row)

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
        if self._pragma("user_version") == SCHEMA_VERSION:
            return
        self._sqlite.execute("BEGIN IMMEDIATE")
        try:
            if self._pragma("user_version") != SCHEMA_VERSION:  # nobody else was faster
                self._sqlite.execute(_TABLE)
                self._sqlite.execute(f"PRAGMA application_id={_APPLICATION}")
                self._sqlite.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            self._sqlite.execute("COMMIT")
        except sqlite3.Error:
            if self._sqlite.in_transaction:
                self._sqlite.execute("ROLLBACK")
            raise

    def _check(self) -> None:
        owner, version = self._pragma("application_id"), self._pragma("user_version")
        tables = self._sqlite.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if owner != _APPLICATION and (tables or version or owner):
            raise self._refused("is a sqlite file, but not a store of studies")
        if version not in (0, SCHEMA_VERSION):
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
            raise RunError(f"store {self.path}: {error}") from None
        except sqlite3.DatabaseError as error:
            raise self._refused(f"cannot be read: {error}") from None
