"""What was timed as a CSV, with a line on the device before it: the columns that `validate` and `calibrate` read."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
import time
from collections.abc import Mapping
from typing import Any

from scenarios.bench.bench import Bench, Timed


def head(bench: Bench) -> str:
    """The device, the versions and the date."""
    torch = bench.torch
    today = time.strftime("%Y-%m-%d")
    if not bench.on_gpu:
        return f"# a dry run on a CPU, in small: no measurement; torch {torch.__version__}, {today}"
    found = torch.cuda.get_device_properties(0)
    sizes = f"{found.name}, {found.multi_processor_count} SMs, {found.total_memory >> 20} MiB"
    return f"# {sizes}, torch {torch.__version__}, cuda {torch.version.cuda}, {today}"


def rows_text(bench: Bench) -> str:
    """The whole file."""
    lines = [_cells(row) for row in bench.rows]
    out = io.StringIO()
    out.write(head(bench) + "\n")
    table = csv.DictWriter(out, list(lines[0]) if lines else ["suite"], lineterminator="\n")
    table.writeheader()
    table.writerows(lines)
    return out.getvalue()


def _cells(row: Timed) -> Mapping[str, Any]:
    times = sorted(row.times_us)
    median = statistics.median(times)
    return {
        "suite": row.suite,
        "name": row.name,
        "mode": row.mode,
        "dtype": row.dtype,
        "params": json.dumps(row.params),
        "phase": row.phase,
        "flops": row.flops,
        "bytes": row.nbytes,
        "kernels": row.kernels,
        "t_med_us": round(median, 3),
        "t_min_us": round(times[0], 3),
        "t_p90_us": round(times[math.ceil(0.9 * (len(times) - 1))], 3),
        "peak_bytes": row.peak_bytes,
        "static_bytes": row.static_bytes,
    }
