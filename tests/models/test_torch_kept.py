"""What a block keeps for its backward pass equals what PyTorch keeps of the same block, to the byte.

Model: a block of Llama as its users write it (heads apart, then rotated), on PyTorch's fake tensors, where shapes and
strides are worked out and nothing is computed. Without a compiler: what autograd saves, each storage once. With one: what
the partition of the joint graph has the forward pass hand over, views taken for what they show. A block is the difference
of two models that have one more and one fewer. Left out on PyTorch's side is what we do not hold: of each token a norm's
1/rms (two of 4 B) and attention's log-sum of each head (4 B), and attention's state of random numbers.
Source: torch.autograd.graph.saved_tensors_hooks; torch/_functorch/partitioners.py (PyTorch 2.13).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest

from analysis import memory_frame
from hw import System, load_chip
from simulator import Parallel, Precision, RunOptions, Training, simulate, train_graph
from simulator.models import Attention, Ffn, Head, Norm, Position, Transformer

torch: Any = pytest.importorskip(
    "torch", reason="PyTorch is not here: pip install '.[test,peers]'", exc_type=ImportError
)

FakeTensorMode: Any = pytest.importorskip("torch._subclasses.fake_tensor").FakeTensorMode
aot: Any = pytest.importorskip("torch._functorch.aot_autograd")
partitioners: Any = pytest.importorskip("torch._functorch.partitioners")

functional: Any = torch.nn.functional

pytestmark = pytest.mark.filterwarnings("ignore")

BATCH, SEQ, D, WIDE, HEADS, KV, HEAD = 2, 48, 64, 176, 4, 2, 16
TOKENS = BATCH * SEQ
STATISTICS = TOKENS * 4 * (2 + HEADS)
RANDOM = 24
"""What attention keeps of the state of random numbers: a seed and an offset."""

SIZES = ((D,), (D,), (D, D), (D, KV * HEAD), (D, KV * HEAD), (D, D), (D, WIDE), (D, WIDE), (WIDE, D))


def described(layers: int) -> Transformer:
    """Blocks alone."""
    return Transformer(
        name="blocks",
        family="decoder",
        layers=layers,
        d_model=D,
        attention=Attention(heads=HEADS, kv_heads=KV, head_dim=HEAD),
        ffn=Ffn(d_ff=WIDE),
        norm=Norm(),
        position=Position(),
        head=Head(kind="none"),
    )


def ours(layers: int, eager: bool | Literal["loss"]) -> float:
    """Bytes of activations when the loss is begun with."""
    training = Training(batch=BATCH, seq=SEQ, precision=Precision(), eager=eager)
    graph = train_graph(described(layers), Parallel(microbatch=BATCH), training)
    frame = memory_frame(simulate(graph, System(load_chip("h100_sxm")), RunOptions(overlap="full")))
    at = float(frame.loc[frame["tensor"] == "loss", "begin"].iloc[0])
    alive = frame[(frame["begin"] <= at) & (frame["end"] > at) & (frame["owner"] == "activations")]
    return float(alive["bytes"].sum())


def rotated(x: Any, turns: tuple[Any, Any]) -> Any:
    cos, sin = turns
    one, other = x.chunk(2, -1)
    return torch.cat((one * cos - other * sin, other * cos + one * sin), -1)


class FusedNorm(torch.autograd.Function):  # type: ignore[misc]
    """What a GPU's one kernel keeps: what it is given, and 1/rms of each row (derivatives.yaml, `_fused_rms_norm`)."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any) -> Any:
        ctx.save_for_backward(x, weight, torch.empty((*x.shape[:-1], 1)))
        return torch.empty_like(x)


Norming = Callable[[Any, Any], Any]


def plain_norm(x: Any, weight: Any) -> Any:
    """For a compiler, which takes it apart."""
    return functional.rms_norm(x, (D,), weight)


def block(x: Any, turns: tuple[Any, Any], weights: Any, normed: Norming) -> Any:
    """Llama's; attention by its own op, which no device has to offer."""
    before, between, q, k, v, o, gate, up, down = weights
    y = normed(x, before)
    q, k, v = ((y @ each).view(BATCH, SEQ, -1, HEAD).transpose(1, 2) for each in (q, k, v))
    q, k = rotated(q, turns), rotated(k, turns)
    mixed = torch.ops.aten._scaled_dot_product_flash_attention(q, k, v, 0.0, True)[0]
    x = x + mixed.transpose(1, 2).reshape(BATCH, SEQ, D) @ o
    y = normed(x, between)
    return x + (functional.silu(y @ gate) * (y @ up)) @ down


def given(layers: int, normed: Norming) -> tuple[list[Any], Callable[..., Any]]:
    """What a model of some blocks takes, and the model."""
    like = {"dtype": torch.bfloat16}
    weights = [torch.empty(size, requires_grad=True, **like) for _ in range(layers) for size in SIZES]
    x, *turns = (torch.empty(size, **like) for size in ((BATCH, SEQ, D), (SEQ, HEAD // 2), (SEQ, HEAD // 2)))

    def model(x: Any, cos: Any, sin: Any, *weights: Any) -> Any:
        for at in range(layers):
            x = block(x, (cos, sin), weights[len(SIZES) * at : len(SIZES) * (at + 1)], normed)
        return x

    return [x, *turns, *weights], model


def saved(layers: int) -> float:
    """Bytes that autograd saves of what the model makes."""
    kept: dict[int, int] = {}
    with FakeTensorMode():
        inputs, model = given(layers, FusedNorm.apply)
        known = {each.untyped_storage()._cdata for each in inputs}

        def pack(tensor: Any) -> Any:
            storage = tensor.untyped_storage()
            if storage._cdata not in known:
                kept[storage._cdata] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            made = model(*inputs)
        assert made.requires_grad
        return float(sum(kept.values()))


VIEWS = ("view", "permute", "alias", "transpose", "t", "detach", "unsqueeze", "squeeze", "expand", "_unsafe_view")


def shown(node: Any) -> Any:
    """What a view shows."""
    while node.op == "call_function" and getattr(node.target, "__name__", "").split(".")[0] in VIEWS:
        node = node.args[0]
    return node


def handed_over(layers: int) -> float:
    """Bytes that a compiler's forward pass hands over to its backward pass, what they are given apart."""
    found: list[Any] = []

    def forward(graph: Any, _inputs: Any) -> Any:
        (made,) = next(node for node in graph.graph.nodes if node.op == "output").args
        found.extend(each for each in made[1:] if hasattr(each, "op"))
        return graph

    with FakeTensorMode():
        inputs, model = given(layers, plain_norm)
        partition = partitioners.min_cut_rematerialization_partition
        table = pytest.importorskip("torch._inductor.decomposition").select_decomp_table()
        cut = aot.aot_function(model, forward, lambda graph, _: graph, partition_fn=partition, decompositions=table)
        assert cut(*inputs).requires_grad
    bases = {shown(node) for node in found}
    values = [node.meta["val"] for node in bases if node.op != "placeholder"]
    return float(sum(each.numel() * each.element_size() for each in values if hasattr(each, "numel")))


@pytest.mark.parametrize(("eager", "theirs"), [(True, saved), ("loss", handed_over)], ids=["eager", "compiled"])
def test_a_block_keeps_what_pytorch_keeps(eager: bool | Literal["loss"], theirs: Callable[[int], float]) -> None:
    found, want = ours(3, eager) - ours(2, eager), theirs(3) - theirs(2)
    assert found == want - STATISTICS - RANDOM
