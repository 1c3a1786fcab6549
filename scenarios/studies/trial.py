"""Whether a study can be run at all: what `overlapse check` asks of a file that claims nothing of its rows.

Model: rows are run until one is done, which is one run more for a sound file; a study of which no row can be run is a
mistake in the file, as a wrong key is.
"""

from __future__ import annotations

from itertools import islice

from hw import Problem, RunError, SpecError
from scenarios.building.build import Scenario
from scenarios.studies.asked import points_of
from scenarios.studies.worker import WRONG_INPUT, Job, Ran, run_point

_MOST = 100
"""Rows that are tried."""


def need_a_row(scenario: Scenario) -> None:
    """Run rows of a scenario's study until one can be run. Raises SpecError, RunError if none can: of the first hundred."""
    points = points_of(scenario)
    if points is None:
        return
    job, said, code, tried = Job.asking(scenario, ("time",)), "", 0, 0
    for point in islice(points, _MOST):
        ran = Ran("", point.error, exit=WRONG_INPUT) if point.error else run_point(job, points.resolved(point.inputs))
        if not ran.error:
            return
        said, code, tried = said or ran.error, max(code, ran.exit), tried + 1
    whole = (
        f"none of the {tried} rows" if tried == len(points) else f"none of the first {tried} of {len(points):,} rows"
    )
    message = f"{whole} of the study can be run; of the first: {said}"
    if code == WRONG_INPUT:
        raise SpecError([Problem(scenario.document.value_mark(("study",)), message)])
    raise RunError(message)
