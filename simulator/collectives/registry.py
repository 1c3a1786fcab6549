"""The ways to carry out collectives: the textbook's by kind, and others by name.

Model: an algorithm is one object with both of its forms, and is known everywhere once it is added: as a value of
`run.collectives` and of `algorithm=`, to the choice of the cheapest, to runs by messages, and to the law that holds the two
forms together. The textbook's way (`canonical`) is no name among them: every kind of collective has one, on any wiring.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simulator.collectives.form import Form
from simulator.collectives.group import Group
from simulator.collectives.request import CollectiveRequest
from simulator.collectives.transfer import Transfer


def _always(_group: Group) -> bool:
    return True


def _few(_group: Group) -> float:
    return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """A way to carry out some kinds of collectives.

    `form`: what it asks, and its messages; `unequal`: the same where shards are unequal, if it can move those; `fits`: for
    which groups, and `wants` what such a group has, in words; `routes`: about how many routes it looks up.
    """

    name: str
    kinds: tuple[str, ...]
    form: Form
    unequal: Form | None = None
    fits: Callable[[Group], bool] = _always
    routes: Callable[[Group], float] = _few
    wants: str = ""


ALGORITHMS: dict[str, Algorithm] = {}
"""All of them by name."""

CANONICAL: dict[str, Form] = {}
"""The textbook's forms by kind of collective."""


def add_algorithm(algorithm: Algorithm) -> Algorithm:
    """Register a way to carry out collectives; a second one of a name is refused."""
    if algorithm.name in ALGORITHMS:
        known = ", ".join(sorted(ALGORITHMS))
        raise ValueError(f"algorithm '{algorithm.name}' is already registered; known: {known}")
    ALGORITHMS[algorithm.name] = algorithm
    return algorithm


def canonical(group: Group, request: CollectiveRequest) -> Transfer:
    """What the textbook's way asks in one group."""
    if group.size == 1:
        return Transfer()
    return CANONICAL[request.kind].transfer(group, request)
