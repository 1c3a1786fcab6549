"""Protobuf written by hand, so that what reads it is not tested with itself."""

from __future__ import annotations

import struct
from collections.abc import Iterable


def varint(number: int) -> bytes:
    """A number, seven bits a byte."""
    number &= (1 << 64) - 1
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


def whole(field: int, number: int) -> bytes:
    return varint(field << 3) + varint(number)


def content(field: int, data: bytes | str) -> bytes:
    data = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(data)) + data


def double(field: int, number: float) -> bytes:
    return varint(field << 3 | 1) + struct.pack("<d", number)


def packed(field: int, numbers: Iterable[int]) -> bytes:
    return content(field, b"".join(map(varint, numbers)))


def stream(messages: Iterable[bytes]) -> bytes:
    return b"".join(varint(len(each)) + each for each in messages)
