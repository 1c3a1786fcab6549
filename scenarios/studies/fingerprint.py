"""What functions of a user's are, as a digest: code, what it closes over, and what it looks up by name.

Model: a function is its bytecode with its constants, its defaults, the values that it closes over, and the globals that it
names, which are read the same way; a class is its members, data is itself. So it is told what was loaded, wherever that was
written (a file, a notebook, a prompt): a figure changed in another file of the user's, or a function made anew under its
old name, is another digest; comments and line numbers are not. Overlapse's own functions, Python's and those of installed
packages stand for themselves by name. What can be read in none of these ways (an
open file, a lock) makes the digest inexact.
"""

from __future__ import annotations

import hashlib
import pickle
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Set
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from scenarios.studies.code import PACKAGES

_PLAIN = (int, float, complex, str, bytes, bool, type(None), type(Ellipsis))


class Fingerprint:
    """The digest of what it is fed. `modules`: of whose functions some are the user's, in the order in which they are met;
    `exact`: whether all could be read."""

    def __init__(self) -> None:
        self.modules: dict[str, None] = {}
        self.exact = True
        self._whole = hashlib.sha256()
        self._met: dict[int, tuple[int, Any]] = {}
        self._packages: set[str] = set()

    @property
    def digest(self) -> str:
        """Of all that was fed so far."""
        return self._whole.hexdigest()

    def feed(self, value: Any) -> None:
        """Read a value, with all that it is made of; what was met before stands for itself by its number."""
        if isinstance(value, _PLAIN):
            self._say(type(value).__name__, repr(value))
            return
        if id(value) in self._met:
            self._say("again", str(self._met[id(value)][0]))
            return
        self._met[id(value)] = (len(self._met), value)  # kept, so that nothing else gets its id
        for kind, read in _READERS:
            if isinstance(value, kind):
                read(self, value)
                return
        self._other(value)

    def _say(self, *words: str) -> None:
        for word in words:
            raw = word.encode("utf-8", "surrogatepass")
            self._whole.update(len(raw).to_bytes(8, "big"))
            self._whole.update(raw)

    def _all(self, title: str, values: Iterable[Any]) -> None:
        self._say(title)
        for value in values:
            self.feed(value)
        self._say("end")

    def _function(self, value: FunctionType) -> None:
        """Of a function that stands for itself by name only what it was made with, where a user's may be."""
        self._say("function", value.__qualname__)
        self._all("defaults", [value.__defaults__, value.__kwdefaults__])
        self._all("closure", value.__closure__ or ())
        if self._by_name(value.__module__):
            self._say(value.__module__)
            return
        self.modules[value.__module__] = None
        self._packages.add(_package(value.__module__))
        self.feed(value.__code__)
        for name in sorted(_names(value.__code__)):
            if name in value.__globals__:
                self._say(name)
                self._global(value.__globals__[name], _names(value.__code__))

    def _global(self, value: Any, names: Set[str]) -> None:
        """What a function calls by name; of a module, what it may take out of it."""
        if not isinstance(value, ModuleType):
            self.feed(value)
            return
        self._say("module", value.__name__)
        if not self._by_name(value.__name__):
            for name in sorted(names & set(vars(value))):
                self._say(name)
                self._global(vars(value)[name], names)

    def _class(self, value: type) -> None:
        self._say("class", value.__qualname__)
        if self._by_name(value.__module__):
            self._say(value.__module__)
            return
        self._all("bases", value.__bases__)
        members = {name: member for name, member in vars(value).items() if name not in _OF_EVERY_CLASS}
        self._mapping(members)

    def _code(self, value: CodeType) -> None:
        self._all("code", [value.co_code, value.co_consts, value.co_names, value.co_varnames, value.co_freevars])

    def _cell(self, value: CellType) -> None:
        try:
            self.feed(value.cell_contents)
        except ValueError:  # not bound yet
            self._say("empty")

    def _mapping(self, value: Mapping[Any, Any]) -> None:
        self._all("map", [part for name in sorted(value, key=repr) for part in (name, value[name])])

    def _set(self, value: Set[Any]) -> None:
        self._all("set", sorted(value, key=repr))

    def _other(self, value: Any) -> None:
        """An object: its class, and what it holds."""
        self.feed(type(value))
        if is_dataclass(value):
            self._all("fields", [getattr(value, each.name, None) for each in fields(value)])
            return
        try:
            raw = pickle.dumps(value)
        except Exception:  # whatever an object makes of being pickled
            self.exact = False
        else:
            self._say(hashlib.sha256(raw).hexdigest())

    def _by_name(self, module: str | None) -> bool:
        """Whether what a module holds stands for itself by name. An installed package with a function that was met
        elsewhere than in installed packages is the user's all the same."""
        package = _package(module or "")
        if package in PACKAGES or package in sys.stdlib_module_names:
            return package != "__main__"
        return package not in self._packages and bool(self._packages) and _is_installed(package)


class _Search(Fingerprint):
    """Looks for functions of a user's where a fingerprint would meet them, and puts nothing into words."""

    def feed(self, value: Any) -> None:
        if not isinstance(value, _PLAIN):
            super().feed(value)

    def _say(self, *words: str) -> None:
        pass

    def _other(self, value: Any) -> None:
        self.feed(type(value))
        if is_dataclass(value):
            self._all("fields", [getattr(value, each.name, None) for each in fields(value)])


def has_theirs(values: Iterable[Any]) -> bool:
    """Whether a fingerprint of one of some values would meet a user's function; for a small part of its time, since what
    several of them are made of is looked at once."""
    search = _Search()
    for value in values:
        search.feed(value)
        if search.modules:
            return True
    return False


_OF_EVERY_CLASS = {"__dict__", "__weakref__", "__module__", "__doc__", "__firstlineno__", "__static_attributes__"}

_READERS: tuple[tuple[Any, Any], ...] = (
    (FunctionType, Fingerprint._function),
    (type, Fingerprint._class),
    (CodeType, Fingerprint._code),
    (CellType, Fingerprint._cell),
    (ModuleType, lambda mark, module: mark._global(module, frozenset())),
    (MethodType, lambda mark, method: mark._all("method", [method.__func__, method.__self__])),
    (partial, lambda mark, made: mark._all("partial", [made.func, made.args, made.keywords])),
    ((staticmethod, classmethod), lambda mark, wrapped: mark._all("wrapped", [wrapped.__func__])),
    (property, lambda mark, made: mark._all("property", [made.fget, made.fset])),
    ((tuple, list), lambda mark, values: mark._all("list", values)),
    (Mapping, Fingerprint._mapping),
    ((set, frozenset), Fingerprint._set),
)
"""How what is no plain value is read, by its type."""


def _names(code: CodeType) -> frozenset[str]:
    """All names in a function, those of functions inside it too."""
    inside = [_names(const) for const in code.co_consts if isinstance(const, CodeType)]
    return frozenset(code.co_names).union(*inside)


def _package(module: str) -> str:
    return module.partition(".")[0]


def _is_installed(package: str) -> bool:
    file = getattr(sys.modules.get(package), "__file__", None)
    if file is None:
        return package in sys.builtin_module_names
    return any(Path(file).is_relative_to(sysconfig.get_path(name)) for name in ("purelib", "platlib"))
