"""A scenario and what came of it: its words and frames (`outcome`), claims judged, and the story told of it.

`run(reference)` and `Outcome` stand at the door of the room, `scenarios`.
"""
