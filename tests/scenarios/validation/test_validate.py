"""Measured rows beside predictions: figures of groups by hand, files that cannot be read, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hw import Mark, SpecError, load_chip
from scenarios.validation import Judged, Row, by_group, judged, read_rows
from tests.support.cases import overlapse

HEAD = "suite,name,dtype,mode,params,phase,t_med_us,t_min_us\n"
SQUARE = 'matmul,square,bf16,,"{""m"": 4096, ""n"": 4096, ""k"": 4096, ""l2"": ""flush""}",,179.808,178.816\n'
"""Own measurement on an H100 SXM, 2026-11-28."""


def written(folder: Path, text: str) -> Path:
    path = folder / "rows.csv"
    path.write_text(text)
    return path


def test_figures_of_a_group_are_those_of_its_errors() -> None:
    """Predictions 10 % and 30 % above and 20 % below: mean 20 %, median 20 %, largest 30 %, bias 20/3 %."""
    rows = [Row("s", "n", Mark("f", at), {}, 1.0) for at in range(4)]
    found = [Judged(row, time) for row, time in zip(rows, (1.1, 1.3, 0.8, None), strict=True)]
    group = by_group(found)[0]
    assert (group.count, group.left_out) == (3, 1)
    assert group.mean == pytest.approx(0.2)
    assert group.median == pytest.approx(0.2)
    assert group.largest == pytest.approx(0.3)
    assert group.bias == pytest.approx(0.2 / 3)


def test_a_spoiled_median_gives_way_to_the_least(tmp_path: Path) -> None:
    lines = [f'stream,copy,bf16,,"{{""mib"": 1}}",,{median},10\n' for median in (19, 21)]
    rows = read_rows(written(tmp_path, "# a comment\n" + HEAD + "".join(lines)))
    assert [row.measured_s for row in rows] == pytest.approx([19e-6, 10e-6])
    assert [row.mark.line for row in rows] == [3, 4]


def test_every_line_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    bad = 'a,b,bf16,,"{",,1,1\na,b,bf16,,"{}",,-1,1\na,b,bf16,,"{}",,x,1\n' + SQUARE
    with pytest.raises(SpecError) as wrong:
        read_rows(written(tmp_path, HEAD + bad))
    assert [problem.mark.line for problem in wrong.value.problems] == [2, 3, 4]


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ("10,12,", "t_min_us is 12 and t_med_us 10: columns that have changed places"),
        ("10,9,8", "t_med_us is 10 and t_p90_us 8: columns that have changed places"),
        ("10,9,nan", "t_p90_us is nan; a time is more than 0"),
        ("10,9,-1", "t_p90_us is -1; a time is more than 0"),
        ("1,234.5,1", "8 cells for 7 columns"),
        ("1,234.5,,", None),
    ],
)
def test_times_that_cannot_be_and_cells_beyond_the_columns_are_told(
    tmp_path: Path, times: str, said: str | None
) -> None:
    """A comma that parts thousands moves every cell behind it; commas at the end of a line say nothing."""
    head = "suite,name,dtype,params,t_med_us,t_min_us,t_p90_us\n"
    if said is not None and "cells" in said:
        times += ",9"
    with pytest.raises(SpecError, match=said or "t_min_us is 234.5 and t_med_us 1:"):
        read_rows(written(tmp_path, head + f'stream,copy,bf16,"{{""mib"": 1}}",{times}\n'))


@pytest.mark.parametrize(("text", "said"), [("", "no rows"), ("a,b\n1,2\n", "no columns suite, name"), (None, "read")])
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "none.csv" if text is None else written(tmp_path, text)
    with pytest.raises(SpecError, match=said):
        read_rows(path)


def test_what_is_not_known_is_left_out_and_counted(tmp_path: Path) -> None:
    text = HEAD + SQUARE + 'matmuls,other,bf16,,"{}",,5,5\n'
    found = judged(read_rows(written(tmp_path, text)), load_chip("h100_sxm"))
    assert [each.predicted_s is None for each in found] == [False, True]
    assert abs(found[0].error) < 0.05


def test_rows_that_nothing_predicts_are_named(tmp_path: Path) -> None:
    lines = [f'matmuls,{name},bf16,,"{{}}",,5,5\n' for name in ("other", "other", "third")]
    shown = overlapse("validate", written(tmp_path, HEAD + "".join(lines)))
    assert shown.exit_code == 0
    assert "left out, there is no rule for: matmuls other (2), matmuls third (1)" in shown.stderr


@pytest.mark.parametrize(
    "text",
    [
        HEAD + SQUARE.replace("matmul,square", "matmul,square[/red]") + '[/red],[/red],bf16,,"{}",,5,5\n',
        "source,model,n_chips,chip,measured_seconds_per_iteration\n[/red],[/red],8,h100_sxm,1\n",
        "Hardware,TP,PP,Model,Workload,real_prefill_ms,real_decode_ms\nA100,1,1,[/red],[/red],1,1\n",
    ],
)
def test_names_of_rows_are_shown_as_they_are(tmp_path: Path, text: str) -> None:
    """What looks like the markup of our tables is text."""
    shown = overlapse("validate", written(tmp_path, text), "--rows", "--jobs", "1")
    assert shown.exit_code == 0
    assert "[/red]" in shown.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + "matmul," + "x" * 200_000 + ",bf16,,{},,1,1\n", "rows.csv:2:1: this is no line of a CSV"),
        (HEAD + 'matmul,"square\n",bf16,,{},,1,1\n', "rows.csv:2:1: params wants a JSON object"),
        (HEAD + "matmul,square,,,m=64,,fast,0\n", "rows.csv:2:1: params wants a JSON object, as {"),
        (
            HEAD + "matmul,square,,,m=64,,fast,0\n",
            "rows.csv:2:1: t_med_us is 'fast'; it wants a number of microseconds",
        ),
        (HEAD + "matmul,square,,,m=64,,fast,0\n", "rows.csv:2:1: t_min_us is 0; a time is more than 0"),
        (HEAD + "matmul,square,,,m=64,,fast,0\n", "rows.csv:2:1: dtype is missing"),
        (HEAD.replace(",", ";") + SQUARE, "rows.csv:1:1: cells are parted by commas here, not by ';'"),
        (HEAD.replace(",", "\t") + SQUARE, "rows.csv:1:1: cells are parted by commas here, not by tabs"),
        ("t_med_us," + HEAD + "1," + SQUARE, "rows.csv:1:1: columns that are there more than once: t_med_us"),
        ("t_med_us , " + HEAD + "1," + SQUARE, "rows.csv:1:1: columns that are there more than once: t_med_us"),
        (HEAD + SQUARE.replace("bf16", ""), "rows.csv:2:1: dtype is missing: in which format"),
        (HEAD.replace("dtype", "format") + SQUARE, "rows.csv:2:1: dtype is missing: in which format"),
        (HEAD + "matmul,square,bf16,,[1],,1,1\n", '{"m": 64, "n": 64}, not \'[1]\''),
        (HEAD + 'matmul,square,bf16,,"{}",,1,0\n', "rows.csv:2:1: t_min_us is 0; a time is more than 0"),
        (HEAD + 'matmul,square,bf16,,"{}",,nan,1\n', "rows.csv:2:1: t_med_us is nan; a time is more than 0"),
        ("parallel,layer_num,mbc,real_ms\n1,2,3,4\n", "rows.csv:2:1: there is no column model"),
        ("step_s,tflops_per_chip,tokens_per_s_per_chip,gbs\n", "rows.csv:1:1: there are no rows"),
        ("Hardware,TP,PP,Model,Workload,real_prefill_ms,real_decode_ms\nA100\n", "rows.csv:2:1: TP, PP, real_prefill"),
    ],
)
def test_tables_that_break_off_are_refused_where_they_do(tmp_path: Path, text: str, said: str) -> None:
    shown = overlapse("validate", written(tmp_path, text))
    assert shown.exit_code == 2
    assert said in shown.stderr


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('matmul,square,bf16,,"{""m"": 64}",,1,1\n', "params of matmul square do not say 'n'"),
        ('matmul,square,bf16,,"{""m"": ""x"", ""n"": 1, ""k"": 1}",,1,1\n', "params of matmul square"),
        ('matmul,square,bf16,,"{""m"": -1, ""n"": 1, ""k"": 1}",,1,1\n', "params of matmul square"),
        ('stream,copy,bf16,,"{""mib"": ""64""}",,1,1\n', "params of stream copy have numbers in quotes: mib"),
        (
            'matmul,square,bf61,,"{""m"": 1, ""n"": 1, ""k"": 1}",,1,1\n',
            "params of matmul square: unknown dtype 'bf61'",
        ),
        ('conv,conv2d_fwd,bf16,,"{""hw"": 8, ""stride"": 0}",,1,1\n', "params of conv conv2d_fwd cannot be"),
        ('stream,copy,bf16,,"{""mib"": null}",,1,1\n', "params of stream copy cannot be"),
        ('train,llama,bf16,eager,"{""seq"": 8}",step,1,1\n', "params of train llama do not say 'batch'"),
        ("vision,resnet50,bf16,eager,{},step,1,1\n", "params of vision resnet50 do not say 'batch'"),
        ('infer,llama,bf16,prefill,"{""seq"": 8}",step,1,1\n', "params of infer llama do not say 'batch'"),
    ],
)
def test_params_that_will_not_do_are_told_at_their_row(tmp_path: Path, row: str, said: str) -> None:
    """Of every row that has such, not of the first alone."""
    shown = overlapse("validate", written(tmp_path, HEAD + row + SQUARE + row))
    assert shown.exit_code == 2
    assert f"rows.csv:2:1: {said}" in shown.stderr
    assert f"rows.csv:4:1: {said}" in shown.stderr


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a file that never ends")
def test_a_table_that_never_ends_is_read_up_to_a_limit() -> None:
    for command in (("validate",), ("calibrate", "--chip", "h100_sxm")):
        assert "/dev/zero:1:1: the file is over 16 MiB" in overlapse(*command, "/dev/zero").stderr


def test_the_command_says_how_far_off_it_is(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + SQUARE)
    shown = overlapse("validate", str(path), "--rows")
    assert shown.exit_code == 0
    assert "matmul square bf16" in shown.stdout
    told = json.loads(overlapse("validate", str(path), "--json").stdout)
    assert told["groups"][0]["count"] == 1
    assert told["rows"][0]["measured"] == pytest.approx(179.808e-6)
    assert overlapse("validate", str(tmp_path / "none.csv")).exit_code == 2


def test_a_step_of_images_is_told(tmp_path: Path) -> None:
    """Own measurement on an H100 SXM, 2026-11-28, of a step that no parameter was found on."""
    rows = [
        'vision,resnet50,,infer+amp,"{""batch"": 256}",step,20039.57,19941.82',
        'vision,lenet,,eager+amp,"{""batch"": 256}",step,5,5',
    ]
    known, unknown = judged(read_rows(written(tmp_path, HEAD + "\n".join(rows) + "\n")), load_chip("h100_sxm"))
    assert unknown.predicted_s is None
    print(f"{known.row.name} {known.row.mode}: {known.error:+.1%}")
    assert abs(known.error) < 0.1


def test_data_that_stay_on_the_chip_and_times_that_spread_are_judged_apart(tmp_path: Path) -> None:
    """Own measurements on an H100 SXM, 2026-11-28: 8 MiB stay in its 50 MiB, twice 32 do not; a median of 332 us where
    nine of ten end at 480 is another's."""
    head = HEAD.replace("\n", ",t_p90_us\n")
    warm = 'stream,copy,bf16,,"{{""mib"": {0}, ""l2"": ""warm""}}",,{1},{1},{1}\n'
    spread = 'norm,softmax_fwd,bf16,,"{""rows"": 4096, ""cols"": 4096, ""l2"": ""flush""}",,331.76,287.072,479.68\n'
    text = head + warm.format(4, 4.512) + warm.format(32, 25.984) + spread
    found = judged(read_rows(written(tmp_path, text)), load_chip("h100_sxm"))
    assert [each.group for each in found] == ["stream, warm", "stream, warm", "norm, unsteady"]
    for each in found[:2]:
        print(f"{each.row.params['mib']} MiB: {each.error:+.1%}")
        assert abs(each.error) < 0.07


def test_a_file_that_is_not_there_is_told_as_everywhere(tmp_path: Path) -> None:
    for command in (("validate",), ("calibrate", "--chip", "h100_sxm")):
        shown = overlapse(*command, str(tmp_path / "none.csv"))
        assert shown.exit_code == 2
        assert "none.csv:1:1: cannot read the file: No such file or directory" in shown.stderr


def test_parts_of_steps_are_counted(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + SQUARE + 'train,any,,eager,"{}",forward,5,5\n')
    told = overlapse("validate", str(path), "--chip", "h100_sxm")
    assert "not judged: 1 rows of parts of steps" in told.stderr
    assert json.loads(overlapse("validate", str(path), "--json").stdout)["parts"] == 1
