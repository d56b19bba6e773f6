"""The Open Inference Protocol v2 over REST: bodies to arrays and back, with binary tensors. Pure."""

from __future__ import annotations

import math
import struct
from typing import Any

import msgspec

from headway.serving.inside.frames import NUMBERS
from headway.serving.tensors import BadRequest, Tensor, flatten, pack

_MOST_ELEMENTS = 1 << 28


class InferRequest(msgspec.Struct):
    """A checked request: what to ask, and in which form to answer."""

    id: str | None
    tensors: list[Tensor]
    parameters: dict[str, Any]
    outputs: list[str]  # () = all
    binary: set[str]  # outputs wanted as bytes
    binary_all: bool


def parse_infer(body: bytes, header_length: int | None) -> InferRequest:
    """Read a request; with `header_length` only so many bytes are JSON and raw tensors follow.

    Raises:
        BadRequest: anything that the specification forbids.
    """
    head, blob = body, b""
    if header_length is not None:
        if not 0 < header_length <= len(body):
            raise BadRequest("Inference-Header-Content-Length does not fit the body")
        head, blob = body[:header_length], body[header_length:]
    plain = decode(head)
    inputs = plain.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise BadRequest("inputs must be a list of at least one tensor")
    tensors = []
    at = 0
    for index, one in enumerate(inputs):
        tensor, size = _tensor(one, f"inputs[{index}]", blob, at)
        tensors.append(tensor)
        at += size
    if at != len(blob):
        raise BadRequest(f"{len(blob)} bytes follow the JSON, binary_data_size adds up to {at}")
    request_id = plain.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise BadRequest("id must be a string")
    parameters = _parameters(plain, "the request")
    names, binary = _outputs(plain.get("outputs"))
    wants_all = parameters.pop("binary_data_output", False) is True
    return InferRequest(request_id, tensors, parameters, names, binary, wants_all)


