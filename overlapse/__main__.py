"""`python -m overlapse` and the command `overlapse`: the same thing."""

from __future__ import annotations

import atexit
import gc
import os
import sys

from overlapse.rooms import need_rooms

_OBJECTS = 400_000
"""Objects between two looks for circles of garbage. What a command makes lives as long as it does, and hardly anything in it
hangs together in circles: looking every 700 objects takes a tenth of the time of a small run, and a look at all that is
imported a twentieth."""


def main() -> None:
    """Run the command; where a module of the user's hides one of Overlapse's packages, say so. Exits with 2 then."""
    try:
        need_rooms()
    except ImportError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    gc.set_threshold(_OBJECTS)
    # pydantic looks for plug-ins in all that is installed; the command has no use for one
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # numpy's OpenBLAS starts a thread for each core, which spins for a twentieth of a second before it sleeps; what is
    # solved here has a few hundred unknowns
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # the process ends: nobody needs to look once more through all that it made for circles of garbage
    atexit.register(gc.freeze)
    from scenarios.cli import main as command

    command()


if __name__ == "__main__":
    main()
