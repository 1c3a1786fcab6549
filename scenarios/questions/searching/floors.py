"""What no run of a layout is below, in closed form: to leave out most of a large space without looking at its layouts.

Model: memory is what the optimizer, sums of gradients and weights take, evenly shared out: the stage that holds most holds
at least the mean. Time is the arithmetic of the step, evenly shared out, at the peak of the chip's matrix unit; or that of
the last stage of a pipeline, which waits for the forward passes of the others, each with no fewer layers than a cut of the
model has, and is followed, where backward passes are not cut in two, by the gradients that those hand back, beside which it
may still be at gradients of its own weights. Of blocks of which all is made again half the forward pass counts: their last
matmul, which is not, is no larger than the one before it.
Law: no more than the bounds of an estimate, which are no more than a run.
Source: Kaplan et al. 2020 (FLOPs); Rajbhandari et al. 2020 (bytes a parameter); Huang et al. 2019 (bubbles).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scenarios.building.build import Scenario
from scenarios.questions.searching.layouts import Asked
from simulator import DTYPE_BYTES, Parallel, Training
from simulator.models import Transformer, Work, alike, first_flops, forward_flops, parameters, sample_of

_STATES = {"adamw": 2, "sgd": 1}
"""States of each optimizer, of the size of its moments."""


@dataclass(frozen=True, slots=True)
class Floor:
    """Bytes on a chip and seconds that no run of a layout is below."""

    least_memory: float
    bound_s: float


class Floors:
    """Floors of layouts of the training of a transformer."""

    def __init__(self, scenario: Scenario) -> None:
        run = scenario.model
        assert run is not None
        assert isinstance(run.model.description, Transformer)
        assert isinstance(run.how, Training)
        model, how = run.model.description, run.how
        self._how = how
        peaks = [chip.matrix_unit.peak_flops_per_s for chip in scenario.system.kinds]
        formats = {how.precision.compute, how.precision.matmul or how.precision.compute}
        # a format that a chip has no peak for goes by that of another
        self._peak = max(max(each[name] if name in each else max(each.values()) for name in formats) for each in peaks)
        self._model, self._chips = model, scenario.system.size
        work = forward_flops(model, Work(sample_of(model, how.seq).tokens))
        self._blocks, self._head = work.matmul + work.attention, work.vocabulary
        self._parameters = parameters(model).total
        self._first, self._is_even = first_flops(model), len(alike(model)) == 1

    @property
    def of_any_s(self) -> float:
        """Seconds that no step is below, however it is laid out: its arithmetic, nothing of which is made again."""
        return self._mean(replace(self._how, recompute="none"))

    def of(self, asked: Asked) -> Floor:
        """The floor of one layout."""
        parallel, training = asked
        return Floor(self._held(parallel, training), max(self._mean(training), self._last_stage(parallel, training)))

    def _held(self, parallel: Parallel, training: Training) -> float:
        """Bytes of weights, sums of gradients and states of the mean chip."""
        precision = training.precision
        # experts are sharded by less than all of this, the rest of the weights not by `ep`
        shared = self._parameters / (parallel.tp * parallel.pp * parallel.ep)
        share = shared / ((parallel.shard or parallel.dp) * parallel.cp * parallel.ep)
        states = _STATES[training.optimizer] * DTYPE_BYTES[precision.moments]
        states += DTYPE_BYTES[precision.master] if precision.master else 0.0
        held = (share if parallel.zero == 3 else shared) * DTYPE_BYTES[precision.weights]
        if "optimizer" not in training.offload:
            held += (share if parallel.zero else shared) * states
        if precision.main_gradients:
            held += (share if parallel.zero >= 2 else shared) * DTYPE_BYTES[precision.main_gradients]
        return held

    def _mean(self, training: Training) -> float:
        """Seconds of arithmetic of the mean chip."""
        flops = 3 * (self._blocks + self._head) - self._first
        if training.recompute in ("full", "whole"):
            flops += self._blocks / 2
        return training.batch * flops / (self._chips * self._peak)

    def _last_stage(self, parallel: Parallel, training: Training) -> float:
        """Seconds until the last stage of a pipeline is over, and what it hands back; 0 where blocks or stages differ."""
        if parallel.chunks == 1 or parallel.layers or not self._is_even:
            return 0.0
        layers = self._model.layers // parallel.chunks
        microbatches = training.batch / (parallel.replicas * parallel.microbatch)
        rate = self._peak * parallel.tp * parallel.cp / parallel.microbatch
        forward = layers * self._blocks / self._model.layers / rate
        own = microbatches * 3 * (parallel.interleave * forward + self._head / rate)
        after = max(0.0, (parallel.pp - 2) * forward - self._head / rate) if parallel.schedule != "zero_bubble" else 0.0
        return (parallel.pp - 1) * forward + own + after
