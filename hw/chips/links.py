"""Which links a change of a chip's figures may be about.

`set: {links.NAME.bandwidth: ...}` changes a link of the chip, or gives it one that the wiring goes over ('switch(2) over
ethernet'). The figure of a link that is in neither would change nothing, silently: such a name is a mistake.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from hw.chips.host import HOST_LINK
from hw.input.document import Document
from hw.input.wording import unknown

_SECTION = "links."


def links_of(described: Document) -> set[str]:
    """The names of the links in a chip's document."""
    links = described.data.get("links") if isinstance(described.data, dict) else None
    return set(links) if isinstance(links, dict) else set()


def link_problems(known: Collection[str], changes: Iterable[str], why: str) -> dict[str, str]:
    """What is wrong with the dotted names of changes, by name, and `why` a link is unknown. Where no link is known at all,
    a first one may be made."""
    if not known:
        return {}
    allowed = {*known, HOST_LINK}
    asked = {name: name.removeprefix(_SECTION).split(".")[0] for name in changes if name.startswith(_SECTION)}
    return {name: f"{unknown('link', link, allowed)} ({why})" for name, link in asked.items() if link not in allowed}
