"""One record of run options: what a file may say, what edits call them, what the schema and the guide tell is all its."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hw import SpecError
from scenarios import load_scenario, schema_of, what_if
from simulator import Holds, RunOption, RunOptions, run_options
from tests.support.cases import overlapse, written

GUIDE = Path(__file__).parents[2] / "docs" / "language.md"
HEAD = "| key | default | |\n|---|---|---|\n"
MATMUL = """\
name: one
system: {chip: h100_sxm}
workload:
  dims: {B: 1024, D: 1024, F: 1024}
  ops: ["y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])"]
"""

OPTIONS = {option.key: option for option in run_options()}
NAMES = {"collectives": "ring", "tile_level": "l1"}
"""A name that will do on an H100, for each option that takes one."""


def another(option: RunOption) -> tuple[str, Any]:
    """A value as it is written that is not the default, and what it is in the simulator."""
    if option.holds is Holds.WORD:
        word = next(each for each in option.words if each != option.default)
        return word, word
    if option.holds is Holds.NAME:
        return NAMES[option.key], NAMES[option.key]
    flag = not option.default
    return {
        Holds.FLAG: (str(flag).lower(), flag),
        Holds.TIME: ("2 us", 2e-6),
        Holds.SHARE: ("0.25", 0.25),
        Holds.EFFICIENCIES: ("{hbm: 50 %}", {"hbm": 0.5}),
    }[option.holds]


def table() -> str:
    """The options as the guide has them."""
    return HEAD + "".join(
        f"| `{option.key}` |{shown(option.default)} | {option.about} |\n" for option in OPTIONS.values()
    )


def shown(default: object) -> str:
    """A default as it is written in a file; nothing where it follows from others."""
    if default is None:
        return ""
    written = f"{default:g}" if isinstance(default, float) else str(default)
    return f" `{written.lower()}`"


def test_the_guide_tells_every_option() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    there = HEAD + text.partition("\n## `run`\n")[2].partition(HEAD)[2].partition("\n\n")[0] + "\n"
    assert there == table(), f"docs/language.md should have:\n{table()}"


@pytest.mark.parametrize("key", OPTIONS)
def test_an_option_of_a_file_is_that_of_the_run(tmp_path: Path, key: str) -> None:
    option = OPTIONS[key]
    said, meant = another(option)
    plain, changed = (load_scenario(written(tmp_path, MATMUL + more)) for more in ("", f"run: {{{key}: {said}}}\n"))
    assert plain.options == RunOptions()
    assert changed.options == RunOptions(**{option.name: meant}) != RunOptions()


@pytest.mark.parametrize("key", OPTIONS)
def test_an_option_is_an_edit_by_its_key(tmp_path: Path, key: str) -> None:
    scenario = load_scenario(written(tmp_path, MATMUL))
    said = another(OPTIONS[key])[0]
    short, long = what_if(scenario, [f"{key}={said}", f"run.{key}={said}"]).edits
    assert (short.time, short.error) == (long.time, long.error)


def test_the_schema_has_every_option_with_its_words_and_what_it_does() -> None:
    known = schema_of("scenario")["$defs"]["RunSpec"]["properties"]
    assert list(known) == list(OPTIONS)
    for key, option in OPTIONS.items():
        assert known[key]["description"].split() == option.about.replace("`", "").split()
        assert known[key].get("enum", []) == list(option.words)
        assert known[key].get("default") == option.default


@pytest.mark.parametrize(("was", "now"), [("macro", "task"), ("expanded", "messages")])
def test_what_words_were_called_at_first_still_runs(tmp_path: Path, was: str, now: str) -> None:
    assert load_scenario(written(tmp_path, MATMUL), [f"run.network={was}"]).options.network == now


def test_a_wrong_word_is_told_with_all_others() -> None:
    with pytest.raises(SpecError) as error:
        RunOptions(overlap="ful", order="redy")  # type: ignore[arg-type]
    said = sorted(problem.message.partition("? ")[0] for problem in error.value.problems)
    assert said == ["unknown order 'redy', did you mean 'ready'", "unknown overlap 'ful', did you mean 'full'"]


@pytest.mark.parametrize(
    ("calibration", "padding", "pads"),
    [("spec", None, False), ("measured", None, True), ("measured", False, False), ("spec", True, True)],
)
def test_padding_follows_the_calibration_unless_it_is_said(calibration: Any, padding: bool | None, pads: bool) -> None:
    assert RunOptions(calibration=calibration, padding=padding).pads is pads


@pytest.mark.parametrize(
    ("said", "wants"),
    [
        ("fold: 0", "fold: it wants true or false"),
        ("padding: 'yes'", "padding: it wants true or false"),
        ("network_share: true", "network_share wants a plain number or %"),
        ("spread: 100 %", "spread: it wants less than 1"),
    ],
)
def test_a_number_is_no_flag_and_a_flag_no_number(tmp_path: Path, said: str, wants: str) -> None:
    shown = overlapse("run", written(tmp_path, f"{MATMUL}run: {{{said}}}\n"))
    assert shown.exit_code == 2
    assert f"run.{wants}" in shown.stderr
