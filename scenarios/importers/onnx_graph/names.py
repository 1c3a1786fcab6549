"""ONNX ops by what they cost: tables of names (opset 13 to 22, and some of com.microsoft)."""

from __future__ import annotations

from collections.abc import Mapping

VIEWS = frozenset(
    [
        "Reshape",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
        "Identity",
        "Slice",
        "DepthToSpace",
        "SpaceToDepth",
        "OptionalGetElement",
    ]
)
"""The same bytes, or a part of them; a transpose is taken for a choice of layout."""

SMALL = frozenset(["Shape", "Size", "Constant", "Range", "ConstantOfShape", "NonZero"])
"""What works out shapes, when it is small."""

ONE: Mapping[str, str] = {
    "Relu": "relu", "Gelu": "gelu", "FastGelu": "gelu", "QuickGelu": "gelu", "Tanh": "tanh", "Sigmoid": "sigmoid",
    "Exp": "exp", "Neg": "neg", "Abs": "abs", "Sqrt": "sqrt", "Cast": "cast", "Silu": "silu", "Swish": "silu",
}  # fmt: skip
TWO: Mapping[str, str] = {"Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div"}

ELEMENTWISE = frozenset(
    [
        "Pow",
        "Log",
        "Erf",
        "Sin",
        "Cos",
        "Tan",
        "Clip",
        "Sign",
        "Floor",
        "Ceil",
        "Round",
        "Reciprocal",
        "HardSwish",
        "HardSigmoid",
        "LeakyRelu",
        "Elu",
        "Selu",
        "Celu",
        "Softplus",
        "Softsign",
        "Mish",
        "PRelu",
        "ThresholdedRelu",
        "Equal",
        "Greater",
        "GreaterOrEqual",
        "Less",
        "LessOrEqual",
        "And",
        "Or",
        "Not",
        "Xor",
        "IsNaN",
        "IsInf",
        "Where",
        "Mod",
        "Min",
        "Max",
        "Sum",
        "Mean",
        "BitShift",
        "BitwiseAnd",
        "BitwiseOr",
        "BitwiseXor",
        "BitwiseNot",
        "Trilu",
        "CastLike",
        "BiasGelu",
        "QuantizeLinear",
        "RotaryEmbedding",
        "Acos",
        "Asin",
        "Atan",
        "Cosh",
        "Sinh",
        "Acosh",
        "Asinh",
        "Atanh",
        "Shrink",
        "Hardmax",
        "QLinearAdd",
        "QLinearMul",
        "QLinearSigmoid",
        "QLinearLeakyRelu",
    ]
)
"""Other arithmetic: one FLOP for each element of the output."""

MOVES = frozenset(
    [
        "Concat",
        "Gather",
        "GatherElements",
        "GatherND",
        "Scatter",
        "ScatterElements",
        "ScatterND",
        "Pad",
        "Tile",
        "TopK",
        "OneHot",
        "Compress",
        "ReverseSequence",
        "Resize",
        "Upsample",
        "Unique",
        "GridSample",
        "Col2Im",
        "CenterCropPad",
        "MaxUnpool",
        "TensorScatter",
    ]
)
"""What is moved is read once and written once."""

_ONCE = """
ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSumExp ReduceSumSquare ReduceLogSum ArgMax
ArgMin CumSum CumProd GlobalLpPool GlobalAveragePool GlobalMaxPool MaxPool AveragePool LpPool
"""
_MANY = "InstanceNormalization GroupNormalization LpNormalization LRN MeanVarianceNormalization BatchNormalization"

REDUCTIONS: Mapping[str, int] = {**dict.fromkeys(_ONCE.split(), 1), **dict.fromkeys(_MANY.split(), 4)}
"""FLOP for each element that is read, roughly: memory decides."""
