"""What a search tells: the winner and why, what was refused, what of the asking is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.scenarios.searching.cases import ASKED, file_of
from tests.support.cases import overlapse


def test_a_front_is_drawn(tmp_path: Path) -> None:
    """Its layouts are in the picture; the name of the picture is looked at before the search."""
    file, drawn_to = file_of(tmp_path, "slow links"), tmp_path / "front.html"
    said = ("tp=1", "pp=1", "zero=0,3", "microbatch=2", "recompute=full")
    asked = [text for each in said for text in ("--vary", each)]
    goals = ("--goal", "time", "--goal", "memory")
    told = json.loads(overlapse("search", file, *asked, *goals, "--plot", str(drawn_to), "--json").stdout)
    page = drawn_to.read_text("utf-8")
    assert all(f"zero: {row['zero']}, microbatch" in page for row in told["front"])
    again = overlapse("search", file, *asked, *goals, "--plot", str(drawn_to))
    assert (again.exit_code, "nothing is overwritten" in again.stderr) == (2, True)
    other = overlapse("search", file, *asked, "--plot", str(tmp_path / "front.gif"))
    assert (other.exit_code, "a figure is saved as .html, .svg, .png, .pdf" in other.stderr) == (2, True)


def test_what_was_found_is_told_where_nothing_can_draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    said = ("tp=1", "pp=1", "zero=0", "microbatch=2", "recompute=none")
    asked = [text for each in said for text in ("--vary", each)]
    shown = overlapse("search", file_of(tmp_path, "slow links"), *asked, "--plot", str(tmp_path / "front.png"))
    assert "best         tp: 1" in shown.stdout
    assert "no browser to draw with" in shown.stderr
    assert shown.exit_code != 0
    assert not (tmp_path / "front.png").exists()


def test_what_is_wrong_with_keys_and_goals_is_told_at_once(tmp_path: Path) -> None:
    shown = overlapse("search", file_of(tmp_path, "slow links"), "--vary", "tpp=1", "--goal", "speed", "--draw", "0")
    assert shown.exit_code == 2
    assert all(each in shown.stderr for each in ("unknown goal 'speed'", "did you mean 'tp'?", "draw is 0"))


def test_goals_that_are_none_are_told(tmp_path: Path) -> None:
    file = file_of(tmp_path, "slow links")
    assert "unknown goal 'tme', did you mean 'time'" in overlapse("search", file, "--goal", "tme").stderr
    same = overlapse("search", file, "--goal", "time", "--goal", "cost")
    assert same.exit_code == 2
    assert "time and cost are one goal" in same.stderr


def test_why_layouts_are_refused_is_told(tmp_path: Path) -> None:
    file = file_of(tmp_path, "fast links")
    asked = ("--vary", "tp=1,3", "--vary", "pp=1", "--vary", "microbatch=2,5,7", "--vary", "zero=0")
    shown = overlapse("search", file, *asked, "--vary", "recompute=none").stdout
    assert "3 refused, as 4 chips are no multiple of the 3 of a replica" in shown
    assert "2 refused, as batch 16 is no multiple of 4 replicas x microbatch 5" in shown


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("--vary", "tp=a,1.5,0"), ["'a' will not do for tp", "1.5 will not do for tp", "0 will not do for tp"]),
        (("--vary", "microbatch=1,,2"), ["'microbatch=1,,2' is not of the form tp=1,2,4"]),
        (("--vary", "prefetch=x", "--vary", "zero=7"), ["'x' will not do for prefetch", "7 will not do for zero"]),
        (("--vary", "order=tp dq"), ["unknown axis 'dq'"]),
        (("--vary", "order=tp dp"), ["order names each of tp, cp, ep, dp, pp once"]),
        (("--vary", "recompute=some"), ["'some' will not do for recompute"]),
        (("--vary", "imbalance=0.5", "--vary", "tpp=1"), ["will not do for imbalance", "did you mean 'tp'?"]),
        (("--most", "0"), ["--most:1:1: most is 0; it must be 1 or more"]),
    ],
)
def test_what_no_layout_can_say_is_refused_at_once(tmp_path: Path, asked: tuple[str, ...], told: list[str]) -> None:
    shown = overlapse("search", file_of(tmp_path, "fast links"), *asked)
    assert shown.exit_code == 2
    assert all(each in shown.stderr for each in told), shown.stderr


def test_figures_are_whole_where_there_is_no_room_for_all_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = ("tp=1", "pp=1", "microbatch=2", "zero=0", "recompute=none,full", "imbalance=1.5", "order=all")
    asked = [text for each in said for text in ("--vary", each)]
    shown = overlapse("search", file_of(tmp_path, "fast links"), *asked).stdout
    assert "…" not in shown
    assert "a wider terminal shows tp and pp" in shown


def test_a_search_that_is_given_up_says_so(tmp_path: Path) -> None:
    file = file_of(tmp_path, "slow links")
    found = json.loads(overlapse("search", file, *ASKED, "--most", "1", "--json").stdout)
    assert found["simulated"] == 1
    assert found["proven"] is (found["bound"] >= found["best"]["time"])
    shown = overlapse("search", file, *ASKED, "--most", "1").stdout
    assert ("not proven" in shown) is not found["proven"]


def test_where_nothing_fits(tmp_path: Path) -> None:
    file = file_of(tmp_path, "fast links")
    shown = overlapse("search", file, "--set", "system.set.hbm.capacity=1 MB", "--vary", "tp=1", "--vary", "pp=1")
    assert shown.exit_code == 3
    assert "nothing that can be built fits: " in shown.stdout


@pytest.mark.parametrize(
    ("asked", "head", "nearest"),
    [
        (
            ("tp=3", "pp=1"),
            "nothing can be built: 2 layouts: 2 cannot be built, 0 do not fit, 0 were run",
            ["tp: 3, pp: 1, zero: 0, microbatch: 2, recompute: none: 4 chips are no multiple of the 3 of a replica"],
        ),
        # what the model refuses, and not the number of chips: twice as many heads would be needed
        (
            ("tp=4", "pp=1", "attention.heads=2"),
            "nothing can be built: 2 layouts: 2 cannot be built, 0 do not fit, 0 were run",
            ["tp: 4, pp: 1, zero: 0, microbatch: 2, recompute: none: "],
        ),
        (
            ("tp=3,1", "pp=1", "capacity=1 MB"),
            "nothing that can be built fits: 4 layouts: 2 cannot be built, 2 do not fit, 0 were run",
            [
                "tp: 1, pp: 1, zero: 0, microbatch: 2, recompute: full: needs ",
                "tp: 3, pp: 1, zero: 0, microbatch: 2, recompute: none: 4 chips are no multiple of the 3 of a replica",
            ],
        ),
        (
            ("tp=1", "pp=1", "capacity=1 MB"),
            "nothing fits: 2 layouts: 0 cannot be built, 2 do not fit, 0 were run",
            ["tp: 1, pp: 1, zero: 0, microbatch: 2, recompute: full: needs "],
        ),
    ],
)
def test_where_there_is_no_best_the_nearest_layouts_are_told_and_what_is_wrong_with_them(
    tmp_path: Path, asked: tuple[str, ...], head: str, nearest: list[str]
) -> None:
    """Of those that do not fit the lightest; of each reason the one with the fewest values that are not the scenario's."""
    sets = {"capacity": "system.set.hbm.capacity", "attention.heads": "workload.model.attention.heads"}
    said: list[str] = []
    for text in (*asked, "zero=0", "microbatch=2", "recompute=full,none"):
        key, _, value = text.partition("=")
        said += ["--set", f"{sets[key]}={value}"] if key in sets else ["--vary", text]
    shown = overlapse("search", file_of(tmp_path, "fast links"), *said)
    told = " ".join(shown.stdout.split())
    assert shown.exit_code == 3
    assert head in told
    assert all(each in told for each in nearest), told
    found = json.loads(overlapse("search", file_of(tmp_path, "fast links"), *said, "--json").stdout)
    assert len(found["nearest"]) == len(nearest)
    assert all(each["wrong"] for each in found["nearest"])


