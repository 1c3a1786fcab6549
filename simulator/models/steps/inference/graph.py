"""Inference of a transformer as an op graph: passes through the model, one behind the other, stage by stage.

Model: weights are inputs, read by every pass. Tensor-, context-, expert- and data-parallel chips share a pass as they share
one of training; without gradients nothing follows it. Along a pipeline the batch is cut into parts that follow each
other; a stage sends the stream to the next, hop by hop in queues of their own, and the last one the next tokens back to
the first. Heads of keys that are fewer than the chips of the tensor axis are copied, so that each has one, where their
number divides; else they stand whole on all. Chips that share a prompt may exchange heads for tokens around attention, and
those that share a whole one may pass its keys and values round.
Tokens go through experts row by row. Experts that no token goes to are not read: of E experts, k a token, T tokens go to
E (1 - (1 - k/E)^T), as expected, and have T k rows between them.
Law: matmuls are 2 FLOPs a parameter and token, attention's and the vocabulary's apart.
Source: Pope et al. 2023; Kwon et al. 2023 (vLLM) for copied heads; Pope et al. 2023, section 3.3, for a sharded cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal

from simulator.graph.items import Items, Op, Repeat, Tensor
from simulator.graph.op_graph import OpGraph
from simulator.graph.owners import Owner
from simulator.models.blocks import blocks
from simulator.models.description import AttentionKind, Transformer
from simulator.models.steps.carried_out.alike import marked
from simulator.models.steps.inference.cache import CacheMaker
from simulator.models.steps.inference.passes import LAST, Passed, PassMaker, Stage
from simulator.models.steps.inference.request import Inference, refuse
from simulator.models.steps.inference.state import GROUP, VALUES
from simulator.models.steps.layout import AXES, Parallel
from simulator.models.steps.mixture.rows import row_sizes, share_met
from simulator.models.steps.shapes import Shapes
from simulator.models.steps.sizes import beyond_chunk, beyond_table, filled_share, sizes_of
from simulator.models.steps.storage.buffer import HERE
from simulator.ops.registry import find_kind
from simulator.passes.rename import own_names, renamed
from simulator.passes.sharding.collective_matmul import collective_matmuls

_PIPELINE = AXES["pp"]


def inference_graph(model: Transformer, parallel: Parallel, inference: Inference) -> OpGraph:
    """The op graph of a run. Raises SpecError for what cannot be shared out, or is not a decoder."""
    graph = _Run(model, parallel, inference).graph()
    return collective_matmuls(graph, parallel.axes("tp"), parallel.collective_matmul)


class _Run:
    """One run being built."""

    def __init__(self, model: Transformer, parallel: Parallel, inference: Inference) -> None:
        if model.family != "decoder" or model.embedding is None:
            raise refuse("mode", f"{model.name} makes no tokens; prefill and decode are for decoders")
        if parallel.interleave != 1:
            raise refuse("parallel.interleave", "inference has no interleaved stages")
        if parallel.whole_experts and parallel.expert_chips > parallel.ep:
            raise refuse(
                "parallel.whole_experts", "inference cuts experts among chips that share a tensor or a sequence"
            )
        if "linear" in model.attention.kinds and parallel.cp > 1:
            raise refuse("parallel.cp", "linear attention keeps one state a sequence, of which chips have no parts")
        for each in inference.passes:
            tokens = each.context + each.tokens
            if told := beyond_chunk(model, tokens) or beyond_table(model, tokens):
                raise refuse("context" if each.context else "seq", told)
        self.model, self.parallel, self.inference = model, parallel, inference
        self.in_flight = self._parts()
        alone = inference.passes[0].tokens == 1
        # a single token cannot be shared out; chips of the context axis share its cache
        spread = replace(parallel, sequence=False, cp=1) if alone else parallel
        at_once = inference.batch // (parallel.replicas * self.in_flight)
        spread = replace(spread, microbatch=at_once, context=self._context())
        self.sizes = sizes_of(model, spread, inference.batch // self.in_flight, inference.passes[0].tokens)
        self.sizes[LAST] = 1
        self.shapes = self._shapes(spread)

    def _context(self) -> Literal["gather", "all_to_all", "ring"]:
        """How chips that share a prompt attend to all of it. A single token attends over the part of the cache that each
        chip has, whatever is said."""
        asked, passes = self.parallel.context, self.inference.passes
        if self.parallel.cp == 1 or passes[0].tokens == 1:
            return "gather"
        chunked = len(passes) > 1 or passes[0].context > 0
        if asked == "ring" and chunked:
            raise refuse("parallel.context", "a ring has whole prompts; chunks gather the keys that are in the cache")
        if asked == "all_to_all" and chunked and self.model.attention.latent is not None:
            message = "rows of a latent cache have no heads to exchange; chunks gather them, as context: gather does"
            raise refuse("parallel.context", message)
        return asked

    def _parts(self) -> int:
        """Into how many parts the batch of a replica is cut."""
        inference, parallel = self.inference, self.parallel
        if inference.batch % parallel.replicas:
            raise refuse("batch", f"batch {inference.batch} is not shared evenly by {parallel.replicas} replicas")
        each = inference.batch // parallel.replicas
        parts = inference.in_flight
        if parts is None and parallel.microbatch > 1:
            parts = -(-each // parallel.microbatch)
        if parts is None:
            parts = next(count for count in range(min(parallel.pp, each), 0, -1) if each % count == 0)
        if each % parts:
            raise refuse("in_flight", f"{each} sequences of a replica are not cut into {parts} parts evenly")
        return parts

    def _shapes(self, spread: Parallel) -> Shapes:
        """Dims of tensors. MLA caches rows that all heads share."""
        attention = self.model.attention
        if attention.latent is not None:
            self.sizes["latent"] = attention.latent.kv_lora_rank + attention.latent.qk_rope_head_dim
        if "linear" in attention.kinds:
            self.sizes |= {VALUES: attention.v_dim, GROUP: attention.heads // self.sizes["kv"]}
        shapes, moe = Shapes.of(self.model, spread, self.inference.passes[0].tokens), self.model.moe
        if moe is None:
            return shapes
        tokens = self.sizes["batch"] * self.sizes["seq"]
        self.sizes = {name: size for name, size in self.sizes.items() if name not in ("slots", "copies")}
        self.sizes |= row_sizes(moe, spread, self.model.d_model, tokens)
        return replace(shapes, met=share_met(moe, tokens), filled=filled_share(self.model, self.sizes))

    # --- passes

    def _stages(self) -> list[Stage]:
        counts = self.parallel.cut(self.model.layers)
        if self.parallel.pp == 1:
            return [Stage(0, self.model.layers)]
        found: list[Stage] = []
        for place, count in enumerate(counts):
            first = found[-1].end if found else 0
            found.append(Stage(first, first + count, place, place == 0, place + 1 == len(counts)))
        return found

    def _makers(self) -> Iterator[PassMaker]:
        """What makes each pass, in order."""
        passes = self.inference.passes
        last = passes[-1].context + passes[-1].tokens
        shares = self.parallel.axes("cp")
        caches = CacheMaker(self.model.attention, shares, self.parallel.cp, last, self.sizes)
        # linear attention keeps a state, whatever the context is
        found = (block.attention for block in blocks(self.model))
        kinds: list[AttentionKind] = [kind for kind in dict.fromkeys(found) if kind != "linear"]
        before: PassMaker | None = None
        for step in passes:
            cached = {kind: caches.next(kind, step, before.caches[kind] if before else None) for kind in kinds}
            earlier = before.step.suffix if before else None
            before = PassMaker(self.shapes, self.inference.precision, step, earlier, cached, self.inference.activations)
            yield before

    # --- all of it

    def graph(self) -> OpGraph:
        """Passes, parts of the batch and stages put together."""
        items: list[Op | Repeat] = []
        fuse: list[list[str]] = []
        roles: dict[str, Owner] = {}
        weights = _Weights()
        stages = self._stages()
        for maker in self._makers():
            passed = [maker.through(stage) for stage in stages]
            for part in range(self.in_flight):
                mark = f"m{part}" if self.in_flight > 1 else ""
                items += self._part(maker, list(zip(stages, passed, strict=True)), mark, weights)
                fuse += [[name + mark for name in group] for each in passed for group in each.fuse]
                roles |= {name + mark: owner for each in passed for name, owner in each.roles.items()}
        roles |= dict.fromkeys(weights.names, "weights")
        return OpGraph(self.sizes, tuple(items), fuse=fuse or "none", roles=roles)

    def _part(
        self, maker: PassMaker, passed: Iterable[tuple[Stage, Passed]], mark: str, weights: _Weights
    ) -> Iterator[Op | Repeat]:
        """A pass of a part of the batch through all stages."""
        stream: Tensor | None = None
        ids = self._given(maker)
        for stage, each in passed:
            names = {name: name + mark for name in own_names(each.items, each.weights)}
            items = renamed(marked(each.items, self.parallel, self.shapes.key_copies), names)
            if stage.opens and ids is not None:
                taken = Tensor(f"ids{stage.mark}{maker.step.suffix}{mark}", ids.dtype, ids.dims, memory=ids.memory)
                made = replace(ids, name=f"{ids.name}{mark}")
                yield from self._taken(made, taken, self.parallel.pp - 1, stage)
            if each.takes is not None and stream is not None:
                taken = replace(each.takes, name=each.takes.name + mark)
                yield from self._taken(stream, taken, (stage.place or 0) - 1, stage)
            items = weights.shared(items, each.weights, maker.step.suffix)
            yield from items if stage.place is None else (_placed(item, stage.place) for item in items)
            stream = replace(each.makes, name=each.makes.name + mark)

    def _given(self, maker: PassMaker) -> Tensor | None:
        """The tokens that a pass before has made, where one has."""
        if self.inference.mode == "prefill" or maker.earlier is None:
            return None
        last = f"_{self.parallel.pp - 1}" if self.parallel.pp > 1 else ""
        memory = self.inference.activations
        return Tensor(f"next{last}{maker.earlier}", "int32", self.shapes.tokens(), memory=memory)

    def _taken(self, made: Tensor, taken: Tensor, source: int, stage: Stage) -> Iterator[Op]:
        """What an earlier stage made, under the name by which a stage takes it in: sent over where that is elsewhere."""
        if stage.place is None or source == stage.place:
            yield Op(taken, "view", (made,))
            return
        hop = f"hop{source}"
        told = (("over", _PIPELINE), ("from", str(source)), ("to", str(stage.place)), ("queue", hop))
        yield Op(replace(made, name=f"{made.name}sent"), "send", (made,), told)
        yield Op(taken, "recv", (), told)


class _Weights:
    """Weights that several passes read: typed where they are read first, meant by their round from then on."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def shared(self, items: Items, weights: Iterable[str], suffix: str) -> Items:
        """Items whose weights are those of the passes before; `suffix`: what the names of the pass end in."""
        names = {name: name.removesuffix(suffix) for name in weights}
        before = frozenset(self.names)
        self.names.update(names.values())

        def of(tensor: Tensor, inside: bool) -> Tensor:
            name = names.get(tensor.name)
            if name is None:
                return tensor
            return replace(tensor, name=name, rounds=HERE if inside and name in before else ())

        def walk(these: Items, inside: bool) -> Iterator[Op | Repeat]:
            for item in these:
                if isinstance(item, Repeat):
                    yield replace(item, items=tuple(walk(item.items, inside=True)))
                else:
                    yield replace(item, inputs=tuple(of(tensor, inside) for tensor in item.inputs))

        return tuple(walk(items, inside=False))


def _placed(item: Op | Repeat, place: int) -> Op | Repeat:
    """An item on the chips at one place of the pipeline."""
    if isinstance(item, Repeat):
        return replace(item, items=tuple(_placed(each, place) for each in item.items))
    if find_kind(item).view:
        return item  # no kernel: it lies where what it shows is
    return replace(item, options=(*item.options, ("on", f"{_PIPELINE}@{place}")))
