"""Models as people have them: of Transformers, with caches and masks of their own, of open sizes, under DDP and FSDP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hw import SpecError
from scenarios.importers import ImportOptions, from_torch, import_files

torch: Any = pytest.importorskip("torch", reason="PyTorch is not here: pip install '.[torch]'", exc_type=ImportError)
transformers: Any = pytest.importorskip("transformers", reason="transformers is not here")
distributed: Any = pytest.importorskip("torch.distributed")
fake: Any = pytest.importorskip("torch.testing._internal.distributed.fake_pg")

from tests.scenarios.importers.test_torch import counted, functional, matrix_flops, nn  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

B, S, D, LAYERS = 2, 64, 128, 1
PAIRS = LAYERS * 4 * B * S * S * D
CAUSAL = (S + 1) / (2 * S)
SIZES = {
    "hidden_size": D,
    "intermediate_size": 256,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "vocab_size": 500,
    "bos_token_id": None,
    "eos_token_id": None,
}
GPT2 = {"n_embd": D, "n_layer": LAYERS, "n_head": 4, "vocab_size": 500, "bos_token_id": None, "eos_token_id": None}
CONFIGS: dict[str, Any] = {
    "llama": lambda: transformers.LlamaConfig(**SIZES, num_key_value_heads=2),
    "gpt2": lambda: transformers.GPT2Config(**GPT2, attn_pdrop=0.0),
    "mistral": lambda: transformers.MistralConfig(**SIZES, num_key_value_heads=2, sliding_window=16, head_dim=32),
    "bert": lambda: transformers.BertConfig(**SIZES, attention_probs_dropout_prob=0.0, is_decoder=True),
}
WINDOWED = sum(min(place + 1, 16) for place in range(S)) / (S * S)
SEEN = {"llama": CAUSAL, "gpt2": CAUSAL, "mistral": WINDOWED, "bert": CAUSAL}


def language_model(name: str, attention: str = "sdpa", device: str = "meta") -> Any:
    config = CONFIGS[name]()
    with torch.device(device):
        return transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention)


def tokens(device: str = "meta") -> Any:
    return torch.zeros((B, S), dtype=torch.int64, device=device)


def attentions(made: Any) -> set[str]:
    """What attention ops are told behind their tensors."""
    said = (line.partition(" = attention(")[2] for line in made.ops)
    return {line.partition("kind=")[2].removesuffix(")") for line in said if line}


@pytest.mark.parametrize("name", CONFIGS)
def test_models_of_transformers_as_they_are(name: str) -> None:
    """With their caches, and with masks that they make out of sizes alone: the counter, all pairs, less what is left out."""
    model = language_model(name).eval()
    made = from_torch(model, (tokens(),))
    assert not made.unpriced
    assert matrix_flops(made) == counted(lambda: model(tokens())) - PAIRS * (1 - SEEN[name])
    assert any("follow from sizes" in note for note in made.notes)
    assert attentions(made) == {"flash, causal=true" + (", window=16" if name == "mistral" else "")}


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_step_takes_its_labels_by_name(device: str) -> None:
    """Logits and caches beside the loss; on the meta device attention is one kernel, as it is on others."""
    model, given = language_model("llama", device=device), tokens(device)
    made = from_torch(model, (), {"input_ids": given, "labels": given}, train=True)
    counter = counted(lambda: language_model("llama", "eager")(tokens(), labels=tokens()).loss.backward())
    assert not made.unpriced
    assert matrix_flops(made) == counter - 3 * PAIRS + 3.5 * PAIRS * CAUSAL


def test_a_step_of_a_model_with_weights_that_nothing_reads() -> None:
    """As BERT's head for pairs of sentences has no part in a loss of words."""
    config = CONFIGS["bert"]()
    with torch.device("meta"):
        model = transformers.BertForMaskedLM._from_config(config, attn_implementation="eager")
        model.pairs = nn.Linear(D, 2)
    made = from_torch(model, (), {"input_ids": tokens(), "labels": tokens()}, train=True)
    assert matrix_flops(made) == counted(lambda: model(tokens(), labels=tokens()).loss.backward())


