"""What an allocator reserves of a chip's memory for what a run allocates."""

from analysis.words.allocator.caching import Block, CachingAllocator, Segment
from analysis.words.allocator.replay import Replay

__all__ = ["Block", "CachingAllocator", "Replay", "Segment"]
