"""The two forms of a collective: what it asks of the wires as one task, and the messages that carry it out.

Law: the messages put on every wire the bytes that the closed form charges, and take its time but for the filling of what
streams (tests/laws/test_algorithm_laws.py holds every registered form to it, on every wiring where it fits).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hw.input import need_function
from simulator.collectives.group import Group
from simulator.collectives.request import CollectiveRequest
from simulator.collectives.rounds import Rounds
from simulator.collectives.transfer import Transfer

GATHERS = ("all_gather", "reduce_scatter", "all_reduce")
"""The kinds that gather shards, backwards, or both in sequence."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a collective is carried out: in closed form, and round by round. Without `rounds` it cannot go by messages. Raises
    ValueError for functions that cannot be called with a group and a request."""

    transfer: Callable[[Group, CollectiveRequest], Transfer]
    rounds: Callable[[Group, CollectiveRequest], Rounds] | None = None

    def __post_init__(self) -> None:
        for what, function in (("transfer", self.transfer), ("rounds", self.rounds)):
            if function is not None:
                need_function(function, ("a group", "a request"), f"`{what}` of a form")
