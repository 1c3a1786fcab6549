"""What the time on a resource counts as: work of a unit, of a memory, of the network, or of the way to a host.

One table: what a chip calls its resources, and the cause that each stands for. A memory that is not named here is a level
of the chip's own, and counts as memory.
"""

from __future__ import annotations

from collections.abc import Mapping

RESOURCE_CAUSES = ("math", "vector", "memory", "network", "host")
"""Everything that a resource can count as."""

UNITS = ("math", "vector")
"""What belongs to a chip's cores: who holds these has its part of those."""

_OF_CHIP: Mapping[str, str] = {
    "matrix_unit": "math",
    "vector_unit": "vector",
    "dispatch": "host",
    "host": "host",
    "disk": "host",
    "pcie": "host",
    "pcie.in": "host",
    "pcie.out": "host",
}


def resource_cause(resource: str) -> str:
    """What the time on one of a chip's own resources counts as."""
    return _OF_CHIP.get(resource, "memory")
