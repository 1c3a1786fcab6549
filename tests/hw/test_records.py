"""Law: a class of `hw.records.dataclass` cannot be told from the same class of the standard library's."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import sys
from collections.abc import Callable, Iterator
from itertools import product
from math import nan
from types import ModuleType
from typing import Any

import pytest

from hw.records import dataclass

FORMS = {
    "plain": "a: int\n b: str = 'x'\n c: tuple = ()",
    "one field": "a: float",
    "no field": "'Nothing in it.'",
    "factory": "a: int\n b: list = field(default_factory=list)",
    "some count": (
        "a: int = field(hash=False)\n b: str = field(default='x', compare=False)\n c: int = field(default=1, repr=False)"
    ),
    "of its own making": (
        "a: int\n b: list = field(init=False, default_factory=list)\n c: int = field(init=False, default=4)"
    ),
    "by name": "a: int\n b: int = field(default=2, kw_only=True)\n c: int = field(kw_only=True, default=3)",
    "looked at": (
        "a: int\n"
        " def __post_init__(self):\n  if self.a == 13: raise ValueError('unlucky')\n"
        " def __repr__(self): return 'mine'\n"
    ),
    "own equality": "a: int\n def __eq__(self, other): return self.a % 2 == other.a % 2\n",
    "own hash": "a: int\n def __hash__(self): return 7\n",
    "own state": "a: int\n def __getstate__(self): return [self.a]\n",
    "of the class": "a: int\n n: ClassVar[int] = 3\n @property\n def twice(self): return 2 * self.a\n",
}
OPTIONS = [
    {name: on for name, on in zip(("frozen", "slots", "eq", "kw_only"), chosen, strict=True) if on is not None}
    for chosen in product((True, None), (True, None), (None, False), (True, None))
]
VALUES = (1, 13, nan, [3])


def made(decorator: Callable[..., Any], body: str, options: dict[str, bool]) -> Any:
    """The class `Thing` of a module of that name, which pickles it."""
    module = ModuleType("thing")
    vars(module).update(dataclass=decorator, field=dataclasses.field)
    text = f"from typing import ClassVar\n@dataclass(**{options})\nclass Thing:\n {body}\n"
    sys.modules["thing"] = module
    exec(f"from __future__ import annotations\n{text}", vars(module))
    return module.Thing


def told(act: Callable[[], Any]) -> str:
    """What comes out, or what is raised, in words."""
    try:
        return repr(act())
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def observed(thing: Any) -> Iterator[tuple[str, str]]:
    """All that can be asked of a class and of its objects."""
    yield "signature", told(lambda: inspect.signature(thing))
    yield "match", told(lambda: thing.__match_args__)
    yield "slots", told(lambda: thing.__slots__)
    yield "fields", told(lambda: dataclasses.fields(thing))
    yield "annotations", told(lambda: thing.__init__.__annotations__)
    yield "no value", told(thing)
    yield "too many", told(lambda: thing(1, 2, 3, 4, 5))
    yield "unknown", told(lambda: thing(nothing=1))
    for value in VALUES:
        for given in ([((value,), {}), ((), {"a": value})], [((value, value), {}), ((), {"a": value, "b": value})]):
            for places, names in given:
                yield from of_object(f"{places} {names}", thing, lambda p=places, n=names: thing(*p, **n))  # type: ignore[misc]


def of_object(what: str, thing: Any, make: Callable[[], Any]) -> Iterator[tuple[str, str]]:
    yield what, told(make)
    try:
        one, other = make(), make()
    except Exception:
        return
    yield f"{what} equal", told(lambda: (one == other, one != other, one == one, one == 1, one == copy.copy(one)))
    yield f"{what} ordered", told(lambda: one < other).replace("NotImplemented", "")
    hashes = told(lambda: hash(one) == hash(other))
    yield f"{what} hash", hashes
    yield f"{what} parts", told(lambda: dataclasses.asdict(one))
    yield f"{what} replaced", told(lambda: dataclasses.replace(one, a=5))
    yield f"{what} copied", told(lambda: (copy.copy(one), copy.deepcopy(one)))
    sys.modules["thing"].Thing = thing  # type: ignore[attr-defined]
    yield f"{what} pickled", told(lambda: [pickle.loads(pickle.dumps(one, n)) for n in range(2, 6)])
    yield f"{what} set", told(lambda: setattr(one, "a", 8))
    yield f"{what} deleted", told(lambda: delattr(one, "a"))
    yield f"{what} then", told(lambda: one)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda each: " ".join(each) or "bare")
@pytest.mark.parametrize("form", FORMS)
def test_nobody_can_tell_who_made_a_class(form: str, options: dict[str, bool]) -> None:
    ours, theirs = made(dataclass, FORMS[form], options), made(dataclasses.dataclass, FORMS[form], options)
    assert dict(observed(ours)) == dict(observed(theirs))


def test_hashes_are_those_of_the_fields() -> None:
    ours, theirs = (made(each, FORMS["plain"], {"frozen": True}) for each in (dataclass, dataclasses.dataclass))
    assert hash(ours(1, "y", (2,))) == hash(theirs(1, "y", (2,))) == hash((1, "y", (2,)))


def test_an_object_that_holds_itself_is_shown() -> None:
    thing = made(dataclass, FORMS["factory"], {"frozen": True, "slots": True})(1)
    thing.b.append(thing)
    assert repr(thing) == "Thing(a=1, b=[...])"


def test_what_is_asked_beyond_that_is_made_too() -> None:
    @dataclass(frozen=True, order=True)
    class Ordered:
        a: int

    @dataclass(frozen=True)
    class Base:
        a: int

    @dataclass(frozen=True)
    class Further(Base):
        b: int

    assert Ordered(1) < Ordered(2)
    assert Further(1, 2) == Further(a=1, b=2) != Further(1, 3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Further(1, 2).a = 3  # type: ignore[misc]


def test_what_inherits_a_frozen_class_is_frozen() -> None:
    with pytest.raises(TypeError, match="non-frozen dataclass from a frozen one"):

        @dataclass
        class Loose(made(dataclass, FORMS["plain"], {"frozen": True})):  # type: ignore[misc]
            more: int = 0
