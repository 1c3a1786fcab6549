"""How long kernels take on a measured chip: what `run.calibration: measured` makes of them.

`kernel_time(kernel, device, times)` is the time of one kernel alone; `Device` is a chip as kernels see it.
"""

from simulator.measured.device import Device
from simulator.measured.kernel import KernelTime, kernel_time

__all__ = ["Device", "KernelTime", "kernel_time"]
