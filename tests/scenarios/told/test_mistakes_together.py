"""Mistakes of several kinds in one workload of a model: what is wrong by itself hides nothing that shows only together."""

from __future__ import annotations

from pathlib import Path

import pytest

import overlapse as ov
from hw import SpecError


def test_what_is_wrong_in_itself_hides_nothing_else_of_a_step(tmp_path: Path) -> None:
    """Three keys that will not do, one that is misspelt, and four that only show when they are looked at together."""
    path = tmp_path / "step.yaml"
    path.write_text(
        "name: step\nsystem: {chip: h100_sxm, topology: switch(8) over nvlink}\nworkload:\n  model: llama3_8b\n  batch: 16\n"
        "  sec: 4096\n  parallel: {tp: 3}\n  precision: {weights: int7, foo: bf16}\n  optimizer: adamx\n"
        "  recompute: halff\n  engine: megatron\n  eager: true\n  dropout: 3\n"
    )
    with pytest.raises(SpecError) as raised:
        ov.load_scenario(path)
    told = [(each.mark.line, each.message.split(",")[0]) for each in raised.value.problems]
    assert [line for line, _ in told] == [6, 7, 8, 8, 9, 10, 12, 13]
    assert "missing" not in str(raised.value)  # seq is only misspelt


def test_what_goes_by_a_missing_key_is_not_blamed(tmp_path: Path) -> None:
    path = tmp_path / "prompt.yaml"
    path.write_text(
        "name: p\nsystem: {chip: h100_sxm}\nworkload: {model: gpt2, mode: prefill, batch: 4, chunk: 512, steps: 2}\n"
    )
    with pytest.raises(SpecError) as raised:
        ov.load_scenario(path)
    assert [each.message.split(",")[0] for each in raised.value.problems] == [
        "'workload.seq' is missing: prefill needs it",
        "steps are tokens that decode makes; prefill has none",
    ]


def test_a_strange_key_of_a_system_hides_no_wrong_figure(tmp_path: Path) -> None:
    path = tmp_path / "ops.yaml"
    text = "name: o\nsystem: {chip: h100_sxm, KEY, set: {hbm.bandwidth: 3 GB}}\n"
    text += "workload: {ops: ['y:bf16[4] = relu(x:bf16[4])']}\n"
    for key, told in (
        ("foo: 1", ["unknown key 'system.foo'", "'3 GB' is an amount of data"]),
        ("mesch: 1", ["unknown key 'system.mesch'"]),
    ):
        path.write_text(text.replace("KEY", key))
        with pytest.raises(SpecError) as raised:
            ov.load_scenario(path)
        messages = [each.message for each in raised.value.problems]
        # where a key is misspelt, what is wrong without it may be right with it
        assert [message.startswith(begin) for message, begin in zip(messages, told, strict=True)] == [True] * len(told)


def test_an_unknown_base_hides_no_strange_key_of_a_system(tmp_path: Path) -> None:
    path = tmp_path / "base.yaml"
    path.write_text(
        "name: b\nsystem: {base: dgx_h200x, topolgy: ring(8), nodes: 0}\nworkload: {ops: ['y:bf16[4] = relu(x:bf16[4])']}\n"
    )
    with pytest.raises(SpecError) as raised:
        ov.load_scenario(path)
    told = [str(problem) for problem in raised.value.problems]
    assert len(told) == 3
    for words in (
        "unknown system 'dgx_h200x'",
        "unknown key 'system.topolgy', did you mean 'system.topology'?",
        "nodes",
    ):
        assert any(words in each for each in told), words


A_STUDY = """\
name: s
system: {chip: h100_sxm, topology: switch(8)}
workload: {model: llama3_8b, batch: 8, seq: 128, parallel: {tp: 8}}
study:
"""


@pytest.mark.parametrize(
    ("study", "told"),
    [
        ("{varry: {workload.batch: [8]}, sort: tme}", ["unknown key 'study.varry'", "sort: unknown result word 'tme'"]),
        ("{varry: {workload.bacth: [8]}}", ["unknown key 'study.varry'", "unknown key 'workload.bacth'"]),
        (
            "{find: {smallest: workload.bacth, fromm: 1, to: 8, where: tme > 1}}",
            ["unknown key 'workload.bacth'", "unknown key 'study.find.fromm'", "'tme > 1': unknown result word"],
        ),
        (
            "{vary: {workload.bacth: [8]}, words: tme, foo: 1}",
            ["unknown key 'workload.bacth'", "'tme' will not do for study.words", "unknown key 'study.foo'"],
        ),
        (
            "{random: {samples: 0, values: {workload.bacth: [1]}}, show: [tme]}",
            ["0 will not do for study.random.samples", "unknown key 'workload.bacth'", "unknown word 'tme'"],
        ),
    ],
)
def test_what_is_wrong_with_a_study_hides_nothing_else_of_it(tmp_path: Path, study: str, told: list[str]) -> None:
    assert_told(tmp_path, f"{A_STUDY}  {study}\n", told)


WHOLE = """\
name: w
system: {chip: h100_sxm, topology: switch(8)}
workload:
  model: llama3_8b
  batch: 8
  seq: 128
  parallel: {tp: 8}
"""


