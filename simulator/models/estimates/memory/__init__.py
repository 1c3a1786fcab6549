"""What training steps hold, from what is distinct: lives of tensors, chunks, stages."""

from simulator.models.estimates.memory.chunk import Held, Holdings
from simulator.models.estimates.memory.stages import StageMemory, least_memory, stages_memory

__all__ = ["Held", "Holdings", "StageMemory", "least_memory", "stages_memory"]
