"""What takes part in a run beside its ops: the work of user processes (a data loader) in the words of results.

Model: such a process is a resource of its own, like the chips': its work over its capacity counts for `t_host`, what it asks
of chips and wires counts where that of ops does, and one after the other with everything else it counts for the upper
bound. So `bound_by` says host where a run waits for its data, and every re-run of it has the process again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hw import Dimension
from hw.input import show
from simulator import Plan, Simulation


@dataclass(frozen=True, slots=True)
class BesideWork:
    """Work over capacity. `host_s`: the busiest process on its own; `serial_s`: all of their work one after the other;
    `resource_s`: by name of a resource, seconds of it at full capacity."""

    host_s: float = 0.0
    serial_s: float = 0.0
    resource_s: Mapping[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        host, serial = (show(each, Dimension.TIME) for each in (self.host_s, self.serial_s))
        return f"BesideWork(host {host}, one after the other {serial})"


class Beside(Protocol):
    """Processes that run beside ops."""

    @property
    def names(self) -> Sequence[str]:
        """What they are called."""

    def faster(self, name: str, factor: float) -> Beside:
        """The same with one of them `factor` times as fast at what it does on its own."""

    def join(self, simulation: Simulation) -> None:
        """Put the processes into a simulation that has not begun."""

    def work(self, plan: Plan) -> BesideWork:
        """What they ask in all, in a run of a plan."""


class Nothing:
    """No process at all."""

    @property
    def names(self) -> Sequence[str]:
        """None."""
        return ()

    def faster(self, name: str, factor: float) -> Nothing:
        """Still none."""
        return self

    def join(self, simulation: Simulation) -> None:
        """Leave the simulation as it is."""

    def work(self, plan: Plan) -> BesideWork:
        """None."""
        return BesideWork()
