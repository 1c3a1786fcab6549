"""A family of models on the hub: which keys its `config.json` has, their defaults, and what they are called here.

Model: most keys mean one thing, and are renamed (`words`); some are the same for the whole family and stand in no file
(`always`); what follows from several keys, or from none of one's own, is worked out (`derive`). Keys that change neither
shapes nor compute are listed once for all families (`keys`); a key that is in none of these is told to the user.
Source: the configuration and modelling files of Hugging Face transformers 5.24.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hw.input import shown

_MOST = 1_000_000
"""Of what is looked at one by one, no model has so many."""

Dotted = str
"""A key of a description with those that it stands below: `attention.kv_heads`."""


@dataclass(frozen=True, slots=True)
class Said:
    """A value in our words, and the key of the config that says so (None: the family does)."""

    value: Any
    key: str | None = None


class ConfigError(ValueError):
    """A value of a config that cannot be taken over; `key` is where it stands."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True, slots=True)
class Values:
    """The values of a config, defaults included. `None` means that the file or the library says null."""

    data: Mapping[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.data[key]

    def whole(self, key: str, least: int = 1) -> int:
        """A whole number that later arithmetic needs: a number of layers, or a width. Raises ConfigError."""
        value = self.data[key]
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST:
            raise ConfigError(key, f"'{key}' wants a whole number from {least} to {_MOST:,}, not {shown(value)}")
        return value

    def flag(self, key: str) -> bool:
        """Whether something is so; null is no. Raises ConfigError."""
        value = self.data[key]
        if value is not None and not isinstance(value, bool):
            raise ConfigError(key, f"'{key}' wants true or false, not {shown(value)}")
        return bool(value)

    def names(self, key: str) -> list[str]:
        """A list of names. Raises ConfigError."""
        value = self.data[key]
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise ConfigError(key, f"'{key}' wants a list of names")
        return value


Derive = Callable[[Values], Mapping[Dotted, Said]]


@dataclass(frozen=True, slots=True)
class ConfigFamily:
    """One `model_type` of the hub.

    `heads`: what its architectures put after the last block, by their names in `architectures`; the first is what is
    meant where there is none. `aliases`: other names of keys. `only`: values other than these change the model in a way
    that is not known here.
    """

    model_type: str
    defaults: Mapping[str, Any]
    words: Mapping[Dotted, str]
    always: Mapping[Dotted, Any]
    heads: Mapping[str, Mapping[Dotted, Any]]
    derive: Derive
    aliases: Mapping[str, str] = field(default_factory=dict)
    only: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    noted: Mapping[str, str] = field(default_factory=dict)
