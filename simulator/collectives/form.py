"""The two forms of a collective: what it asks of the wires as one task, and the messages that carry it out.

Law: the messages put on every wire the bytes that the closed form charges, and take its time but for the filling of what
streams (tests/laws/test_algorithm_laws.py holds every registered form to it, on every wiring where it fits).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simulator.collectives.group import Group
from simulator.collectives.request import CollectiveRequest
from simulator.collectives.rounds import Rounds
from simulator.collectives.transfer import Transfer

GATHERS = ("all_gather", "reduce_scatter", "all_reduce")
"""The kinds that gather shards, backwards, or both in sequence."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a collective is carried out: in closed form, and round by round. Without `rounds` it cannot go by messages."""

    transfer: Callable[[Group, CollectiveRequest], Transfer]
    rounds: Callable[[Group, CollectiveRequest], Rounds] | None = None
