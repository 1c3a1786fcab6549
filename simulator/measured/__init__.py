"""How long kernels take on a measured chip: what `run.calibration: measured` makes of them.

`kernel_time(kernel, device, times)` is the time of one kernel alone; `Device` is a chip as kernels see it;
`matmul_s`, `grouped_s` and `attention_s` what matmuls and fused attention take of the cores, `collective_delay_s` and
`Delays` what collectives take beside their wires, `rail_share` what rings over nodes ask of their cards, `axes_share` what
rings on few axes of a torus take; `family_of` how it is made; `held_by` the cores that it holds; `timed` what lowering makes
of all that.
"""

from simulator.measured.attention import attention_s
from simulator.measured.collectives import axes_share, collective_delay_s, rail_share
from simulator.measured.delays import Delays
from simulator.measured.device import Device
from simulator.measured.grouped import grouped_s
from simulator.measured.kernel import KernelTime, family_of, kernel_time
from simulator.measured.matmul import matmul_s
from simulator.measured.needs import Asked, Timed, costs_of, held_by, kernel_times_of, timed

__all__ = [
    "Asked",
    "Delays",
    "Device",
    "KernelTime",
    "Timed",
    "attention_s",
    "axes_share",
    "collective_delay_s",
    "costs_of",
    "family_of",
    "grouped_s",
    "held_by",
    "kernel_time",
    "kernel_times_of",
    "matmul_s",
    "rail_share",
    "timed",
]
