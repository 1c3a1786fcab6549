"""YAML files with the place of everything in them, and what is refused and where.

Law: `at` finds each value at the line and column where its text stands. Any text and any bytes give a document or a
SpecError in one piece, nothing else. What a plain scalar means follows YAML 1.2.2, chapter 10.3.2 (core schema).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hw import Mark, SpecError
from hw.input import MAX_BYTES, MAX_DEPTH, MAX_WORD, Document, parse_document, read_document, walk
from tests.support.strategies import outcome


def refusal(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse_document(text, "f.yaml")
    return str(caught.value)


# Data and places


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9.89e14", 9.89e14), ("1e3", 1000.0), (".5", 0.5), ("-7", -7), ("0x1F", 31), ("0o17", 15), ("010", 10),
        ("no", "no"), ("yes", "yes"), ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("'9'", "9"), ('"true"', "true"), ("3.35 TB/s", "3.35 TB/s"), ("1_000", "1_000"), ("12:30", "12:30"),
        ("2023-01-01", "2023-01-01"), (".inf", ".inf"), (".nan", ".nan"),
    ],
)  # fmt: skip
def test_a_scalar_means_what_yaml_1_2_says(text: str, value: object) -> None:
    """PyYAML reads `no` as False, 9.89e14 as text and 12:30 as 750. inf and nan stay text: no quantity may be one."""
    got = parse_document(f"a: {text}", "f").data
    assert got == {"a": value}
    assert type(got["a"]) is type(value)


@pytest.mark.parametrize("style", [">", ">-", ">+"])
def test_a_folded_text_is_its_lines_with_blanks_between(style: str) -> None:
    text = parse_document(f"about: {style}\n  one\n  two, longer\n\n  three\nname: x\n", "f.yaml").data["about"]
    assert text.rstrip("\n") == "one two, longer\nthree"


def test_a_number_too_long_for_python_stays_text() -> None:
    digits = "1" * 5000
    assert parse_document(f"a: {digits}", "f").data == {"a": digits}


TEXT = """\
name: two
about: "quoted text"
system: {chip: tpu_v5e, set: {hbm.bandwidth: 1 GB/s}}
ops:
  - y = relu(x)
  - 'z = relu(y)'
  - repeat: 3
    ops:
      - w = relu(z)
