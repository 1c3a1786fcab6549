"""The sample: one line of the product's code each, what it becomes, and the tests that must fail then.

They were picked by hand where two things interact (chips that stand for others, flows of unlike kinds, groups that share a
wire, ends of a transfer), since faults in one thing alone are found by everybody. The text is looked for in the whole tree,
so that a file may move; where a line is written anew its mutant is, too.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """`old` stands once in the product's code and becomes `new`; then one of `tests` (files) must fail."""

    name: str
    old: str
    new: str
    tests: tuple[str, ...]


SAMPLE = (
    # Hardware
    Mutant(
        "no swaps while a bisection is looked for",
        "for _ in range(_SWAP_CHIPS if swap and self.chips <= _SWAP_CHIPS else 0):",
        "for _ in range(0):",
        ("tests/hw/test_topology_facts.py",),
    ),
    Mutant(
        "chips that share a NIC have the latency of the fastest",
        "link = max((site.link_of(chip) for chip in chips), key=lambda each: each.latency_s)",
        "link = min((site.link_of(chip) for chip in chips), key=lambda each: each.latency_s)",
        ("tests/hw/test_topology.py", "tests/hw/test_systems.py", "tests/simulator/collectives/test_collectives.py"),
    ),
    Mutant(
        "chips that share a NIC have the pace of the fastest",
        "rate = min(site.egress(chip) for chip in chips)",
        "rate = max(site.egress(chip) for chip in chips)",
        ("tests/hw/test_topology.py", "tests/hw/test_systems.py"),
    ),
    Mutant(
        "what a disk gives does not cross the PCIe uplink",
        "        yield self._uplink(chip, way)\n",
        '        if memory == "host":\n            yield self._uplink(chip, way)\n',
        ("tests/hw/test_host.py",),
    ),
    # The engine
    Mutant(
        "a user's flow counts 1 in fairness",
        "use = Use(number, alone, tuple(demands), self._weight(amounts, demands, alone))",
        "use = Use(number, alone, tuple(demands), 1.0)",
        ("tests/laws/test_graph_laws.py", "tests/simulator/engine/test_fair_shares.py"),
    ),
    Mutant(
        "a resource may bind by the largest queue alone",
        "total[resource] = total.get(resource, 0.0) + load",
        "total[resource] = max(total.get(resource, 0.0), load)",
        ("tests/simulator/engine/test_engine_laws.py",),
    ),
    Mutant(
        "what users' processes share is left out like the rest",
        "for resource, load in total.items() if load > 1.0 + ADDED} | held | set(shared)",
        "for resource, load in total.items() if load > 1.0 + ADDED} | held",
        ("tests/laws/test_graph_laws.py", "tests/simulator/engine"),
    ),
    Mutant(
        "a flow is sped up but never slowed",
        "if rate != flow.rate or flow.ends == _NEVER:",
        "if rate > flow.rate or flow.ends == _NEVER:",
        ("tests/simulator/engine/test_engine_laws.py",),
    ),
    Mutant(
        "a collective starts when it is the choice of one of its queues",
        "if all(not self._busy[other] and self._heaps[other][0] == best for other in queues):",
        "if any(not self._busy[other] and self._heaps[other][0] == best for other in queues):",
        ("tests/simulator/engine",),
    ),
    Mutant(
        "the upper bound forgets that a chip does one thing at a time",
        "begin = later(begin, free[chip])",
        "pass",
        ("tests/laws/test_laws.py",),
    ),
    # Lowering
    Mutant(
        "groups side by side do not add up on the wire that they share, in the upper bound",
        "serial_ps += largest([seconds, planned.network_s, planned.host_s]) * scale",
        "serial_ps += seconds * scale",
        ("tests/simulator/collectives/test_contention.py", "tests/laws/test_laws.py"),
    ),
    Mutant(
        "a kernel that a host holds up counts as any other",
        'if slowest is not None and resources[slowest[0]].cause == "host":',
        "if slowest is None:",
        ("tests/simulator/engine/test_fair_shares.py", "tests/hw/test_host.py", "tests/regressions", "tests/laws"),
    ),
    Mutant(
        "of the groups that one stands for only one asks of a wire",
        "total[wire] = total.get(wire, 0.0) + nbytes\n        transfer",
        "total[wire] = nbytes\n        transfer",
        ("tests/simulator/engine/test_folding.py",),
    ),
    Mutant(
        "sender and receiver look alike to folding",
        "in_pair = np.repeat([traffic.pair for traffic in traffics],",
        "in_pair = np.repeat([False for traffic in traffics],",
        ("tests/simulator/engine/test_folding.py", "tests/laws"),
    ),
    Mutant(
        "groups over unlike wires look alike to folding",
        "loads.refined(joined, _both(self._nbytes, self.wires[self._wire]))",
        "loads.refined(joined, self._nbytes)",
        ("tests/simulator/engine/test_folding.py", "tests/simulator/engine/test_folding_random.py", "tests/laws"),
    ),
    Mutant(
        "groups behind unlike trunks are images of each other",
        "for looks in (sight.inside, sight.ports, sight.trunks):",
        "for looks in (sight.inside, sight.ports):",
        ("tests/simulator/collectives/test_images.py",),
    ),
    Mutant(
        "groups over slower wires are images of each other",
        "self._figures = np.vstack([columns.figures, told_apart(rates)])",
        "self._figures = columns.figures[3:]",
        ("tests/simulator/collectives/test_images.py",),
    ),
    Mutant(
        "only the first of several collectives goes message by message",
        "shape = replace(self.shape(planned, needs, together), opens=bool(planned.traffic.steps))",
        "shape = replace(self.shape(planned, needs, together), opens=bool(planned.traffic.steps) and not self._numbers)",
        ("tests/simulator/collectives/test_messages.py", "tests/laws/test_laws.py"),
    ),
    # Collectives
    Mutant(
        "the latency of what the busiest wire carries is hidden behind its bytes",
        "late = (latency + (seconds - busiest) for",
        "late = (latency - busiest for",
        ("tests/simulator/collectives", "tests/laws"),
    ),
    Mutant(
        "an antipode's messages all go one way round",
        "counts.add(along.size // 2 * hop, along.size / 4)",
        "counts.add(along.size // 2 * hop, along.size / 2)",
        ("tests/simulator/collectives/test_exchange_pairs.py", "tests/laws"),
    ),
    # Ops and passes
    Mutant(
        "a window that looks both ways counts a query's own key twice",
        "_limited(0, self.queries, window) - self.queries",
        "_limited(0, self.queries, window)",
        ("tests/simulator/ops/test_attention_window.py",),
    ),
    Mutant(
        "the chip in the middle of a windowed sequence is not looked at",
        "starts = {first, middle, min(last, middle + block), last}",
        "starts = {first, last}",
        ("tests/simulator/ops/test_attention_window.py", "tests/simulator/sharding"),
    ),
    Mutant(
        "a spill that is written anyway is written twice",
        '*(replace(made[name], tensor=f"{name}/spill") for name in spilled if name not in kept),',
        '*(replace(made[name], tensor=f"{name}/spill") for name in spilled),',
        ("tests/simulator/ops/test_fusion.py",),
    ),
    Mutant(
        "what a fused kernel uses last needs no room there",
        "return made <= at <= used",
        "return made <= at < used",
        ("tests/simulator/ops/test_fusion.py",),
    ),
    Mutant(
        "costs of plans are compared to the last digit",
        "TIE = 1e-9",
        "TIE = 0.0",
        ("tests/simulator/sharding/test_planner_choices.py",),
    ),
    Mutant(
        "what is already there in another layout is not taken from there",
        "there |= {(declared.name, layout(step.made)) for step in steps}",
        "there |= set()",
        ("tests/simulator/sharding",),
    ),
    # Words
    Mutant(
        "a chip that works while one of its queues waits is said to wait",
        "found = {chip: difference(union(spans), union(busy[chip])) for chip, spans in held.items()}",
        "found = {chip: union(spans) for chip, spans in held.items()}",
        ("tests/simulator/engine/test_waiting.py",),
    ),
    Mutant(
        "MFU takes one chip for all that it stands for",
        "used = sum(seconds * whole[kind_of[chip]] * len(plan.members(chip)) for chip, seconds in ideal_s.items())",
        "used = sum(seconds * whole[kind_of[chip]] for chip, seconds in ideal_s.items())",
        ("tests/simulator/engine/test_folding.py", "tests/analysis/test_unlike_words.py"),
    ),
    Mutant(
        "communication beside vector work is exposed",
        'word="t_vector",\n    resource="vector",\n    does="arithmetic",',
        'word="t_vector",\n    resource="vector",\n    does="other",',
        ("tests/analysis/test_analyses.py", "tests/analysis/test_frames.py", "tests/scenarios/test_scenarios.py"),
    ),
    Mutant(
        "each wire of a class is given what all of them got",
        'seconds=spread["seconds"] / np.repeat(count, count))',
        'seconds=spread["seconds"])',
        ("tests/analysis/test_analyses.py",),
    ),
    # Models
    Mutant(
        "a tied matrix is stepped before the stages have exchanged its gradient",
        "awaited = [*norms, *(op.name for op in exchanged.get(buffer.name, ())[-1:])]",
        "awaited = [*norms]",
        ("tests/simulator/models/test_tied_stages.py",),
    ),
    Mutant(
        "gradients of weights that are cast are summed over chips one by one",
        'of_weight = op.kind in ("cast", "embedding") and op.inputs[0].name in self.wanted',
        "of_weight = False",
        ("tests/simulator/models/test_family_steps.py",),
    ),
    Mutant(
        "every chip makes the gradient of a whole table of which it has a part",
        "here = made.sizes[0] / made.whole[0]",
        "here = 1.0",
        ("tests/simulator/sharding/test_sharding_reads.py",),
    ),
    Mutant(
        "the gradient of a narrow term of a wide sum is as wide as the sum",
        "        if found.dtype == like.dtype:\n            adjoint.give(place, found)",
        "        if found.dtype:\n            adjoint.give(place, found)",
        ("tests/simulator/models/test_family_steps.py",),
    ),
    # Scenarios
    Mutant(
        "the version is no part of a store's key",
        'b"\\0".join((VERSION.encode(), _VOCABULARY,',
        'b"\\0".join((_VOCABULARY,',
        ("tests/scenarios/studies/test_store.py", "tests/scenarios/studies/test_sweep.py"),
    ),
    Mutant(
        "what a row is asked beside is no part of its key",
        'said["asked"] = self._asked',
        "pass",
        ("tests/scenarios/studies",),
    ),
    Mutant(
        "the least step that keeps dims divisible is the largest axis",
        "return math.lcm(*extents) if extents",
        "return max(extents) if extents",
        ("tests/scenarios/studies/test_find.py", "tests/scenarios/studies/test_study_answers.py"),
    ),
    Mutant(
        "figures of a chip that is gone stay with the next one",
        "return [name for name in restated(data) if name not in stay]",
        "return []",
        ("tests/scenarios/test_overrides.py",),
    ),
    # Long jobs
    Mutant(
        "a checkpoint that a failure has cut off is there all the same",
        "if life == self.lives:",
        "if True:",
        ("tests/simulator/faults/test_strikes.py",),
    ),
    Mutant(
        "a failure while a job restarts changes nothing",
        "while left > 0 and not self.is_struck:",
        "while left > 0:",
        ("tests/simulator/faults/test_strikes.py",),
    ),
)
