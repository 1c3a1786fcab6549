"""Functions of JAX as scenarios: FLOPs as XLA's own analysis counts them, before and after it has compiled them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hw.input import parse_document
from scenarios import build_scenario, summarise
from scenarios.importers import Imported, from_jax

jax: Any = pytest.importorskip("jax", reason="JAX is not here: pip install '.[jax]'", exc_type=ImportError)
jnp: Any = pytest.importorskip("jax.numpy")

pytestmark = pytest.mark.filterwarnings("ignore")

B, S, D, H = 2, 64, 128, 4
MATRICES = {"q": (D, D), "k": (D, D), "v": (D, D), "up": (D, 4 * D), "down": (4 * D, D)}
DOTS = 2 * B * S * sum(rows * columns for rows, columns in MATRICES.values()) + 4 * B * S * S * D


def block(weights: Any, x: Any) -> Any:
    q, k, v = ((x @ weights[name]).reshape(B, S, H, D // H).transpose(0, 2, 1, 3) for name in "qkv")
    p = jax.nn.softmax(jnp.einsum("bhsd,bhtd->bhst", q, k) / 8, -1)
    mixed = jnp.einsum("bhst,bhtd->bhsd", p, v).transpose(0, 2, 1, 3).reshape(B, S, D)
    return mixed + jax.nn.relu(x @ weights["up"]) @ weights["down"]


def arguments() -> tuple[Any, Any]:
    return {name: jnp.zeros(shape) for name, shape in MATRICES.items()}, jnp.zeros((B, S, D))


def words(made: Imported) -> Any:
    return summarise(build_scenario(parse_document(made.text, "made.yaml"), Path("made.yaml")))


@pytest.mark.parametrize("compiled", [False, True])
def test_flops_and_bytes_are_those_of_xla(compiled: bool) -> None:
    made = from_jax(block, arguments(), compiled=compiled)
    counted = jax.jit(block).lower(*arguments()).compile().cost_analysis()
    found = words(made)
    assert not made.unpriced
    assert float(str(found["flops"])) == pytest.approx(counted["flops"], rel=0.02)
    assert float(str(found["flops"])) > DOTS
    if compiled:
        assert float(str(found["hbm_bytes"])) == pytest.approx(counted["bytes accessed"], rel=0.02)


def test_a_step_forward_and_backward_has_three_times_the_dots() -> None:
    """One for the input and one for the weight of each, but for the input of the block, which needs no gradient."""
    made = from_jax(lambda weights, x: jax.value_and_grad(lambda w: block(w, x).sum())(weights), arguments())
    to_x = 2 * B * S * sum(rows * columns for name, (rows, columns) in MATRICES.items() if name != "down")
    dots = sum("= matmul(" in line for line in made.ops)
    assert dots == 7 + 2 * 7 - 4
    assert float(str(words(made)["flops"])) == pytest.approx(3 * DOTS - to_x, rel=0.05)
