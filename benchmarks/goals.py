"""The table of DESIGN section 3, "Speed": what is to be reached, and how each row is measured."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from benchmarks import core, estimates, frames, lowering, network, studies
from benchmarks.commands import after_imports, profiled, whole
from benchmarks.scenarios import (
    GPT3,
    GPT3_MEASURED,
    GPT3_ON_512,
    HOSTS,
    LAYERS,
    LLAMA_8B,
    LLAMA_405B,
    MESSAGES,
    chain,
    unlike,
    written_out,
)
from benchmarks.table import Benchmark

RUN = ("run", "case.yaml")


def command(
    name: str, what: str, arguments: Sequence[str] = RUN, scenario: str = "", best_of: int = 1, **goals: float
) -> Benchmark:
    """A whole command: goals are `cpu_s` and `mib`."""
    units = {"cpu_s": "CPU s", "mib": "MiB"}
    return Benchmark(
        name=name,
        what=what,
        goals={units[key]: goal for key, goal in goals.items()},
        measure=partial(whole, arguments, scenario, best_of),
        profile=partial(profiled, arguments, scenario),
    )


def vary(*said: str) -> list[str]:
    """What keys of a search may be."""
    return [text for each in said for text in ("--vary", each)]


def task(name: str, what: str, case: core.Case, goal: float) -> Benchmark:
    """The core: bare SimPy events that a task costs."""
    measure, profile = partial(core.bare_events_a_task, case), partial(core.profile, case)
    return Benchmark(name=name, what=what, goals={"events": goal}, measure=measure, profile=profile)


BENCHMARKS = (
    task("core-free", "a task, nothing contended, in bare SimPy events", core.FREE, 1.7),
    task("core-alike", "a task, contended, chips alike", core.ALIKE, 5),
    task("core-unlike", "a task, contended, all different", core.UNLIKE, 20),
    Benchmark(
        name="core-processes",
        what="1e6 tasks, against a process for each op and Resources",
        goals={"x faster": 50},
        measure=core.against_processes,
    ),
    Benchmark(
        name="kernel-distinct",
        what="lowering and words, a distinct kernel more",
        goals={"us": 60},
        measure=partial(lowering.slope, lowering.distinct, lowering.FEW, lowering.MANY),
    ),
    Benchmark(
        name="kernel-round",
        what="lowering and words, a round of a block more",
        goals={"us": 5},
        measure=partial(lowering.slope, lowering.rounds, lowering.FEW, lowering.MANY),
    ),
    Benchmark(
        name="kernel-chip",
        what="lowering and words of two kernels, a chip alike more",
        goals={"us": 5},
        measure=partial(lowering.slope, lowering.chips, lowering.FEW, 8 * lowering.FEW),
    ),
    command("graph-1e5", "1e5 ops on one chip, by repeat, whole command", scenario=chain(50_000, 2), cpu_s=5),
    command("graph-1e4-lines", "1e4 ops on one chip, a line each, whole command", scenario=written_out(10_000)),
    command("graph-1e6", "1e6 ops on one chip, by repeat", scenario=chain(100_000, 10), cpu_s=30, mib=954),
    command("layers", "16,384 chips alike, 126 layers (756 kernels)", scenario=LAYERS, cpu_s=1.5, mib=150),
    command("hosts", "300 kernels that 512 chips feed from 64 hosts", scenario=HOSTS),
    command("unlike", "1,000 kernels in proportion on 256 unlike chips", scenario=unlike(1_000)),
    Benchmark(
        name="llama3-8b",
        what="a training step of Llama 3 8B on 8 H100, after imports",
        goals={"CPU s": 1},
        measure=partial(after_imports, RUN, LLAMA_8B),
        profile=partial(profiled, RUN, LLAMA_8B),
    ),
    command("gpt3-175b", "a training step of GPT-3 on 1,024 A100, 64 microbatches", scenario=GPT3, cpu_s=3),
    command("gpt3-measured", "the same, as measured A100s would do it", scenario=GPT3_MEASURED),
    command("llama3-405b", "a training step of Llama 3 405B on 16,384 H100", scenario=LLAMA_405B, cpu_s=10, mib=1907),
    command(
        "search-gpt3",
        "the best of 4,032 layouts of GPT-3 on 512 A100, proven",
        ("search", "case.yaml", *vary("schedule=1f1b,interleaved,zero_bubble")),
        scenario=GPT3_ON_512,
        cpu_s=120,
    ),
    command(
        "search-405b",
        "the best of 21,504 layouts of Llama 3 405B on 16,384 H100, proven",
        (
            "search",
            "case.yaml",
            *vary(
                "schedule=1f1b,interleaved,zero_bubble",
                "interleave=1,2,4,7",
                "recompute=none,selective,alternate,full",
            ),
        ),
        scenario=LLAMA_405B,
        cpu_s=300,
    ),
    Benchmark(
        name="estimate",
        what="an estimate of GPT-3 on 1,024 A100, another one known",
        goals={"CPU s": 0.05},
        measure=estimates.one,
    ),
    Benchmark(
        name="estimates",
        what="500 estimates of GPT-3 on 512 A100",
        goals={"CPU s": 5},
        measure=estimates.many,
    ),
    *(
        Benchmark(
            name=f"all-reduce-{name.replace(' ', '-')}",
            what=f"all-reduce of 1024 chips, folded: {name}",
            goals={"CPU s": 0.03},
            measure=partial(network.all_reduce, name),
        )
        for name in network.WIRINGS
    ),
    Benchmark(
        name="study-dims",
        what="study of rows that differ in dims, one core",
        goals={"rows/s": 3000},
        measure=lambda: studies.rows_a_second(studies.dims()),
        profile=lambda: studies.profile(studies.dims()),
    ),
    Benchmark(
        name="study-rates",
        what="study of rows that differ in rates, one core",
        goals={"rows/s": 3000},
        measure=lambda: studies.rows_a_second(studies.rates()),
        profile=lambda: studies.profile(studies.rates()),
    ),
    Benchmark(
        name="study-both",
        what="study of rows that differ in dims and rates, one core",
        goals={"rows/s": 3000},
        measure=lambda: studies.rows_a_second(studies.both()),
        profile=lambda: studies.profile(studies.both()),
    ),
    Benchmark(
        name="study-decoder",
        what="study of a decoder block of 15 kernels, rates, one core",
        measure=lambda: studies.rows_a_second(studies.rates(), studies.DECODER),
    ),
    Benchmark(
        name="study-links",
        what="study of rows that differ in dims and in links that they cross",
        goals={"rows/s": 3000},
        measure=lambda: studies.rows_a_second(studies.links(), studies.SHARDED),
        profile=lambda: studies.profile(studies.links(), studies.SHARDED),
    ),
    Benchmark(
        name="study-links-bounds",
        what="lower bounds of 10,000 rows over links, nothing simulated",
        goals={"CPU s": 1},
        measure=studies.bounds_over_links,
    ),
    Benchmark(
        name="study-bounds",
        what="lower bounds of 10,000 rows, nothing simulated",
        goals={"CPU s": 1},
        measure=studies.bounds,
    ),
    Benchmark(name="what-if", what="what-if on the quickstart", goals={"CPU s": 2}, measure=studies.levers),
    command("messages", "ring all-reduce of 512 chips as messages, unfolded", scenario=MESSAGES, cpu_s=2.5),
    Benchmark(
        name="timeline",
        what="timeline of 1e6 rows to a DataFrame",
        goals={"CPU s": 0.05, "MB": 30},
        measure=frames.timeline,
    ),
    Benchmark(name="trace", what="trace of 1e6 slices with flows", goals={"CPU s": 5}, measure=frames.trace),
    command("quickstart", "quickstart `run`", ("run", "library:llama3_8b_block"), best_of=3, cpu_s=0.6),
    command("help", "`--help`", ("--help",), best_of=3, cpu_s=0.3),
)
