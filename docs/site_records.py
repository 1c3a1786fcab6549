"""Classes made by `hw.records.dataclass` are shown as those of the standard library are: with what makes them."""

from __future__ import annotations

from typing import Any

from griffe import Extension, Module

OURS, STANDARD = "hw.records.dataclass", "dataclasses.dataclass"


class Records(Extension):
    """For griffe, which knows the standard library's decorator by its name alone."""

    def on_module_members(self, *, mod: Module, **_: Any) -> None:
        """Name the decorator as what it stands for."""
        for name, place in mod.imports.items():
            if place == OURS:
                mod.imports[name] = STANDARD
                mod.members[name].target_path = STANDARD
