"""Aten ops by what they cost: tables of names, without namespaces and overloads."""

from __future__ import annotations

from collections.abc import Mapping

VIEWS = [
    "view",
    "reshape",
    "_unsafe_view",
    "t",
    "transpose",
    "permute",
    "unsqueeze",
    "squeeze",
    "alias",
    "detach",
    "slice",
    "select",
    "as_strided",
    "flatten",
    "unflatten",
    "movedim",
    "narrow",
    "lift_fresh",
    "lift_fresh_copy",
    "view_as",
    "numpy_T",
    "mT",
    "adjoint",
    "diagonal",
    "swapaxes",
    "real",
    "unsafe_chunk",
    "squeeze_dims",
    "_assert_tensor_metadata",
    "set_",
    "positive",
    "view_as_complex",
    "view_as_real",
    "imag",
    "_conj",
    "resolve_conj",
    "conj",
    "_neg_view",
    "resolve_neg",
    "view_copy",
    "_reshape_copy",
]
"""The same bytes, or a part of them."""

REREADS = ["view", "view_as_complex", "view_as_real"]
"""Views that may read the same bytes in another format."""

LISTS = [
    "split",
    "split_with_sizes",
    "chunk",
    "unbind",
    "unsafe_split",
    "tensor_split",
    "split_copy",
    "split_with_sizes_copy",
    "unbind_copy",
    "chunk_copy",
]
"""Several parts."""

EXPANDS = ["expand", "expand_as", "broadcast_to", "expand_copy"]

NUMBERS = [
    "sym_size",
    "sym_stride",
    "sym_numel",
    "sym_storage_offset",
    "sym_constrain_range",
    "sym_constrain_range_for_size",
    "_local_scalar_dense",
    "item",
    "_assert_async",
    "_assert_scalar",
]
"""Single numbers that the host knows, and what it checks."""

NOT_WRITTEN = [
    "empty",
    "empty_like",
    "new_empty",
    "empty_strided",
    "empty_permuted",
    "arange",
    "scalar_tensor",
    "tensor",
]
"""Memory without content, and what is small."""

WRITTEN = [
    "zeros",
    "ones",
    "full",
    "zeros_like",
    "ones_like",
    "full_like",
    "new_zeros",
    "new_full",
    "new_ones",
    "fill",
    "zero",
    "rand",
    "randn",
    "rand_like",
    "randn_like",
    "eye",
    "tril_indices",
    "bernoulli",
    "randint",
    "randperm",
    "linspace",
    "normal_functional",
]
"""What is written and reads nothing."""

ONE: Mapping[str, str] = {
    name: name for name in ["relu", "gelu", "silu", "tanh", "sigmoid", "exp", "neg", "abs", "sqrt", "rsqrt", "square"]
}
"""Arithmetic on one tensor that has a kind of its own."""

TWO: Mapping[str, str] = {"add": "add", "sub": "sub", "mul": "mul", "div": "div", "maximum": "max", "minimum": "min"}
"""Arithmetic on two."""

ELEMENTWISE = [
    "pow",
    "rsub",
    "log",
    "log2",
    "log1p",
    "sin",
    "cos",
    "erf",
    "erfc",
    "clamp",
    "clamp_min",
    "clamp_max",
    "sign",
    "floor",
    "ceil",
    "round",
    "reciprocal",
    "hardswish",
    "hardsigmoid",
    "hardtanh",
    "leaky_relu",
    "elu",
    "softplus",
    "mish",
    "relu6",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "logical_and",
    "logical_or",
    "logical_not",
    "logical_xor",
    "bitwise_and",
    "bitwise_or",
    "bitwise_not",
    "bitwise_xor",
    "isnan",
    "isinf",
    "isfinite",
    "masked_fill",
    "__and__",
    "__or__",
    "__xor__",
    "diff",
    "where",
    "fmod",
    "remainder",
    "floor_divide",
    "lerp",
    "addcmul",
    "addcdiv",
    "tril",
    "triu",
    "nan_to_num",
    "threshold",
    "expm1",
    "log_sigmoid",
    "logit",
    "softshrink",
    "prelu",
    "celu",
    "selu",
    "glu",
    "exp2",
    "native_dropout",
    "native_dropout_backward",
    "threshold_backward",
    "hardswish_backward",
    "hardsigmoid_backward",
    "leaky_relu_backward",
    "elu_backward",
    "softplus_backward",
    "hardtanh_backward",
    "mse_loss",
    "mse_loss_backward",
    "atan2",
    "atan",
    "tan",
    "sinh",
    "cosh",
    "asin",
    "acos",
    "acosh",
    "asinh",
    "atanh",
    "log10",
    "trunc",
    "frac",
    "logaddexp",
    "erfinv",
    "heaviside",
    "hypot",
    "rrelu_with_noise",
]
"""Other arithmetic: one FLOP for each element of the output."""

