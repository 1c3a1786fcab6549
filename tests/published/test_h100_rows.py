"""All that was measured on our H100 beside predictions, group by group: operators, of which the profile was made, and steps
of whole models, which it had not seen. The bounds are what is promised; the test prints what is reached.

The measurements are not part of the project.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from hw import load_chip
from scenarios.validation import by_group, judged, read_rows

FOLDER = Path(__file__).parents[3] / "shared/validation/gpu"

BOUNDS = {
    "h100_operators.csv": {"matmul": 0.07, "stream": 0.08, "attention": 0.10},
    "h100_extra.csv": {"act": 0.08, "loss": 0.08, "optimizer": 0.08, "memory": 0.08, "moe": 0.10, "conv": 0.12},
    "h100_endtoend.csv": {
        "train eager": 0.06,
        "train eager+full": 0.06,
        "train eager+standard": 0.10,
        "train eager+amp": 0.06,
        "train compile": 0.06,
        "infer prefill": 0.08,
        "infer decode_graph": 0.08,
        "infer decode_eager": 0.15,
        "vision eager": 0.06,
        "vision eager+amp": 0.06,
        "vision infer+amp": 0.08,
    },
}


@pytest.mark.parametrize("name", BOUNDS)
def test_groups_are_as_near_as_is_promised(name: str) -> None:
    if not (FOLDER / name).exists():
        pytest.skip(f"the measurements are not here: {name}")
    groups = {group.name: group for group in by_group(judged(read_rows(FOLDER / name), load_chip("h100_sxm")))}
    for group in groups.values():
        told = f"mean {group.mean:.1%} median {group.median:.1%} largest {group.largest:.1%} bias {group.bias:+.1%}"
        print(f"{group.name:20} n {group.count:3} (and {group.left_out} left out) {told}")
    for group_name, bound in BOUNDS[name].items():
        assert groups[group_name].count
        assert groups[group_name].mean <= bound, group_name
