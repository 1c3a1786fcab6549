"""Tasks that follow each other alone on their chip take one event together.

`couplings` tells from the program who follows whom so; `trains` has their timetables, for which `beside` runs tasks by
themselves; `runs` leads trains and breaks one where somebody comes between; `passing` is what its tasks leave to others.
"""
