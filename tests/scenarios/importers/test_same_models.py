"""One model by two ways: as PyTorch has it, imported, and as the builder makes it of its description.

FLOPs are those of torch's own counter on the meta device, where attention is written out as products of all pairs, of which
a causal one of ours has (s + 1) / 2s. Bytes are counted by hand, tensor by tensor. Matmuls, convolutions and attention take
the same to the digit, and all together what the builder's model takes within 3 %.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hw.input import parse_document
from scenarios import build_scenario, run, summarise
from scenarios.importers import Imported, from_torch
from simulator import lower

torch: Any = pytest.importorskip("torch", reason="PyTorch is not here: pip install '.[torch]'", exc_type=ImportError)

from tests.scenarios.importers.test_torch import counted, functional, matrix_flops, nn  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

B, S = 2, 512
T = B * S
CAUSAL = (S + 1) / (2 * S)
"""The share of pairs of tokens in which the key is not behind the query."""


def described(model: str, batch: int, mode: str = "forward", more: str = "") -> str:
    """A scenario of a model of the builder."""
    head = f"name: described\nsystem: {{chip: h100_sxm}}\nworkload:\n  model: {model}\n  mode: {mode}\n"
    return f"{head}  batch: {batch}\n  precision: bf16\n{more}"


def scenario(text: str) -> Any:
    return build_scenario(parse_document(text, "model.yaml"), Path("model.yaml"))


def word(text: str, name: str) -> float:
    return float(str(summarise(scenario(text))[name]))


def products(text: str) -> Counter[float]:
    """The FLOPs of each matmul, convolution and attention."""
    read = scenario(text)
    kernels = (planned.kernel for planned in lower(read.graph, read.system, read.options).kernels)
    return Counter(kernel.matrix_flops for kernel in kernels if kernel.matrix_flops)


def are_the_same(imported: Imported, text: str) -> None:
    assert not imported.unpriced
    assert products(imported.text) == products(text)
    assert word(imported.text, "t_math") == pytest.approx(word(text, "t_math"), rel=1e-12)
    assert word(imported.text, "time") == pytest.approx(word(text, "time"), rel=0.03)


def on_meta(make: Any, *arguments: Any) -> Any:
    with torch.device("meta"):
        return make(*arguments).to(torch.bfloat16)


TOKENS = torch.zeros((B, S), dtype=torch.int64, device="meta")

D, HEADS, KV, WIDE, VOCAB = 1024, 16, 4, 2816, 8000
HEAD = D // HEADS
LLAMA = f"""{{family: decoder, layers: 1, d_model: {D}, attention: {{heads: {HEADS}, kv_heads: {KV}}}, ffn: {{d_ff: {WIDE}}},
    norm: {{kind: rms}}, position: {{kind: rope}}, embedding: {{vocab: {VOCAB}, tied: false}}}}"""


def turned(x: Any, turns: Any) -> Any:
    """RoPE as Llama's own source has it, by complex numbers."""
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)


class Llama(nn.Module):  # type: ignore[misc]
    """One block of Llama, between an embedding and a head."""

    def __init__(self) -> None:
        super().__init__()
        sizes = {"q": (D, D), "k": (D, KV * HEAD), "v": (D, KV * HEAD), "o": (D, D), "gate": (D, WIDE), "up": (D, WIDE)}
        self.table = nn.Embedding(VOCAB, D)
        self.linear = nn.ModuleDict({name: nn.Linear(*size, bias=False) for name, size in sizes.items()})
        self.down, self.head = nn.Linear(WIDE, D, bias=False), nn.Linear(D, VOCAB, bias=False)
        self.before, self.between, self.behind = nn.RMSNorm(D), nn.RMSNorm(D), nn.RMSNorm(D)

    def forward(self, tokens: Any, turns: Any) -> Any:
        x = self.table(tokens)
        y = self.before(x)
        q, k, v = (self.linear[name](y).view(B, S, -1, HEAD) for name in "qkv")
        q, k = turned(q, turns), turned(k, turns)
        q, k, v = (each.transpose(1, 2) for each in (q, k, v))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.linear["o"](mixed.transpose(1, 2).reshape(B, S, D))
        y = self.between(x)
        x = x + self.down(functional.silu(self.linear["gate"](y)) * self.linear["up"](y))
        return self.head(self.behind(x))


