"""The tables of accuracy.md, from what `overlapse validate` says: `python docs/accuracy_tables.py` writes them.

Model: docs/accuracy holds published training steps, typed with their citations, and records.json: the errors of every group
of rows that was judged, and the worst rows. `--measure FOLDER` judges the typed tables again, and the files of FOLDER that
are there; `--check` judges the typed tables, prints their errors, and fails where a group is worse than is recorded.
Without either the page is written from the records.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(Path(__file__).parent))

from accuracy_lines import FITTED, KERNELS, OPERATORS, STEPS, Line  # noqa: E402 - scripts beside this one
from accuracy_others import judged_others  # noqa: E402

from hw import load_chip  # noqa: E402 - found beside docs/ also where nothing is installed
from scenarios.validation import (  # noqa: E402
    Errors,
    Source,
    by_group,
    by_source,
    judged,
    read_rows,
    read_training_rows,
    trained,
    with_one_efficiency,
)
from scenarios.validation.published import judged_published, judged_serving  # noqa: E402

PAGE = ROOT / "docs" / "accuracy.md"
TABLES = ROOT / "docs" / "accuracy"
RECORDS = TABLES / "records.json"
TYPED = sorted(path.name for path in TABLES.glob("*.csv"))

WORSE = 0.002
"""A mean error that has grown by so much is worse: less is rounding, and the odd kernel."""

WORST = 2
"""Rows of each source that are told as its worst."""

_SIZES = ("n_chips", "tp", "pp", "dp", "micro_batch", "global_batch", "seq", "recompute")

Records = dict[str, Any]


# What is judged


def steps_of(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The errors of each source of a file of training steps, and its worst rows."""
    rows, jobs = read_training_rows(path), os.cpu_count() or 1
    known = [each for each in by_source(trained(rows, jobs)) if each.errors.count]
    groups = [_group(path, each) for each in known]
    if path.name in FITTED:
        fitted = with_one_efficiency(rows, FITTED[path.name], jobs=jobs)
        print(f"{path.name}: {fitted.resource} at {_share(fitted.efficiency)}, fitted to {fitted.fitted} rows")
        mine = {"fitted": fitted.resource}
        groups += [
            {**_group(path, each), **mine, "name": f"{each.errors.name}, with its own {fitted.resource}"}
            for each in by_source(fitted.found)
        ]
    return groups, [row for each in known for row in _worst(each)]


def _group(path: Path, source: Source) -> dict[str, Any]:
    return {"file": path.name, **_errors(source.errors), "rank": source.rank, "constant": source.constant}


def _errors(errors: Errors) -> dict[str, Any]:
    names = ("name", "count", "left_out", "mean", "median", "p95", "largest", "bias")
    return {name: getattr(errors, name) for name in names}


def _worst(source: Source) -> Iterator[dict[str, Any]]:
    known = [each for each in source.members if each.predicted_s is not None]
    for each in sorted(known, key=lambda one: -abs(one.error))[:WORST]:
        sizes = [f"{name} {each.row.text(name).removesuffix('.0')}" for name in _SIZES if each.row.text(name)]
        seconds = {"measured": each.row.measured_s, "predicted": each.predicted_s, "error": each.error}
        yield {"source": source.errors.name, "what": f"{each.row.model}: {', '.join(sizes)}", **seconds}


def operators_of(path: Path) -> list[dict[str, Any]]:
    """The errors of each group of a file of operators and steps of the H100."""
    groups = by_group(judged(read_rows(path), load_chip("h100_sxm")))
    return [{"file": path.name, **_errors(each)} for each in groups if each.count]


def measured(folder: Path, before: Records) -> Records:
    """The records, judged again: groups of files that are not there stay as they were."""
    groups = {(each["file"], each["name"]): each for each in before.get("groups", ())}
    worst: dict[str, list[dict[str, Any]]] = {}
    for each in before.get("worst", ()):
        worst.setdefault(each["source"], []).append(each)
    for path in [*(TABLES / name for name in TYPED), folder / "train_steps.csv"]:
        if path.exists():
            sources, rows = steps_of(path)
            groups |= {(each["file"], each["name"]): each for each in sources}
            worst |= {each["name"]: [row for row in rows if row["source"] == each["name"]] for each in sources}
    for name in ("h100_operators", "h100_extra", "h100_endtoend"):
        path = folder / "gpu" / f"{name}.csv"
        if path.exists():
            groups |= {(each["file"], each["name"]): each for each in operators_of(path)}
    for name, judge in (("neusight_endtoend", judged_published), ("sglang_prefill_decode", judged_serving)):
        path = folder / "public" / f"{name}.csv"
        found = by_group(judge(path)) if path.exists() else []
        groups |= {(path.name, each.name): {"file": path.name, **_errors(each)} for each in found}
    others = ({"file": name, **_errors(each)} for name, each in judged_others(folder / "operators"))
    groups |= {(each["file"], each["name"]): each for each in others}
    return {"groups": list(groups.values()), "worst": [row for rows in worst.values() for row in rows]}


