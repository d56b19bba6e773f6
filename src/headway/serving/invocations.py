"""MLflow's scoring protocol and KServe's first one: bodies to arrays and back. Pure."""

from __future__ import annotations

import csv
import io
from typing import Any

import msgspec

from headway.serving.model_folder import Signature
from headway.serving.oip import decode
from headway.serving.tensors import JSON, BadRequest, Tensor, flatten, infer, make, shape_of

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_NUMERIC = {"double": "FP64", "float": "FP32", "long": "INT64", "integer": "INT32"}


class Invocation(msgspec.Struct):
    """What to ask the model."""

    tensors: list[Tensor]
    layout: str  # table | tensors
    parameters: dict[str, Any]


def parse_invocation(body: bytes, content_type: str, signature: Signature) -> Invocation:
    """Read the body of `/invocations`.

    Raises:
        BadRequest: 415 for another content type, 400 for anything that is not one of the forms.
    """
    kind, _, options = content_type.partition(";")
    kind = kind.strip().lower()
    charset = options.strip().lower().replace('"', "")
    if kind not in ("application/json", "text/csv") or charset not in ("", "charset=utf-8"):
        raise BadRequest("Content-Type must be application/json or text/csv, in UTF-8", 415)
    if kind == "text/csv":
        return Invocation(_from_csv(body, signature), "table", {})
    plain = decode(body)
    present = [form for form in FORMS if form in plain]
    if len(present) != 1:
        raise BadRequest(f"the body must have exactly one of {', '.join(FORMS)}")
    parameters = plain.get("params") or {}
    if not isinstance(parameters, dict):
        raise BadRequest("params must be an object")
    form = present[0]
    layout, tensors = _READERS[form](plain[form], signature)
    if not tensors:
        raise BadRequest(f"{form} is empty")
    return Invocation(tensors, layout, parameters)


def _from_split(value: Any, signature: Signature) -> tuple[str, list[Tensor]]:
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        raise BadRequest("dataframe_split must be an object with columns and data")
    rows = value["data"]
    names = value.get("columns")
    if names is None and signature.kind == "columns":
        names = [one.name for one in signature.inputs]
    if names is None and rows and isinstance(rows[0], list):
        names = list(range(len(rows[0])))
    if not isinstance(names, list):
        raise BadRequest("dataframe_split.columns must be a list of names")
    if not all(type(row) is list and len(row) == len(names) for row in rows):
        raise BadRequest("every row of dataframe_split.data must be a list with one value per column")
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in names]
    return "table", _table([str(name) for name in names], columns, signature)


def _from_records(value: Any, signature: Signature) -> tuple[str, list[Tensor]]:
    if not isinstance(value, list) or not all(type(row) is dict for row in value):
        raise BadRequest("dataframe_records must be a list of objects")
    names = list(dict.fromkeys(name for row in value for name in row))
    return "table", _table(names, [[row.get(name) for row in value] for name in names], signature)


def _from_instances(value: Any, signature: Signature) -> tuple[str, list[Tensor]]:
    if not isinstance(value, list) or not value:
        raise BadRequest("instances must be a list with at least one row")
    if type(value[0]) is dict:
        layout, tensors = _from_records(value, signature)
        return (layout, tensors) if signature.kind != "tensors" else ("tensors", tensors)
    return "tensors", [_tensor("input", value, signature)]


def _from_inputs(value: Any, signature: Signature) -> tuple[str, list[Tensor]]:
    if isinstance(value, list):
        return _from_instances(value, signature)
    if not isinstance(value, dict):
        raise BadRequest("inputs must be a list, or an object of lists by name")
    columns = {name: one if isinstance(one, list) else [one] for name, one in value.items()}
    if signature.kind == "tensors":
        return "tensors", [_tensor(name, one, signature) for name, one in columns.items()]
    if len({len(one) for one in columns.values()}) > 1:
        raise BadRequest("every list of inputs must have the same length")
    return "table", _table(list(columns), list(columns.values()), signature)


