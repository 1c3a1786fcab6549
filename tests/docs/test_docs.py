"""The guide in docs/: every page runs, every number on it is what comes out, every link leads somewhere.

How a page is run stands in `tests.support.docs_runner`. Beside that: every scenario file on a page keeps what it claims,
every key of the scenario language and of chip files is used in an example that runs, and every word is in the table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis import OP_WORDS, RUN_WORDS, Word
from analysis.timelines import TIMELINE_METHODS
from hw.input import parse_document
from hw.network import WIRINGS
from scenarios import run
from simulator import ALGORITHMS, KINDS
from tests.support.docs_runner import Block, Page, blocks, missing, prose

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))
_SCENARIO = re.compile(r"^(workload|extends):", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


@pytest.fixture
def registries() -> Iterator[None]:
    """The tables of kinds, algorithms, wirings and analyses; what a page adds goes away, also if it fails half-way."""
    tables: list[dict[str, Any]] = [KINDS, ALGORITHMS, WIRINGS, TIMELINE_METHODS]
    before = [dict(table) for table in tables]
    yield
    for table, rows in zip(tables, before, strict=True):
        table.clear()
        table.update(rows)


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Page(f"docs/{page}").run(text_of(page))
    for file in scenario_files(page):
        assert not run(file).failed, f"{page}: {file}"


def scenario_files(page: str) -> list[str]:
    """The scenario files on a page; those whose name begins with `wrong` show mistakes."""
    named = [block for block in blocks(text_of(page)) if block.language == "yaml" and block.file]
    return [
        str(block.file) for block in named if "\nworkload:" in block.text and not str(block.file).startswith("wrong")
    ]


# What a page looks like


def test_the_contents_name_every_page() -> None:
    linked = set(_LINK.findall(text_of("index.md")))
    assert {page for page in PAGES if page != "index.md"} <= linked


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in _LINK.findall(prose(text_of(page))):
        file, _, heading = link.partition("#")
        target = (DOCS / file) if file else DOCS / page
        assert target.exists(), f"{page}: {link}"
        assert target.resolve().is_relative_to(ROOT), f"{page}: {link}"
        if heading:
            assert heading in headings(target.read_text(encoding="utf-8")), f"{page}: {link}"


def headings(page: str) -> set[str]:
    """The anchors of a page."""
    titles = re.findall(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


# The language


def test_every_key_of_a_scenario_is_used_in_an_example() -> None:
    schema = json.loads((ROOT / "scenarios" / "scenario.schema.json").read_text(encoding="utf-8"))
    unused = keys_of(schema) - used_by(schema, "language.md", "workload")
    assert not unused


@pytest.mark.parametrize("schema", ["scenario", "chip"])
def test_every_key_is_named(schema: str) -> None:
    """In the words of the page, not only in an example."""
    path, page = {
        "scenario": (ROOT / "scenarios" / "scenario.schema.json", "language.md"),
        "chip": (ROOT / "hw" / "chip.schema.json", "extend.md"),
    }[schema]
    named = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`]+)`", prose(text_of(page))))))
    unnamed = {key for _, key in keys_of(json.loads(path.read_text(encoding="utf-8"))) if key not in named}
    assert not unnamed


def test_every_key_of_a_chip_is_used_in_an_example() -> None:
    schema = json.loads((ROOT / "hw" / "chip.schema.json").read_text(encoding="utf-8"))
    unused = keys_of(schema) - used_by(schema, "extend.md", "matrix_unit")
    assert not unused


Key = tuple[str, str]
"""A key of a schema: the definition that it stands in, and its name."""


def keys_of(schema: dict[str, Any]) -> set[Key]:
    parts = {"": schema, **schema.get("$defs", {})}
    return {(name, key) for name, part in parts.items() for key in part.get("properties", {})}


def used_by(schema: dict[str, Any], page: str, mark: str) -> set[Key]:
    """The keys that the YAML files of a page use; `mark` is a key that tells which files are meant."""
    used: set[Key] = set()
    for block in blocks(text_of(page)):
        if block.language == "yaml":
            data = parse_document(block.text, page).data
            if mark in data or "extends" in data:
                used.update(walked(schema, schema, data, ""))
    return used


def walked(schema: dict[str, Any], part: dict[str, Any], data: Any, name: str) -> Iterator[Key]:
    """The keys that some data uses, as far as a part of a schema fits it."""
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        part = schema["$defs"][name]
    for other in part.get("anyOf", ()):
        yield from walked(schema, other, data, name)
    if isinstance(data, list) and isinstance(part.get("items"), dict):
        for item in data:
            yield from walked(schema, part["items"], item, name)
    for key, value in data.items() if isinstance(data, dict) else ():
        if key in part.get("properties", {}):
            yield name, key
            yield from walked(schema, part["properties"][key], value, name)
        elif isinstance(part.get("additionalProperties"), dict):
            yield from walked(schema, part["additionalProperties"], value, name)


# The words


def table(page: str, heading: str) -> dict[str, tuple[str, str]]:
    """The rows of the first table under a heading: word -> unit, meaning."""
    under = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z_0-9]+)` \| ([^|]*) \| ([^|]+) \|$", under, flags=re.MULTILINE)
    return {word: (unit.strip(), meaning.strip()) for word, unit, meaning in rows}


@pytest.mark.parametrize(
    ("headings", "words"),
    [
        (("Words of a run", "Words about models", "Words about money", "Words about a job"), RUN_WORDS),
        (("Words about an op",), OP_WORDS),
    ],
)
def test_every_word_has_its_unit_and_meaning(headings: tuple[str, ...], words: dict[str, Word]) -> None:
    rows: dict[str, tuple[str, str]] = {}
    for heading in headings:
        rows.update(table(text_of("words.md"), heading))
    assert sorted(rows) == sorted(words)
    for word, (unit, meaning) in rows.items():
        dimension = words[word].dimension
        if dimension is not None:
            assert unit == (dimension.unit or "ratio"), word
        assert len(meaning) > 10, word


# The tests of the tests


def test_what_is_not_printed_is_found() -> None:
    printed = ["time 1.666 ms  eta 0.9", "", "peak memory", "would help"]
    assert missing(["time 1.666 ms  eta 0.9"], printed) is None
    assert missing(["time 1.667 ms  eta 0.9"], printed) == "time 1.667 ms  eta 0.9"
    assert missing(["time ... eta 0.9", "...", "would help"], printed) is None
    assert missing(["time ... eta 0.9", "would help"], printed) == "would help"
    assert missing(["would help", "...", "peak memory"], printed) == "peak memory"
    assert missing(["peak memory"], printed, whole=True) == "peak memory"
    assert missing(["...", "peak memory"], printed, whole=True) == "would help"


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("```python\nprint(1 + 1)\n```\n```text\n3\n```\n", "not printed: '3'"),
        ("```python\nprint(1 + 1)\n```\nand\n```text\n3\n```\n", "page:6: not printed"),
        ("```console\n$ overlapse chips tpu_v9\n```\n", "page:2: exit code 2"),
        ("```console\n$ overlapse chips tpu_v9; echo $?\n0\n```\n", "not printed: '0'"),
        ("```text\n3\n```\n", "without code before it"),
        ("```sh\nls\n```\n", "is no test"),
    ],
)
def test_a_wrong_page_fails(page: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError, match=re.escape(message)):
        Page("page").run(page)


def test_code_fails_at_its_line_of_the_page() -> None:
    with pytest.raises(ZeroDivisionError) as error:
        Page("page").run("# A page\n\n```python\none = 1\none / 0\n```\n")
    assert error.traceback[-1].lineno + 1 == 5


def test_blocks_know_their_file() -> None:
    (block,) = blocks("```yaml\n# file: a.yaml\nname: a\n```\n")
    assert block == Block("yaml", "# file: a.yaml\nname: a\n", 2)
    assert block.file == "a.yaml"
