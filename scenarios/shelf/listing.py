"""What stands in the library: each scenario with its theme and what it says about itself, found by words.

Model: only the part of a file that says what it is about is read, so that all of them are listed at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hw import Mark, Problem, SpecError
from hw.input import did_you_mean, parse_document, printable
from scenarios.language.source import library_names

_ABOUT = re.compile(r"^about:.*\n(?:[ \t]+.*\n|\n)*", re.MULTILINE)
_SENTENCE = re.compile(r".*?[.:](?=\s|$)")
_IN_LIBRARY = "library:"


@dataclass(frozen=True, slots=True)
class Shelved:
    """A bundled scenario: its name, its theme (a folder), and what it is about."""

    name: str
    theme: str
    about: str

    @property
    def headline(self) -> str:
        """The first sentence of what it is about."""
        first = _SENTENCE.match(self.about)
        return (first[0] if first else self.about).rstrip(".:")

    def has(self, word: str) -> bool:
        """Whether a word stands in its name, its theme, or its text; capitals, hyphens and underscores do not matter."""
        return _plain(word) in _plain(f"{self.name} {self.theme} {self.about}")

    def as_json(self) -> dict[str, str]:
        """Plain data."""
        return {"name": f"{_IN_LIBRARY}{self.name}", "theme": self.theme, "about": self.about}


def found_in_library(words: Sequence[str] = ()) -> list[Shelved]:
    """The bundled scenarios that have all of some words, by theme and name. Raises SpecError where there is none."""
    shelved = [_shelved(name, path) for name, path in library_names().items()]
    asked = [word.removeprefix(_IN_LIBRARY) for word in words]
    found = [each for each in shelved if all(each.has(word) for word in asked)]
    if not found:
        raise SpecError([Problem(Mark("library"), _none_has(asked, shelved))])
    return sorted(found, key=lambda each: (each.theme, each.name))


def _none_has(asked: Sequence[str], shelved: Sequence[Shelved]) -> str:
    """That no scenario has all of some words: which of them none has, and names or words that may be meant."""
    strange = [word for word in asked if not any(each.has(word) for each in shelved)]
    if not strange:
        return f"no scenario of the library mentions all of {', '.join(asked)}; each of them stands in some: name fewer"
    names = [each.name for each in shelved]
    words = {word for each in shelved for word in re.findall(r"[a-z0-9]{3,}", each.about.lower())}
    said = f"no scenario of the library mentions {' or '.join(repr(printable(word)) for word in strange)}"
    return said + "".join(did_you_mean(word, [*names, *sorted(words)]) for word in strange)


def library_file(names: Iterable[str]) -> Path:
    """The file of the one scenario that is named, by its name or by words that only it has. Raises SpecError."""
    asked = [name.removeprefix(_IN_LIBRARY) for name in names]
    known = library_names()
    if len(asked) == 1 and asked[0] in known:
        return known[asked[0]]
    found = found_in_library(asked)
    if len(found) > 1:
        first = ", ".join(each.name for each in found[:5])
        message = f"{len(found)} scenarios are meant, name one of them: {first}" + (", ..." if len(found) > 5 else "")
        raise SpecError([Problem(Mark("library"), message)])
    return known[found[0].name]


def _plain(text: str) -> str:
    return re.sub(r"[-_\s]+", " ", text.lower())


def _shelved(name: str, path: Path) -> Shelved:
    part = _ABOUT.search(path.read_text("utf-8"))
    about = parse_document(part[0], str(path)).data["about"] if part else ""
    return Shelved(name, path.parent.name, " ".join(str(about).split()))
