"""What a user may have caused becomes messages and an exit code, here and nowhere else; and what is told as JSON.

Model: 0 fine, 1 a claim failed, 2 the input is wrong (every mistake at once), 3 the run cannot be done. Any other error is a
fault of ours and shows as one. Long output goes through the pager while a command runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import typer


class Exit(IntEnum):
    """What the exit code says."""

    FINE = 0
    CLAIM_FAILED = 1
    WRONG_INPUT = 2
    CANNOT_RUN = 3


@contextmanager
def reporting() -> Iterator[None]:
    """Turn the errors that a user can cause into messages and exit codes."""
    from hw import RunError, SpecError
    from scenarios.console.pager import paged
    from scenarios.console.terminal import tell

    try:
        with paged():
            yield
    except SpecError as error:
        from scenarios.cli.errors import located

        for line in located(error.problems):
            tell(line)
        raise typer.Exit(Exit.WRONG_INPUT) from None
    except RunError as error:
        for line in f"cannot run: {error}".splitlines():
            tell(line)
        raise typer.Exit(Exit.CANNOT_RUN) from None
    except OSError as error:
        tell(f"{error.filename or 'output'}: {error.strerror or error}")
        raise typer.Exit(Exit.WRONG_INPUT) from None


def print_json(data: object) -> None:
    """One JSON object on stdout."""
    import json

    typer.echo(json.dumps(data, indent=2, allow_nan=False))
