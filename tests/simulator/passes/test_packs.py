"""Views of several values, one in another: who reads one waits for all that lies behind it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import Simulation, parse_graph
from tests.support.strategies import one

GIVEN = ("x", "z")


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """Ops that compute and ops that pack, in any order; the lines, and by name what each of them shows or reads."""
    size = dict.fromkeys(GIVEN, 8)
    lines, shows = [], {}
    for at in range(draw(st.integers(2, 10))):
        packs = draw(st.booleans())
        name = f"{'v' if packs else 'y'}{at}"
        most = min(4, len(size)) if packs else 1
        shown = draw(st.lists(st.sampled_from(sorted(size)), min_size=1, max_size=most, unique=True))
        size[name] = sum(size[each] for each in shown)
        written = ", ".join(f"{each}:bf16[{size[each]}]" if each in GIVEN else each for each in shown)
        lines.append(f"{name}:bf16[{size[name]}] = {'pack' if packs else 'relu'}({written})")
        shows[name] = tuple(shown)
    return lines, shows


@settings(max_examples=200, deadline=None)
@given(programs())
def test_who_reads_a_view_waits_for_all_that_lies_behind_it(
    program: tuple[list[str], dict[str, tuple[str, ...]]],
) -> None:
    """Walked through op by op here: a view in another, through views of one value, the same value behind several."""
    lines, shows = program

    def behind(name: str) -> set[str]:
        if name in GIVEN:
            return set()
        return {name} if name.startswith("y") else set().union(*map(behind, shows[name]))

    plan = Simulation(parse_graph(lines, {}), one()).run().plan
    names = [plan.kernels.kernels[kernel].name for kernel in plan.program.kernel]
    waits: dict[str, set[str]] = {name: set() for name in names}
    for before, after in zip(*(column.tolist() for column in plan.program.dependencies()), strict=True):
        waits[names[after]].add(names[before])
    assert waits == {name: behind(shows[name][0]) for name in shows if name.startswith("y")}