def test_a_mask_that_is_given_is_read() -> None:
    model = language_model("llama").eval()
    made = from_torch(model, (), {"input_ids": tokens(), "attention_mask": torch.ones_like(tokens())})
    assert attentions(made) == {"flash"}
    assert any("are tensors" in note for note in made.notes)


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (lambda: torch.ones(S, S, dtype=torch.bool), "flash"),
        (lambda: torch.zeros(S, S), "flash"),
        (lambda: torch.full((S, S), float("-inf")).triu(1), "flash, causal=true"),
        (lambda: torch.ones(S, S, dtype=torch.bool).tril().triu(-7), "flash, causal=true, window=8"),
    ],
)
def test_masks_that_follow_from_sizes(mask: Any, told: str) -> None:
    class Masked(nn.Module):  # type: ignore[misc]
        def forward(self, q: Any) -> Any:
            return functional.scaled_dot_product_attention(q, q, q, attn_mask=mask())

    made = from_torch(Masked(), (torch.zeros(B, 4, S, 32),))
    assert attentions(made) == {told}
    assert len(made.ops) == 1  # what makes the mask is not run


@pytest.mark.parametrize(
    "mask",
    [
        lambda: torch.ones(S, S, dtype=torch.bool).triu(),
        lambda: torch.ones(S, S).tril(),
        lambda: torch.rand(S, S) > 0.5,
    ],
)
def test_other_masks_are_tensors(mask: Any) -> None:
    """One that shows what comes later, a bias that is no mask, and a random one."""

    class Masked(nn.Module):  # type: ignore[misc]
        def forward(self, q: Any) -> Any:
            return functional.scaled_dot_product_attention(q, q, q, attn_mask=mask())

    made = from_torch(Masked(), (torch.zeros(B, 4, S, 32),))
    assert attentions(made) == {"flash"}
    assert made.notes == ("1 masks of attention are tensors: what they leave out is computed",)


class Folded(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(32, 96)

    def forward(self, x: Any) -> Any:
        b, t, _ = x.shape
        return self.linear(x).view(b * t, 3, 32).transpose(0, 1) @ torch.ones(32, 8)


def test_sizes_that_depend_on_an_open_dim_follow_it(tmp_path: Any) -> None:
    """8 b rows behind a view, of b sentences of 8 tokens."""
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(Folded(), (torch.zeros(4, 8, 32),), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "folded.pt2")
    made = import_files([tmp_path / "folded.pt2"])
    note = next(each for each in made.notes if each.startswith("dim "))
    assert "(dim 0 of x) is taken to be 4" in note
    assert [each for each in made.notes if each.startswith("dim ")] == [note]
    for size in (4, 64):
        wide = import_files([tmp_path / "folded.pt2"], options=ImportOptions(dims={note.split()[1]: size}))
        assert not wide.unpriced
        assert matrix_flops(wide) == 2 * size * 8 * (32 * 96 + 96 * 8)


def test_a_size_that_depends_on_data_is_asked_for(tmp_path: Any) -> None:
    class Picked(nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            rows = x.nonzero()
            torch._check(rows.shape[0] > 2)
            return rows.float() @ torch.ones(1, 8)

    torch.export.save(torch.export.export(Picked(), (torch.ones(32),)), tmp_path / "picked.pt2")
    with pytest.raises(SpecError, match="depends on data: say it with --dim u0=N"):
        import_files([tmp_path / "picked.pt2"])
    made = import_files([tmp_path / "picked.pt2"], options=ImportOptions(dims={"u0": 7}))
    assert matrix_flops(made) == 2 * 7 * 8


@pytest.fixture
def ranks() -> Iterator[None]:
    """Eight ranks that never answer: nothing is run."""
    distributed.init_process_group("fake", rank=0, world_size=8, store=fake.FakeStore())
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("ranks")
def test_what_sends_from_hooks_is_refused() -> None:
    """torch traces a step of DDP without its all-reduce: that must not be silent."""
    sharded = distributed.fsdp.fully_shard(nn.Linear(8, 8), mesh=distributed.device_mesh.init_device_mesh("cpu", (8,)))
    for module, said in (
        (nn.parallel.DistributedDataParallel(nn.Linear(8, 8)), "DistributedDataParallel sends from hooks"),
        (sharded, "fully_shard sends from hooks.*import the module before it"),
    ):
        with pytest.raises(SpecError, match=said):
            from_torch(module, (torch.zeros(4, 8),), train=True)