_READERS = {
    "dataframe_split": _from_split,
    "dataframe_records": _from_records,
    "instances": _from_instances,
    "inputs": _from_inputs,
}


def _table(names: list[str], columns: list[list[Any]], signature: Signature) -> list[Tensor]:
    types = {one.name: one.type for one in signature.inputs} if signature.kind == "columns" else {}
    if types:  # what the model does not know is left out, as MLflow does
        pairs = [(name, column) for name, column in zip(names, columns, strict=True) if name in types]
        if not pairs and names:
            raise BadRequest(f"none of the columns is one of the model's: {_some(list(types))}")
        return [_column(name, column, types[name]) for name, column in pairs]
    return [_column(name, column, "") for name, column in zip(names, columns, strict=True)]


def _some(names: list[str]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _column(name: str, values: list[Any], kind: str) -> Tensor:
    shape = [len(values)]
    found = infer(values)
    if kind in _NUMERIC:
        if found == "BYTES" and all(value is None for value in values):
            found = "FP64"
        if found not in ("INT64", "FP64"):
            raise BadRequest(f"column {name!r} takes {kind}")
        # A missing whole number travels as NaN: the model's signature decides whether it may be missing.
        datatype = "FP64" if found == "FP64" else _NUMERIC[kind]
        return make(name, values, shape, datatype)
    if kind == "boolean" and found != "BOOL":
        raise BadRequest(f"column {name!r} takes {kind}")
    if kind in ("string", "datetime", "binary"):
        if found != "BYTES":
            raise BadRequest(f"column {name!r} takes {kind}")
        return make(name, values, shape, "BYTES")
    if kind and kind != "boolean":
        return make(name, values, shape, JSON)
    return make(name, values, shape, found)


def _tensor(name: str, data: list[Any], signature: Signature) -> Tensor:
    shape = shape_of(data)
    values = flatten(data)
    elements = 1
    for size in shape:
        elements *= size
    if elements != len(values):
        raise BadRequest("the rows have different lengths")
    datatype = infer(values)
    known = next((one.datatype for one in signature.inputs if one.name in (name, "")), datatype)
    if signature.kind == "tensors" and datatype == "INT64" and known.startswith("FP"):
        datatype = known
    return make(name, values, shape, datatype)


def _from_csv(body: bytes, signature: Signature) -> list[Tensor]:
    try:
        rows = [row for row in csv.reader(io.StringIO(body.decode("utf-8-sig"))) if row]
    except (UnicodeDecodeError, csv.Error):
        raise BadRequest("the body is not CSV in UTF-8") from None
    if len(rows) < 2:
        raise BadRequest("CSV needs a header line and at least one row")
    names, data = rows[0], rows[1:]
    if not all(len(row) == len(names) for row in data):
        raise BadRequest("every line of the CSV must have as many fields as the header")
    types = {one.name: one.type for one in signature.inputs}
    columns = [
        _typed(list(column), types.get(name, "")) for name, column in zip(names, zip(*data, strict=True), strict=True)
    ]
    return _table(names, columns, signature)


def _typed(texts: list[str], kind: str) -> list[Any]:
    if kind in ("string", "datetime", "binary"):
        return [text or None for text in texts]
    if kind == "boolean" or (not kind and all(text in ("true", "false", "True", "False") for text in texts)):
        return [{"true": True, "false": False}.get(text.lower()) for text in texts]
    for convert in (int, float):
        try:
            return [convert(text) if text else None for text in texts]
        except ValueError:
            continue
    return [text or None for text in texts]


def predictions(layout: str, tensors: list[Tensor]) -> Any:
    """Return the answer in MLflow's form: a list, records of a table, or lists by name."""
    if layout == "table":
        names = [one.name for one in tensors]
        return [dict(zip(names, row, strict=True)) for row in zip(*(one.nested() for one in tensors), strict=True)]
    if layout == "named":
        return {one.name: one.nested() for one in tensors}
    return tensors[0].nested()