def chains(made: Imported, kinds: set[str]) -> list[list[str]]:
    """Ops of some kinds that each read the one before, as the builder has them in one kernel."""
    found: list[list[str]] = []
    behind = {op.output.name: op.inputs[0].name for op in made.graph().flat() if op.kind == "view"}
    for op in made.graph().flat():
        if op.kind not in kinds:
            continue
        read = {each.name for each in op.inputs}
        for name in list(read):
            while name in behind:
                name = behind[name]
                read.add(name)
        if found and found[-1][-1] in read:
            found[-1].append(op.output.name)
        else:
            found.append([op.output.name])
    return [chain for chain in found if len(chain) > 1]


def test_a_block_of_llama() -> None:
    model = on_meta(Llama).eval()
    turns = torch.zeros((S, 1, HEAD // 2), dtype=torch.complex64, device="meta")
    made = from_torch(model, (TOKENS, turns))
    pairs = 4 * B * S * S * D
    assert matrix_flops(made) == counted(lambda: model(TOKENS, turns)) - pairs * (1 - CAUSAL)
    # RoPE and SwiGLU are one kernel each, as the builder has them
    fused = replace(made, rules={"fuse": chains(made, {"cast", "mul", "silu"})})
    are_the_same(fused, described(LLAMA, B, more=f"  seq: {S}\n"))

    narrow = KV * HEAD
    square = 2 * (2 * T * D + D * D)
    keys = 2 * (T * D + D * narrow + T * narrow)
    feed = 3 * (T * D + D * WIDE + T * WIDE) + 3 * T * WIDE
    around = 2 * T * D + 3 * (2 * T * D + D) + 2 * 3 * T * D
    rope, attention = 2 * T * (D + narrow), 2 * T * (D + narrow)
    head = T * D + D * VOCAB + T * VOCAB
    by_hand = 2 * (square + keys + feed + around + rope + attention + head)
    assert word(fused.text, "hbm_bytes") == pytest.approx(by_hand, rel=0.02)


W, LAYERS, WORDS = 768, 12, 50257
"""GPT-2 124M, as the catalogue has it."""


class Gpt2(nn.Module):  # type: ignore[misc]
    """GPT-2 small and its loss."""

    def __init__(self) -> None:
        super().__init__()
        sizes = {**dict.fromkeys("qkvo", (W, W)), "up": (W, 4 * W), "down": (4 * W, W)}
        self.table, self.places = nn.Embedding(WORDS, W), nn.Embedding(1024, W)
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    **{name: nn.Linear(*size) for name, size in sizes.items()},
                    "n1": nn.LayerNorm(W),
                    "n2": nn.LayerNorm(W),
                }
            )
            for _ in range(LAYERS)
        )
        self.norm, self.head = nn.LayerNorm(W), nn.Linear(W, WORDS, bias=False)
        self.head.weight = self.table.weight

    def forward(self, tokens: Any, labels: Any) -> Any:
        x = self.table(tokens) + self.places(torch.arange(S, device=tokens.device))
        for layer in self.layers:
            y = layer["n1"](x)
            q, k, v = (layer[name](y).view(B, S, 12, -1).transpose(1, 2) for name in "qkv")
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + layer["o"](mixed.transpose(1, 2).reshape(B, S, W))
            x = x + layer["down"](functional.gelu(layer["up"](layer["n2"](x)), approximate="tanh"))
        return functional.cross_entropy(self.head(self.norm(x)).flatten(0, 1), labels.flatten())


LOSS = {"cast", "softmax", "softmax_backward", "cross_entropy", "cross_entropy_backward", "adamw"}
"""The builder has the loss in 32 bits and in one kernel, and an update behind it; torch a softmax, and what labels pick."""


def seconds_beside_the_loss(text: str, folder: Path) -> float:
    path = folder / "step.yaml"
    path.write_text(text, encoding="utf-8")
    rows = run(str(path)).timeline
    beside = rows[~rows["kind"].isin(LOSS) & ~rows["op"].str.startswith("nll_loss")]
    return float((beside["end"] - beside["begin"]).sum())


def linear_bytes(a: int, b: int) -> int:
    """x[T,a] by w[a,b] and a bias; the gradients of x, w and the bias."""
    forward = T * a + a * b + b + T * b
    return forward + (T * b + a * b + T * a) + (T * a + T * b + a * b) + (T * b + b)


