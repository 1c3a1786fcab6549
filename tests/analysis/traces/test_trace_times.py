"""When things happened: begins and ends paired by time, every digit of a clock kept, files with clocks of their own."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import read_trace, temporal_breakdown
from hw import SpecError
from tests.support.traces import Event, kernel, parts_us, slice_, written

EPOCH_US = 1_712_195_495_505_543
"""A clock that counts from 1970: with nanoseconds, more digits than a float has."""


def mark(phase: str, ts: Any, name: str | None = None, **more: Any) -> Event:
    named = {} if name is None else {"name": name}
    return {"ph": phase, "pid": 0, "tid": 1, "ts": ts, **named, **more}


def spans_us(path: Path) -> list[tuple[str, float, float]]:
    timeline = read_trace(path)
    rows = zip(timeline["op"], timeline["begin"], timeline["end"], strict=True)
    return sorted((str(op), round(1e6 * begin, 6), round(1e6 * end, 6)) for op, begin, end in rows)


def test_an_end_may_stand_before_its_begin_in_the_file(tmp_path: Path) -> None:
    events = [mark("B", 0, "step"), mark("E", 10, "step"), mark("E", 30, "late"), mark("B", 20, "late")]
    assert spans_us(written(tmp_path, events)) == [("late", 20, 30), ("step", 0, 10)]
    assert parts_us(read_trace(written(tmp_path, events))) == {0: {"arithmetic": 20, "idle": 10, "total": 30}}


@st.composite
def nested(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    """Slices that nest as those of a thread do, all begins and ends at different times."""
    depth_changes = draw(st.lists(st.booleans(), min_size=1, max_size=12))
    found: list[tuple[str, int, int]] = []
    open_: list[tuple[str, int]] = []
    for at, opens in enumerate(depth_changes):
        if opens or not open_:
            open_.append((f"s{at}", at))
        else:
            name, begin = open_.pop()
            found.append((name, begin, at))
    return found + [(name, begin, len(depth_changes) + at) for at, (name, begin) in enumerate(reversed(open_))]


@settings(max_examples=200, deadline=None)
@given(nested(), st.booleans(), st.randoms(use_true_random=False))
def test_begins_and_ends_in_any_order_are_the_same_slices(
    tmp_path_factory: pytest.TempPathFactory, spans: list[tuple[str, int, int]], named: bool, shuffle: Any
) -> None:
    events = [mark("B", begin, name) for name, begin, _ in spans]
    events += [mark("E", end, name if named else None) for name, _, end in spans]
    shuffle.shuffle(events)
    first = min(begin for _, begin, _ in spans)
    want = sorted((name, begin - first, end - first) for name, begin, end in spans)
    assert spans_us(written(tmp_path_factory.mktemp("trace"), events)) == want


@pytest.mark.parametrize("named", [True, False], ids=["named", "nameless"])
@pytest.mark.parametrize("backwards", [False, True], ids=["in order", "backwards"])
def test_one_slice_may_begin_when_another_ends(named: bool, backwards: bool, tmp_path: Path) -> None:
    ends = [("a", 10), ("b", 20)]
    events = [mark("B", 0, "a"), mark("E", 10, "a"), mark("B", 10, "b"), mark("E", 20, "b")]
    if not named:
        events = [event if event["ph"] == "B" else mark("E", event["ts"]) for event in events]
    path = written(tmp_path, events[::-1] if backwards else events)
    assert spans_us(path) == [(name, end - 10, end) for name, end in ends]


def test_a_slice_of_no_length_inside_another(tmp_path: Path) -> None:
    events = [mark("B", 0, "outer"), mark("B", 5, "inner"), mark("E", 5), mark("E", 9)]
    assert spans_us(written(tmp_path, events)) == [("inner", 5, 5), ("outer", 0, 9)]


def test_an_end_without_its_begin_ends_nothing_else(tmp_path: Path) -> None:
    # recorded from the middle of "lost"; "cut" never ends
    events = [mark("B", 0, "kept"), mark("E", 5, "lost"), mark("E", 8, "kept"), mark("B", 9, "cut")]
    path = written(tmp_path, events)
    assert spans_us(path) == [("kept", 0, 8)]
    assert [note.removeprefix(f"{path}: ") for note in read_trace(path).attrs["notes"]] == [
        "an end (ph E) without its begin, left out",
        "a begin (ph B) without its end, left out",
    ]


def test_threads_pair_by_themselves_and_args_of_both_count(tmp_path: Path) -> None:
    events = [
        mark("B", 0, "a", cat="kernel"),
        mark("B", 2, "a", cat="kernel", tid=2),
        mark("E", 4, "a", args={"device": 3}),
        mark("E", 8, "a", tid=2, args={"device": 3}),
    ]
    timeline = read_trace(written(tmp_path, events))
    assert timeline[["chip", "queue"]].to_numpy().tolist() == [[3, "1"], [3, "2"]]
    assert (1e6 * (timeline["end"] - timeline["begin"])).round(6).tolist() == [4, 6]


@pytest.mark.parametrize("base_us", [0, EPOCH_US, 1_800_000_000_000_000])
@pytest.mark.parametrize("form", ["number", "text", "base"])
def test_kernels_of_100_ns_every_200_ns_fill_half_of_the_time(base_us: int, form: str, tmp_path: Path) -> None:
    starts = [Decimal(base_us) + at * Decimal("0.200") for at in range(100)]
    quote = '"' if form == "text" else ""
    base = f'"baseTimeNanoseconds": {base_us * 1000},' if form == "base" else ""
    shift = base_us if form == "base" else 0
    slices = ",".join(
        f'{{"ph":"X","cat":"kernel","name":"k","pid":0,"tid":7,"ts":{quote}{start - shift}{quote},"dur":0.100}}'
        for start in starts
    )
    path = tmp_path / "trace.json"
    path.write_text(f'{{{base}"traceEvents":[{slices}]}}')
    found = temporal_breakdown(read_trace(path)).iloc[0]
    assert found["arithmetic"] == pytest.approx(10e-6, rel=1e-12)
    assert found["total"] == pytest.approx(19.9e-6, rel=1e-12)
    assert found["arithmetic"] / found["total"] == pytest.approx(100 / 199)  # 50.3 %


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**6)), min_size=1, max_size=6),
    st.integers(0, 1_800_000_000_000_000_000),
    st.sampled_from([1, 10, 1000, 1_000_000]),
)
def test_every_picosecond_of_any_clock_survives(
    tmp_path_factory: pytest.TempPathFactory, spans: list[tuple[int, int]], base_ns: int, parts_of_us: int
) -> None:
    def text(units: int) -> str:
        digits = len(str(parts_of_us)) - 1
        return f"{units // parts_of_us}.{units % parts_of_us:0{digits}d}" if digits else str(units)

    base = base_ns * parts_of_us // 1000
    events = ",".join(
        f'{{"ph":"X","name":"k","ts":{text(base + begin)},"dur":{text(lasted)}}}' for begin, lasted in spans
    )
    path = tmp_path_factory.mktemp("trace") / "trace.json"
    path.write_text(f"[{events}]")
    timeline = read_trace(path)
    first = min(begin for begin, _ in spans)
    want = sorted(
        (
            float(Fraction(begin - first, parts_of_us * 10**6)),
            float(Fraction(begin - first + lasted, parts_of_us * 10**6)),
        )
        for begin, lasted in spans
    )
    # the first is equal, not almost: touching slices must touch
    assert sorted(zip(timeline["begin"], timeline["end"], strict=True)) == want


def test_touching_kernels_touch_wherever_the_clock_stands(tmp_path: Path) -> None:
    events = ",".join(
        f'{{"ph":"X","cat":"kernel","name":"k","pid":0,"tid":7,"ts":{EPOCH_US}.{at},"dur":0.1}}' for at in range(10)
    )
    (tmp_path / "trace.json").write_text(f"[{events}]")
    timeline = read_trace(tmp_path / "trace.json")
    assert timeline["begin"].tolist()[1:] == timeline["end"].tolist()[:-1]


def based(folder: Path, rank: int, base_ns: Any, ts: Any) -> Path:
    about = {"distributedInfo": {"rank": rank}}
    about |= {} if base_ns is None else {"baseTimeNanoseconds": base_ns}
    return written(folder, [kernel("gemm", ts, 10)], f"rank{rank}.json", **about)


BASE_NS = 1_712_448_000_000_000_000


@pytest.mark.parametrize(
    ("second", "ts", "apart_us"),
    [
        (BASE_NS + 500_000, 500, 0),  # counts from 500 us later
        (BASE_NS, 1000, 0),
        (BASE_NS + 1, 1000, 0.001),  # a nanosecond that a float has no room for
        (str(BASE_NS), "1000.25", 0.25),
        (None, BASE_NS // 1000 + 1003, 3),  # older profilers count from 1970 in ts itself
    ],
)
def test_files_with_clocks_of_their_own_are_laid_side_by_side(
    second: Any, ts: Any, apart_us: float, tmp_path: Path
) -> None:
    timeline = read_trace(based(tmp_path, 0, BASE_NS, 1000), based(tmp_path, 1, second, ts))
    assert timeline["begin"].max() == pytest.approx(apart_us * 1e-6, rel=1e-9, abs=1e-15)
    assert timeline["begin"].min() == 0.0
    assert bool(timeline.attrs["notes"]) == (second is None)


def test_files_that_lie_days_apart_are_told(tmp_path: Path) -> None:
    timeline = read_trace(based(tmp_path, 0, BASE_NS, 1000), based(tmp_path, 1, None, 1000))
    assert any("do they count from the same instant?" in note for note in timeline.attrs["notes"])


def test_a_base_that_is_no_time_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match='baseTimeNanoseconds is "soon", not a number of nanoseconds'):
        read_trace(based(tmp_path, 0, "soon", 1))


def test_times_that_look_like_nanoseconds_are_told(tmp_path: Path) -> None:
    path = written(tmp_path, [slice_("a", 1_712_448_000_000_000_000, 10), slice_("b", 1_712_448_000_000_000_010, 5)])
    timeline = read_trace(path)
    assert parts_us(timeline) == {0: {"arithmetic": 15, "total": 15}}  # exact, as microseconds
    assert "look like nanoseconds" in timeline.attrs["notes"][0]


def test_all_wrong_slices_are_told_with_their_places(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    events = [
        slice_("a", None, 1),
        slice_("b", 1, 1),
        slice_("c", 1, -0.5),
        slice_("d", True, 1),
        slice_("e", "1e99", 1),
    ]
    path.write_text("[\n" + ",\n".join(json.dumps(event) for event in events) + "\n]")
    with pytest.raises(SpecError) as caught:
        read_trace(path)
    assert [str(problem).removeprefix(str(path)) for problem in caught.value.problems] == [
        ':2:1: a slice is not as the format says: "a" has ts null, not a number of microseconds',
        ':4:1: a slice is not as the format says: "c" has dur -0.5: it ends before it begins',
        ':5:1: a slice is not as the format says: "d" has ts true, not a number of microseconds',
        ':6:1: a slice is not as the format says: "e" has ts "1e99", not a number of microseconds',
    ]
