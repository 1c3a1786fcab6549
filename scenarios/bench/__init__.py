"""Programs that measure a GPU with PyTorch: operators and steps, as the rows that `calibrate` and `validate` read.

`measured(suites, bench, tell)` runs some of `SUITES`; `Bench` is the device and its clock, `rows_text` the CSV of what was
timed.
"""

from scenarios.bench.bench import Bench, Timed, bench_of
from scenarios.bench.suites import SUITES, measured
from scenarios.bench.written import head, rows_text

__all__ = ["SUITES", "Bench", "Timed", "bench_of", "head", "measured", "rows_text"]
