"""Ctrl-C while training steps are estimated by several processes: they end at once, and say nothing."""

from __future__ import annotations

import signal
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from scenarios.console.processes import Processes
from scenarios.validation import read_training_rows, training

HEAD = "source,model,layers,hidden,heads,ffn,seq,vocab,global_batch,micro_batch,tp,pp,dp,n_chips,chip,"
STEPS = (
    HEAD
    + "measured_seconds_per_iteration\n"
    + "".join(f"S,M,{layers},1024,16,4096,512,32000,4,1,1,1,1,1,A100-80GB,1\n" for layers in (2, 3))
)


class Interrupted(Processes):
    """Processes during whose work somebody presses Ctrl-C."""

    stopped = 0

    def submit(self, *_given: Any, **_more: Any) -> Future[Any]:
        found: Future[Any] = Future()
        found.set_exception(KeyboardInterrupt())
        return found

    def stop(self) -> None:
        type(self).stopped += 1
        super().stop()


def test_processes_are_ended_when_their_rows_are_no_longer_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "steps.csv"
    path.write_text(STEPS)
    monkeypatch.setattr(training, "Processes", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        training.trained(read_training_rows(path), jobs=2)
    assert Interrupted.stopped == 1


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="needs masks of signals")
def test_a_process_answers_ctrl_c_without_a_word() -> None:
    with Processes(1) as pool:
        assert pool.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_DFL
        assert signal.SIGINT not in pool.submit(signal.pthread_sigmask, signal.SIG_BLOCK, ()).result()