def decode(body: bytes) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        BadRequest: the bytes are something else.
    """
    try:
        plain = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {_position(error)}") from None
    if not isinstance(plain, dict):
        raise BadRequest("the body must be a JSON object")
    return plain


def _position(error: Exception) -> str:
    # msgspec names the byte, never the content.
    return str(error)[:200] if isinstance(error, msgspec.DecodeError) else "it cannot be decoded"


def _tensor(one: Any, where: str, blob: bytes, at: int) -> tuple[Tensor, int]:
    name, datatype, shape = _described(one, where)
    size = _parameters(one, where).get("binary_data_size")
    if size is not None:
        if type(size) is not int or size < 0 or at + size > len(blob):
            raise BadRequest(f"{where}: binary_data_size does not fit the body")
        return _binary(name, datatype, shape, blob[at : at + size], where), size
    data = one.get("data")
    if not isinstance(data, list):
        raise BadRequest(f"{where}.data must be an array")
    values = flatten(data)
    if len(values) != math.prod(shape):
        raise BadRequest(f"{where}: the shape says {math.prod(shape)} elements, data has {len(values)}")
    if datatype == "BYTES":
        if not all(value is None or type(value) is str for value in values):
            raise BadRequest(f"{where}: an element of data is no BYTES")
        return Tensor(name, datatype, shape, values=values), 0
    _refuse_booleans(values, datatype, where)
    return Tensor(name, datatype, shape, raw=pack(datatype, values, where)), 0


def _described(one: Any, where: str) -> tuple[str, str, list[int]]:
    if not isinstance(one, dict):
        raise BadRequest(f"{where} must be an object")
    name, datatype, shape = one.get("name"), one.get("datatype"), one.get("shape")
    if not isinstance(name, str) or not name:
        raise BadRequest(f"{where}.name must be a string")
    if not isinstance(datatype, str) or (datatype not in NUMBERS and datatype != "BYTES"):
        raise BadRequest(f"{where}.datatype must be one of {', '.join(NUMBERS)}, BYTES")
    if not isinstance(shape, list) or not shape or not all(type(size) is int and size >= 0 for size in shape):
        raise BadRequest(f"{where}.shape must be a list of numbers of at least 0")
    if math.prod(shape) > _MOST_ELEMENTS:
        raise BadRequest(f"{where}.shape has too many elements")
    return name, datatype, shape


def _refuse_booleans(values: list[Any], datatype: str, where: str) -> None:
    # array() takes true for 1.
    if datatype != "BOOL" and any(type(value) is bool for value in values):
        raise BadRequest(f"{where}: an element of data is no {datatype}")


def _binary(name: str, datatype: str, shape: list[int], data: bytes, where: str) -> Tensor:
    elements = math.prod(shape)
    if datatype == "BYTES":
        return Tensor(name, datatype, shape, values=_strings(data, elements, where))
    if len(data) != elements * NUMBERS[datatype][1]:
        raise BadRequest(f"{where}: {len(data)} bytes are not {elements} elements of {datatype}")
    return Tensor(name, datatype, shape, raw=data)


def _strings(data: bytes, elements: int, where: str) -> list[str]:
    found: list[str] = []
    at = 0
    while at + 4 <= len(data) and len(found) < elements:
        (length,) = struct.unpack_from("<I", data, at)
        at += 4
        found.append(data[at : at + length].decode("utf-8", "replace"))
        at += length
    if at != len(data) or len(found) != elements:
        raise BadRequest(f"{where}: the bytes are not {elements} strings with their lengths")
    return found


def _parameters(owner: dict[str, Any], where: str) -> dict[str, Any]:
    found = owner.get("parameters")
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(one, (str, int, float, bool)) for one in found.values()):
        raise BadRequest(f"{where}: parameters must be strings, numbers or booleans by name")
    return dict(found)


def _outputs(wanted: Any) -> tuple[list[str], set[str]]:
    if wanted is None:
        return [], set()
    if not isinstance(wanted, list):
        raise BadRequest("outputs must be a list")
    names, binary = [], set()
    for index, one in enumerate(wanted):
        name = one.get("name") if isinstance(one, dict) else None
        if not isinstance(name, str):
            raise BadRequest(f"outputs[{index}].name must be a string")
        names.append(name)
        if _parameters(one, f"outputs[{index}]").get("binary_data") is True:
            binary.add(name)
    return names, binary


def select(tensors: list[Tensor], request: InferRequest) -> list[Tensor]:
    """Return the outputs that were asked for, in that order.

    Raises:
        BadRequest: the model has no output of that name.
    """
    if not request.outputs:
        return tensors
    known = {one.name: one for one in tensors}
    missing = [index for index, name in enumerate(request.outputs) if name not in known]
    if missing:
        raise BadRequest(f"outputs[{missing[0]}]: the model has no such output; it has {', '.join(known)}")
    return [known[name] for name in request.outputs]


def answer(request: InferRequest, tensors: list[Tensor], head: dict[str, Any]) -> tuple[bytes, int | None]:
    """Return the body and, where raw tensors follow the JSON, the length of the JSON."""
    outputs = []
    blobs = []
    for one in tensors:
        entry: dict[str, Any] = {"name": one.name, "shape": one.shape}
        entry["datatype"] = one.datatype if one.datatype in NUMBERS else "BYTES"
        if request.binary_all or one.name in request.binary:
            data = one.raw if one.raw is not None else _lengths(one.flat())
            entry["parameters"] = {"binary_data_size": len(data)}
            blobs.append(data)
        else:
            entry["data"] = one.flat() if one.datatype in NUMBERS else [_text(value) for value in one.flat()]
        outputs.append(entry)
    body = msgspec.json.encode({**head, "outputs": outputs})
    if not blobs:
        return body, None
    return body + b"".join(blobs), len(body)


def _text(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode()


def _lengths(values: list[Any]) -> bytes:
    parts = []
    for value in values:
        data = (_text(value) or "").encode()
        parts.append(struct.pack("<I", len(data)) + data)
    return b"".join(parts)
