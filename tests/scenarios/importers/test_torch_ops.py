"""Odd ops of PyTorch: FLOPs equal to torch's own counter, bytes to counts by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from scenarios import summarise
from scenarios.importers import from_torch

torch: Any = pytest.importorskip("torch", reason="PyTorch is not here: pip install '.[torch]'", exc_type=ImportError)

from tests.scenarios.importers.test_torch import built, counted, functional, matrix_flops, nn  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


class Call(nn.Module):  # type: ignore[misc]
    """A function as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *arguments: Any) -> Any:
        return self.function(*arguments)


def einsum(text: str, *sizes: tuple[int, ...]) -> tuple[Any, tuple[Any, ...]]:
    return Call(lambda *operands: torch.einsum(text, *operands)), tuple(torch.zeros(each) for each in sizes)


CASES: dict[str, Callable[[], tuple[Any, tuple[Any, ...]]]] = {
    "dots": lambda: einsum("...ij,...jk->...ik", (2, 3, 8, 16), (2, 3, 16, 24)),
    "a letter of one operand": lambda: einsum("bij,bkj->k", (4, 8, 16), (4, 24, 16)),
    "no arrow": lambda: einsum("bij,bjk", (4, 8, 16), (4, 16, 24)),
    "three from the left": lambda: einsum("ij,jk,kl->il", (8, 16), (16, 4), (4, 8)),
    "transposed": lambda: (nn.ConvTranspose3d(4, 8, 4, 2, 1), (torch.zeros(2, 4, 6, 6, 6),)),
    "gru": lambda: (nn.GRU(32, 64), (torch.zeros(5, 3, 32),)),
    "lstm cell": lambda: (nn.LSTMCell(32, 64), (torch.zeros(3, 32),)),
    "expanded rows": lambda: (
        Call(lambda x, w: functional.linear(x.expand(8, 4, 32), w)),
        (torch.zeros(1, 4, 32), torch.zeros(16, 32)),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_products_have_the_flops_of_torch_s_counter(case: str) -> None:
    module, arguments = CASES[case]()
    made = from_torch(module, arguments)
    assert not made.unpriced
    assert matrix_flops(made) == counted(lambda: module(*arguments))


class Loss(nn.Module):  # type: ignore[misc]
    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, *arguments: Any) -> Any:
        return (self.module(*arguments).pow(2).mean(),)


def test_a_transposed_convolution_backward_is_as_large_as_forward() -> None:
    module, image = Loss(nn.ConvTranspose2d(16, 32, 4, 2, 1)), torch.zeros(2, 16, 14, 14)
    made = from_torch(module, (image,), train=True)
    assert matrix_flops(made) == counted(lambda: module(image)[0].backward())


class Tied(nn.Module):  # type: ignore[misc]
    """What looks at its numbers while it is traced, and has a weight under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(100, 32)
        self.head = nn.Linear(32, 100, bias=False)
        self.head.weight = self.table.weight

    def forward(self, tokens: Any) -> Any:
        mask = torch.ones(8, dtype=torch.bool)
        x = self.table(tokens)
        if not torch.compiler.is_exporting() and not mask.all():
            x = x + 1
        return (self.head(x).pow(2).mean(),)


def test_a_step_of_a_model_that_looks_at_its_numbers() -> None:
    """The head forward, and for both of its gradients."""
    made = from_torch(Tied(), (torch.zeros((4, 8), dtype=torch.int64),), train=True)
    assert matrix_flops(made) == 3 * 2 * 4 * 8 * 32 * 100


def test_rows_of_expanded_ids() -> None:
    """Positions of one sentence for four: 4 x 8 rows of 64 bytes and their numbers."""
    module = Call(lambda table, ids: functional.embedding(ids.expand(4, 8), table))
    made = from_torch(module, (torch.zeros(100, 16), torch.zeros((1, 8), dtype=torch.int64)))
    written = 8 * 8 + 4 * 8 * 8
    assert float(str(summarise(built(made))["hbm_bytes"])) == written + 4 * 8 * 8 + 2 * 4 * 8 * 64


@pytest.mark.parametrize(
    ("put", "moved"),
    [
        (lambda x, i, v: x.index_put((i,), v), 2 * 8 * 256 + 8 * 8),
        (lambda x, i, v: x.index_add(0, i, v), 3 * 8 * 256 + 8 * 8),
        (lambda x, i, v: torch.slice_scatter(x, v, 0, 0, 8), 2 * 8 * 256),
        (lambda x, i, v: x[i] + 0 * v, 2 * 8 * 256 + 8 * 8 + 2 * 8 * 256 + 3 * 8 * 256),
        (lambda x, i, v: torch.topk(x, 4)[0], 64 * 256 + 64 * 4 * (4 + 8)),
    ],
)
def test_a_part_is_put_in_place(put: Any, moved: int) -> None:
    """8 rows of 64 numbers of 4 bytes, and where they belong, 8 bytes each."""
    arguments = torch.zeros(64, 64), torch.arange(8), torch.zeros(8, 64)
    made = from_torch(Call(put), arguments)
    assert float(str(summarise(built(made))["hbm_bytes"])) == moved
