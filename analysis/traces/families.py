"""What kind of work a kernel of a trace does, by its name and by the call that launched it.

Model: names of kernels are those of libraries (cuBLAS, cuDNN, CUTLASS, PyTorch, Triton, Inductor, vLLM, ...), which say in
one word what is done; what a profiler knows of communication and copies comes first (`does`). The same families stand for
kinds of ops, so that a simulated run and a measured one can be laid side by side. What no pattern knows is `elementwise`.
Source: the kernels of the libraries named; a family per line, the first that matches.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

COLLECTIVE, COPY, ELEMENTWISE = "collective", "copy", "elementwise"

_PATTERNS = (
    ("attention", r"sdpa|flash|fmha|attention|(?<![a-z])attn|mha_|xformers|paged_?attn"),
    ("elementwise", r"^_foreach_"),
    ("optimizer", r"adam|sgd|(?<![a-z])lamb(?!da)|adagrad|rmsprop|multi_?tensor_?apply|fusedoptimizer"),
    ("convolution", r"conv(?!ert)|winograd|implicit_?gemm|fprop|dgrad|wgrad"),
    ("pool", r"pool(?!_?alloc)"),
    (
        "matmul",
        r"gemm|nvjet|cutlass|cublas|matmul|splitk|wgmma|s\d+816|(?<![a-z])(add|b|badd)?mm(?![a-z])|linear(?![a-z])|gemv|dot_kernel",
    ),
    ("norm", r"(layer|rms|batch|group|instance)_?norm|gammabeta|\bbn_"),
    ("loss", r"nll_?loss|cross_?entropy|mse_?loss"),
    ("softmax", r"softmax"),
    ("embedding", r"embedding|gather_?kernel|index_?select|grad_weight|sum_and_scatter|radix_?sort|per_segment"),
    ("reduce", r"reduce_?kernel|reduction|reduceop|(?<![a-z])(sum|mean|max|argmax)(?![a-z])"),
)
_FAMILIES = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in _PATTERNS)
FAMILIES = (*(name for name, _ in _FAMILIES if name != ELEMENTWISE), COLLECTIVE, COPY, ELEMENTWISE)
"""Every family."""

_KINDS = {
    "attention": ("attention", "attention_backward", "attention_block", "attention_block_backward"),
    "optimizer": ("adamw", "sgd"),
    "convolution": ("conv2d", "conv2d_backward_input", "conv2d_backward_weight"),
    "pool": ("avg_pool2d", "avg_pool2d_backward", "max_pool2d", "max_pool2d_backward"),
    "matmul": ("matmul", "matmul_add", "grouped_matmul", "sparse_matmul", "dot"),
    "norm": (
        "layer_norm", "layer_norm_backward", "rms_norm", "rms_norm_backward", "batch_norm", "batch_norm_backward",
        "norm_weight_backward",
    ),
    "loss": ("cross_entropy", "cross_entropy_backward"),
    "softmax": ("softmax", "softmax_backward"),
    "embedding": ("embedding", "embedding_backward", "gather"),
    "reduce": ("reduce", "max", "min"),
}  # fmt: skip
_OF_KIND = {kind: family for family, kinds in _KINDS.items() for kind in kinds}

_BACKWARD = re.compile(r"backward|bwd|bprop|grad(?!scaler)|dgrad|wgrad|_backprop", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_PARAMETERS = re.compile(r"^void |\(anonymous namespace\)(::)?|at::native::|std::")
_LONGEST = 44


def kernel_family(name: str, does: str = "arithmetic", call: str = "") -> str:
    """One of `FAMILIES`. `does`: as a timeline says; `call`: the op that launched it, which decides where it knows."""
    if does == "network":
        return COLLECTIVE
    if does == "memory":
        return COPY
    return _known(call) or _known(name) or ELEMENTWISE


def named_family(name: str, does: str) -> str:
    """The family of an op of which nothing is known but its name, as one is in a replay; "" where that says nothing."""
    return COLLECTIVE if does == "network" else _known(name) or ""


def _known(name: str) -> str | None:
    return next((family for family, pattern in _FAMILIES if pattern.search(name)), None) if name else None


def op_family(kinds: Iterable[str], does: str = "arithmetic") -> str:
    """The family of a kernel that carries out ops of some kinds: of a fused one the first of `FAMILIES` that any is of."""
    if does == "network":
        return COLLECTIVE
    found = {_OF_KIND.get(kind) for kind in kinds}
    plain = COPY if does == "memory" else ELEMENTWISE
    return next((family for family in FAMILIES if family in found), plain)


def is_backward(*names: str) -> bool:
    """Whether any of some names speaks of a backward pass."""
    return any(_BACKWARD.search(name) for name in names)


def words_in(*names: str) -> frozenset[str]:
    """The words of names, in small letters, those of three letters or more."""
    return frozenset(word.casefold() for name in names for word in _WORD.findall(name) if len(word) > 2)


def short_name(name: str) -> str:
    """A kernel's own name, without namespaces, template arguments and parameters, short enough for a table."""
    plain = _PARAMETERS.sub("", name)
    own = re.split(r"[<(]", plain, maxsplit=1)[0].rpartition("::")[2] or plain
    return own if len(own) <= _LONGEST else f"{own[: _LONGEST - 3]}..."
