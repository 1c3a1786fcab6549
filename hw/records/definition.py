"""`dataclass` of the standard library, with classes made in a third of the time.

Model: the standard library writes up to six methods of a class as text and compiles each: half a millisecond a class,
which was a third of a small command's time. Only `__init__` must be written out to be fast. The others are here one function
for all classes (`__repr__`, and what a frozen class refuses), or one that holds a getter of the fields that count
(`__eq__`, `__hash__`). Fields, slots and `__match_args__`, and with them `fields`, `replace` and `asdict`, are the standard
library's, as is `__init__` where the class is not frozen. What it is asked for beyond that (`order`, inherited fields) it
makes.
Law: a class made here cannot be told from one of the standard library by how it is made, compared, hashed, shown, pickled,
copied or replaced (tests/hw/test_records.py).
Assumes: no `InitVar`, and no class that adds attributes of its own to a frozen one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, fields, is_dataclass
from dataclasses import dataclass as standard
from operator import attrgetter
from reprlib import recursive_repr
from typing import Any

_KNOWN = {"frozen", "slots", "eq", "kw_only"}
"""Options of classes that are made here."""

Key = Callable[[Any], tuple[Any, ...]]
"""What an object holds in the fields that count, in their order."""


class _Made:
    """What stands in a signature for a value that is made when none is given."""

    def __repr__(self) -> str:
        return "<factory>"


_MADE = _Made()


def dataclass(cls: type | None = None, /, **options: bool) -> Any:
    """The decorator, of a class or with options, which are those of the standard library."""

    def made(kind: type) -> Any:
        if is_dataclass(kind) or options.keys() - _KNOWN:
            return standard(**options)(kind)
        return _made(kind, **options)

    return made if cls is None else made(cls)


def _made(kind: Any, frozen: bool = False, slots: bool = False, eq: bool = True, kw_only: bool = False) -> Any:
    if kind.__doc__ is None:
        kind.__doc__ = f"{kind.__name__}, a dataclass."  # else the signature, which takes long to find out
    made: Any = standard(init=not frozen, repr=False, eq=False, slots=slots, kw_only=kw_only)(kind)
    every = fields(made)
    methods: dict[str, Any] = {"__repr__": _repr}
    if frozen:
        made.__dataclass_params__.frozen = True  # so that what inherits its fields must be frozen, too
        methods |= {"__init__": _init_of(made, every, slots), **_REFUSED, **(_PICKLED if slots else {})}
    if eq:
        methods["__eq__"] = _eq_of(_key_of([each.name for each in every if each.compare]))
    own = set(made.__dict__)
    for name, method in methods.items():
        if name not in own:
            setattr(made, name, method)
    if eq and made.__dict__.get("__hash__") is None:  # Python puts None beside an `__eq__` of the class's own
        made.__hash__ = _hash_of(_key_of([each.name for each in every if _is_hashed(each)])) if frozen else None
    return made


def _init_of(kind: Any, every: tuple[Field[Any], ...], slots: bool) -> Any:
    """`__init__`, written out: it is called for every object."""
    plain = [_parameter(each) for each in every if each.init and not each.kw_only]
    named = [_parameter(each) for each in every if each.init and each.kw_only]
    lines = [line for each in every if (line := _assigned(each, slots))]
    if hasattr(kind, "__post_init__"):
        lines.append("_self.__post_init__()")
    given = ", ".join(["_self", *plain, *(["*", *named] if named else [])])
    space: dict[str, Any] = {"__name__": kind.__module__, "_set": object.__setattr__, "_made": _MADE}
    for each in every:
        space[f"_default_{each.name}"], space[f"_make_{each.name}"] = each.default, each.default_factory
    exec(f"def __init__({given}):\n " + "\n ".join(lines or ["pass"]), space)
    made = space["__init__"]
    made.__qualname__ = f"{kind.__qualname__}.__init__"
    made.__annotations__ = {each.name: each.type for each in every if each.init} | {"return": None}
    return made


def _parameter(each: Field[Any]) -> str:
    if each.default is not MISSING:
        return f"{each.name}=_default_{each.name}"
    return f"{each.name}=_made" if each.default_factory is not MISSING else each.name


def _assigned(each: Field[Any], slots: bool) -> str:
    """The line that sets a field; none where it has no value, or that of its class."""
    value = each.name
    if each.default_factory is not MISSING:
        value = f"_make_{each.name}()"
        if each.init:
            value += f" if {each.name} is _made else {each.name}"
    elif not each.init:
        if not slots or each.default is MISSING:
            return ""
        value = f"_default_{each.name}"
    return f"_set(_self, {each.name!r}, {value})"


def _key_of(names: list[str]) -> Key:
    if len(names) == 1:  # of one name the getter makes no tuple, and tuples compare what is the same object as equal
        one = attrgetter(*names)
        return lambda thing: (one(thing),)
    return attrgetter(*names) if names else lambda _: ()


def _is_hashed(each: Field[Any]) -> bool:
    return each.compare if each.hash is None else each.hash


def _eq_of(key: Key) -> Any:
    def equal(self: Any, other: Any) -> Any:
        return key(self) == key(other) if other.__class__ is self.__class__ else NotImplemented

    return equal


def _hash_of(key: Key) -> Any:
    def hashed(self: Any) -> int:
        return hash(key(self))

    return hashed


@recursive_repr()
def _repr(self: Any) -> str:
    held = [f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr]
    return f"{self.__class__.__qualname__}({', '.join(held)})"


def _refuse_set(_self: Any, name: str, _value: Any) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_delete(_self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, each.name) for each in fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for each, value in zip(fields(self), state, strict=False):
        object.__setattr__(self, each.name, value)


_REFUSED = {"__setattr__": _refuse_set, "__delattr__": _refuse_delete}
_PICKLED = {"__getstate__": _state, "__setstate__": _set_state}
"""Of a class with slots, which Python would fill by assigning to them."""
