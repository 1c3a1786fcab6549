"""Chips, their hosts and memories, and the catalogue that they come from.

`load_chip("h100_sxm")` gives one by name or file; a new chip is a file in the words of `hw/catalog/*.yaml`.
"""

from hw.chips.architectures import kernel_times_names, load_kernel_times
from hw.chips.calibration import MEASURED
from hw.chips.catalogue import build_chip, chip_document, chip_names, is_path, load_chip, override
from hw.chips.chip import Chip, Derivation, Link
from hw.chips.collective_times import CollectiveTimes
from hw.chips.generic import GENERIC, ChipKernels, architecture_on, chip_kernels
from hw.chips.grouped_times import GroupedTimes
from hw.chips.host import HOST_LINK, Host
from hw.chips.kernel_times import (
    AttentionTimes,
    DispatchTimes,
    Family,
    KernelTimes,
    MatmulTimes,
    PassTimes,
)
from hw.chips.memory import Memory
from hw.chips.token_times import TokenTimes

__all__ = [
    # What a chip is.
    "HOST_LINK",
    "MEASURED",
    "Chip",
    "Derivation",
    "Host",
    "Link",
    "Memory",
    # How long kernels and collectives take.
    "GENERIC",
    "AttentionTimes",
    "ChipKernels",
    "CollectiveTimes",
    "DispatchTimes",
    "Family",
    "GroupedTimes",
    "KernelTimes",
    "MatmulTimes",
    "PassTimes",
    "TokenTimes",
    "architecture_on",
    "chip_kernels",
    "kernel_times_names",
    "load_kernel_times",
    # The catalogue.
    "build_chip",
    "chip_document",
    "chip_names",
    "is_path",
    "load_chip",
    "override",
]
