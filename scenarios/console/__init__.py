"""What meets a person at a terminal: the console, the pager, the progress bar, and files that a command writes.

The lowest sub-package of the room: it knows nothing of scenarios.
"""
