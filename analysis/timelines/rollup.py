"""Time by op, round, layer, phase, or whatever names say.

Model: round r of a repeated block has names that end in `.r`, one number for each block around it. `base` is the name
without them, `layer` the number of the outermost block, `round` that of the innermost (-1 outside of blocks). A timeline
that has the columns layer and round has them from elsewhere: names of a measured trace may end in any number. Other
labels are read off the names by patterns of the caller: `labelled(t, phase=r"^(fwd|bwd)_")`.
`time` adds up what tasks took; `busy` counts an instant once per chip, however many of the group's tasks run.
Messages of collectives that go by messages are not counted beside their collective.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.frames.accessor import timeline_method
from analysis.frames.steps import Keys, grouped, outer, steps

if TYPE_CHECKING:
    import pandas as pd

_ROUNDS = re.compile(r"((?:\.\d{1,9})+)(?=[+/]|$)")

NOWHERE = (-1, -1)
"""The place of what is in no block: layer and round."""


def place_of(op: str) -> tuple[int, int]:
    """The numbers of the outermost and of the innermost block that a name of ours says, `NOWHERE` outside of blocks."""
    match = _ROUNDS.search(op)
    if match is None:
        return NOWHERE
    numbers = match.group(1)[1:].split(".")
    return int(numbers[0]), int(numbers[-1])


@timeline_method("labelled")
def labelled(timeline: pd.DataFrame, **patterns: str) -> pd.DataFrame:
    """The rows with base (categorical), layer, round, and a column per pattern: its first group (or all that it
    matched), "" where it does not match. Raises ValueError for a pattern that is not a regular expression."""
    names, codes = _names(timeline["op"])
    layer, round_ = _places(timeline, names, codes)
    # what stands in no block has its whole name, dots and all
    stripped = [*names, *(_ROUNDS.sub("", name) for name in names)]
    columns: dict[str, Any] = {
        "base": _spread(stripped, codes + len(names) * (layer >= 0)).remove_unused_categories(),
        "layer": layer,
        "round": round_,
    }
    for label, pattern in patterns.items():
        columns[label] = _spread([_found(pattern, name, label) for name in names], codes)
    return timeline.assign(**columns)


def _places(timeline: pd.DataFrame, names: list[str], codes: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Layer and round of every row: what the timeline says, else what its names do."""
    places = np.asarray([place_of(name) for name in names] or [NOWHERE], dtype=np.int32)[codes]
    if all(name in timeline.columns and timeline[name].dtype.kind in "if" for name in ("layer", "round")):
        said = timeline[["layer", "round"]].to_numpy(np.float64)
        known = np.isfinite(said).all(axis=1)  # timelines with and without these columns may have been joined
        places[known] = said[known]
    return places[:, 0], places[:, 1]


def _names(ops: pd.Series[Any]) -> tuple[list[str], NDArray[Any]]:
    import pandas as pd

    held = pd.Categorical(ops)
    return [str(name) for name in held.categories], np.asarray(held.codes)


def _spread(values: list[str], codes: NDArray[Any]) -> pd.Categorical[str]:
    """A value per name as a categorical per row."""
    import pandas as pd

    kept = list(dict.fromkeys(values))
    place_of_value = {value: at for at, value in enumerate(kept)}
    place = np.asarray([place_of_value[value] for value in values] or [0], dtype=np.int64)
    return pd.Categorical.from_codes(place[codes] if len(codes) else [], categories=pd.Index(kept))


def _found(pattern: str, name: str, label: str) -> str:
    try:
        match = re.search(pattern, name)
    except re.error as error:
        raise ValueError(f"{label}: {pattern!r} is not a regular expression: {error}") from None
    if match is None:
        return ""
    return match.group(1) or "" if match.re.groups else match.group()


@timeline_method("rollup")
def rollup(timeline: pd.DataFrame, by: str | Keys = "base", **patterns: str) -> pd.DataFrame:
    """by.., tasks, time, busy (s, over all chips), begin, end (s), longest first. `by`: columns of the timeline, of
    `labelled`, or names of the patterns."""
    rows = labelled(outer(timeline), **patterns)
    number, keys = grouped(rows, by)
    begin, end = rows["begin"].to_numpy(), rows["end"].to_numpy()
    count = len(keys)
    result = keys.copy()
    result["tasks"] = np.bincount(number, minlength=count)
    result["time"] = np.bincount(number, weights=end - begin, minlength=count)
    chips = np.unique(rows["chip"].to_numpy(), return_inverse=True)[1]
    width = int(chips.max(initial=0)) + 1
    found = steps(number * width + chips, begin, end, np.ones((len(rows), 1), dtype=np.int64))
    found = found.where(found.level[:, 0] > 0)
    result["busy"] = np.bincount(found.group // width, weights=found.seconds, minlength=count)
    groups = rows.groupby(number)
    result["begin"], result["end"] = groups["begin"].min().to_numpy(), groups["end"].max().to_numpy()
    return result.sort_values("time", ascending=False, kind="stable").reset_index(drop=True)
