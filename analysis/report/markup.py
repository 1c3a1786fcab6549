"""Small pieces of HTML that the sections of a report are put together from. Everything that is text is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from analysis.plots.page import in_text
from analysis.plots.style import CAUSE_COLOURS, CONTENTION_COLOUR, DOES_COLOURS, GAIN_COLOUR, IDLE_COLOUR
from analysis.timelines.instants import Part
from analysis.words.causes import WAITING

GAIN = "saved"
"""The word for time that a change saves: no cause, so it has a colour of its own."""

COLOURS: Mapping[str, str] = {
    **CAUSE_COLOURS,
    **DOES_COLOURS,
    "contention": CONTENTION_COLOUR,
    "held": WAITING.colour,
    "idle": IDLE_COLOUR,
    GAIN: GAIN_COLOUR,
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
    return Html(
        f'<span class="cause"><span class="swatch" style="background:{COLOURS[word]}"></span>{in_text(word)}</span>'
    )


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


def part_colour(part: Part) -> str:
    """The colour of what an instant is given to: that of its cause, as the slices of the timeline have it."""
    return COLOURS[part.cause or part.does]


def part_stack(shares: Mapping[Part, float]) -> Html:
    """Shares of the run side by side in the order of `PARTS`; what is exposed is striped."""
    pieces = (
        f'<i{_striped(part)} style="width:{100 * share:.3f}%;background-color:{part_colour(part)}" '
        f'title="{in_text(part.label)} {100 * share:.1f} %"></i>'
        for part, share in shares.items()
    )
    said = ", ".join(f"{part.label} {100 * share:.1f} %" for part, share in shares.items())
    return Html(f'<div class="stack" role="img" aria-label="{in_text(said)}">{"".join(pieces)}</div>')


def part_legend(parts: Iterable[Part], shares: Mapping[Part, float] | None = None) -> Html:
    """The parts with their colours, and their shares where they are those of one chip."""
    words = []
    for part in parts:
        kind = "swatch striped" if part.exposed else "swatch"
        square = f'<span class="{kind}" style="background-color:{part_colour(part)}"></span>'
        said = in_text(part.label) + (f" {100 * shares[part]:.1f} %" if shares else "")
        words.append(f"<span>{square}{said}</span>")
    return Html(f'<p class="legend">{"".join(words)}</p>')


def chips_table(parts: Sequence[Part], shares: Mapping[int, Mapping[Part, float]], bars: Mapping[str, Html]) -> Html:
    """A row for each chip: its bar, and the share of each part."""
    rows = [
        (name, drawn, *(f"{100 * row.get(part, 0.0):.1f} %" for part in parts))
        for (name, drawn), row in zip(bars.items(), shares.values(), strict=True)
    ]
    return table(("", "|", *(f">{part.label}" for part in parts)), rows, wide=True)


def _striped(part: Part) -> str:
    return ' class="striped"' if part.exposed else ""


def chart(name: str, height: int, said: str = "") -> Html:
    """The place of a chart; it keeps its height before the chart is there. `said`: what it shows, for a screen reader."""
    label = in_text(said or name)
    place = (
        f'<div class="chart" id="chart-{in_text(name)}" role="img" aria-label="{label}" '
        f'style="min-height:{height}px"></div>'
    )
    buttons = "".join(
        f'<button type="button" data-chart="{in_text(name)}" data-format="{kind}" '
        f'aria-label="Save {label} as {kind.upper()}">{kind.upper()}</button>'
        for kind in ("svg", "png")
    )
    return Html(f'<div class="drawn">{place}<p class="saves">{buttons}</p></div>')


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
