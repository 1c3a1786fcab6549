"""The index of the library, scenarios/README.md, is what its script makes of the files, and every technique is run."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from scenarios import library_names

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    """docs/library_index.py: a script beside the pages, no part of a package."""
    spec = importlib.util.spec_from_file_location("library_index", ROOT / "docs" / "library_index.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for their module there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def found(script: ModuleType) -> dict[str, Any]:
    """What the script finds in all files."""
    found: dict[str, Any] = script.entries()
    return found


@pytest.fixture(scope="module")
def index(script: ModuleType, found: dict[str, Any]) -> str:
    """What the script makes of it."""
    text: str = script.index(found)
    return text


@pytest.mark.long
def test_the_index_is_what_the_files_say(index: str) -> None:
    assert index == (ROOT / "scenarios" / "README.md").read_text("utf-8"), "run `python docs/library_index.py`"


@pytest.mark.long
def test_every_scenario_is_listed_once_under_its_theme(index: str) -> None:
    themes = index.split("\n## ")[2:]
    listed = [name for theme in themes for name in re.findall(r"^\| \[`(\w+)`\]", theme, re.MULTILINE)]
    assert sorted(listed) == sorted(library_names())


@pytest.mark.long
def test_links_lead_to_files(index: str) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", index):
        assert (ROOT / "scenarios" / link).is_file(), link


def test_every_technique_is_shown_by_files_of_the_library(script: ModuleType) -> None:
    shown = {name for _, names, *_ in script.TECHNIQUES for name in names.split()}
    assert shown <= set(library_names())


@pytest.mark.long
def test_a_technique_without_a_scenario_is_an_error(
    script: ModuleType, found: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "TECHNIQUES", (("levitation", "no_such_scenario"),))
    with pytest.raises(KeyError, match="no_such_scenario"):
        script.index(found)