MOVES = [
    "cat",
    "stack",
    "concat",
    "constant_pad_nd",
    "pad",
    "roll",
    "flip",
    "repeat",
    "repeat_interleave",
    "one_hot",
    "pixel_shuffle",
    "unfold",
    "im2col",
    "col2im",
    "pixel_unshuffle",
    "channel_shuffle",
    "reflection_pad1d",
    "reflection_pad2d",
    "reflection_pad3d",
    "replication_pad1d",
    "replication_pad2d",
    "replication_pad3d",
    "rot90",
    "masked_scatter",
]
"""What is moved is read once and written once."""

GATHERS = ["index_select", "gather", "index", "take_along_dim"]
"""What is picked by numbers is read and written, and the numbers are read."""

SELECTS = ["sort", "topk", "masked_select", "kthvalue", "slice_backward", "select_backward", "unique", "nonzero"]
"""What is given is read whole, what is made is written whole, whichever is larger."""

PUTS: Mapping[str, int] = {
    **dict.fromkeys(["slice_scatter", "select_scatter", "index_put", "scatter", "index_copy", "diagonal_scatter"], 2),
    **dict.fromkeys(["scatter_add", "index_add", "scatter_reduce", "index_reduce"], 3),
}
"""What is put into a part of a tensor is read and written, and what stands there read where it is added: times its bytes."""

ATTENTION = (
    "scaled_dot_product_attention",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable",
)

_ONCE = """
sum mean amax amin max min prod any all argmax argmin norm linalg_vector_norm logsumexp std cumsum count_nonzero max_pool2d
max_pool2d_with_indices avg_pool2d adaptive_avg_pool2d _adaptive_avg_pool2d adaptive_max_pool2d avg_pool1d max_pool1d
adaptive_avg_pool1d max_pool2d_with_indices_backward avg_pool2d_backward _adaptive_avg_pool2d_backward upsample_nearest2d
upsample_bilinear2d histc bincount avg_pool3d max_pool3d max_pool3d_with_indices adaptive_avg_pool3d _adaptive_avg_pool3d
avg_pool3d_backward max_pool3d_with_indices_backward _adaptive_avg_pool3d_backward adaptive_max_pool1d adaptive_max_pool3d
upsample_nearest1d upsample_nearest3d upsample_bicubic2d upsample_trilinear3d upsample_linear1d upsample_nearest_exact2d
upsample_nearest2d_backward upsample_bilinear2d_backward grid_sampler_2d grid_sampler_3d cumprod cummax cummin nansum median
"""
_MORE = "_weight_norm _weight_norm_interface var var_mean std_mean cross_entropy_loss"
_MANY = "group_norm native_group_norm instance_norm native_group_norm_backward"

REDUCTIONS: Mapping[str, int] = {
    **dict.fromkeys(_ONCE.split(), 1),
    **dict.fromkeys(_MORE.split(), 3),
    **dict.fromkeys(_MANY.split(), 8),
}
"""FLOP for each element that is read, roughly: memory decides."""

_BOTH = (
    "mm mv dot vdot _int_mm _scaled_mm conv1d conv2d conv3d convolution _convolution conv_transpose1d conv_transpose2d"
)
_FIRST = "linear matmul bmm lstm gru"

IN_MEMORY: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(_BOTH.split(), (0, 1)),
    **dict.fromkeys(_FIRST.split(), (0,)),
    **dict.fromkeys(["addmm", "baddbmm"], (1, 2)),
    **dict.fromkeys(["embedding", "embedding_dense_backward"], (1,)),
    **dict.fromkeys(ATTENTION, (0, 1, 2)),
}
"""Arguments that are read with all their elements, however they were expanded, by place."""