"""


@pytest.mark.parametrize(
    ("key", "line", "column"),
    [
        (("name",), 1, 7),
        (("about",), 2, 9),  # one past the quote: columns inside the text count from its first character
        (("system",), 3, 9),
        (("system", "chip"), 3, 16),
        (("system", "set", "hbm.bandwidth"), 3, 46),
        (("ops", 0), 5, 5),
        (("ops", 1), 6, 6),
        (("ops", 2, "repeat"), 7, 13),
        (("ops", 2, "ops", 0), 9, 9),
    ],
)
def test_every_value_has_its_place(key: tuple[str | int, ...], line: int, column: int) -> None:
    document = parse_document(TEXT, "f")
    assert document.value_mark(key) == Mark("f", line, column)


def test_every_key_has_its_place_and_a_missing_one_that_of_what_encloses_it() -> None:
    document = parse_document(TEXT, "f")
    assert document.key_mark(("system", "set")) == Mark("f", 3, 25)
    assert document.value_mark(("ops", 2, "carry", "x")) == document.value_mark(("ops", 2))
    assert Document("g").value_mark(("a",)) == Mark("g")


LEAVES = st.one_of(
    st.integers(), st.booleans(), st.none(), st.from_regex(r"[A-Za-z][A-Za-z0-9 ]{0,5}[A-Za-z0-9]", fullmatch=True)
)
DATA = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4),
        st.dictionaries(st.from_regex(r"[a-z][a-z.]{0,5}", fullmatch=True), inner, min_size=1, max_size=4),
    ),
    max_leaves=12,
)


def as_yaml(data: Any, indent: int = 0) -> str:
    """Block-style YAML; strings that would read as something else are quoted."""
    pad = "  " * indent
    if isinstance(data, dict):
        return "".join(f"\n{pad}{key}:{as_yaml(value, indent + 1)}" for key, value in data.items())
    if isinstance(data, list):
        return "".join(f"\n{pad}-{as_yaml(value, indent + 1)}" for value in data)
    if isinstance(data, str):
        return f" '{data}'"
    return " null" if data is None else f" {str(data).lower()}"


@pytest.mark.parametrize("text", ["a:\nb: 1", "a: # why\nb: 1", "a:\n# why\n\nb: 1", "{a: , b: 1}", "{a:\n, b: 1}"])
def test_a_value_that_is_left_out_has_the_place_of_its_key(text: str) -> None:
    document = parse_document(text, "f.yaml")
    assert document.data == {"a": None, "b": 1}
    assert document.values[("a",)] == document.keys[("a",)] == Mark("f.yaml", 1, text.index("a") + 1)


@given(DATA)
def test_data_written_reads_back_and_every_leaf_stands_where_its_mark_says(data: Any) -> None:
    text = as_yaml(data)
    document = parse_document(text, "f")
    assert document.data == data
    lines = text.split("\n")
    for key, leaf in walk(document.data):
        mark = document.value_mark(key)
        shown = leaf if isinstance(leaf, str) else "null" if leaf is None else str(leaf).lower()
        assert lines[mark.line - 1][mark.column - 1 :].startswith(shown)


# Refusals


def test_a_duplicate_key_names_both_places() -> None:
    assert refusal("a: 1\nb: {c: 1, d: 2, c: 3}\n") == "f.yaml:2:17: duplicate key 'c', first given in line 2"


def test_all_duplicates_are_reported_and_each_names_the_first() -> None:
    lines = refusal("a: 1\na: 2\nb: 0\na: 3\n").splitlines()
    assert lines == [
        "f.yaml:2:1: duplicate key 'a', first given in line 1",
        "f.yaml:4:1: duplicate key 'a', first given in line 1",
    ]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: &x 1", "1:4", "anchors and aliases"),
        ("a: {b: &x {c: 1}}", "1:8", "anchors and aliases"),
        ("a: *x", "1:4", "anchors and aliases"),
        ("a: !!python/object:os.system x", "1:4", "YAML tags"),
        ("a: 1\n---\nb: 2", "2:1", "one YAML document"),
        ("? [a, b]\n: 1", "1:3", "a key is a plain word"),
        ("a: [1, 2", "1:9", "not YAML"),
        ("a: 1\n b: 2", "2:3", "not YAML"),
        ("a: 1\nb: \x07", "2:", "not allowed"),
        ('a: "\\U00110000"', "1:", "not YAML"),
    ],
)
def test_what_is_not_part_of_the_language_is_refused_at_its_place(text: str, place: str, words: str) -> None:
    message = refusal(text)
    assert message.startswith(f"f.yaml:{place}"), message
    assert words in message


def test_an_escape_beyond_unicode_is_refused() -> None:
    assert refusal('a: "\\UFFFFFFFF"').startswith("f.yaml:1:")


@pytest.mark.parametrize("text", ["[" * 1000, "a: " + "{a: " * 1000, "- " * 1000 + "x"])
def test_nesting_a_thousand_deep_is_refused_and_exhausts_nothing(text: str) -> None:
    message = refusal(text)
    assert f"nested deeper than {MAX_DEPTH} levels" in message
    assert message.startswith("f.yaml:1:")


def test_nesting_up_to_the_limit_is_read_and_no_deeper() -> None:
    text = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert str(parse_document(text, "f").data) == text
    assert "nested deeper" in refusal(f"[{text}]")


@pytest.mark.parametrize(
    "text",
    ["# a half-open [0, 1)\n" * 99 + "a: b", "a: 'b" + "[" * 99 + "'", "a: |\n" + "  {\n" * 99, "a: b[" + "[" * 99],
)
def test_brackets_in_comments_and_in_text_nest_nothing(text: str) -> None:
    assert set(parse_document(text, "f").data) == {"a"}


@pytest.mark.parametrize("value", ["torus(4,4)", "y = add(x, y)"])
def test_a_comma_in_flow_style_gets_the_hint_to_quote_it(value: str) -> None:
    message = refusal(f"a: 1\nsystem: {{topology: {value}}}")
    assert message.startswith("f.yaml:2:20: ")
    assert 'quote what holds a comma: {key: "f(a,b)"}' in message
    assert parse_document(f'system: {{topology: "{value}"}}', "f").data == {"system": {"topology": value}}


@pytest.mark.parametrize("value", ["option a) is best", "a smile :)", "the interval (0, 1]"])
def test_brackets_in_block_style_prose_are_prose(value: str) -> None:
    """Only flow style cuts text at a comma, so only there can an unclosed bracket mean a missing quote."""
    assert parse_document(f"about: {value}\nname: a", "f").data["about"] == value


# Files


def test_a_file_that_is_not_there_or_too_big(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot read the file"):
        read_document(tmp_path / "none.yaml")
    with pytest.raises(SpecError, match="cannot read the file"):
        read_document(tmp_path)
    with pytest.raises(SpecError, match="not a file name"):
        read_document(Path("a\0b"))
    big = tmp_path / "big.yaml"
    big.write_bytes(b"a: " + b"x" * MAX_BYTES)
    with pytest.raises(SpecError, match="over 16 MiB"):
        read_document(big, "big.yaml")


def test_a_word_beyond_its_limit_is_refused_at_its_place_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = "x" * MAX_WORD
    assert parse_document(f"a: {longest}\nb: {longest[1:]} {longest[1:]}\n", "f").data["a"] == longest
    monkeypatch.setattr("ruamel.yaml.YAML", None)  # no scanner sees it
    with pytest.raises(SpecError, match="f:2:7: a word of over 100,000 characters, the most that is read"):
        parse_document(f"a: 1\nb: 'y {longest}x'\n", "f")


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_bad_utf8_is_refused_at_its_place(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(start + b"a: 1\nb: \xff\n")
    with pytest.raises(SpecError) as caught:
        read_document(path, "bad.yaml")
    assert str(caught.value) == "bad.yaml:2:4: not a text file in UTF-8"


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_document(path).data == {"a": 1}


# Hostile input

YAML_PARTS = st.sampled_from(
    ["a", ": ", "- ", "\n", "  ", "{", "}", "[", "]", ",", "? ", "&x ", "*x", "!t ", "|", ">", "'", '"', "\\x", "\\U",
     "\\UFFFFFFFF", "%YAML 1.2", "%TAG ! a", "---", "...", "#", "\t", "\r", "\x85", "\u2028", "\ufeff", "\0", "\ud800",
     "<<: ", "0x", "1e9", "@", "`", "~", "%"]
)  # fmt: skip
HOSTILE = st.one_of(st.text(), st.lists(YAML_PARTS, max_size=25).map("".join))


@given(HOSTILE)
@settings(max_examples=400)
def test_any_text_is_a_document_or_a_located_refusal(text: str) -> None:
    got = outcome(lambda: parse_document(text, "f.yaml"))
    if isinstance(got, ValueError):
        assert isinstance(got, SpecError)
        assert got.problems
        for problem in got.problems:
            assert problem.mark.file == "f.yaml"
            assert 1 <= problem.mark.line <= len(text) + 1
            assert problem.mark.column >= 1


@given(st.one_of(st.binary(), HOSTILE.map(lambda text: text.encode("utf-8", "surrogatepass"))))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_a_document_or_a_refusal(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "any.yaml"
    path.write_bytes(raw)
    got = outcome(lambda: read_document(path, "any.yaml"))
    if isinstance(got, ValueError):
        assert isinstance(got, SpecError)
        assert str(got).startswith("any.yaml:")
