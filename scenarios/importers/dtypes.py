"""Formats of numbers as other tools call them, as ours."""

from __future__ import annotations

from collections.abc import Mapping

_NAMES: Mapping[str, str] = {
    "fp64": "float64 double f64", "fp32": "float32 float f32", "bf16": "bfloat16 bf16", "fp16": "float16 half f16",
    "int64": "int64 long s64 u64 i64 uint64 ui64 si64 longlong", "int32": "int32 int s32 u32 i32 uint32 ui32 si32 uint",
    "int16": "int16 short s16 u16 i16 uint16 ui16 si16", "int8": "int8 char s8 u8 i8 uint8 ui8 si8 byte quint8 qint8",
    "bool": "bool pred i1", "int4": "int4 s4 u4 i4 uint4 ui4 si4", "tf32": "tf32",
    "fp8": (
        "float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz f8e4m3fn f8e5m2 f8e4m3 f8e4m3b11fnuz f8e4m3fnuz "
        "f8e5m2fnuz f8e3m4 f8e8m0fnu float8e4m3fn float8e5m2 float8e4m3fnuz float8e5m2fnuz float8_e8m0fnu float8"
    ),
    "fp4": "float4_e2m1fn f4e2m1fn float4e2m1 float4",
}  # fmt: skip
_KNOWN = {said: ours for ours, names in _NAMES.items() for said in names.split()}


def dtype_named(said: str) -> str | None:
    """The format that a name means; None where we have none such (complex numbers, strings)."""
    word = said.lower().removeprefix("torch.").removeprefix("c10::")
    return _KNOWN.get(word) or (word if word in _NAMES else None)
