"""Protobuf's wire format, as far as a reader needs it: fields of a message by number, each with its place in the file.

Model: a field is a varint (its number and how it is packed), then a varint, 4 or 8 bytes, or so many bytes. What the bytes
of a field are (text, a message, packed numbers) only who reads the message knows. A stream of messages has the length of
each, as a varint, before it.
Source: "Encoding", the protocol buffers documentation (protobuf.dev).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_MOST_VARINT = 10


class WireError(Exception):
    """Bytes that are no message: where (from 0), and why."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at = at
        self.message = message


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `value`: a number for varints and fixed ones, else where its bytes begin and end in the file."""

    number: int
    packed: int
    value: int
    end: int
    data: bytes

    @property
    def is_number(self) -> bool:
        """Whether it is one number, and no text, message or packed list."""
        return self.packed != _BYTES

    @property
    def content(self) -> tuple[int, int]:
        """Where its bytes begin and end. Raises WireError for a field that is a number."""
        if self.packed != _BYTES:
            raise WireError(self.value, f"field {self.number} is a number, where text or a message belongs")
        return self.value, self.end

    @property
    def text(self) -> str:
        """Its bytes as text."""
        begin, end = self.content
        return self.data[begin:end].decode("utf-8", "replace")

    @property
    def whole(self) -> int:
        """Its number. Raises WireError for one that is none."""
        if self.packed == _BYTES:
            raise WireError(self.value, f"field {self.number} is no number")
        return self.value

    @property
    def double(self) -> float:
        """Its 8 or 4 bytes as a floating-point number."""
        code, size = ("<d", 8) if self.packed == _EIGHT else ("<f", 4)
        return float(struct.unpack(code, self.whole.to_bytes(size, "little"))[0])

    def wholes(self) -> Iterator[int]:
        """The numbers of a repeated field: packed together, or this one alone."""
        if self.packed != _BYTES:
            yield self.value
            return
        at, end = self.content
        while at < end:
            number, at = varint(self.data, at, end)
            yield number


def varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The number that begins at a place, and where it ends. Raises WireError."""
    number = 0
    for count in range(_MOST_VARINT):
        if at + count >= end:
            raise WireError(at, "the file ends within a number")
        byte = data[at + count]
        number |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return number & (1 << 64) - 1, at + count + 1
    raise WireError(at, "a number has more than 64 bits")


def fields(data: bytes, begin: int, end: int) -> Iterator[Field]:
    """The fields of a message. Raises WireError."""
    at = begin
    while at < end:
        start = at
        key, at = varint(data, at, end)
        number, packed = key >> 3, key & 7
        if not number:
            raise WireError(start, "a field has number 0")
        if packed == _VARINT:
            value, at = varint(data, at, end)
            yield Field(number, packed, value, at, data)
            continue
        if packed not in (_EIGHT, _FOUR, _BYTES):
            raise WireError(start, f"a field is packed in a way that does not exist ({packed})")
        length = {_EIGHT: 8, _FOUR: 4}.get(packed)
        if length is None:
            length, at = varint(data, at, end)
        if at + length > end:
            raise WireError(start, f"field {number} has {length:,} bytes, more than are left")
        value = at if packed == _BYTES else int.from_bytes(data[at : at + length], "little")
        at += length
        yield Field(number, packed, value, at, data)


def messages(data: bytes) -> Iterator[tuple[int, int]]:
    """Where each message of a stream begins and ends. Raises WireError."""
    at = 0
    while at < len(data):
        length, begin = varint(data, at, len(data))
        if begin + length > len(data):
            raise WireError(at, f"a message has {length:,} bytes, more than are left")
        yield begin, begin + length
        at = begin + length