def test_gpt2_small_forward_and_backward(tmp_path: Path) -> None:
    model = on_meta(Gpt2)
    made = from_torch(model, (TOKENS, TOKENS), train=True)
    pairs = LAYERS * 4 * B * S * S * W
    # forward once; backward of the counter's products twice, of one kernel that makes them again 2.5 times
    counter = counted(lambda: model(TOKENS, TOKENS).backward())
    assert matrix_flops(made) == pytest.approx(counter - 3 * pairs + 3.5 * pairs * CAUSAL, rel=1e-15)

    text = described(
        "{base: gpt2, attention: {fused: false}}", B, "train", f"  seq: {S}\n  parallel: {{microbatch: {B}}}\n"
    )
    assert not made.unpriced
    assert products(made.text) == products(text)
    assert word(made.text, "t_math") == pytest.approx(word(text, "t_math"), rel=1e-12)
    ours, theirs = (seconds_beside_the_loss(each, tmp_path) for each in (made.text, text))
    assert ours == pytest.approx(theirs, rel=0.03)

    norm = (2 * T * W + 2 * W) + (3 * T * W + W) + (2 * T * W + W)
    linears = 4 * linear_bytes(W, W) + linear_bytes(W, 4 * W) + linear_bytes(4 * W, W)
    attention = 4 * T * W + 8 * T * W
    gelu = 2 * 4 * T * W + 3 * 4 * T * W
    sums = 2 * 3 * T * W + 2 * 3 * T * W + 2 * 3 * T * W  # forward, backward past a block, and of q, k and v
    logits = 3 * (T * W + W * WORDS + T * WORDS)
    loss = 2 * T * WORDS + T * WORDS + 3 * T * WORDS  # log-softmax, the loss's gradient, the softmax's
    tables = 3 * T * W + (T * W + S * W) + (T * W + WORDS * W) + (S * W + 1024 * W) + 3 * WORDS * W
    by_hand = 2 * (LAYERS * (2 * norm + linears + attention + gelu + sums) + norm + logits + loss + tables)
    assert word(made.text, "hbm_bytes") == pytest.approx(by_hand, rel=0.02)


transformers: Any = pytest.importorskip("transformers", reason="transformers is not here")


def module_bytes(model: Any, image: Any) -> float:
    """What the layers of a model of vision read and write, each once, by the shapes that torch gives them."""
    moved: list[float] = []

    def count(module: Any, given: Any, made: Any) -> None:
        weights = sum(each.numel() for each in (*module.parameters(), *module.buffers()) if each.ndim)
        moved.append(given[0].numel() + made.numel() + weights)

    for module in model.modules():
        if not list(module.children()) and not isinstance(module, nn.Identity | nn.Flatten):
            module.register_forward_hook(count)
        if type(module).__name__ == "ResNetBottleNeckLayer":
            module.register_forward_hook(lambda _module, _given, made: moved.append(3 * made.numel()))
    model(image)
    return 2 * sum(moved)


def test_resnet50() -> None:
    """As Transformers has it, each layer a kernel of its own."""
    model = on_meta(transformers.ResNetForImageClassification, transformers.ResNetConfig(num_labels=1000)).eval()
    image = torch.zeros((8, 3, 224, 224), dtype=torch.bfloat16, device="meta")
    made = from_torch(model, (image,))
    assert matrix_flops(made) == counted(lambda: model(image))
    are_the_same(replace(made, rules={}), described("resnet50", 8, more="  fuse: none\n"))
    assert word(made.text, "hbm_bytes") == pytest.approx(module_bytes(model, image), rel=0.02)


def test_bert() -> None:
    """As Transformers has it, with both of its heads; a mask that leaves nothing out is none."""
    config = transformers.BertConfig(attn_implementation="sdpa")
    model = on_meta(transformers.BertForPreTraining, config).eval()
    made = from_torch(model, (TOKENS,))
    assert matrix_flops(made) == counted(lambda: model(TOKENS))
    are_the_same(made, described("bert_base", B, more=f"  seq: {S}\n"))

    linear = {
        pair: T * pair[0] + pair[0] * pair[1] + pair[1] + T * pair[1] for pair in ((W, W), (W, 4 * W), (4 * W, W))
    }
    norm = 2 * T * W + 2 * W
    block = 4 * linear[W, W] + linear[W, 4 * W] + linear[4 * W, W] + 4 * T * W + 2 * (3 * T * W + norm) + 2 * 4 * T * W
    heads = linear[W, W] + 2 * T * W + norm + T * W + W * 30522 + 30522 + T * 30522 + W * W
    tables = 2 * T * W + (S * W + 2 * T * W) + 2 * T * W + 3 * T * W + norm
    assert word(made.text, "hbm_bytes") == pytest.approx(2 * (12 * block + heads + tables), rel=0.02)