@pytest.mark.parametrize(
    ("typed", "instead_of", "told"),
    [
        ("systm: {chip: h100, topology: rng(8)}", "system: {chip: h100_sxm, topology: switch(8)}",
         ["unknown key 'systm'", "unknown chip 'h100'", "unknown topology 'rng'"]),
        ("  modle: llama3_8c", "  model: llama3_8b", ["unknown key 'workload.modle'", "unknown model 'llama3_8c'"]),
        ("  mode: trane\n  precision: fp9\n", "  batch: 8\n",
         ["'workload.batch' is missing: train needs it", "unknown mode 'trane'", "unknown precision 'fp9'"]),
        ("{tp: 3, schedule: 2f2b}", "{tp: 8}", ["tp 3 is 3 chips", "'2f2b' will not do for workload.parallel.schedule"]),
        ("{tpp: 3}", "{tp: 8}", ["tp 3 is 3 chips", "unknown key 'workload.parallel.tpp'"]),
        ("parallel: {tp: 8}\nrun: {over: full, tile_level: l9}\n", "parallel: {tp: 8}\n",
         ["unknown key 'run.over'", "unknown memory on the chip 'l9'"]),
        ("{base: llama3_8b, layrs: 7, attention: {heads: 3}}", "llama3_8b",
         ["unknown key 'layrs'", "3 heads do not share 8 heads of keys", "3 heads do not share d_model 4096"]),
        ("parallel: {tp: 8}\njob: {stps: 9, steps: 3, slowdowns: {a: {every: 1 h, lasts: 1 s, set: {run.foo: 1}}}}\n",
         "parallel: {tp: 8}\n", ["unknown key 'job.stps'", "unknown key 'run.foo'"]),
        ("parallel: {tp: 8}\neconomics: {foo: 1, baseline: no.yaml}\n", "parallel: {tp: 8}\n",
         ["unknown key 'economics.foo'", "there is no scenario file"]),
    ],
)  # fmt: skip
def test_a_misspelt_key_is_read_as_what_is_meant_and_hides_nothing(
    tmp_path: Path, typed: str, instead_of: str, told: list[str]
) -> None:
    assert instead_of in WHOLE
    assert_told(tmp_path, WHOLE.replace(instead_of, typed), told)


def test_a_key_that_is_only_misspelt_is_not_missing_too(tmp_path: Path) -> None:
    chip = "{name: c, kind: gpu, matrix_unit: {peak: {bf16: 1 TFLOP/s}}, vector_unit: {peak: {fp32: 1 TFLOP/s}}, HBM}"
    text = WHOLE.replace(
        "h100_sxm, topology: switch(8)", chip.replace("HBM", "hbm: {capacity: 1 TB, bandwith: 1 TB/s}")
    )
    assert_told(tmp_path, text.replace("tp: 8", "tp: 1"), ["unknown key 'hbm.bandwith', did you mean 'hbm.bandwidth'"])


def assert_told(folder: Path, text: str, told: list[str]) -> None:
    """Exactly these problems, whatever their order."""
    path = folder / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as raised:
        ov.load_scenario(path)
    messages = [each.message for each in raised.value.problems]
    assert len(messages) == len(told), messages
    for begin in told:
        assert any(begin in message for message in messages), (begin, messages)


LINES = """\
name: l
system: {chip: tpu_v5e, topology: ring(4), mesh: {X: 4}}
workload:
  dims: {B: 16, D: 32, F: 64}
  ops:
"""


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            ["y:bf17[B,D_x,0] = relu(x:bf16[B,Q], tiles=0, chunks=, tiles=4)"],
            [
                "unknown dtype 'bf17'",
                "'D_x' is not a dim",
                "a dim of size 0",
                "unknown dim 'Q'",
                "'0' will not do: tiles=",
                "option chunks= has no value",
                "option tiles= is given twice",
            ],
        ),
        (
            ["y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F], efficency=3, tiles=-2, after=[w])"],
            ["unknown option of matmul 'efficency'", "'-2' will not do: tiles=", "unknown op 'w'"],
        ),
        (
            ["y:bf16[B,F]{U_Y}@onchip = rellu(x:bf61[B_XX,F])"],
            [
                "unknown mesh axis 'Y'",
                "unknown memory 'onchip'",
                "unknown op kind 'rellu'",
                "mesh axis X is used twice",
                "unknown dtype 'bf61'",
            ],
        ),
        (
            ["y = matmul(a, b, foo=1)"],
            ["the output needs a type", "tensor 'a' has no", "tensor 'b' has no", "unknown option"],
        ),
        (["y:bf16[B] = relu(1, tiles=x"], ["expected the name of an input"]),
        (["y:bf71[B] = relu(x:bf16[B]"], ["unknown dtype 'bf71'", "expected ',' or ')'"]),
        (
            ["y:bf16[B] = relu(x:bf16[B], z:bf16[B], foo=1)"],
            ["relu takes 1 inputs, not 2", "unknown option of relu 'foo'"],
        ),
        # who takes what such a line makes, or its weight, is not to blame for it
        (["y:bf17[B] = relu(x:bf16[B])", "z:bf16[B] = add(y, x)", "v:bf16[B] = gelu(z, tile=4)"], ["'bf17'", "'tile'"]),
        (["y:bf16[B] = relu(x:bf17[B])", "z:bf16[B] = add(y, x)", "v:bf16[B] = gelu(z)"], ["'bf17'"]),
        (["y:bf16[B = relu(x:bf16[B])", "z:bf16[B] = gelu(y)"], ["expected a type after 'y:'"]),
    ],
)
def test_a_line_tells_all_that_is_wrong_with_it(lines: list[str], told: list[str], tmp_path: Path) -> None:
    path = tmp_path / "lines.yaml"
    path.write_text(LINES + "".join(f"    - {line}\n" for line in lines))
    with pytest.raises(SpecError) as raised:
        ov.load_scenario(path)
    problems = sorted(raised.value.problems, key=lambda each: (each.mark.line, each.mark.column))
    assert [len(problems), *(words in str(each) for words, each in zip(told, problems, strict=False))] == [
        len(told),
        *([True] * len(told)),
    ]
