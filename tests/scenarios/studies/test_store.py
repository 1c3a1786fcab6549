"""The store: what is committed stays, whatever happens to the process, the disk, or a second writer."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from hw import RunError, SpecError
from scenarios import load_scenario, sweep
from scenarios.cli import app
from scenarios.studies.code import digest_of
from scenarios.studies.store import SCHEMA_VERSION, Store
from scenarios.studies.worker import Ran

WRITER = """\
import sys
from scenarios.studies.worker import Ran
from scenarios.studies.store import Store
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


STUDY = """\
name: widths
system: {chip: tpu_v5e}
workload:
  dims: {B: 64, D: 4096, F: 4096}
  ops:
    - y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])
run: {overlap: full}
study: {vary: {workload.dims.B: [64, 4096]}}
"""
"""On tpu_v5e: 2 x 4096 x 4096 B of weights over 8.2e11 B/s decide at B = 64, 2BDF / 1.97e14 at 4096."""

COMMAND = "import sys; from scenarios.cli import main; sys.argv[0] = 'overlapse'; main()"


@pytest.fixture
def widths(tmp_path: Path) -> Path:
    path = tmp_path / "widths.yaml"
    path.write_text(STUDY)
    return path


@pytest.fixture
def install(tmp_path: Path) -> Path:
    """The four packages somewhere else, to be changed."""
    root, folder = Path(__file__).parents[3], tmp_path / "install"
    for package in ("hw", "simulator", "analysis", "scenarios"):
        aside = shutil.ignore_patterns("__pycache__", "library", "examples")
        shutil.copytree(root / package, folder / package, ignore=aside)
    return folder


def study(install: Path, widths: Path, store: Path) -> tuple[list[float], str]:
    """The times of a study by the packages of `install`, and how many were run for it."""
    table = store.with_name("table.csv")
    command = [sys.executable, "-c", COMMAND, "study", str(widths), "--store", str(store), "--export", str(table)]
    # bytecode is kept there, and is none of the code that counts
    environment = {**os.environ, "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": ""}
    run = subprocess.run(command, cwd=install, env=environment, capture_output=True, text=True, check=True)
    (said,) = (line for line in run.stdout.splitlines() if "run now" in line)
    return pd.read_csv(table)["time"].tolist(), said


def test_rows_of_other_code_are_not_this_codes(install: Path, widths: Path, path: Path) -> None:
    """The same version number, other code: the rows are run again; back again, the first rows are there."""
    first, said = study(install, widths, path)
    assert said == "2 rows, 2 run now"
    assert study(install, widths, path) == (first, "2 rows, 0 run now")
    source = install / "analysis" / "words" / "summary.py"
    before = source.read_text()
    source.write_text(before + "\n# mended\n")
    assert study(install, widths, path) == (first, "2 rows, 2 run now")
    source.write_text(before)
    assert study(install, widths, path) == (first, "2 rows, 0 run now")


def test_rows_of_another_catalogue_are_not_this_ones(install: Path, widths: Path, path: Path) -> None:
    """Twice the arithmetic in the catalogue's file: half the time where that decides."""
    first, _ = study(install, widths, path)
    assert first[1] == pytest.approx(2 * 4096**3 / 1.97e14, rel=1e-6)
    chip = install / "hw" / "catalog" / "tpu_v5e.yaml"
    faster = chip.read_text().replace("bf16: 1.97e14 FLOP/s", "bf16: 3.94e14 FLOP/s")
    chip.write_text(faster.replace("flops_per_cycle: 32768", "flops_per_cycle: 65536"))
    second, said = study(install, widths, path)
    assert said == "2 rows, 2 run now"
    assert second[1] == pytest.approx(first[1] / 2, rel=1e-6)


def test_every_file_counts_in_the_digest_of_code(tmp_path: Path) -> None:
    folder = tmp_path / "hw"
    folder.mkdir()
    (folder / "a.py").write_text("x = 1")
    known = {digest_of({"hw": folder})}
    for name, text in (("a.py", "x = 2"), ("b.py", "x = 2"), ("b.py", ""), ("c.yaml", "x: 1")):
        (folder / name).write_text(text)
        digest = digest_of({"hw": folder})
        assert digest not in known
        known.add(digest)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "a.pyc").write_text("compiled")
    assert digest_of({"hw": folder}) in known


def test_code_without_sources_has_a_digest_too(tmp_path: Path) -> None:
    folder = tmp_path / "hw"
    folder.mkdir()
    (folder / "a.pyc").write_bytes(b"one")
    one = digest_of({"hw": folder})
    (folder / "a.pyc").write_bytes(b"two")
    assert digest_of({"hw": folder}) != one


