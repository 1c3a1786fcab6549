"""The store: what is committed stays, whatever happens to the process, the disk, or a second writer."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hw import RunError, SpecError
from scenarios.ran import Ran
from scenarios.store import SCHEMA_VERSION, Store

WRITER = """\
import sys
from scenarios.ran import Ran
from scenarios.store import Store
with Store(sys.argv[1], "writer") as store:
    for number in range(int(sys.argv[2]), int(sys.argv[3])):
        store.put(f"key{number}", Ran('{"time": %d.0}' % number), {"number": number})
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


def filled(path: Path, rows: int) -> list[str]:
    with Store(path) as store:
        for number in range(rows):
            store.put(f"key{number}", Ran(f'{{"time": {number}.5}}'), {"number": number})
    return [f"key{number}" for number in range(rows)]


def test_what_is_put_is_there_for_the_next(path: Path) -> None:
    keys = filled(path, 1200)
    with Store(path) as store:
        found = store.get([*keys, "unknown"])
        assert list(found) != []
        assert set(found) == set(keys)
        assert found["key7"].as_dict() == {"time": 7.5}


def test_a_row_is_never_changed(path: Path) -> None:
    with Store(path) as store:
        store.put("key", Ran("", "does not fit"), {})
        store.put("key", Ran('{"time": 1.0}'), {})
        assert store.get(["key"])["key"] == Ran("", "does not fit")


def test_rows_are_committed_one_by_one_in_wal_mode(path: Path) -> None:
    with Store(path) as store:
        store.put("key", Ran("{}"), {})
        beside = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            assert beside.execute("SELECT count(*) FROM runs").fetchone() == (1,)
            assert beside.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        finally:
            beside.close()


def test_a_file_that_is_no_store_is_refused_and_left_alone(path: Path) -> None:
    path.write_text("name: not a database\n" * 100)
    before = path.read_bytes()
    with pytest.raises(SpecError, match=r"runs\.db:1:1: the store cannot be read: file is not a database"):
        Store(path)
    assert path.read_bytes() == before


def test_another_databases_file_is_refused_and_left_alone(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE addresses (name TEXT)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(SpecError, match="is a sqlite file, but not a store of studies"):
        Store(path)
    assert path.read_bytes() == before


def test_another_schema_version_is_refused(path: Path) -> None:
    filled(path, 1)
    later = sqlite3.connect(path)
    later.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    later.close()
    with pytest.raises(SpecError, match=f"has schema version {SCHEMA_VERSION + 1}, this Overlapse reads"):
        Store(path)


def test_a_damaged_store_is_refused(path: Path) -> None:
    keys = filled(path, 500)
    content = bytearray(path.read_bytes())
    content[2048:] = b"\xff" * (len(content) - 2048)
    path.write_bytes(content)
    with pytest.raises(SpecError, match="cannot be read: database disk image is malformed"), Store(path) as store:
        store.get(keys)


@pytest.mark.parametrize("where", ["nowhere/runs.db", "."])
def test_a_place_that_cannot_be_opened_is_named(tmp_path: Path, where: str) -> None:
    with pytest.raises(SpecError, match="cannot be opened: unable to open database file"):
        Store(tmp_path / where)


def fill(store: Store) -> tuple[int, str]:
    """Put rows until there is no room: how many are in, and what was said."""
    for number in range(100_000):
        try:
            store.put(f"key{number}", Ran("{}" + " " * 500), {})
        except RunError as error:
            return number, str(error)
    raise AssertionError("the disk is not full")


def test_a_full_store_says_so_and_keeps_what_it_has(path: Path) -> None:
    with Store(path) as store:
        store._sqlite.execute("PRAGMA max_page_count=20")
        kept, said = fill(store)
    assert said == f"store {path}: database or disk is full"
    with Store(path) as store:
        found = store.get([f"key{number}" for number in range(10_000)])
        assert set(found) == {f"key{number}" for number in range(kept)}
        store.put("more", Ran("{}"), {})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_says_so_and_the_store_still_opens(small_disk: Path) -> None:
    path = small_disk / "runs.db"
    with Store(path) as store:
        kept, said = fill(store)
    assert said == f"store {path}: database or disk is full"
    assert kept > 100
    keys = [f"key{number}" for number in range(kept)]
    with Store(path) as store:  # there is still no room
        assert len(store.get(keys)) == kept
        assert store._sqlite.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_several_processes_fill_one_new_store(path: Path) -> None:
    """They make it at the same time, and half of their rows are the same."""
    ranges = [(0, 300), (150, 450), (300, 600), (0, 300)]
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(first), str(last)], stderr=subprocess.PIPE)
        for first, last in ranges
    ]
    for writer in writers:
        _, stderr = writer.communicate(timeout=120)
        assert writer.returncode == 0, stderr.decode()
    with Store(path) as store:
        found = store.get([f"key{number}" for number in range(600)])
        assert {key: ran.as_dict()["time"] for key, ran in found.items()} == {
            f"key{number}": float(number) for number in range(600)
        }
        assert store._sqlite.execute("PRAGMA integrity_check").fetchone() == ("ok",)
