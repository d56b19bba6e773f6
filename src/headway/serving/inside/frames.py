"""Frames between the endpoint and a scorer: requests and answers interleave on one stream by number.

A frame is a fixed header, a JSON head and a blob. Arrays travel as entries of the head, `{name, datatype,
shape}` with either `size` (the next so many bytes of the blob, little-endian) or `values` (a flat list).
Datatypes are the Open Inference Protocol's; JSON stands for values that it has no word for.
"""

from __future__ import annotations

import struct

HEADER = struct.Struct("<IIIB")  # bytes after the header, request number, bytes of the head, kind

# From the endpoint.
LOAD = 1
PREDICT = 2
STOP = 3
# From the scorer.
LOADED = 16
NOT_LOADED = 17
ANSWER = 18
BAD_INPUT = 19
MODEL_ERROR = 20

# datatype -> (typecode of struct and array, bytes)
NUMBERS = {
    "BOOL": ("?", 1),
    "UINT8": ("B", 1),
    "UINT16": ("H", 2),
    "UINT32": ("I", 4),
    "UINT64": ("Q", 8),
    "INT8": ("b", 1),
    "INT16": ("h", 2),
    "INT32": ("i", 4),
    "INT64": ("q", 8),
    "FP16": ("e", 2),
    "FP32": ("f", 4),
    "FP64": ("d", 8),
}

Frame = tuple[int, int, bytes, bytes]  # kind, number, head, blob


def pack(kind: int, number: int, head: bytes, blob: bytes = b"") -> bytes:
    """Return the bytes of one frame."""
    return HEADER.pack(len(head) + len(blob), number, len(head), kind) + head + blob


def take(buffer: bytearray) -> list[Frame]:
    """Remove every complete frame from the front of `buffer` and return them in order."""
    found: list[Frame] = []
    at = 0
    end = len(buffer)
    while end - at >= HEADER.size:
        length, number, head_length, kind = HEADER.unpack_from(buffer, at)
        start = at + HEADER.size
        if end - start < length:
            break
        cut = start + head_length
        at = start + length
        found.append((kind, number, bytes(buffer[start:cut]), bytes(buffer[cut:at])))
    if at:
        del buffer[:at]
    return found
