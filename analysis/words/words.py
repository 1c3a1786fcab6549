"""The vocabulary of results: one name, one meaning, everywhere (expect, JSON, tables, DataFrames).

Of unlike chips a word that speaks of one chip is that of the chip with the most of it (`analysis.words.per_chip`).
Each word has a dimension and a sentence. Their values are computed by `analysis.words.summary`; words about one op are
written `ops.NAME.word`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from analysis.words.causes import CAUSES
from hw import Dimension
from hw.input import show, unknown


@dataclass(frozen=True, slots=True)
class Word:
    """A word for results: what it measures (None: a name or a truth value), what it means, and with how many decimals it is
    printed (None: as its dimension is). `share`: it is a part of a whole, from 0 to 1."""

    dimension: Dimension | None
    meaning: str
    decimals: int | None = None
    share: bool = False

    def __repr__(self) -> str:
        return f"Word({self.dimension.noun if self.dimension else 'no number'}: {self.meaning})"

    def text(self, value: object, digits: int = 4) -> str:
        """A value of the word as a person reads it, in the one way in which it is printed everywhere."""
        if value is None or value != value:  # not known, or nan in a frame
            return ""
        if isinstance(value, bool):
            return "yes" if value else "no"
        if self.dimension is None or not isinstance(value, (int, float)):
            return str(value)
        if self.decimals is not None:
            return f"{round(value, self.decimals) + 0.0:.{self.decimals}f}"  # 0.0: no minus before a zero
        return show(float(value), self.dimension, digits)


_S, _B, _F = Dimension.TIME, Dimension.DATA, Dimension.WORK

WORDS: Mapping[str, Word] = {
    "time": Word(_S, "when the last task ended"),
    "lower_bound": Word(_S, "the busiest resource's total work over its capacity"),
    "upper_bound": Word(_S, "the same tasks with nothing overlapping on a chip"),
    "dependency_bound": Word(
        _S, "the longest chain of data dependencies, each task at its own best; queues not counted"
    ),
    "eta": Word(Dimension.RATIO, "(upper - time) / (upper - lower); 1 at the lower bound", decimals=3),
    "bound_by": Word(None, "the largest of the t_ times: " + ", ".join(CAUSES)),
    **{cause.word: Word(_S, cause.meaning) for cause in CAUSES.values()},
    "flops": Word(_F, "arithmetic of one chip on both units, what is recomputed included"),
    "hbm_bytes": Word(_B, "HBM traffic of one chip, re-reads included"),
    "network_bytes": Word(_B, "bytes that one chip puts on its links"),
    "intensity": Word(Dimension.INTENSITY, "FLOPs over bytes of HBM of one chip"),
    "flops_per_s": Word(Dimension.FLOP_RATE, "flops / time, one chip"),
    "mfu": Word(
        Dimension.RATIO,
        "matrix work of the model at the data sheet's peak / time; what chips do alike once, what is done again not",
        share=True,
    ),
    "hfu": Word(Dimension.RATIO, "as mfu, with work that is done again, and what chips do alike on each", share=True),
    "exposed_network": Word(_S, "communication running while no matrix or vector work runs, longest over chips"),
    "exposed_memory": Word(_S, "pure data movement running while no matrix or vector work runs, longest over chips"),
    "peak_memory": Word(_B, "most HBM that live tensors take on one chip"),
    "fits": Word(
        None, "whether peak_memory is within the capacity, and what is held on chip within that of on-chip memory"
    ),
    "tokens_per_s": Word(Dimension.RATE, "tokens per second of the whole system, where the workload has tokens"),
    "cost": Word(Dimension.MONEY, "price of all chips for the time"),
    "priced_by": Word(None, "how the chips are rented, who asks their price, and of when it is"),
    "cost_per_million_tokens": Word(Dimension.MONEY, "cost of a million tokens, where the workload has tokens"),
    "energy": Word(Dimension.ENERGY, "power of all chips for the time"),
}
"""Every word about a whole run."""

_USD = Dimension.MONEY

MONEY_WORDS: Mapping[str, Word] = {
    "cost_per_step": Word(_USD, "cost of one step, paid hours in which nothing runs included"),
    "cost_per_request": Word(_USD, "cost of one request, paid hours in which nothing runs included"),
    "cost_per_year": Word(_USD, "cost of the work of 365 days"),
    "chip_time_per_year": Word(_S, "time of one chip that the work of 365 days takes, all chips added up"),
    "energy_cost": Word(_USD, "electricity of one run, with what cooling takes; not part of cost"),
    "flops_per_usd": Word(Dimension.YIELD, "arithmetic of all chips that a dollar buys"),
    "checkpoint_interval": Word(_S, "how often to save for the least loss to interruptions (Young 1974)"),
    "lost_share": Word(
        Dimension.RATIO, "share of the time that interruptions cost: saving, doing again, coming back", share=True
    ),
    "training_time": Word(_S, "a whole training, from one run of the workload"),
    "training_cost": Word(_USD, "cost of a whole training"),
    "saved": Word(Dimension.RATIO, "share of the baseline's cost that is gone"),
    "savings_per_year": Word(_USD, "what 365 days cost less than in the baseline"),
    "engineering_cost": Word(_USD, "what the change costs once"),
    "roi": Word(Dimension.RATIO, "(savings of a year - engineering cost) / engineering cost"),
    "payback_time": Word(_S, "when savings have paid for the engineering"),
}
"""Words that a run has if its scenario has an economics section, beside `cost` and the like."""

MODEL_WORDS: Mapping[str, Word] = {
    "samples_per_s": Word(Dimension.RATE, "sequences, images or graphs per second of the whole system"),
    "bubble": Word(
        Dimension.RATIO,
        "share of the time in which the chip with the most arithmetic runs nothing: what a pipeline leaves empty",
        share=True,
    ),
}
"""Words that the run of a model has, beside `tokens_per_s` and the like."""

JOB_WORDS: Mapping[str, Word] = {
    "job_time": Word(_S, "a job from its first step to its last checkpoint, whatever happens to it"),
    "goodput": Word(
        Dimension.RATIO, "share of the job's time that is steps which count, at their undisturbed time", share=True
    ),
    "slow_time": Word(
        _S, "time that steps which count take longer: slow machines and links, jitter, machines that lack"
    ),
    "checkpoint_time": Word(_S, "time in which the job waits for a checkpoint that is written"),
    "lost_time": Word(_S, "time of steps and of writing that failures throw away"),
    "restart_time": Word(_S, "time to come back after failures"),
    "away_time": Word(_S, "time in which the job has too few machines"),
    "failures": Word(Dimension.RATIO, "failures of machines that the job used", decimals=1),
    "rollbacks": Word(Dimension.RATIO, "times that the job went back to its last checkpoint", decimals=1),
    "job_mtbf": Word(_S, "mean time between failures of all machines of the job together"),
    "checkpoint_every": Word(_S, "time of steps between checkpoints, as the job is run"),
    "young_interval": Word(_S, "the interval between checkpoints for the least time, to first order (Young 1974)"),
    "daly_interval": Word(_S, "the same to a higher order (Daly 2006)"),
    "job_cost": Word(_USD, "price of all chips, spares included, for the job's time"),
    "effective_price": Word(Dimension.PRICE, "what an hour of one chip costs that is steps which count"),
}
"""Words that a run has if its scenario has a job section: means over the lives of the job."""

RUN_WORDS: Mapping[str, Word] = {**WORDS, **MONEY_WORDS, **MODEL_WORDS, **JOB_WORDS}
"""Every word that a whole run can have."""

OP_WORDS: Mapping[str, Word] = {
    "time": Word(_S, "time that the op's tasks take on a chip, added up, longest over chips"),
    "bound_by": Word(None, "the largest of the op's t_ times"),
    **{cause.word: WORDS[cause.word] for cause in CAUSES.values() if cause.of_ops},
    **{word: WORDS[word] for word in ("flops", "hbm_bytes", "network_bytes", "intensity")},
}
"""Every word about one op, behind `ops.NAME.`."""


def word_named(name: str) -> Word:
    """The word for `name` ('time', 'ops.y.time'). Raises KeyError with the nearest ones."""
    if name.startswith("ops."):
        wanted = name.rpartition(".")[2]
        if wanted not in OP_WORDS:
            raise KeyError(unknown("word about an op", wanted, OP_WORDS))
        return OP_WORDS[wanted]
    if name not in RUN_WORDS:
        raise KeyError(unknown("result word", name, [*RUN_WORDS, "ops.NAME.time"]))
    return RUN_WORDS[name]


PRICED_WORDS = tuple(
    name
    for name, word in RUN_WORDS.items()
    if word.dimension in (Dimension.MONEY, Dimension.YIELD, Dimension.PRICE)
    and name not in ("energy_cost", "engineering_cost")
)
"""Words that follow from the prices of chips: those of unlike sellers, beside each other, say little."""
