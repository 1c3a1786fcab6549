"""Functions of JAX as scenarios: FLOPs as XLA's own analysis counts them, before and after it has compiled them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hw.input import parse_document
from scenarios import build_scenario, summarise
from scenarios.importers import Imported, from_jax

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
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


def wide(*cuts: Any) -> Any:
    """A sharding over 2 x 4 of eight devices."""
    if len(jax.devices()) < 8:
        pytest.skip("eight devices are wanted: XLA_FLAGS=--xla_force_host_platform_device_count=8")
    kinds = (jax.sharding.AxisType.Auto,) * 2
    mesh = jax.make_mesh((2, 4), ("d", "m"), axis_types=kinds)
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*cuts))


def layer(weights: Any, x: Any) -> Any:
    b, s, d = x.shape
    q, k, v = ((x @ weights[name]).reshape(b, s, H, d // H) for name in "qkv")
    p = jax.nn.softmax(jnp.einsum("bshd,bthd->bhst", q, k) / 8, -1)
    x = x + jnp.einsum("bhst,bthd->bshd", p, v).reshape(b, s, d) @ weights["o"]
    return x + jax.nn.relu(x @ weights["up"]) @ weights["down"]


def loss(weights: Any, tokens: Any) -> Any:
    """Embeddings, layers in a scan, logits by the same table, and what the next tokens cost."""
    x = weights["table"][tokens]
    x, _ = jax.lax.scan(lambda x, each: (layer(each, x), None), x, weights["layers"])
    scores = jax.nn.log_softmax(x @ weights["table"].T, -1)
    return -jnp.take_along_axis(scores, tokens[..., None], -1).mean()


@pytest.mark.parametrize("trains", [False, True])
def test_sharded_as_annotated_is_sent_what_xla_sends(trains: bool) -> None:
    """A model of tensor and data parallelism: FLOPs of a chip within half a percent of what XLA's partitioner leaves it, and
    the same bytes over the network, to the byte."""
    layers = {name: (2, *MATRICES[name]) for name in MATRICES} | {"o": (2, D, D)}
    weights = {"table": jnp.zeros((512, D)), "layers": {name: jnp.zeros(shape) for name, shape in layers.items()}}
    rows = {name: wide(None, "m", None) if name in ("o", "down") else wide(None, None, "m") for name in layers}
    cut = {"table": wide("m", None), "layers": rows}
    function = jax.grad(loss) if trains else loss
    step = jax.jit(function, in_shardings=(cut, wide("d", None)), out_shardings=cut if trains else None)
    arguments = weights, jnp.zeros((8, S), jnp.int32)
    before, after = (words(from_jax(step, arguments, compiled=compiled)) for compiled in (False, True))
    assert float(str(before["flops"])) == pytest.approx(float(str(after["flops"])), rel=0.005)
    assert float(str(before["network_bytes"])) == float(str(after["network_bytes"]))


def test_a_shard_map_costs_the_same_before_and_after_partitioning() -> None:
    spec = jax.sharding.PartitionSpec
    cut = wide()
    body = jax.shard_map(
        lambda x, up, down: jax.lax.psum(jax.nn.relu(x @ up) @ down, "m"),
        mesh=cut.mesh,
        in_specs=(spec("d", None), spec(None, "m"), spec("m", None)),
        out_specs=spec("d", None),
    )
    arguments = jnp.zeros((512, D)), jnp.zeros((D, 8 * D)), jnp.zeros((8 * D, D))
    before, after = (words(from_jax(jax.jit(body), arguments, compiled=compiled)) for compiled in (False, True))
    for word in ("time", "flops", "network_bytes"):
        assert float(str(before[word])) == pytest.approx(float(str(after[word])), rel=1e-6), word
    assert float(str(before["flops"])) == 2 * 2 * 256 * D * 2 * D + 256 * 2 * D
    # of a chip: 256 rows, and a quarter of what is wide; two products, and relu between them in place
    first, relu, second = 256 * D + D * 2 * D + 256 * 2 * D, 2 * 256 * 2 * D, 256 * 2 * D + 2 * D * D + 256 * D
    read_and_written_by_the_sum = 2 * 256 * D
    by_hand = 4 * (first + relu + second + read_and_written_by_the_sum)
    for each in (before, after):
        assert float(str(each["hbm_bytes"])) == pytest.approx(by_hand, rel=1e-4)
