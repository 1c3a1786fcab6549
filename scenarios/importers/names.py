"""Names of ops: what other tools call things, made into what an op may be called, each once."""

from __future__ import annotations

import re
from collections import Counter

_STRANGE = re.compile(r"\W+", re.ASCII)
_LONGEST = 60


def plain_name(text: str) -> str:
    """A name of letters, digits and single underscores that begins with a letter; `op` where nothing is left."""
    name = _STRANGE.sub("_", text[: 4 * _LONGEST]).strip("_")[:_LONGEST].strip("_")
    if not name:
        return "op"
    return name if name[0].isalpha() else f"op_{name}"


class Names:
    """Names that are given once each: a second `mm` is `mm_2`."""

    def __init__(self) -> None:
        self._given: Counter[str] = Counter()
        self._taken: set[str] = set()

    def fresh(self, text: str) -> str:
        """A name like `text` that nothing has yet."""
        wanted = plain_name(text)
        self._given[wanted] += 1
        name = wanted if self._given[wanted] == 1 else f"{wanted}_{self._given[wanted]}"
        while name in self._taken:
            self._given[wanted] += 1
            name = f"{wanted}_{self._given[wanted]}"
        self._taken.add(name)
        return name
