"""Small HTML for notebooks: a run, a study, a what-if. All text is escaped; no script, no colour that needs a theme."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.plots.page import in_text
from analysis.runs.compare import Comparison
from analysis.words.causes import CAUSES
from analysis.words.summary import Summary
from analysis.words.words import PRICED_WORDS, word_named
from hw import Dimension
from hw.input import notebook_table, show, show_change
from simulator import PS_PER_S

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = (
    "time",
    "lower_bound",
    "upper_bound",
    "eta",
    "bound_by",
    "exposed_network",
    "mfu",
    "intensity",
    "hbm_bytes",
    "peak_memory",
)
_IN_STUDIES = ("time", "bound_by", "eta", "mfu", "cost")
_LEFT = ' style="text-align:left"'
ROWS = 60
"""Rows of a study that are shown."""


def summary_html(name: str, about: str, summary: Summary) -> str:
    """The name, what it is about, where it stands between its bounds, its causes, and the words that say most."""
    rows = []
    for word in _SHOWN:
        value, title = in_text(_shown(word, summary[word])), in_text(word_named(word).meaning)
        rows.append(f'<tr title="{title}"><th{_LEFT}>{word}</th><td{_LEFT}>{value}</td></tr>')
    return (
        f"<div><b>{in_text(name)}</b><br>{in_text(about)}{_bounds(summary)}{_causes(summary)}"
        f"<table>{''.join(rows)}</table></div>"
    )


def study_html(name: str, frame: pd.DataFrame, inputs: Sequence[str]) -> str:
    """A study: what varied and the words that say most; `frame` has a row per run."""
    words = [word for word in _IN_STUDIES if word in frame.columns and frame[word].notna().any()]
    if set(words) & set(PRICED_WORDS) and "priced_by" in frame.columns and frame["priced_by"].nunique() > 1:
        words.append("priced_by")  # prices of unlike sources say so
    failed = "error" in frame.columns and bool((frame["error"].fillna("") != "").any())
    rows = [
        [*(str(row[each]) for each in inputs), *(_shown(word, row[word]) for word in words)]
        + ([str(row["error"] or "")] if failed else [])
        for row in frame.head(ROWS).to_dict("records")
    ]
    more = f"<br>{len(frame) - ROWS} more rows" if len(frame) > ROWS else ""
    heads = [*inputs, *words, *(["error"] if failed else [])]
    return f"<div><b>{in_text(name)}</b>: {len(frame)} runs{notebook_table(heads, rows)}{more}</div>"


def what_if_html(name: str, frame: pd.DataFrame) -> str:
    """What faster resources save; `frame` as for `plot_tornado`."""
    rows = [
        [str(row["resource"]).replace("_", " ")]
        + [show_change(row[step] / row["time"] - 1) if row["time"] else "" for step in ("x1_1", "x2", "infinite")]
        + [f"{round(row['elasticity'], 3) + 0.0:.3f}"]
        for row in frame.to_dict("records")
    ]
    return (
        f"<div><b>{in_text(name)}</b>{notebook_table(['resource', '1.1x', '2x', 'infinite', 'elasticity'], rows)}</div>"
    )


def compared_html(names: tuple[str, str], words: Sequence[tuple[str, object, object]], moved: Comparison) -> str:
    """Two runs side by side: the words about either, then what moved, cause by cause, which adds up to the difference."""
    rows = [[word, _shown(word, a), _shown(word, b)] for word, a, b in words if a is not None or b is not None]
    causes = [[each.cause, *_times(each.a_ps, each.b_ps, each.difference_ps)] for each in moved.by_cause]
    together = ["together", "", "", _signed(moved.difference_ps)]
    return (
        f"<div><b>{in_text(names[0])}</b> and <b>{in_text(names[1])}</b>{notebook_table(['', *names], rows)}"
        f"{notebook_table(['what moved', *names, 'difference'], [*causes, together])}</div>"
    )


def _times(a_ps: int, b_ps: int, difference_ps: int) -> list[str]:
    return [*(show(time_ps / PS_PER_S, Dimension.TIME) for time_ps in (a_ps, b_ps)), _signed(difference_ps)]


def _signed(time_ps: int) -> str:
    return f"{'+' if time_ps > 0 else ''}{show(time_ps / PS_PER_S, Dimension.TIME)}"


def _shown(word: str, value: object) -> str:
    return word_named(word).text(value)


def _bounds(summary: Summary) -> str:
    """A line from the lower to the upper bound, with the run's place on it."""
    share = min(1.0, max(0.0, 1.0 - _number(summary, "eta")))
    ends = [show(_number(summary, word), Dimension.TIME) for word in ("lower_bound", "upper_bound")]
    return (
        '<svg width="420" height="34" role="img" style="display:block" font-size="11" fill="currentColor">'
        '<line x1="8" y1="10" x2="412" y2="10" stroke="currentColor" stroke-opacity="0.35" stroke-width="2"/>'
        f'<circle cx="{8 + 404 * share:.1f}" cy="10" r="5"/>'
        f'<text x="8" y="29">{in_text(ends[0])}</text><text x="412" y="29" text-anchor="end">{in_text(ends[1])}</text></svg>'
    )


def _causes(summary: Summary) -> str:
    """The t_ times as bars against the run's time."""
    time_s = _number(summary, "time")
    bars = []
    for cause in CAUSES.values():
        share = _number(summary, cause.word) / time_s if time_s else 0.0
        if share > 0:
            bar = f"width:{max(2.0, 260 * min(1.0, share)):.0f}px;height:9px;background:{cause.colour}"
            bars.append(
                f'<div style="display:flex;align-items:center;font-size:12px"><span style="width:80px">{cause.name}</span>'
                f'<span style="{bar};margin-right:8px"></span>{100 * share:.1f} %</div>'
            )
    return "".join(bars)


def _number(summary: Summary, word: str) -> float:
    value = summary[word]
    return float(value) if isinstance(value, (int, float)) else 0.0
