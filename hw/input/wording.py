"""Names and values as a message or a screen can hold them, and the names that were meant.

Model: what a user's file calls things is text of any kind: a name may be a megabyte, or move the cursor. A message shows
control characters (and those that turn the direction of writing) as escapes, is cut where it gets long, and lists no more
than so many names. The name that was meant is sought in three steps: the same but for case and separators, one that the
text begins or whose letters it has in another order, and last the one that looks most alike (difflib's ratio).
Source: Unicode's general categories Cc, Cf, Cs, Zl and Zp are what is escaped; Python's own escapes are the form.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from hw.rows import Rows

MOST_NAMED = 60
"""Allowed names that a message lists whole: more (a library, the nodes of a graph) are not read."""

_MOST_BESIDE = 30
"""The same beside a name that was likely meant: who has it need not read a long list."""

_SOME_NAMED = 12
"""Of more names than that, so many are listed."""

MOST_TOLD = 20
"""Problems of one input that are told one by one."""

_LONGEST_MESSAGE = 8_000
_LONGEST_NAME = 120
_MOST_MEANT = 5

_UNPRINTABLE = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\\xad\\u061c\\u180e\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb"
    "\\ud800-\\udfff\\U000e0000-\\U000e007f]"
)
_SEPARATORS = re.compile(r"[-_ ./]")


def printable(text: str) -> str:
    """Text in one line, harmless on a terminal: characters that control it are written as escapes ('\\x1b')."""
    return _UNPRINTABLE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape", "surrogatepass").decode("ascii")


def cut(text: str, longest: int = _LONGEST_MESSAGE) -> str:
    """Text of at most so many characters; what is left out is counted."""
    if len(text) <= longest:
        return text
    return f"{text[:longest]}... ({len(text) - longest:,} characters more)"


def path_shown(file: str) -> str:
    """A path whole; of what lies below the working directory the part from there."""
    try:
        here = os.path.join(os.getcwd(), "")
    except OSError:  # the directory is gone
        return file
    return file.removeprefix(here) or file


_IN_YAML = {None: "null", True: "true", False: "false"}


def shown(value: object, longest: int = 60) -> str:
    """A value as a message can hold it: one short line, whatever it is."""
    if type(value) is Rows:
        return "a number of many rows"  # messages are for rows by themselves
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**longest:
        return "a huge number"  # Python itself refuses to print very long integers
    if value is None or isinstance(value, bool):
        return _IN_YAML[value]
    kind = "mapping" if isinstance(value, dict) else type(value).__name__
    text = repr(value) if isinstance(value, (str, int, float)) else f"a {kind}"
    if len(text) <= longest:
        return text
    quote = text[-1] if isinstance(value, str) else ""
    return f"{text[: longest - 3 - len(quote)]}...{quote}"


def meant(name: str, allowed: Iterable[str]) -> list[str]:
    """The allowed names that `name` may stand for, likeliest first; none where none is close."""
    if len(name) > _LONGEST_NAME or not name.strip():
        return []
    return list(_meant(name, tuple(str(each) for each in allowed)))


@lru_cache(maxsize=256)
def _meant(name: str, names: tuple[str, ...]) -> list[str]:
    """A file says the same wrong word in many places."""
    plain = {each: _plain(each) for each in names}
    wanted = _plain(name)
    same = [each for each in names if plain[each] == wanted]
    if same or not wanted:
        return same[:1]
    turned = [each for each in names if _words(each) == _words(name)]  # a100_sxm_80gb is a100_80gb_sxm
    if turned:
        return turned[:1]
    swapped = [each for each in names if len(wanted) > 3 and sorted(plain[each]) == sorted(wanted)]  # modle is model
    if swapped:
        return swapped[:1]
    longer = [each for each in names if len(wanted) > 1 and plain[each].startswith(wanted)]
    if longer:  # `tme` begins t_memory, and is time without a letter
        slips = [each for each in names if each not in longer and _lacks_a_letter(wanted, plain[each])]
        return [*slips, *longer]
    # a number in a name says which one it is: h200_sxm is h200, not h100_sxm
    shorter = [each for each in names if wanted.startswith(plain[each]) and any(map(str.isdigit, each))]
    if shorter:
        return [max(shorter, key=len)]
    alike = difflib.get_close_matches(wanted, plain.values(), n=1, cutoff=0.6)
    return [each for each in names if plain[each] in alike][:1]


def _lacks_a_letter(name: str, whole: str) -> bool:
    """Whether a name is another without one letter, which is not the first."""
    return len(whole) == len(name) + 1 and any(whole[:at] + whole[at + 1 :] == name for at in range(1, len(whole)))


def _words(name: str) -> list[str]:
    """The words of a name, in order of the alphabet."""
    return sorted(_SEPARATORS.sub(" ", name.casefold()).split())


def _plain(name: str) -> str:
    return _SEPARATORS.sub("", name.casefold())


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name that `name` most likely stands for, or None if none is close."""
    return next(iter(meant(str(name), allowed)), None)


def did_you_mean(name: str, allowed: Iterable[str], prefix: str = "") -> str:
    """', did you mean ...?' with the names that may be meant (each after `prefix`); empty where there are none."""
    close = meant(str(name), allowed)
    if not close:
        return ""
    *others, last = [f"'{prefix}{each}'" for each in close[:_MOST_MEANT]]
    more = f" (or {len(close) - _MOST_MEANT} more)" if len(close) > _MOST_MEANT else ""
    return f", did you mean {', '.join(others)}{' or ' if others else ''}{last}{more}?"


def unknown(what: str, name: str, allowed: Iterable[str], prefix: str = "", meant: str | None = None) -> str:
    """The message for an unknown name: those that it may stand for, and what is allowed; of many names some, and how many
    there are. `prefix`: what the name, and those that it may stand for, stand below. `meant`: what it surely stands for."""
    names = sorted(str(a) for a in allowed)
    hint = f", did you mean '{prefix}{meant}'?" if meant is not None else did_you_mean(name, names, prefix)
    listed = _listed(names, _MOST_BESIDE if hint else MOST_NAMED)
    return f"unknown {what} '{prefix}{cut(str(name), _LONGEST_NAME)}'{hint or '.'} Allowed: {listed}"


def _listed(names: Sequence[str], most: int) -> str:
    if not names:
        return "none"
    if len(names) <= most:
        return ", ".join(names)
    return f"{few(names, _SOME_NAMED)} ({len(names):,} in all)"


def few(names: Iterable[object], most: int, between: str = ", ") -> str:
    """The first of some names, and how many more there are."""
    every = list(names)
    first = between.join(cut(str(each), _LONGEST_NAME) for each in every[:most])
    return f"{first} and {len(every) - most:,} more" if len(every) > most else first


def chips_named(numbers: Iterable[int], most: int = 8) -> str:
    """Chips by number, each once: 'chip 7', 'chips 0, 1 and 5 more', 'no chip'."""
    every = sorted(set(numbers))
    return f"chip{'s' if len(every) > 1 else ''} {few(every, most)}" if every else "no chip"
