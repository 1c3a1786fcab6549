"""`python -m tests.mutants [WORD]...`: make each fault in a copy of the tree, run its tests, and tell who survived.

A mutant is killed if its tests fail, survives if they pass, is late if they do not end, and gone if its line is not there.
Exit code 1 if any was not killed. Words choose mutants by name; `--check` only looks whether every line is there.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.mutants.sample import SAMPLE, Mutant

ROOT = Path(__file__).parents[2]
PRODUCT = ("hw", "simulator", "analysis", "scenarios", "overlapse")
LIMIT_S = 1200
KILLED, SURVIVED, LATE, GONE = "killed", "SURVIVED", "LATE", "GONE"


def texts_of(root: Path = ROOT) -> dict[Path, str]:
    """What stands in the files of the product, from the root."""
    files = [path for room in PRODUCT for path in sorted((root / room).rglob("*.py"))]
    return {path.relative_to(root): path.read_text("utf-8") for path in files}


def place_of(mutant: Mutant, texts: Mapping[Path, str]) -> Path | None:
    """The one file in which the mutant's line stands; None if it does not stand once in all of them."""
    places = [(path, text.count(mutant.old)) for path, text in texts.items() if mutant.old in text]
    return places[0][0] if len(places) == 1 and places[0][1] == 1 else None


def copied(folder: Path) -> Path:
    """A copy of the tree that is there now, and what its tests look for beside it."""
    copy = folder / "tree"
    left_out = shutil.ignore_patterns(
        ".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "build", "site", "*.egg-info"
    )
    shutil.copytree(ROOT, copy, ignore=left_out)
    shared = ROOT.parent / "shared"
    if shared.exists():
        (folder / "shared").symlink_to(shared.resolve())
    return copy


def run(mutant: Mutant, copy: Path, workers: int) -> str:
    """What became of a mutant; the copy is as before afterwards."""
    place = place_of(mutant, texts_of(copy))
    if place is None:
        return GONE
    file = copy / place
    before = file.read_text("utf-8")
    file.write_text(before.replace(mutant.old, mutant.new), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-n", str(workers), *mutant.tests]
    try:
        done = subprocess.run(command, cwd=copy, capture_output=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:  # it hangs, or the machine is busy: nobody knows
        return LATE
    finally:
        file.write_text(before, encoding="utf-8")
    said = done.stdout.decode()
    if done.returncode and not re.search(
        r"\b\d+ failed", said
    ):  # a fault in how it was run is no fault that was noticed
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{said[-2000:]}")
    return KILLED if done.returncode else SURVIVED


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sample, or a part of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Do the tests notice faults?")
    parser.add_argument("words", nargs="*", help="mutants whose name has one of these words")
    parser.add_argument("--check", action="store_true", help="only look whether every line is there")
    parser.add_argument("-n", type=int, default=2, metavar="WORKERS", help="processes for the tests of a mutant")
    given = parser.parse_args(arguments)
    chosen = [each for each in SAMPLE if not given.words or any(word in each.name for word in given.words)]
    if given.check:
        texts = texts_of()
        gone = [each.name for each in chosen if place_of(each, texts) is None]
        print("\n".join([f"{GONE:9} {name}" for name in gone]) or f"all {len(chosen)} lines are there")
        return 1 if gone else 0
    counts = {KILLED: 0, SURVIVED: 0, LATE: 0, GONE: 0}
    with tempfile.TemporaryDirectory() as folder:
        copy = copied(Path(folder))
        for mutant in chosen:
            begin = time.monotonic()
            became = run(mutant, copy, given.n)
            counts[became] += 1
            print(f"{became:9} {mutant.name} ({time.monotonic() - begin:.0f} s)", flush=True)
    print(", ".join(f"{count} {word.lower()}" for word, count in counts.items()))
    return 0 if counts[KILLED] == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
