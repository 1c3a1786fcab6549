"""One run of a scenario, in words. Many runs are in `scenarios.studies.sweeps`, searches in `scenarios.questions.find`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from analysis import JOB_WORDS, MODEL_WORDS, Summary, Value, bubble
from analysis.economics import usd_per_million
from hw import Mark, Problem, SpecError
from scenarios.building.build import Scenario, load_scenario
from scenarios.economics.cost_model import CostModel
from scenarios.economics.money_words import MoneyWords, baseline_file
from simulator import FUSE, Simulation

if TYPE_CHECKING:
    from scenarios.jobs.job_words import JobWords

OwnWord = Callable[[Summary], Value]
"""How to work out a word that not every run has, or has in another way."""


def first_line(error: Exception) -> str:
    """An error in one line, as a row of a table has it."""
    if isinstance(error, SpecError):
        return error.problems[0].message
    return str(error).splitlines()[0]


def summarise(scenario: Scenario) -> Summary:
    """The words of a scenario's run; it is run when the first word needs it. Raises SpecError or RunError."""
    try:
        simulation = Simulation(scenario.graph, scenario.system, scenario.options)
    except SpecError as error:
        raise SpecError([_placed(problem, scenario) for problem in error.problems]) from None
    scenario.loaders.join(simulation)
    own: dict[str, OwnWord] = {}
    listed: list[str] = []
    if scenario.model is not None:
        own |= model_words(scenario.model.tokens, scenario.model.samples)
        listed += MODEL_WORDS
    if (money_words := money_words_of(scenario)) is not None:
        own |= money_words.own
        listed += money_words.words
    made: list[Summary] = []
    if (job_words := job_words_of(scenario, made)) is not None:
        own |= job_words.own
        listed += JOB_WORDS
    made.append(Summary(simulation.plan, simulation.run, scenario.loaders, own, listed))
    return made[0]


def job_words_of(scenario: Scenario, made: Sequence[Summary]) -> JobWords | None:
    """The words of the job of a scenario that has one. `made` has the words of its run, at the latest when one of the job is
    asked for: the one is made of the other."""
    if scenario.job is None:
        return None
    from scenarios.jobs.job_words import JobWords  # late: most runs are of no job

    @cache
    def step_time(*values: tuple[str, Any]) -> float:
        return float(summarise(scenario.having_all(dict(values))).result.time_s)

    def with_values(values: Mapping[str, Any]) -> float:
        return step_time(*values.items())

    tier = scenario.economics.tier if scenario.economics is not None else "on_demand"
    return JobWords(scenario.job, lambda: made[0], tier, with_values)


def model_words(tokens: int, samples: int) -> dict[str, OwnWord]:
    """How to work out the words that a run has because it is of a model, which handles so many tokens (0: it reads none),
    and so many sequences, images or graphs."""

    def cost_per_million(summary: Summary) -> Value:
        cost = summary.built_in("cost")
        return usd_per_million(cost, tokens) if tokens and isinstance(cost, float) else None

    def per_s(count: int) -> OwnWord:
        return lambda summary: count / summary.result.time_s if count and summary.result.time_s else None

    return {
        "tokens_per_s": per_s(tokens),
        "samples_per_s": per_s(samples),
        "cost_per_million_tokens": cost_per_million,
        "bubble": lambda summary: bubble(summary.result),
    }


def words_of(scenario: Scenario, asked: Sequence[str] | None = None) -> dict[str, Value]:
    """Some words of a scenario's run (None: every one about the whole run). It is run only where one of them needs that.
    Raises SpecError, also for an op that there is not, or RunError."""
    summary = summarise(scenario)
    if asked is None:
        return dict(summary.as_dict())
    try:
        return {word: summary[word] for word in asked}
    except KeyError as error:
        raise SpecError([Problem(Mark("words"), str(error.args[0]))]) from None


def _placed(problem: Problem, scenario: Scenario) -> Problem:
    """What only shows when a graph is lowered, at the place in the file that it is about."""
    if problem.mark.file != FUSE and scenario.model is not None:  # its ops stand in no file
        return replace(problem, mark=scenario.document.value_mark(("workload", "model")))
    if problem.mark.file != FUSE:
        return problem
    return replace(problem, mark=scenario.document.value_mark(("workload", "fuse", problem.mark.line - 1)))


def money_words_of(scenario: Scenario) -> MoneyWords | None:
    """The money words of a scenario with an economics section; its baseline is run once, when a word first needs it."""
    spec = scenario.economics
    if spec is None:
        return None
    inherited = spec

    def before() -> CostModel:
        file = baseline_file(spec, scenario.document, scenario.path)
        baseline = load_scenario(str(file))
        return CostModel(baseline.economics or inherited, summarise(baseline))

    return MoneyWords(spec, cache(before))
