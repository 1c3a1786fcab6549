"""CONTRIBUTING's walk: ten stops, each a file that exists, passed in that order by a real run; its paths and commands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
STOPS = re.findall(r"^\d+\. \[(\S+\.py)\]\((\S+)\): ", PAGE, flags=re.MULTILINE)

TRACE = """
import json, sys
from inspect import CO_OPTIMIZED

root, files, importing = sys.argv[1], {}, 0

def passed(frame, event, _):
    '''Files in the order in which a function of theirs is first called; what an import runs does not count.'''
    global importing
    code = frame.f_code
    if code.co_name == "<module>":
        importing += {"call": 1, "return": -1}.get(event, 0)
    elif event == "call" and not importing and code.co_flags & CO_OPTIMIZED and code.co_filename.startswith(root):
        files.setdefault(code.co_filename.removeprefix(root), None)

sys.argv = ["overlapse", "run", "library:llama3_8b_block"]
from overlapse.__main__ import main
sys.setprofile(passed)
try:
    main()
except SystemExit:
    pass
finally:
    sys.setprofile(None)
print(json.dumps(list(files)))
"""


def passed_by_a_run() -> list[str]:
    """The files of which a run calls a function, in the order in which it first does."""
    command = [sys.executable, "-c", TRACE, f"{ROOT}/"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found: list[str] = json.loads(said.splitlines()[-1])
    return found


def test_the_walk_has_ten_stops_that_lead_where_they_say() -> None:
    assert len(STOPS) == 10
    assert [name for name, link in STOPS if name != link or not (ROOT / link).is_file()] == []


def test_a_run_passes_every_stop_in_this_order() -> None:
    way = passed_by_a_run()
    names = [name for name, _ in STOPS]
    assert [name for name in names if name not in way] == []
    assert sorted(names, key=way.index) == names


def test_it_is_one_page() -> None:
    assert len(PAGE.splitlines()) <= 80


def test_what_it_names_is_there() -> None:
    paths = re.findall(r"`((?:hw|simulator|analysis|scenarios|tests|docs|\.ci)(?:/[\w.]+)+)`", PAGE)
    links = re.findall(r"\]\(([^)#\s]+)\)", PAGE)
    assert len(paths) > 15
    assert [path for path in [*paths, *links] if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("module", re.findall(r"python -m ((?:tests|benchmarks)[\w.]*)", PAGE))
def test_a_module_that_is_to_be_run_can_be(module: str) -> None:
    path = ROOT / module.replace(".", "/")
    assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()
