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
