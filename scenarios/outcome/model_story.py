"""What is told of a run because it is of a model: what the model is, how it lies on the chips, what it came to.

FLOPs of a token (of an image, or a graph, where there are none) are those of the model in closed form, forwards, three
times that in training, but for gradients of what is read; what is recomputed is not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from analysis import RUN_WORDS, Summary
from analysis.runs import hidden_communication
from hw import Dimension
from hw.input import show
from scenarios.building.model_workload import ModelRun

_WAYS = ("dp", "tp", "pp", "cp", "ep")
_SHOWN = 6
_LEAST = 0.005
"""A share of what is exposed that is not worth a line."""


def flops_per_sample(run: ModelRun) -> float:
    """FLOPs of the model for each sequence, image or graph of a run, recomputation not counted."""
    from simulator import Inference
    from simulator.models import Work, forward_flops, training_flops

    model = run.model.description
    if isinstance(run.how, Inference):
        return sum(forward_flops(model, Work(each.tokens, each.context)).total for each in run.how.passes)
    work = Work(run.sample.tokens)
    return training_flops(model, work) if run.mode == "train" else forward_flops(model, work).total


def _flops_of(run: ModelRun) -> tuple[float, str]:
    """FLOPs of a token, or of what there is instead, and its name."""
    flops = flops_per_sample(run)
    return (flops * run.samples / run.tokens, "token") if run.tokens else (flops, run.sample.name)


def model_lines(run: ModelRun, words: Summary) -> Iterator[str]:
    """A few lines about the model, its layout, and its words."""
    from scenarios.models import count_shown  # late: most runs are of no model
    from simulator.models import parameters

    count = count_shown(parameters(run.model.description).total)
    yield f"{run.model.name}, {count} parameters; {run.mode}: {_batch(run)}"
    yield f"{_layout(run)}; {'; '.join(_choices(run))}"
    yield ", ".join(_figures(run, words))


def _figures(run: ModelRun, words: Summary) -> Iterator[str]:
    """What a run of a model came to, beside the words of every run."""
    of_text = run.sample.name == "sequence"
    rate, what = (words["tokens_per_s"], "tokens") if of_text else (words["samples_per_s"], f"{run.sample.name}s")
    if isinstance(rate, float):
        yield f"{rate:,.0f} {what}/s"
    flops, each = _flops_of(run)
    yield f"{show(flops, Dimension.WORK)} {'an' if each == 'image' else 'a'} {each}"
    if words["hfu"] != words["mfu"]:
        yield f"HFU {RUN_WORDS['hfu'].text(words['hfu'])}"
    if run.parallel.pp > 1:
        yield f"bubble {RUN_WORDS['bubble'].text(words['bubble'])}"


def _batch(run: ModelRun) -> str:
    sequences = f"{run.how.batch:,} x "
    if run.sample.name != "sequence":
        return f"{run.samples:,} {run.sample.name}{'s' if run.samples > 1 else ''} a step"
    if run.mode in ("train", "forward"):
        return f"{sequences}{run.how.seq:,} tokens a step = {run.tokens:,}"
    if run.mode == "prefill":
        return f"{sequences}{run.how.seq:,} tokens of prompts = {run.tokens:,}"
    return f"{sequences}{run.how.steps:,} tokens behind {run.how.context:,} in the cache"


def _layout(run: ModelRun) -> str:
    """How it lies on the chips: 'dp 4 (what is left of 8 chips) x tp 2'."""
    parallel = run.parallel
    if parallel.chips == 1:
        return "1 chip"
    parts = []
    for name in _WAYS:
        size = parallel.extent(name)
        left = f" (what is left of {parallel.chips} chips)" if name == "dp" and run.is_left else ""
        if size > 1:
            parts.append(f"{name} {size}{left}")
    return " x ".join(parts)


def _choices(run: ModelRun) -> Iterator[str]:
    """What else was chosen."""
    from simulator import NAMED_PRECISIONS

    how, parallel = run.how, run.parallel
    known = NAMED_PRECISIONS["training" if run.mode == "train" else "inference"]
    named = next((name for name, each in known.items() if each == how.precision), "")
    formats = how.precision
    last = f"optimizer {formats.moments}" if run.mode == "train" else f"cache {formats.kv}"
    yield named or f"weights {formats.weights}, activations {formats.compute}, {last}"
    if run.mode != "train":
        return
    yield how.optimizer
    if parallel.zero:
        groups = f" among {parallel.shard} of {parallel.dp} replicas" if parallel.copies > 1 else ""
        yield f"zero {parallel.zero}{groups}"
    if parallel.pp > 1:
        yield f"{parallel.schedule}, microbatches of {parallel.microbatch}"
    if how.recompute != "none":
        yield f"recompute {how.recompute if isinstance(how.recompute, str) else f'{how.recompute} blocks'}"


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def model_record(run: ModelRun) -> dict[str, Any]:
    """The same as plain data."""
    from simulator.models import parameters

    return {
        "name": run.model.name,
        "parameters": parameters(run.model.description).total,
        "mode": run.mode,
        "tokens": run.tokens,
        "samples": run.samples,
        "flops_per_sample": flops_per_sample(run),
        "flops_per_token": flops_per_sample(run) * run.samples / run.tokens if run.tokens else None,
        "parallel": {**asdict(run.parallel), "order": list(run.parallel.order), "layers": list(run.parallel.layers)},
        "dp_is_what_is_left": run.is_left,
    }


def communication_lines(words: Summary) -> Iterator[str]:
    """Which communication is hidden behind arithmetic, and which is not."""
    found = hidden_communication(words.result)
    bare = [each for each in found if each.exposed_s > _LEAST * each.time_s]
    for each in bare[:_SHOWN]:
        took, seen = show(each.time_s, Dimension.TIME), show(each.exposed_s, Dimension.TIME)
        over = f" over {each.axes}" if each.axes else ""
        how = f"{_share(each.share)} hidden" if each.share > _LEAST else "exposed, none of it hidden"
        yield f"{each.op} ({each.kind}{over}) runs {took}, {seen} of it while nothing computes: {how}."
    if len(bare) > _SHOWN:
        rest = sum(each.exposed_s for each in bare[_SHOWN:])
        yield f"{len(bare) - _SHOWN} more are exposed, for {show(rest, Dimension.TIME)} together."
    behind = [each for each in found if each not in bare]
    if behind:
        names = ", ".join(f"{each.op} ({each.kind})" for each in behind[:_SHOWN])
        more = f" and {len(behind) - _SHOWN} more" if len(behind) > _SHOWN else ""
        yield f"Hidden behind arithmetic: {names}{more}."
