"""What a run of inference is: prompts that are read, or tokens that are made, and the passes through the model it takes.

Model: a pass takes some new tokens of every sequence through the model, on top of those that are in the cache. A prefill
is one pass over the prompt, or one for each chunk of it; decoding is a pass for each token. Every pass leaves its keys and
values in the cache, and the last one of a prefill, like each one of decoding, ends in one next token a sequence.
Source: Pope et al. 2023 (prefill, decode); Agrawal et al. 2023 (Sarathi: chunked prefills).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hw import Mark, Problems, SpecError
from hw.input import unknown
from simulator.models.steps.precision import Precision

MODES = ("prefill", "decode")

BF16 = Precision(logits="bf16")
"""What inference stores in what, unless said otherwise: all of it in bf16."""


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass through the model: its number, new tokens of each sequence, tokens in the cache, whether it ends in next
    tokens."""

    number: int
    tokens: int
    context: int
    has_head: bool

    @property
    def suffix(self) -> str:
        """What its names end in: nothing for the first."""
        return f"p{self.number}" if self.number else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """Sequences of all replicas together; `seq`: tokens of a prompt (prefill); `context`: tokens that are in the cache
    already; `chunk`: tokens of a prompt that are read at once, all where it is not said; `steps`: tokens that are made, one
    behind the other (decode). `in_flight`: into how many parts the batch is cut that follow each other through a pipeline:
    as many as it has stages where neither it nor the sequences of one (`Parallel.microbatch`) are said. `activations`:
    where they live: in HBM, each op writing what it makes, or on chip, as compilers keep what is small in decode (whether
    it fits there is told)."""

    mode: Literal["prefill", "decode"]
    batch: int
    seq: int = 0
    context: int = 0
    chunk: int | None = None
    steps: int = 1
    in_flight: int | None = None
    precision: Precision = BF16
    activations: Literal["hbm", "on_chip"] = "hbm"

    def __post_init__(self) -> None:
        problems = Problems()
        if self.mode not in MODES:
            problems.add(Mark("mode"), unknown("mode", self.mode, MODES))
        if self.activations not in ("hbm", "on_chip"):
            problems.add(Mark("activations"), unknown("memory of activations", self.activations, ("hbm", "on_chip")))
        least = {"batch": self.batch, "chunk": self.chunk, "steps": self.steps, "in_flight": self.in_flight}
        for name, given in least.items():
            if given is not None and given < 1:
                problems.add(Mark(name), f"{name} is {given}; it must be 1 or more")
        if self.context < 0:
            problems.add(Mark("context"), f"context is {self.context}; it must be 0 or more")
        if self.mode == "decode":
            self._check_decode(problems)
        elif self.mode == "prefill":
            self._check_prefill(problems)
        problems.raise_if_any()

    def _check_decode(self, problems: Problems) -> None:
        if self.seq:
            problems.add(Mark("seq"), "seq is the length of a prompt; decode has context, the tokens in the cache")
        if self.chunk is not None:
            problems.add(Mark("chunk"), "chunk is a part of a prompt; decode has none")
        if not self.context:
            problems.add(Mark("context"), "decode needs context, the tokens that are in the cache")

    def _check_prefill(self, problems: Problems) -> None:
        if self.seq < 1:
            problems.add(Mark("seq"), "prefill needs seq, the tokens of a prompt")
        elif self.chunk is not None and self.chunk > 0 and self.seq % self.chunk:
            problems.add(Mark("chunk"), f"{self.seq} tokens are no multiple of chunks of {self.chunk}")
        if self.steps != 1:
            problems.add(Mark("steps"), "steps are tokens that decode makes; prefill has none")

    @property
    def passes(self) -> tuple[Pass, ...]:
        """The passes of the run, in order."""
        if self.mode == "decode":
            return tuple(Pass(step, 1, self.context + step, True) for step in range(self.steps))
        each = self.chunk or self.seq
        count = self.seq // each
        return tuple(Pass(at, each, self.context + at * each, at == count - 1) for at in range(count))

    @property
    def tokens(self) -> int:
        """Tokens of a run, of all sequences: those of prompts that are read, or those that are made."""
        return self.batch * (self.seq if self.mode == "prefill" else self.steps)


def refuse(place: str, message: str) -> SpecError:
    """The error for one thing that cannot be."""
    problems = Problems()
    problems.add(Mark(place), message)
    return SpecError(problems.found)
