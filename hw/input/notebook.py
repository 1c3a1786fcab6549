"""What a notebook shows of a thing: a line that says what it is, a table, a line below. All text is escaped; no script, no
colour that needs a theme.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_LEFT = ' style="text-align:left"'


def notebook_table(heads: Iterable[object], rows: Iterable[Sequence[object]]) -> str:
    """A table of HTML, its cells as text."""
    head = "".join(f"<th{_LEFT}>{escape(str(name))}</th>" for name in heads)
    lines = ("".join(f"<td{_LEFT}>{escape(str(cell))}</td>" for cell in row) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def notebook_html(
    name: object, about: object, heads: Iterable[object], rows: Iterable[Sequence[object]], below: object = ""
) -> str:
    """What `_repr_html_` gives: a name and what it is, the table, and a line `below` it."""
    told = f": {escape(str(about))}" if about else ""
    after = f"{escape(str(below))}" if below else ""
    return f"<div><b>{escape(str(name))}</b>{told}{notebook_table(heads, rows)}{after}</div>"
