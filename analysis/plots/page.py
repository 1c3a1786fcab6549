"""Text inside an HTML page: what a script, an element or an attribute may hold without ending it."""

from __future__ import annotations

from html import escape

_INERT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def in_script(json_text: str) -> str:
    """JSON as it may stand in a script element: no tag, no comment and no end of a line can begin in it."""
    for character, code in _INERT.items():
        json_text = json_text.replace(character, code)
    return json_text


def in_text(value: object) -> str:
    """Text of an element or an attribute in quotes."""
    return escape(str(value), quote=True)
