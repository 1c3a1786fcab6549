"""The ways to carry out collectives: the textbook's by kind, and others by name.

Model: an algorithm is one object with both of its forms, and is known everywhere once it is added: as a value of
`run.collectives` and of `algorithm=`, to the choice of the cheapest, to runs by messages, and to the law that holds the two
forms together. The textbook's way (`canonical`) is no name among them: every kind of collective has one, on any wiring.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hw.input import need_function, need_name, shown, unknown
from simulator.collectives.form import Form
from simulator.collectives.group import Group
from simulator.collectives.request import COLLECTIVES, CollectiveRequest
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
    """Register a way to carry out collectives. Raises ValueError for a second one of a name, and for what is no name, no
    kind of collective, or no form."""
    _check(algorithm)
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


def _check(algorithm: Algorithm) -> None:
    """Raise ValueError for an algorithm that nobody could run."""
    need_name(algorithm.name, "algorithm", taken=("canonical", "auto"))
    title = f"algorithm '{algorithm.name}'"
    if not isinstance(algorithm.kinds, tuple) or not algorithm.kinds:
        raise ValueError(
            f"{title} is for {shown(algorithm.kinds)}: kinds of collectives are wanted, as ('all_gather',)"
        )
    for each in algorithm.kinds:
        if each not in COLLECTIVES:
            raise ValueError(unknown(f"kind of collective of {title}", each, COLLECTIVES))
    for form in (algorithm.form, algorithm.unequal or algorithm.form):
        if not isinstance(form, Form):
            raise ValueError(f"the form of {title} is {shown(form)}: a Form is wanted, or staged(...)")
    need_function(algorithm.fits, ("a group",), f"`fits` of {title}")
