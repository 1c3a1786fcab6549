"""Small pieces of HTML that the sections of a report are put together from. Everything that is text is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from analysis.plots.page import in_text
from analysis.plots.style import CAUSE_COLOURS, CONTENTION_COLOUR, DOES_COLOURS, IDLE_COLOUR
from analysis.words.causes import WAITING

COLOURS: Mapping[str, str] = {
    **CAUSE_COLOURS,
    **DOES_COLOURS,
    "contention": CONTENTION_COLOUR,
    "held": WAITING.colour,
    "idle": IDLE_COLOUR,
}
"""The colour of every word that has one."""


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: object) -> str:
    """A value as HTML: as it is if it is HTML, else escaped."""
    return value if isinstance(value, Html) else in_text(value)


def paragraph(value: object, kind: str = "") -> Html:
    """A paragraph."""
    return Html(f'<p class="{kind}">{text(value)}</p>' if kind else f"<p>{text(value)}</p>")


def swatch(word: str) -> Html:
    """A word with its colour before it."""
    return Html(f'<span class="swatch" style="background:{COLOURS[word]}"></span>{in_text(word)}')


def legend(words: Iterable[str]) -> Html:
    """Words with their colours, in a line."""
    return Html(f'<p class="legend">{"".join(f"<span>{swatch(word)}</span>" for word in words)}</p>')


def bar(word: str, share: float) -> Html:
    """A bar in a word's colour, of a share of the room."""
    return Html(f'<i style="width:{100 * min(1.0, max(0.0, share)):.2f}%;background:{COLOURS[word]}"></i>')


def stack(shares: Mapping[str, float]) -> Html:
    """Shares of a whole, side by side."""
    parts = (
        f'<i style="width:{100 * share:.3f}%;background:{COLOURS[word]}" title="{in_text(word)} {100 * share:.1f} %"></i>'
        for word, share in shares.items()
        if share > 0
    )
    return Html(f'<div class="stack">{"".join(parts)}</div>')


def chart(name: str, height: int) -> Html:
    """The place of a chart; it keeps its height before the chart is there."""
    return Html(f'<div class="chart" id="chart-{in_text(name)}" style="min-height:{height}px"></div>')


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], wide: bool = False) -> Html:
    """A table. A column's name may begin with a mark: '>' figures, to the right; '*' a name; '|' bars; '=' prose."""
    kinds = [_KINDS.get(name[:1], "") for name in columns]
    heads = [name[1:] if kind else name for name, kind in zip(columns, kinds, strict=True)]
    head = "".join(
        f'<th scope="col"{_class(kind if kind == "figure" else "")}>{in_text(name)}</th>'
        for name, kind in zip(heads, kinds, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{_class(kind)}>{text(value)}</td>" for value, kind in zip(row, kinds, strict=True))
        + "</tr>"
        for row in rows
    )
    shape = ' class="wide"' if wide else ""
    titled = f"<thead><tr>{head}</tr></thead>" if any(heads) else ""
    return Html(f'<div class="scroll"><table{shape}>{titled}<tbody>{body}</tbody></table></div>')


def folded(title: str, inside: Html) -> Html:
    """Something that is opened when it is wanted."""
    return Html(f"<details><summary>{in_text(title)}</summary>{inside}</details>")


_KINDS = {">": "figure", "*": "name", "|": "bar", "=": "prose"}


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