def grown_worse(records: Records) -> list[str]:
    """What has got worse of the typed tables, a line each; all errors are printed."""
    found = []
    recorded = {(each["file"], each["name"]): each for each in records["groups"]}
    for name in TYPED:
        for each in steps_of(TABLES / name)[0]:
            was = recorded.get((name, each["name"]))
            if was is None:
                found.append(f"{each['name']} is not recorded: run python docs/accuracy_tables.py --measure FOLDER")
                continue
            told = f"{each['name']}: {each['count']} rows, {_share(each['mean'])} off, recorded {_share(was['mean'])}"
            print(told)
            if each["mean"] > was["mean"] + WORSE or each["count"] < was["count"]:
                found.append(told)
    return found


# What is written


def page(text: str, records: Records) -> str:
    """The page with its tables made anew."""
    groups = {(each["file"], each["name"]): each for each in records["groups"]}
    made = {
        "kernels": _table(_OPERATORS, [_operator(line, groups) for line in KERNELS]),
        "others": _table(_OPERATORS, [_operator(line, groups) for line in OPERATORS]),
        "steps": _table(_STEPS, [_step(line, groups) for line in STEPS]),
        "worst": _table(_WORST, map(_worst_row, _told(records))),
    }
    for name, table in made.items():
        begin, rest, after = text.partition(f"<!-- {name} -->\n")
        _, end, behind = after.partition("<!-- end -->")
        if not (rest and end):
            raise SystemExit(f"{PAGE.name} wants a place for {name}")
        text = begin + rest + table + end + behind
    return text


_OPERATORS = ("what", "rows", "mean error", "median", "p95", "worst", "bias", "others, and what to know")
_STEPS = ("source", "told as", "rows", "mean error", "median", "p95", "bias", "rank", "constant", "others")
_WORST = ("source", "step", "measured", "predicted", "error")

Groups = Mapping[tuple[str, str], Mapping[str, Any]]


def _told(records: Records) -> list[dict[str, Any]]:
    """The worst rows of the sources that have a line, the worst first."""
    names = {line.group for line in STEPS}
    return sorted((row for row in records["worst"] if row["source"] in names), key=lambda row: -abs(row["error"]))


def _operator(line: Line, groups: Groups) -> list[str]:
    each = groups[line.file, line.group]
    sizes = (_share(each[name]) for name in ("mean", "median", "p95", "largest"))
    return [line.label, f"{each['count']:,}", *sizes, _signed(each["bias"]), line.others]


def _step(line: Line, groups: Groups) -> list[str]:
    each = groups[line.file, line.group]
    sizes = (_share(each[name]) for name in ("mean", "median", "p95"))
    rank = "" if each["rank"] is None else f"{each['rank']:.2f}"
    head = [line.label, line.recipe, f"{each['count']:,}", *sizes]
    return [*head, _signed(each["bias"]), rank, _share(each["constant"]), line.others]


def _worst_row(row: Mapping[str, Any]) -> list[str]:
    return [
        row["source"],
        row["what"],
        f"{row['measured']:.4g} s",
        f"{row['predicted']:.4g} s",
        _signed(row["error"]),
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _signed(value: float) -> str:
    return f"{100 * value:+.1f} %"


def main(asked: Sequence[str]) -> None:
    """What the command line asks for."""
    records: Records = json.loads(RECORDS.read_text("utf-8")) if RECORDS.exists() else {}
    if asked and asked[0] == "--check":
        raise SystemExit("\n".join(["worse than recorded:", *worse]) if (worse := grown_worse(records)) else 0)
    if asked and asked[0] == "--measure":
        records = _rounded(measured(Path(asked[1]) if len(asked) > 1 else ROOT, records))
        RECORDS.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text("utf-8"), records), encoding="utf-8")


def _rounded(value: Any) -> Any:
    """Records without digits that differ by machine."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main(sys.argv[1:])
