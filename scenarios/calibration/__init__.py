"""From timings of single operators to a calibration block: `calibrate(rows, chip, base)`, and its text for a chip's file."""

from scenarios.calibration.block import block_text
from scenarios.calibration.fit import Calibrated, Stage, calibrate

__all__ = ["Calibrated", "Stage", "block_text", "calibrate"]