def test_what_is_drawn_and_cannot_be_built_does_not_fail_to_fit(tmp_path: Path) -> None:
    asked = ("--vary", "tp=3", "--vary", "pp=1", "--draw", "3")
    shown = overlapse("search", file_of(tmp_path, "fast links"), *asked)
    told = " ".join(shown.stdout.split())
    assert "nothing can be built: " in told
    assert "nearest tp: 3, pp: 1, zero: 0, microbatch: 1, recompute: none: 4 chips are no multiple" in told


def test_what_cannot_be_searched_is_told(tmp_path: Path) -> None:
    file = file_of(tmp_path, "fast links")
    wrong = overlapse("search", file, "--vary", "tpp=1,2")
    assert wrong.exit_code == 2
    assert "unknown key of a layout 'tpp', did you mean 'tp'" in wrong.stderr
    assert "'tp' is not of the form tp=1,2,4" in overlapse("search", file, "--vary", "tp").stderr
    plain = overlapse("search", "library:llama3_8b_block")
    assert plain.exit_code == 2
    assert "a search is for the layout of the training of a transformer" in plain.stderr


def test_the_screen_says_what_won_and_why(tmp_path: Path) -> None:
    shown = overlapse("search", file_of(tmp_path, "slow links"), *ASKED).stdout
    assert shown.startswith("space        36 layouts: tp 1, 2, 4; pp 1, 2, 3; zero 0, 3; ")
    assert "\nbest         tp: " in shown
    assert "proof        none of the others ends before " in shown
    assert " % longer" in shown
    assert "busiest chip" in shown
    assert "exposed network" in shown


