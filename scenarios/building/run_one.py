"""One run of a scenario, in words. Many runs are in `scenarios.studies.sweeps`, searches in `scenarios.questions.find`."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from analysis import Summary
from hw import Problem, SpecError
from scenarios.building.build import Scenario, load_scenario
from scenarios.economics.books import Books
from scenarios.economics.ledger import Ledger, baseline_file
from simulator import FUSE, Simulation


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
    ledger = ledger_of(scenario)
    money = (ledger.own, ledger.words) if ledger else ()
    return Summary(simulation.plan, simulation.run, scenario.loaders, *money)


def _placed(problem: Problem, scenario: Scenario) -> Problem:
    """What only shows when a graph is lowered, at the place in the file that it is about."""
    if problem.mark.file != FUSE:
        return problem
    return replace(problem, mark=scenario.document.value_mark(("workload", "fuse", problem.mark.line - 1)))


def ledger_of(scenario: Scenario) -> Ledger | None:
    """The books of a scenario with an economics section; its baseline is run once, when a word first needs it."""
    spec = scenario.economics
    if spec is None:
        return None
    inherited = spec

    def before() -> Books:
        file = baseline_file(spec, scenario.document, scenario.path)
        baseline = load_scenario(str(file))
        return Books(baseline.economics or inherited, summarise(baseline))

    return Ledger(spec, cache(before))
