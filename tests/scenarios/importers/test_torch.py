"""Modules of PyTorch as scenarios: FLOPs equal to torch's own counter, bytes to a count by hand.

The counter has no formula for the attention that CPUs run: its 4 b h s^2 d FLOP, and 2.5 times that backward, are added.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hw import SpecError
from hw.input import parse_document
from scenarios import build_scenario, summarise
from scenarios.importers import Imported, ImportOptions, from_torch, import_files
from simulator import lower
from tests.support.mutations import refusals

torch: Any = pytest.importorskip("torch", reason="PyTorch is not here: pip install '.[torch]'", exc_type=ImportError)
pytest.importorskip("torch.export")
FlopCounterMode: Any = pytest.importorskip("torch.utils.flop_counter").FlopCounterMode
nn: Any = torch.nn
functional: Any = torch.nn.functional

BATCH, SEQ, WIDTH, HEADS, VOCAB, LAYERS = 2, 64, 128, 4, 500, 2
ATTENTION = LAYERS * 4 * BATCH * SEQ**2 * WIDTH
GPT2 = {"width": 768, "heads": 12, "layers": 12, "vocab": 50257}
"""GPT-2 124M, as the catalogue has it."""

pytestmark = pytest.mark.filterwarnings("ignore")


def block(x: Any, layer: Any) -> Any:
    """A decoder block of GPT-2, without its mask."""
    b, t, d = x.shape
    parts = layer["qkv"](layer["norm1"](x)).chunk(3, -1)
    q, k, v = (part.view(b, t, HEADS, d // HEADS).transpose(1, 2) for part in parts)
    mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, d)
    x = x + layer["out"](mixed)
    return x + layer["down"](functional.gelu(layer["up"](layer["norm2"](x))))


class Gpt(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(VOCAB, WIDTH)
        sizes = {"qkv": (WIDTH, 3 * WIDTH), "out": (WIDTH, WIDTH), "up": (WIDTH, 4 * WIDTH), "down": (4 * WIDTH, WIDTH)}
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    **{name: nn.Linear(*size) for name, size in sizes.items()},
                    "norm1": nn.LayerNorm(WIDTH),
                    "norm2": nn.LayerNorm(WIDTH),
                }
            )
            for _ in range(LAYERS)
        )
        self.head = nn.Linear(WIDTH, VOCAB, bias=False)

    def forward(self, tokens: Any) -> Any:
        x = self.table(tokens)
        for layer in self.layers:
            x = block(x, layer)
        return self.head(x)


class Loss(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.model = Gpt()

    def forward(self, tokens: Any, labels: Any) -> Any:
        return (functional.cross_entropy(self.model(tokens).flatten(0, 1), labels.flatten()),)


class Vision(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 7, 2, 3, bias=False)
        self.norm = nn.BatchNorm2d(32)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.wide = nn.Conv2d(32, 64, 3, 1, 1, groups=2)
        self.up = nn.ConvTranspose2d(64, 16, 2, 2)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Any) -> Any:
        x = self.pool(functional.relu(self.norm(self.stem(x))))
        x = self.up(functional.relu(self.wide(x)))
        return self.head(functional.adaptive_avg_pool2d(x, 1).flatten(1))


TOKENS = torch.zeros((BATCH, SEQ), dtype=torch.int64)


def counted(run: Any) -> float:
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


def built(made: Imported) -> Any:
    return build_scenario(parse_document(made.text, "made.yaml"), Path("made.yaml"))


def matrix_flops(made: Imported) -> float:
    scenario = built(made)
    plan = lower(scenario.graph, scenario.system, scenario.options)
    works = (work for planned in plan.kernels for work in planned.kernel.works)
    return sum(work.flops for work in works if work.unit == "matrix_unit")


def test_a_decoder_forward_has_the_flops_of_torch_s_counter() -> None:
    model = Gpt().eval()
    made = from_torch(model, (TOKENS,))
    assert not made.unpriced
    assert matrix_flops(made) == counted(lambda: model(TOKENS)) + ATTENTION


def test_a_decoder_forward_and_backward_has_the_flops_of_torch_s_counter() -> None:
    model = Loss()
    made = from_torch(model, (TOKENS, TOKENS), train=True)
    assert not made.unpriced
    assert matrix_flops(made) == counted(lambda: model(TOKENS, TOKENS)[0].backward()) + 3.5 * ATTENTION
    assert float(str(summarise(built(made))["time"])) > 0


def test_a_loss_need_not_stand_in_a_tuple() -> None:
    class Plain(Loss):
        def forward(self, tokens: Any, labels: Any) -> Any:
            return super().forward(tokens, labels)[0]

    made = [from_torch(each, (TOKENS, TOKENS), train=True) for each in (Loss(), Plain())]
    assert made[0].ops == made[1].ops


class Gpt2(nn.Module):  # type: ignore[misc]
    """GPT-2 with its causal mask, its learned positions and the tanh form of GELU."""

    def __init__(self) -> None:
        super().__init__()
        d = GPT2["width"]
        sizes = {"qkv": (d, 3 * d), "out": (d, d), "up": (d, 4 * d), "down": (4 * d, d)}
        self.table, self.places = nn.Embedding(GPT2["vocab"], d), nn.Embedding(1024, d)
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    **{name: nn.Linear(*size) for name, size in sizes.items()},
                    "n1": nn.LayerNorm(d),
                    "n2": nn.LayerNorm(d),
                }
            )
            for _ in range(GPT2["layers"])
        )
        self.norm = nn.LayerNorm(d)
        self.head = nn.Linear(d, GPT2["vocab"], bias=False)

    def forward(self, tokens: Any) -> Any:
        x = self.table(tokens) + self.places(torch.arange(tokens.shape[1], device=tokens.device))
        b, t, d = x.shape
        for layer in self.layers:
            parts = layer["qkv"](layer["n1"](x)).chunk(3, -1)
            q, k, v = (part.view(b, t, GPT2["heads"], -1).transpose(1, 2) for part in parts)
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + layer["out"](mixed.transpose(1, 2).reshape(b, t, d))
            x = x + layer["down"](functional.gelu(layer["up"](layer["n2"](x)), approximate="tanh"))
        return self.head(self.norm(x))


def test_a_module_takes_what_the_builder_s_model_takes() -> None:
    """Matmuls and attention to the digit; what is around them, which the builder fuses otherwise, within 3 %."""
    with torch.device("meta"):
        model = Gpt2().to(torch.bfloat16).eval()
        found = summarise(built(from_torch(model, (torch.zeros((2, 512), dtype=torch.int64),))))
    workload = "{model: gpt2, mode: forward, batch: 2, seq: 512, precision: bf16}"
    text = f"name: gpt2\nsystem: {{chip: h100_sxm}}\nworkload: {workload}"
    expected = summarise(build_scenario(parse_document(text, "gpt2.yaml"), Path("gpt2.yaml")))
    for word, apart in (("t_math", 1e-12), ("flops", 1e-12), ("time", 0.03)):
        assert float(str(found[word])) == pytest.approx(float(str(expected[word])), rel=apart), word


def test_a_vision_model_has_the_flops_of_torch_s_counter() -> None:
    model, image = Vision().eval(), torch.zeros(2, 3, 64, 64)
    made = from_torch(model, (image,))
    assert not made.unpriced
    assert matrix_flops(made) == counted(lambda: model(image))


def test_views_are_free_and_parts_are_read_each() -> None:
    """x[64,96] @ w[96,48] + b, of whose columns one half is multiplied by the other: 4 bytes each, once."""

    class Gated(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(96, 48)

        def forward(self, x: Any) -> Any:
            first, second = self.linear(x).chunk(2, -1)
            return first * second

    made = from_torch(Gated(), (torch.zeros(64, 96),))
    expected = 4 * (64 * 96 + 96 * 48 + 48 + 64 * 48) + 4 * 3 * 64 * 24
    assert float(str(summarise(built(made))["hbm_bytes"])) == expected


def test_a_saved_program_is_read_with_its_open_dims(tmp_path: Path) -> None:
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(nn.Linear(32, 16), (torch.zeros(4, 32),), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "linear.pt2")
    made = import_files([tmp_path / "linear.pt2"])
    name = next(note for note in made.notes if "is taken to be 4" in note).split()[1]
    assert matrix_flops(made) == 2 * 4 * 32 * 16
    wide = import_files([tmp_path / "linear.pt2"], options=ImportOptions(dims={name: 64}))
    assert matrix_flops(wide) == 2 * 64 * 32 * 16


def test_what_has_no_rule_is_listed() -> None:
    class Odd(nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return torch.linalg.inv(x) @ x

    made = from_torch(Odd(), (torch.eye(64),))
    assert [each.count for each in made.unpriced] == [1]
    with pytest.raises(SpecError, match="custom needs at least one of flops="):
        built(made)
    priced = from_torch(Odd(), (torch.eye(64),), options=ImportOptions(unknown="bytes"))
    assert matrix_flops(priced) == 2 * 64**3


def test_broken_programs_are_read_or_refused(tmp_path: Path) -> None:
    program = torch.export.export(nn.Linear(8, 4), (torch.zeros(2, 8),))
    path = tmp_path / "linear.pt2"
    torch.export.save(program, path)
    said = refusals(path.read_bytes(), path, lambda each: import_files([each], "torch").text)
    assert len(said) > 10
