"""A document: where its values stand when some are missing, taken out, or called something else.

Law: of a key that is forgotten nothing is known any more, nor of anything below it, and of all others what was.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw import Mark
from hw.input import Document, Key, parse_document, walk

KEYS = st.lists(st.sampled_from(["a", "b", 0, 1]), max_size=3).map(tuple)


def places(keys: list[Key]) -> dict[Key, Mark]:
    """A place of its own for each key."""
    return {key: Mark("f", at) for at, key in enumerate(keys, start=1)}


@given(st.lists(KEYS, unique=True), KEYS)
def test_what_is_forgotten_goes_with_all_below_it_and_nothing_else(keys: list[Key], gone: Key) -> None:
    called = {key: f"its {at}" for at, key in enumerate(keys)}
    document = Document("f", None, places(keys), places(keys), called=dict(called))
    document.forget(gone)
    left = [key for key in keys if key[: len(gone)] != gone]
    assert document.values == document.keys == {key: mark for key, mark in places(keys).items() if key in left}
    assert document.called == {key: called[key] for key in left}


@given(st.lists(KEYS, unique=True), KEYS)
def test_a_value_without_a_place_has_that_of_the_nearest_around_it(keys: list[Key], asked: Key) -> None:
    document = Document("f", values=places(keys))
    around = [key for key in keys if asked[: len(key)] == key]
    wanted = document.values[max(around, key=len)] if around else Mark("f")
    assert document.value_mark(asked) == document.key_mark(asked) == wanted


def test_a_key_has_a_place_of_its_own() -> None:
    document = Document("f", values={("a",): Mark("f", 1, 4)}, keys={("a",): Mark("f", 1, 1)})
    assert document.key_mark(("a",)) == Mark("f", 1, 1)
    assert document.value_mark(("a",)) == Mark("f", 1, 4)


def test_a_value_is_called_by_its_keys_unless_its_file_has_a_name_for_it() -> None:
    document = Document("f", called={("attention", "heads"): "num_attention_heads"})
    assert document.name_of(("attention", "heads")) == "num_attention_heads"
    assert document.name_of(("ops", 2, "over")) == "ops.2.over"


def test_every_leaf_is_walked_in_order() -> None:
    data = {"a": {"x": 1, "y": [2, {"z": None}]}, "b": [], "c": "3"}
    found = [(("a", "x"), 1), (("a", "y", 0), 2), (("a", "y", 1, "z"), None), (("c",), "3")]
    assert list(walk(data)) == found


@pytest.mark.parametrize("data", ["a: 1", "[a, b]", "''"])
def test_a_document_is_shown_in_a_line(data: str) -> None:
    assert repr(parse_document(data, "f.yaml")) == f"Document(f.yaml{': a' if data == 'a: 1' else ''})"
