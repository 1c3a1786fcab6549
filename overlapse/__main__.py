"""`python -m overlapse` and the command `overlapse`: the same thing."""

from __future__ import annotations

import sys

from overlapse.rooms import need_rooms


def main() -> None:
    """Run the command; where a module of the user's hides one of Overlapse's packages, say so. Exits with 2 then."""
    try:
        need_rooms()
    except ImportError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    from scenarios.cli import main as command

    command()


if __name__ == "__main__":
    main()
