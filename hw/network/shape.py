"""What stands between the brackets of a wiring: 'torus(4,8,wrap=[yes,no])' has two sizes and one option."""

from __future__ import annotations

import math
from dataclasses import dataclass

MAX_OPTION = 1_000_000


@dataclass(frozen=True, slots=True)
class WiringShape:
    """The numbers and options that a wiring was written with: 'torus(4,8,wrap=[yes,no])'."""

    sizes: tuple[int, ...]
    options: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        parts = [*map(str, self.sizes), *(f"{name}={value}" for name, value in self.options)]
        return f"WiringShape({','.join(parts)})"

    @property
    def count(self) -> int:
        """How many children it joins."""
        return math.prod(self.sizes)

    def says(self, name: str) -> bool:
        """Whether an option is written."""
        return any(name == each for each, _ in self.options)

    def text(self, name: str) -> str | None:
        """An option as it is written; None without."""
        return next((value for each, value in self.options if each == name), None)

    def number(self, name: str, default: int) -> int:
        """An option that is a whole number of at least 1. Raises ValueError."""
        raw = self.text(name)
        if raw is None:
            return default
        if not (raw.isascii() and raw.isdecimal() and len(raw) < 9 and 1 <= int(raw) <= MAX_OPTION):
            raise ValueError(f"{name}={raw[:20]} will not do: it wants a whole number of at least 1")
        return int(raw)

    def ratio(self, name: str, default: float) -> float:
        """An option that is a number above 0, decimals allowed. Raises ValueError."""
        raw = self.text(name)
        try:
            number = default if raw is None else float(raw)
        except ValueError:
            number = math.nan
        if not 1 / MAX_OPTION <= number <= MAX_OPTION:
            raise ValueError(f"{name}={str(raw)[:20]} will not do: it wants a number above 0, as {name}=2")
        return number

    def flag(self, name: str, default: bool) -> bool:
        """An option that is yes or no. Raises ValueError."""
        return self.flags(name, 1, default)[0]

    def flags(self, name: str, count: int, default: bool) -> tuple[bool, ...]:
        """An option that is a list of yes and no, one for each axis. Raises ValueError."""
        raw = self.text(name)
        if raw is None:
            return (default,) * count
        words = [word.strip() for word in raw.strip("[]").split(",")]
        if len(words) != count or any(word not in ("yes", "no") for word in words):
            example = "yes" if count == 1 else f"[{','.join(['yes'] * count)}]"
            each = "yes or no" if count == 1 else "a yes or no for each axis"
            raise ValueError(f"{name}={raw[:40]} will not do: it wants {each}, as {name}={example}")
        return tuple(word == "yes" for word in words)
