"""A command once everything that it imports is there: `python -m benchmarks.imported FILE ARGUMENTS...`.

Where FILE is not there, the command is run and the names of all modules that it imported are written to it; where it is,
they are imported first, and stderr's last line is the CPU seconds of the command alone. Two processes, since one that has
run a command has its catalogues, too.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path


def main(file: Path, arguments: list[str]) -> None:
    """Run the command, the first time to see what it imports."""
    known = file.read_text(encoding="utf-8").split() if file.exists() else []
    for name in known:
        with suppress(ImportError):  # parts of packages that are made as they are loaded
            import_module(name)
    command = import_module("overlapse.__main__").main
    sys.argv = ["overlapse", *arguments]
    begun = time.process_time()
    try:
        command()
    except SystemExit as ended:
        if ended.code:
            raise
    print(f"\n{time.process_time() - begun}", file=sys.stderr)
    if not known:
        file.write_text("\n".join(sys.modules), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
