"""The bounds of a run, told from its program without running it.

`paths` has the bounds and where between them a run landed; `stretches` is what a chip does without another, of which the
longest path consists.
"""
