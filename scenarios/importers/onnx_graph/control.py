"""If, Loop and Scan: branches that are taken, and bodies as blocks or turn by turn, where constants and shapes say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from scenarios.importers.onnx_graph.blocks import MOST_TURNS, MOST_WRITTEN, Block, apart, attribute, label_of
from scenarios.importers.onnx_graph.folding import Folding, is_closed, sizes_of

_INT64 = 7


class Control:
    """The sub-graphs of a model. `blocks`: its loops, by their first output; `doubts`: what is not known of others;
    `asked`: loops whose turns may be said."""

    def __init__(self, folding: Folding, dims: Mapping[str, int]) -> None:
        self.folding, self.dims = folding, dims
        self.blocks: dict[str, Block] = {}
        self.doubts: list[str] = []
        self.asked: set[str] = set()
        self.written = 0
        folding.inside = {"If": self._branch, "Loop": self._loop, "Scan": self._scan}

    def _inner(self, graph: Any, prefix: str, names: Mapping[str, str]) -> tuple[Any, list[str], list[str]]:
        """A sub-graph whose names are its own, and what its inputs and its outputs are called; what it holds is taken."""
        made, changed = apart(graph, prefix, names)
        self.folding.hold(made.initializer)
        self.folding.graph.initializer.extend(made.initializer)
        return made, [each.name for each in made.input], [changed.get(each.name, each.name) for each in graph.output]

    def _same(self, inner: str, outer: str) -> Any:
        """A node that only gives something another name."""
        return self.folding.onnx.helper.make_node("Identity", [inner], [outer], name=outer)

    def _constant(self, name: str, value: Any) -> Any:
        onnx = self.folding.onnx
        return onnx.helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(value))

    def _branch(self, node: Any) -> list[Any] | None:
        """The branch that an If takes; None where nothing says which."""
        condition = self.folding.known.get(node.input[0]) if node.input else None
        if condition is None or np.size(condition) != 1:
            self.doubts.append(f"which branch {label_of(node)} (If) takes does not follow from constants and shapes")
            self._either(node)
            return None
        graph = attribute(node, "then_branch" if bool(np.asarray(condition).item()) else "else_branch", None)
        if graph is None or len(graph.output) != len(node.output):
            return None
        made, _, results = self._inner(graph, node.output[0], {})
        return [*made.node, *(self._same(inner, outer) for inner, outer in zip(results, node.output, strict=True))]

    def _either(self, node: Any) -> None:
        """Give what an If makes, whichever branch it takes, the types that its first branch makes."""
        graph, told = attribute(node, "then_branch", None), len(self.doubts)
        if graph is None:
            return
        made, _, results = self._inner(graph, f"{node.output[0]}/then", {})
        self.folding.run(made.node)
        del self.doubts[told:]
        for inner, outer in zip(results, node.output, strict=False):
            kind = self.folding.types.get(inner)
            if kind is not None and is_closed(kind) and not is_closed(self.folding.types.get(outer)):
                self.folding.typed(outer, kind)

    def _loop(self, node: Any) -> list[Any] | None:
        """A Loop as a block that repeats, or its turns written out (given back); None with a doubt where neither can be."""
        body, initial = attribute(node, "body", None), list(node.input[2:])
        if body is None or len(body.input) != len(initial) + 2 or len(body.output) != len(node.output) + 1:
            return None
        made, given, results = self._inner(body, node.output[0], {})
        self.folding.sized(given[0], _INT64, ())
        self.folding.take(given[1], np.array(True))
        pairs = list(zip(given[2:], initial, strict=True))
        nodes = self._body(made, pairs)
        count = self._turns(node, results[0])
        if count is None:
            for outer, made_so in zip(node.output, initial, strict=False):
                if not is_closed(self.folding.types.get(outer)) and made_so in self.folding.types:
                    self.folding.typed(outer, self.folding.types[made_so])
            return None
        if all(self._alike(one, other) for one, other in zip(given[2:], results[1:], strict=False)):
            last, stacked = results[1 : len(pairs) + 1], results[len(pairs) + 1 :]
            if self._stack(stacked, node.output[len(pairs) :], [0] * len(stacked), count):
                self._repeat(node, count, nodes, pairs, (last, stacked), given=given[:2])
                return None
        return self._written_out(node, body, initial, count)

    def _scan(self, node: Any) -> list[Any] | None:
        """A Scan as a block; its turns are the length of what it scans. Gives back nothing to stand in its place."""
        body, scanned = attribute(node, "body", None), attribute(node, "num_scan_inputs", 0)
        states = len(node.input) - scanned
        if body is None or not 0 < scanned <= len(node.input) or len(body.input) != len(node.input):
            return None
        made, given, results = self._inner(body, node.output[0], {})
        axes = attribute(node, "scan_input_axes", [0] * scanned)
        turns: set[int] = set()
        for inner, outer, axis in zip(given[states:], node.input[states:], axes, strict=False):
            kind = self.folding.types.get(outer)
            if kind is not None and is_closed(kind):
                sizes = sizes_of(kind)
                turns.add(sizes.pop(axis))
                self.folding.sized(inner, kind.tensor_type.elem_type, sizes)
        pairs = list(zip(given[:states], node.input[:states], strict=True))
        nodes = self._body(made, pairs)
        stable = all(self._alike(one, other) for one, other in zip(given[:states], results, strict=False))
        last, stacked = results[:states], results[states:]
        behind = attribute(node, "scan_output_axes", [0] * len(stacked))
        if len(turns) != 1 or not stable or not self._stack(stacked, node.output[states:], behind, max(turns)):
            self.doubts.append(f"what {label_of(node)} (Scan) hands from turn to turn has no size that is known")
            return None
        slices = list(zip(given[states:], node.input[states:], strict=True))
        self._repeat(node, turns.pop(), nodes, pairs, (last, stacked), slices=slices)
        return None

    def _body(self, graph: Any, pairs: Iterable[tuple[str, str]]) -> list[Any]:
        """The nodes of a body, whose first turn is given what is around it."""
        for inner, outer in pairs:
            if outer in self.folding.types:
                self.folding.typed(inner, self.folding.types[outer])
        return self.folding.run(graph.node)

    def _turns(self, node: Any, goes_on: str) -> int | None:
        """How often a Loop goes round: what is said, else its number of turns, where nothing ends it before."""
        self.asked.add(label_of(node))
        said = self.dims.get(label_of(node))
        if said is not None:
            return said
        most, begins = self.folding.known.get(node.input[0]), self.folding.known.get(node.input[1])
        whole = (begins is None and not node.input[1]) or (begins is not None and bool(np.all(begins)))
        ends = goes_on not in self.folding.known or not bool(np.all(self.folding.known[goes_on]))
        if most is None or not whole or ends or not 1 <= int(np.max(most)) <= MOST_TURNS:
            label = label_of(node)
            self.doubts.append(f"how often {label} (Loop) goes round is not known: say it with --dim {label}=N")
            return None
        return int(np.max(most))

    def _alike(self, one: str, other: str) -> bool:
        """Whether two tensors have one type, which is known."""
        first, second = self.folding.types.get(one), self.folding.types.get(other)
        if first is None or second is None or not (is_closed(first) and is_closed(second)):
            return False
        return bool(first.tensor_type.elem_type == second.tensor_type.elem_type and sizes_of(first) == sizes_of(second))

    def _stack(self, parts: list[str], wholes: Iterable[str], axes: Iterable[int], count: int) -> bool:
        """Give what turns leave behind its type; whether the type of each part is known."""
        if not all(is_closed(self.folding.types.get(part)) for part in parts):
            return False
        for part, whole, axis in zip(parts, wholes, axes, strict=False):
            sizes = sizes_of(self.folding.types[part])
            sizes.insert(axis if axis >= 0 else len(sizes) + 1 + axis, count)
            self.folding.sized(whole, self.folding.types[part].tensor_type.elem_type, sizes)
        return True

    def _repeat(
        self,
        node: Any,
        count: int,
        nodes: list[Any],
        pairs: list[tuple[str, str]],
        results: tuple[list[str], list[str]],
        **more: Any,
    ) -> None:
        last, stacked = results
        for inner, outer in zip(last, node.output, strict=False):
            self.folding.typed(outer, self.folding.types[inner])
        self.blocks[node.output[0]] = Block(
            count=count,
            nodes=nodes,
            initial=pairs,
            carried=list(zip((inner for inner, _ in pairs), last, strict=True)),
            results=list(zip(last, node.output, strict=False)),
            stacked=list(zip(stacked, node.output[len(last) :], strict=True)),
            **{"slices": (), "given": (), **more},
        )

    def _written_out(self, node: Any, body: Any, initial: list[str], count: int) -> list[Any] | None:
        """The turns of a Loop one behind the other, each with its own shapes."""
        self.written += count * len(body.node)
        if self.written > MOST_WRITTEN:
            self.doubts.append(f"{label_of(node)} (Loop) makes other sizes each turn, and {count:,} turns are too many")
            return None
        found: list[Any] = []
        held, parts = initial, list[list[str]]()
        for turn in range(count):
            prefix = f"{node.output[0]}/{turn}"
            names = dict(
                zip((each.name for each in body.input), (f"{prefix}/turn", f"{prefix}/on", *held), strict=True)
            )
            made, given, results = self._inner(body, prefix, names)
            found += [self._constant(given[0], np.array(turn)), self._constant(given[1], np.array(True)), *made.node]
            held, stacked = results[1 : len(held) + 1], results[len(held) + 1 :]
            parts.append(stacked)
        found += [self._same(inner, outer) for inner, outer in zip(held, node.output, strict=False)]
        for at, outer in enumerate(node.output[len(held) :]):
            found += self._put_together([each[at] for each in parts], outer)
        return found

    def _put_together(self, parts: list[str], whole: str) -> list[Any]:
        """Nodes that make of parts one tensor with one more dim."""
        make = self.folding.onnx.helper.make_node
        axes = self._constant(f"{whole}/axes", np.array([0]))
        lifted = [f"{whole}/part{at}" for at in range(len(parts))]
        return [
            axes,
            *(make("Unsqueeze", [part, f"{whole}/axes"], [name]) for part, name in zip(parts, lifted, strict=True)),
            make("Concat", lifted, [whole], axis=0, name=whole),
        ]
