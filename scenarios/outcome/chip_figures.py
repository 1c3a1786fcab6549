"""A chip's figures in words, section by section."""

from __future__ import annotations

from hw import Chip, Dimension
from hw.input import show


def chip_figures(chip: Chip, section: str) -> str:
    """A section of a chip in one line."""
    if section.startswith("links."):
        link = chip.links[section.removeprefix("links.")]
        latency = f", {show(link.latency_s, Dimension.TIME)} a hop" if link.latency_s else ""
        return f"{show(link.bytes_per_s, Dimension.BANDWIDTH)} one way x {link.count}{latency}"
    if section in ("matrix_unit", "vector_unit"):
        peaks = getattr(chip, section).peak_flops_per_s
        return ", ".join(f"{dtype} {show(rate, Dimension.FLOP_RATE)}" for dtype, rate in peaks.items())
    if section == "price":
        return ", ".join(f"{tier.replace('_', ' ')} {usd:g} USD/h" for tier, usd in chip.prices.known.items())
    if section == "power":
        return show(chip.power_watts, Dimension.POWER) if chip.power_watts is not None else ""
    if section == "calibration":
        measured = chip.calibration.measured
        known = {**measured.known(), "launch_s": measured.launch_s} if measured is not None else {}
        return ", ".join(f"{name} {value:g}" for name, value in known.items())
    memory = chip.memories[section.removeprefix("levels.")]
    latency = f", answers in {show(memory.latency_s, Dimension.TIME)}" if memory.latency_s else ""
    return f"{show(memory.capacity_bytes, Dimension.DATA)}, {show(memory.bytes_per_s, Dimension.BANDWIDTH)}{latency}"


def main_peak(chip: Chip) -> tuple[str, float]:
    """The dtype and the rate of the matrix unit that a chip is known by: bf16 or fp16, else its first."""
    peaks = {str(name): rate for name, rate in chip.matrix_unit.peak_flops_per_s.items()}
    dtype = next((name for name in ("bf16", "fp16") if name in peaks), next(iter(peaks)))
    return dtype, peaks[dtype]
