"""Lines of a screen: each one line of the terminal, cut where it is too long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

LABEL = 13
"""Characters of a label in front of a line."""


def line_of(text: str | Text, width: int) -> Text:
    """One line, cut where it is too long."""
    line = Text(text) if isinstance(text, str) else text
    line.truncate(width, overflow="ellipsis")
    line.no_wrap = True
    return line


def labelled(label: str, text: str, width: int, most: int = 1, style: str = "") -> Iterator[Text]:
    """Some lines behind a label."""
    room = max(20, width - LABEL)
    words, lines = text.split(" "), [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + 1 + len(word) > room and len(lines) < most:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    for at, line in enumerate(lines):
        yield line_of(Text.assemble((f"{'' if at else label:<{LABEL}}", "dim"), (line, style)), width)


def joined(parts: Sequence[str], between: str, room: int, more: str = "") -> str:
    """As many of some parts as there is room for, the first at least; `more` stands for those that are left out."""
    for count in range(len(parts), 1, -1):
        text = between.join(parts[:count]) + (more if count < len(parts) else "")
        if len(text) <= room:
            return text
    return parts[0] + (more if len(parts) > 1 else "")
