"""Chips as drivers call them ("NVIDIA H100 80GB HBM3"), as the catalogue calls them."""

from __future__ import annotations

import re

DRIVER_NAMES = (
    ("H100.*PCIe", "h100_pcie"),
    ("H100.*NVL", "h100_nvl"),
    ("H100", "h100_sxm"),
    ("H200", "h200"),
    ("H20$", "h20"),
    ("H800", "h800"),
    ("GB300", "gb300"),
    ("B300", "b300"),
    ("GB200", "gb200"),
    ("B200", "b200"),
    ("A100.*PCIe.*40", "a100_40gb_pcie"),
    ("A100.*PCIe", "a100_80gb_pcie"),
    ("A100.*80", "a100_80gb_sxm"),
    ("A100", "a100_40gb_sxm"),
    ("V100.PCIe", "v100_pcie_32gb"),
    ("V100", "v100_sxm2_32gb"),
    ("L40S", "l40s"),
    ("L40$", "l40"),
    ("L20$", "l20"),
    ("L4$", "l4"),
    ("A10$", "a10"),
    ("A40$", "a40"),
    ("RTX A6000", "rtx_a6000"),
    ("RTX 6000 Ada", "rtx_6000_ada"),
    ("RTX PRO 6000", "rtx_pro_6000"),
    ("T4", "t4"),
    ("P100.PCIe", "p100_pcie"),
    ("P100", "p100"),
    ("P4$", "p4"),
    ("MI300X", "mi300x"),
    ("MI250", "mi250x"),
    ("MI210", "mi210"),
    ("MI100", "mi100"),
)
"""Parts of names, the first that fits."""


def chip_of_driver(name: str) -> str | None:
    """The chip of the catalogue that a driver's name means; None where it has none such."""
    return next((ours for pattern, ours in DRIVER_NAMES if re.search(pattern, name, re.IGNORECASE)), None)
