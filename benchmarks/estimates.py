"""Estimates of GPT-3: one layout on 1,024 A100 once another one is known, and 500 on 512, as a search asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice, product
from time import perf_counter, process_time

from benchmarks.table import Figure, Figures
from hw import System, load_chip, parse_topology
from scenarios.models import load_model
from simulator import Estimator, Parallel, Training

CONFIGURATIONS = 500
_BATCH = 1536


def _estimator(nodes: int) -> Estimator:
    chip = load_chip("a100_80gb_sxm")
    wiring = parse_topology(["switch(8) over nvlink", f"fat_tree({nodes}) over infiniband"], chip.links)
    description = load_model("gpt3_175b").description
    return Estimator(description, System(chip, wiring))  # type: ignore[arg-type]


def one() -> Figures:
    """One layout, when an estimate of another one has been made."""
    estimator = _estimator(128)
    training = Training(batch=512, seq=2048)
    estimator.estimate(Parallel(tp=8, pp=8, dp=16), training)
    return _seconds(lambda: estimator.estimate(Parallel(tp=8, pp=16, dp=8), training))


def many() -> Figures:
    """500 layouts, from none known."""
    estimator = _estimator(64)
    return _seconds(lambda: estimator.estimates(_configurations()))


def _seconds(work: Callable[[], object]) -> Figures:
    """What a call takes: of the CPU, and as whoever waits for it sees it, which on a machine with others is more."""
    begin = process_time(), perf_counter()
    work()
    return {"CPU s": Figure(process_time() - begin[0]), "wall s": Figure(perf_counter() - begin[1])}


def _configurations() -> Iterator[tuple[Parallel, Training]]:
    """Layouts of 512 chips, microbatches, what is recomputed and sharded, spread over all of them."""
    ways = product((1, 2, 4, 8), (1, 2, 4, 8, 16, 32), (1, 2, 4), ("none", "selective", "full"), (0, 1), (False, True))
    found = [
        (
            Parallel(tp=tp, pp=pp, dp=512 // (tp * pp), microbatch=micro, zero=zero, sequence=sequence),
            Training(batch=_BATCH, seq=2048, recompute=recompute),
        )
        for tp, pp, micro, recompute, zero, sequence in ways
        if _BATCH % (512 // (tp * pp) * micro) == 0 and not (sequence and tp == 1)
    ]
    step = len(found) / CONFIGURATIONS
    return islice((found[int(at * step)] for at in range(CONFIGURATIONS)), CONFIGURATIONS)
