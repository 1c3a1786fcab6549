"""Exports of Nsight Systems, replayed as traces of PyTorch are: each process is a rank."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hw import Mark, Problem, SpecError
from scenarios.importers.imported import Imported, ImportOptions
from scenarios.importers.kineto.ranks import cut_to
from scenarios.importers.kineto.replay import replayed
from scenarios.importers.nsys.database import read_processes


class Nsys:
    """Nsight Systems, exported with `nsys export --type sqlite`."""

    name = "nsys"
    about = "an export of Nsight Systems (SQLite), replayed"

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether a file is a database with the tables of such an export."""
        return head.startswith(b"SQLite format 3\x00") and (b"CUPTI_ACTIVITY" in head or b"StringIds" in head)

    def read(self, paths: Sequence[Path], options: ImportOptions) -> Imported:
        """The replay of all processes of all files together. Raises SpecError."""
        if options.collectives == "modelled":
            problem = "an export of Nsight Systems does not say which collective a kernel is: replay it as measured"
            raise SpecError([Problem(Mark("--collectives"), problem)])
        processes = [trace for path in paths for trace in read_processes(path)]
        if options.step is not None:
            processes = [cut_to(trace, options.step) for trace in processes]
        return replayed(dict(enumerate(processes)), options)
