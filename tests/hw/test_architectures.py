"""The architectures whose kernels ship: each has its source, and one of another library differs in what it says itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hw
from hw.chips import kernel_times_names, load_kernel_times
from hw.input import read_document

FOLDER = Path(hw.__file__).parent / "kernels"
SAID = {name: read_document(FOLDER / f"{name}.yaml").data for name in kernel_times_names()}
LIKE = {name: said["like"] for name, said in SAID.items() if "like" in said}


def held_to(said: Any, found: Any, where: str = "") -> list[str]:
    """What of some parameters as written is not in what was read, leaf by leaf, by the names of the file."""
    if not isinstance(said, dict):
        return [] if found == (tuple(map(tuple, said)) if isinstance(said, list) else said) else [where]
    if isinstance(found, dict):
        return [each for key in said for each in held_to(said[key], found.get(key), f"{where}.{key}")]
    names = {field.alias or name: name for name, field in type(found).model_fields.items()}
    return [each for key in said for each in held_to(said[key], getattr(found, names[key]), f"{where}.{key}")]


def numbers(data: Any) -> Any:
    """Parameters without what has a unit, which is read into another number than is written."""
    if not isinstance(data, dict):
        return data
    return {key: numbers(value) for key, value in data.items() if isinstance(value, dict | int | float)}


def test_there_are_some_of_other_libraries() -> None:
    assert kernel_times_names() == sorted(SAID)
    assert set(LIKE.values()) <= set(SAID) - set(LIKE)


@pytest.mark.parametrize("name", sorted(SAID))
def test_a_file_has_its_name_its_source_and_what_it_says(name: str) -> None:
    times = load_kernel_times(name)
    assert times.name == name
    assert times.source == SAID[name]["source"]
    said = numbers({key: value for key, value in SAID[name].items() if key not in ("like", "kinds")})
    assert said
    assert held_to(said, times) == []


@pytest.mark.parametrize("name", sorted(LIKE))
def test_what_a_file_does_not_say_is_as_of_the_one_that_it_is_like(name: str) -> None:
    own, like = load_kernel_times(name), load_kernel_times(LIKE[name])
    assert own != like
    fields = {field.alias or key: key for key, field in type(own).model_fields.items()}
    for key in set(fields) - set(SAID[name]) - {"name"}:
        assert getattr(own, fields[key]) == getattr(like, fields[key]), key


def test_a_name_that_there_is_not_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="unknown architecture 'hoper', did you mean 'hopper'"):
        load_kernel_times("hoper")
