"""What a calibration rests on: a line a stage on the standard error, with what its rows did not determine."""

from __future__ import annotations

from collections.abc import Sequence

from scenarios.calibration import Stage
from scenarios.console.terminal import tell


def show_stages(stages: Sequence[Stage], start: str) -> None:
    """Tell the rows of each stage and their mean error before and after; then what stays as it was."""
    for stage in stages:
        if stage.determined:
            told = f"{100 * stage.before:.1f} % off as {start}, {100 * stage.after:.1f} % now"
            tell(f"{stage.name}: {stage.rows} rows, {told}: {', '.join(stage.parameters)}")
    left = [f"{stage.name} ({stage.rows} rows)" for stage in stages if not stage.determined]
    if left:
        tell(f"not determined, as {start}: {', '.join(left)}")
    tell(f"as {start} by nature: tiles, rows that are not aligned, convolutions, sustained clocks, dispatch")
