"""Named arrays as the endpoint handles them: checked, packed into bytes, and unpacked again. No NumPy."""

from __future__ import annotations

import math
import struct
from array import array
from itertools import chain
from typing import Any

import msgspec

from headway.serving.inside.frames import NUMBERS

JSON = "JSON"  # values that the protocol has no word for
_MOST_DIMENSIONS = 16


class BadRequest(Exception):
    """The caller's mistake; the text never repeats what was sent."""

    def __init__(self, message: str, status: int = 400) -> None:
        """Keep the text and the HTTP status."""
        super().__init__(message)
        self.message = message
        self.status = status


class Tensor(msgspec.Struct):
    """One named array: numbers as little-endian bytes, anything else as a flat list."""

    name: str
    datatype: str
    shape: list[int]
    raw: bytes | None = None
    values: list[Any] | None = None

    def flat(self) -> list[Any]:
        """Return the elements in row-major order."""
        if self.raw is None:
            return self.values or []
        return unpack(self.datatype, self.raw)

    def nested(self) -> Any:
        """Return the elements as lists of lists, by the shape."""
        return nest(self.flat(), self.shape)


def pack(datatype: str, values: list[Any], where: str) -> bytes:
    """Return numbers as little-endian bytes; a null in a floating-point array becomes NaN.

    Raises:
        BadRequest: a value is of another type or out of range.
    """
    code, _ = NUMBERS[datatype]
    try:
        if code == "?":
            return _pack_booleans(values)
        if code == "e":
            return struct.pack(f"<{len(values)}e", *_floats(values))
        if code in "fd":
            return _little(array(code, _floats(values)))
        return _little(array(code, values))
    except (TypeError, OverflowError, struct.error):
        raise BadRequest(f"{where}: an element of data is no {datatype}") from None


def _floats(values: list[Any]) -> list[Any]:
    if None in values:
        return [math.nan if value is None else value for value in values]
    return values


def _pack_booleans(values: list[Any]) -> bytes:
    if not all(value is True or value is False for value in values):
        raise TypeError
    return bytes(values)


def _little(values: array[Any]) -> bytes:
    if struct.pack("=H", 1) != b"\x01\x00":
        values.byteswap()
    return values.tobytes()


def unpack(datatype: str, raw: bytes) -> list[Any]:
    """Return the numbers in `raw`."""
    code, size = NUMBERS[datatype]
    if code in "?e":
        return list(struct.unpack(f"<{len(raw) // size}{code}", raw))
    values: array[Any] = array(code)
    values.frombytes(raw)
    if struct.pack("=H", 1) != b"\x01\x00":
        values.byteswap()
    return values.tolist()


def flatten(data: list[Any]) -> list[Any]:
    """Return nested lists as one; mixed depths are walked to the end."""
    depth = 0
    while data and type(data[0]) is list:
        depth += 1
        if depth > _MOST_DIMENSIONS:
            raise BadRequest("data is nested too deeply")
        if any(type(one) is not list for one in data):
            raise BadRequest("data is nested unevenly")
        data = list(chain.from_iterable(data))
    if any(type(one) is list for one in data):
        raise BadRequest("data is nested unevenly")
    return data


def nest(flat: list[Any], shape: list[int]) -> Any:
    """Return a flat list as lists of lists."""
    for size in reversed(shape[1:]):
        if size == 0:
            return [[] for _ in range(shape[0])]
        flat = [flat[start : start + size] for start in range(0, len(flat), size)]
    return flat


def shape_of(data: list[Any]) -> list[int]:
    """Return the shape of nested lists by their first elements."""
    shape = []
    level: Any = data
    while type(level) is list:
        shape.append(len(level))
        if len(shape) > _MOST_DIMENSIONS:
            raise BadRequest("data is nested too deeply")
        level = level[0] if level else None
    return shape


def infer(values: list[Any]) -> str:
    """Return the narrowest datatype for the elements of a column or tensor that nothing is known of."""
    kinds = {type(value) for value in values}
    if kinds <= {int} and kinds:
        return "INT64"
    if kinds <= {int, float, type(None)} and kinds - {type(None)}:
        return "FP64"
    if kinds == {bool}:
        return "BOOL"
    if kinds <= {str, type(None)}:
        return "BYTES"
    return JSON


def make(name: str, values: list[Any], shape: list[int], datatype: str) -> Tensor:
    """Return a tensor of flat values."""
    if datatype not in NUMBERS:
        return Tensor(name, datatype, shape, values=values)
    return Tensor(name, datatype, shape, raw=pack(datatype, values, f"input {name!r}"))


def to_frame(tensors: list[Tensor], extra: dict[str, Any]) -> tuple[bytes, bytes]:
    """Return the head and the blob of the frame that carries these arrays."""
    entries: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for one in tensors:
        entry: dict[str, Any] = {"name": one.name, "datatype": one.datatype, "shape": one.shape}
        if one.raw is None:
            entry["values"] = one.values
        else:
            entry["size"] = len(one.raw)
            blobs.append(one.raw)
        entries.append(entry)
    return msgspec.json.encode({**extra, "arrays": entries}), b"".join(blobs)


def from_frame(entries: list[dict[str, Any]], blob: bytes) -> list[Tensor]:
    """Return the arrays that a scorer's answer carries."""
    found = []
    at = 0
    for entry in entries:
        size = entry.get("size")
        raw = None if size is None else blob[at : at + size]
        at += size or 0
        found.append(Tensor(entry["name"], entry["datatype"], entry["shape"], raw=raw, values=entry.get("values")))
    return found