def test_why_the_winner_won_is_told_by_cause(tmp_path: Path) -> None:
    """Of the winner and the next one: causes add up to their times, their differences to the difference."""
    asked = [
        text for each in ("tp=1,4", "pp=1", "zero=0", "microbatch=2", "recompute=full") for text in ("--vary", each)
    ]
    told = json.loads(overlapse("search", file_of(tmp_path, "slow links"), *asked, "--json").stdout)
    best, other, causes = told["ran"][0], told["why"]["next"], told["why"]["causes"]
    assert other == told["ran"][1]
    assert sum(each["best"] for each in causes) == pytest.approx(best["time"], rel=1e-12)
    assert sum(each["next"] for each in causes) == pytest.approx(other["time"], rel=1e-12)
    assert all(each["more"] == each["next"] - each["best"] for each in causes)
    most = max(causes, key=lambda each: abs(each["more"]))
    assert most["cause"] == "exposed_network"


def test_the_price_of_tokens_is_a_column(tmp_path: Path) -> None:
    """A layout of twice the tokens a second has as many more for a dollar."""
    text = Path(file_of(tmp_path, "fast links")).read_text("utf-8").replace("set: {", "set: {price: 2 USD/h, ")
    path = tmp_path / "priced.yaml"
    path.write_text(text, "utf-8")
    asked = [
        text for each in ("tp=1,2", "pp=1", "zero=0", "microbatch=2", "recompute=none") for text in ("--vary", each)
    ]
    rows = json.loads(overlapse("search", str(path), *asked, "--json").stdout)["ran"]
    tokens = 16 * 256
    for row in rows:
        assert row["tokens_per_dollar"] == pytest.approx(tokens / (row["time"] * 4 * 2 / 3600), rel=1e-9)
    assert "tokens/USD" in overlapse("search", str(path), *asked).stdout
