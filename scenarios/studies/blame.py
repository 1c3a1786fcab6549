"""Whose exception it is that nobody foresaw: one that a function of the user's raised is theirs, every other one is ours.

Model: an exception is the user's where a function was at work that is in a table of ours and not of ours (`extensions`), or
one that such a function names; also where it went wrong further in, by what it was given. It is told by its file and line.
"""

from __future__ import annotations

import traceback

from hw import Mark
from hw.input import cut
from scenarios.studies.extensions import extensions


def whose(error: Exception) -> tuple[str, bool]:
    """What is told of an exception that is being handled, and whether it is the user's."""
    what = f"{type(error).__name__}: {cut(str(error))}" if str(error) else type(error).__name__
    theirs = frozenset(extensions().modules)
    frames = traceback.walk_tb(error.__traceback__)
    places = [(frame, line) for frame, line in frames if frame.f_globals.get("__name__") in theirs]
    if not places:
        return f"defect of Overlapse: {what}", False
    frame, line = places[-1]
    code = frame.f_code
    return f"{Mark(code.co_filename, line)}: {what}, in {code.co_name}", True