CHANGES = {
    "another time": "UPDATE runs SET words = replace(words, '\"time\": ', '\"time\": 9')",
    "another word": "UPDATE runs SET words = replace(words, 'bound_by', 'bound_to')",
    "no JSON": "UPDATE runs SET words = substr(words, 1, 40)",
    "no words": "UPDATE runs SET words = '[]'",
    "empty": "UPDATE runs SET words = ''",
    "no UTF-8": "UPDATE runs SET words = CAST(x'7b22fffe22' AS TEXT)",
    "bytes": "UPDATE runs SET words = x'00ff'",
    "a number": "UPDATE runs SET words = 5.5",
    "an error": "UPDATE runs SET error = 'does not fit'",
    "a number as error": "UPDATE runs SET error = 7",
    "another input": "UPDATE runs SET inputs = '{}'",
    "another version": "UPDATE runs SET version = '9.9.9'",
    "another exit code": "UPDATE runs SET exit = 'three'",
    "no checksum": "UPDATE runs SET checksum = ''",
    "swapped": "CREATE TABLE other AS SELECT * FROM runs; "
    "UPDATE runs SET words = (SELECT words FROM other WHERE other.key != runs.key)",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_row_that_was_changed_is_told_and_run_again(widths: Path, path: Path, change: str) -> None:
    asked = ["study", str(widths), "--store", str(path)]
    want = sweep(load_scenario(str(widths)), store=path).records()
    database = sqlite3.connect(path)
    database.executescript(change)
    database.close()
    shown = CliRunner().invoke(app, [*asked, "--json"])
    assert shown.exit_code == 0
    assert shown.stderr == f"store {path}: 2 rows were damaged (not what the checksum says); thrown out and run again\n"
    assert json.loads(shown.stdout)["study"] == want
    again = CliRunner().invoke(app, asked)
    assert again.stdout.splitlines()[-1] == "2 rows, 0 run now"
    assert again.stderr == ""


def test_only_the_damaged_row_is_run_again(widths: Path, path: Path) -> None:
    sweep(load_scenario(str(widths)), store=path)
    database = sqlite3.connect(path)
    with database:
        database.execute("UPDATE runs SET words = '{}' WHERE number = 1")
    database.close()
    done = sweep(load_scenario(str(widths)), store=path)
    assert (done.ran, done.failed) == (1, 0)
    assert "1 row was damaged" in done.warning


SCHEMAS = {
    "no table": "DROP TABLE runs",
    "another table": "ALTER TABLE runs RENAME COLUMN words TO wordes",
    "a view": "ALTER TABLE runs RENAME TO kept; CREATE VIEW runs AS SELECT * FROM kept",
    "a column less": "ALTER TABLE runs DROP COLUMN inputs",
}


@pytest.mark.parametrize("change", SCHEMAS.values(), ids=SCHEMAS)
def test_a_store_with_another_table_is_refused(path: Path, change: str) -> None:
    filled(path, 3)
    database = sqlite3.connect(path)
    database.executescript(change)
    database.close()
    with pytest.raises(SpecError, match="its table is not the one that Overlapse makes"):
        Store(path)


def test_rows_without_checksums_are_left_where_they_are_and_run_again(widths: Path, path: Path) -> None:
    """A store of the first schema: its table stays, and a study is run into a new one beside it."""
    older = sqlite3.connect(path)
    older.executescript(
        "CREATE TABLE runs (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, words TEXT NOT NULL, "
        "error TEXT NOT NULL, inputs TEXT NOT NULL, scenario TEXT NOT NULL, version TEXT NOT NULL);"
        "INSERT INTO runs VALUES (1, 'key', '{\"time\": 2.53e-09, \"lo', '', '', '', '');"
        f"PRAGMA application_id={0x4F564C50}; PRAGMA user_version=1"
    )
    older.close()
    done = sweep(load_scenario(str(widths)), store=path)
    assert (done.ran, done.failed) == (2, 0)
    assert "older Overlapse" in done.warning
    again = sweep(load_scenario(str(widths)), store=path)
    assert (again.ran, again.warning) == (0, "")
    older = sqlite3.connect(path)
    assert older.execute("SELECT count(*) FROM runs_without_checksums").fetchone() == (1,)
    older.close()


def test_no_damage_is_served_or_ends_in_a_traceback(path: Path, tmp_path: Path) -> None:
    """Bytes changed, cut off, filled with noise or taken out, anywhere in the file: a row is as it was, or not there."""
    keys = [f"key{number}" for number in range(40)]
    with Store(path) as store:
        for number, key in enumerate(keys):
            store.put(key, Ran(f'{{"time": {number}.5}}'), {})
    whole, rng, damaged = path.read_bytes(), random.Random(1), tmp_path / "damaged.db"
    for _ in range(300):
        content, at = bytearray(whole), rng.randrange(len(whole))
        some = rng.randrange(1, 300)
        match rng.randrange(4):
            case 0:
                content[at] = rng.randrange(256)
            case 1:
                del content[at:]
            case 2:
                content[at : at + some] = rng.randbytes(some)
            case 3:
                del content[at : at + some]
        for old in tmp_path.glob("damaged.db*"):
            old.unlink()
        damaged.write_bytes(content)
        try:
            with Store(damaged) as store:
                found = store.get(keys)
        except (SpecError, RunError):
            continue
        assert all(ran.as_dict() == {"time": float(key[3:]) + 0.5} for key, ran in found.items())


@pytest.mark.parametrize("name", ["/dev/null", "/dev/zero", "a\0b"])
def test_what_is_no_file_is_no_store(name: str) -> None:
    if name.startswith("/dev") and not Path(name).exists():
        pytest.skip(f"there is no {name} here")
    with pytest.raises(SpecError, match="the store"):
        Store(name)


def test_a_store_that_another_process_holds_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scenarios.studies.store._BUSY_S", 0.05)
    filled(path, 1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(RunError, match="another process has held it"), Store(path) as store:
            store.put("more", Ran("{}"), {})
    finally:
        other.close()
