"""How the network was used: the algorithm of every collective and why it was chosen, and how chips were folded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from simulator import Plan


@dataclass(frozen=True, slots=True)
class CollectiveChoice:
    """A collective: op, kind, mesh axes, algorithm, form (task or messages), reason."""

    op: str
    kind: str
    axes: str
    algorithm: str
    form: str
    reason: str


def choices(plan: Plan) -> Iterator[CollectiveChoice]:
    """One row per collective, in program order."""
    kernels = plan.kernels
    for at, code in enumerate(kernels.code):
        sort = kernels.sorts[code]
        communication, traffic = sort.kernel.communication, sort.traffic
        if communication is not None and not communication.pair:
            yield CollectiveChoice(
                kernels.kernels.names.kernel_name(at),
                communication.kind,
                communication.axes,
                traffic.algorithm,
                traffic.form,
                traffic.reason,
            )


def network_record(plan: Plan) -> dict[str, object]:
    """Chips, classes and choices as plain data."""
    return {"chips": plan.system.size, "classes": plan.classes, "collectives": [asdict(each) for each in choices(plan)]}


def folding_line(plan: Plan) -> str:
    """How many chips there are and how many classes were simulated, in words."""
    return f"{plan.system.size} chips, {plan.classes} class{'es' if plan.classes != 1 else ''}"
