"""What a fused kernel takes in of a tensor that its members read through views.

Law: each part of the tensor once, never more than there is of it, and never more than the members read one by one.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from simulator import Kernel, RunOptions
from tests.support.strategies import one, run

DIMS = {"M": 256, "N": 128, "W": 128 * 128, "P": 128 * 128 * 2 + 128}
WEIGHT, BIAS, TOKENS = 2 * 128 * 128, 2 * 128, 2 * 256 * 128
BUFFER = "buffer:bf16[P]"


def fused(lines: Sequence[str], *group: str) -> Kernel:
    """The kernel that some ops become."""
    plan = run(lines, DIMS, one(), RunOptions(overlap="full"), [list(group)]).plan
    (found,) = (kernel for kernel in plan.kernels.kernels if kernel.kind == "fused")
    return found


def taken(kernel: Kernel, tensor: str) -> float:
    """Bytes that a kernel reads of a tensor."""
    return sum(access.nbytes for access in kernel.reads if access.tensor == tensor)


LINEAR = (
    f"w:bf16[N,N] = view({BUFFER})",
    "b:bf16[N] = view(buffer)",
    "m:bf16[M,N] = matmul(x:bf16[M,N], w)",
    "y:bf16[M,N] = add(m, b)",
)


def test_a_weight_and_a_bias_in_one_buffer_are_both_read() -> None:
    apart = [
        "m:bf16[M,N] = matmul(x:bf16[M,N], w:bf16[N,N])",
        "y:bf16[M,N] = add(m, b:bf16[N])",
    ]
    assert taken(fused(LINEAR, "m", "y"), "buffer") == WEIGHT + BIAS
    assert fused(LINEAR, "m", "y").hbm_bytes == fused(apart, "m", "y").hbm_bytes


def test_two_weights_of_one_size_are_two_parts() -> None:
    lines = [
        f"k:bf16[N,N] = view({BUFFER})",
        "v:bf16[N,N] = view(buffer)",
        "a:bf16[M,N] = matmul(x:bf16[M,N], k)",
        "b:bf16[M,N] = matmul(x, v)",
        "y:bf16[M,N] = add(a, b)",
    ]
    assert taken(fused(lines, "a", "b", "y"), "buffer") == 2 * WEIGHT
    assert taken(fused(lines, "a", "b", "y"), "x") == TOKENS


def test_one_weight_used_twice_is_read_once() -> None:
    lines = [
        f"w:bf16[N,N] = view({BUFFER})",
        "a:bf16[M,N] = matmul(x:bf16[M,N], w)",
        "y:bf16[M,N] = matmul(a, w)",
    ]
    assert taken(fused(lines, "a", "y"), "buffer") == WEIGHT


@pytest.mark.parametrize("first", ["x", "again"])
def test_a_tensor_and_the_same_in_other_dims_are_one(first: str) -> None:
    lines = [
        "flat:bf16[N,M] = view(x:bf16[M,N])",
        "again:bf16[M,N] = view(x)",
        f"a:bf16[M,N] = relu({first})",
        "b:bf16[N,M] = relu(flat)",
        "c:bf16[N,N] = matmul(b, a)",
    ]
    assert taken(fused(lines, "a", "b", "c"), "x") == TOKENS


def test_groups_that_differ_in_their_views_alone_are_told_apart() -> None:
    """Same sizes, same buffer at the same places; one reads a part of it twice, the other two parts."""
    lines = [
        f"k:bf16[N,N] = view({BUFFER})",
        "v:bf16[N,N] = view(buffer)",
        *(f"a{at}:bf16[M,N] = matmul(x:bf16[M,N], k)" for at in "12"),
        "b1:bf16[M,N] = matmul(a1, k)",
        "b2:bf16[M,N] = matmul(a2, v)",
    ]
    plan = run(lines, DIMS, one(), RunOptions(overlap="full"), [["a1", "b1"], ["a2", "b2"]]).plan
    kernels = plan.kernels.kernels
    for at, kernel in enumerate(kernels):
        assert taken(kernel, "buffer") == taken(kernels.like(at), taken_name(kernels.like(at)))
    assert [taken(kernel, "buffer") for kernel in kernels] == [WEIGHT, 2 * WEIGHT]


def taken_name(kernel: Kernel) -> str:
    """What a template calls the buffer."""
    (found,) = {access.tensor for access in kernel.reads if access.view}
    return found
