"""The host side of a system: the computers that the chips sit in, each shared by `chips` chips.

Model: chips next to each other by number share a host: its memory, its disk, and the way there. Each of its `pcie_switches`
serves an equal part of the chips and leads up to the host at `uplink` bytes/s one way; without an `uplink` the chips' own
pcie links are the only limit. The last host may be part empty, and a slice smaller than a host has it to itself.
"""

from pydantic import Field

from hw.chips.memory import Memory
from hw.input.document import Key
from hw.input.validation import BytesPerSecond, Spec

MAX_HOST_CHIPS = 1024

HOST_LINK = "pcie"
"""The way to the host: a chip may be given one although no wiring goes over it."""


class Host(Spec):
    """One host: how many chips share it, what it holds, and the PCIe switches between."""

    chips: int = Field(gt=0, le=MAX_HOST_CHIPS, strict=True, description="chips that share a host")
    memory: Memory | None = Field(default=None, description="bytes and bytes/s of the whole host")
    disk: Memory | None = Field(default=None, description="bytes and bytes/s of all disks of the host")
    pcie_switches: int | None = Field(default=None, gt=0, le=MAX_HOST_CHIPS, strict=True)
    uplink_bytes_per_s: BytesPerSecond | None = Field(
        default=None, alias="uplink", description="one way between a PCIe switch and the host"
    )

    def __repr__(self) -> str:
        memories = [f"{name} {memory}" for name, memory in (("memory", self.memory), ("disk", self.disk)) if memory]
        return f"Host({', '.join([f'{self.chips} chips', *memories])})"

    def problem(self) -> tuple[tuple[Key, ...], str] | None:
        """What is wrong with it as a whole: the keys that may be to blame, likeliest first, and the message."""
        if self.pcie_switches is not None and self.chips % self.pcie_switches:
            message = f"a host's {self.chips} chips cannot be shared out evenly over {self.pcie_switches} PCIe switches"
            return (("pcie_switches",), ("chips",)), message
        if self.memory and self.disk and self.disk.bytes_per_s > self.memory.bytes_per_s:
            message = "memory must not get faster away from the chip: the host's disk is faster than its memory"
            return (("disk", "bandwidth"), ("memory", "bandwidth")), message
        return None

    def host_of(self, chip: int) -> int:
        """The number of the host that a chip sits in."""
        return chip // self.chips

    def switch_of(self, chip: int) -> int:
        """The number of the PCIe switch that a chip sits behind, over all hosts."""
        switches = self.pcie_switches or self.chips
        return self.host_of(chip) * switches + chip % self.chips * switches // self.chips
