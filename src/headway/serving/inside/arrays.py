"""Turn the arrays of a frame into what the model wants, and its answer into arrays again.

NumPy and pandas are used where the model's environment has them; without NumPy the model gets plain lists.
"""

# ruff: noqa: B905  # the Python of a model may be older than zip(strict=)

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
from typing import Any

import frames

try:
    import numpy as np
except ImportError:
    np = None

DTYPES = {
    "BOOL": "?",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
DATATYPES = {np.dtype(code): name for name, code in DTYPES.items()} if np else {}
COLUMN_TYPES = {"double": "float64", "float": "float32", "long": "int64", "integer": "int32", "boolean": "bool"}


def pandas() -> Any:
    """Return pandas, imported when first needed, or None where it is not installed."""
    found = sys.modules.get("pandas")
    if found is None and importlib.util.find_spec("pandas") is not None:
        found = importlib.import_module("pandas")
    return found


class BadInput(Exception):
    """The caller's arrays do not fit the model; the text names what the model wants, never what was sent."""


def read(entries: list[dict[str, Any]], blob: bytes) -> list[Any]:
    """Return the arrays of a request, flat lists where there is no NumPy."""
    found = []
    at = 0
    for entry in entries:
        if "values" in entry:
            found.append(_from_values(entry["values"], entry["shape"]))
            continue
        size = entry["size"]
        found.append(_from_bytes(blob[at : at + size], entry["datatype"], entry["shape"]))
        at += size
    return found


def _from_values(values: Any, shape: list[int]) -> Any:
    if np is None:
        return values
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array.reshape(shape)


def _from_bytes(data: bytes, datatype: str, shape: list[int]) -> Any:
    if np is None:
        return list(memoryview(data).cast(frames.NUMBERS[datatype][0]))
    return np.frombuffer(data, DTYPES[datatype]).reshape(shape)


def join(parts: list[list[Any]]) -> list[Any]:
    """Stack the arrays of several requests, column by column."""
    return [np.concatenate(column) if len(column) > 1 else column[0] for column in zip(*parts)]


class Shaper:
    """Builds the model's input by its signature: columns, tensors, or nothing known."""

    def __init__(self, signature: dict[str, Any], width: int | None) -> None:
        """Remember what the model wants; `width` is what the estimator says of itself, or None."""
        self.kind = signature.get("kind", "")
        self.inputs = signature.get("inputs", [])
        self.width = width

    def build(self, layout: str, names: list[str], arrays: list[Any]) -> Any:
        """Return a data frame, an array or a mapping of arrays.

        Raises:
            BadInput: the arrays do not fit.
        """
        if np is None:
            return dict(zip(names, arrays)) if layout == "table" or len(arrays) > 1 else arrays[0]
        if self.kind == "columns":
            return self._columns(names, arrays)
        if self.kind == "tensors":
            return self._tensors(names, arrays)
        return self._free(layout, names, arrays)

    def _columns(self, names: list[str], arrays: list[Any]) -> Any:
        wanted = [column["name"] for column in self.inputs]
        if len(arrays) == 1 and arrays[0].ndim == 2 and names[0] not in wanted:
            matrix = arrays[0]
            if matrix.shape[1] != len(wanted):
                raise BadInput(f"the model takes {len(wanted)} columns: {_some(wanted)}")
            arrays = [matrix[:, index] for index in range(len(wanted))]
            names = wanted
        given = dict(zip(names, arrays))
        built = {}
        for column in self.inputs:
            name = column["name"]
            if name in given:
                built[name] = cast(name, flat(name, given[name]), column["type"])
            elif column.get("required", True):
                raise BadInput(f"column {name!r} is missing; the model takes {_some(wanted)}")
            else:
                built[name] = [None] * len(arrays[0])
        return _frame(built)

    def _tensors(self, names: list[str], arrays: list[Any]) -> Any:
        if len(self.inputs) == 1:
            if len(arrays) != 1:
                if all(array.ndim == 1 for array in arrays):  # a table for a model of one matrix
                    return self._checked(self.inputs[0], np.column_stack(arrays))
                raise BadInput("the model takes one tensor")
            tensor = self._checked(self.inputs[0], arrays[0])
            return {self.inputs[0]["name"]: tensor} if self.inputs[0].get("name") else tensor
        given = dict(zip(names, arrays))
        missing = [one["name"] for one in self.inputs if one["name"] not in given]
        if missing:
            raise BadInput(f"tensor {missing[0]!r} is missing")
        return {one["name"]: self._checked(one, given[one["name"]]) for one in self.inputs}

    @staticmethod
    def _checked(wanted: dict[str, Any], array: Any) -> Any:
        shape = wanted.get("shape") or []
        fits = len(shape) == array.ndim and all(want in (-1, got) for want, got in zip(shape, array.shape))
        if shape and not fits:
            raise BadInput(f"the model takes shape {shape}")
        dtype = np.dtype(wanted["type"])
        if array.dtype == dtype or dtype.kind in "OUS":
            return array.astype(dtype) if dtype.kind in "US" else array
        if array.dtype.kind == "O":
            raise BadInput(f"the model takes {wanted['type']}")
        return array.astype(dtype)

    def _free(self, layout: str, names: list[str], arrays: list[Any]) -> Any:
        if layout == "table" or (len(arrays) > 1 and all(_is_column(array) for array in arrays)):
            if self.width not in (None, len(arrays)):
                raise BadInput(f"the model takes {self.width} columns")
            return _frame({name: flat(name, array) for name, array in zip(names, arrays)})
        if len(arrays) > 1:
            return dict(zip(names, arrays))
        array = arrays[0]
        if self.width is not None and (array.ndim != 2 or array.shape[1] != self.width):
            raise BadInput(f"the model takes {self.width} columns")
        return array


def _is_column(array: Any) -> bool:
    return array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:20])
    return shown + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def flat(name: str, array: Any) -> Any:
    """Return a column as one dimension; [n, 1] counts as [n]."""
    if array.ndim == 1:
        return array
    if _is_column(array):
        return array.reshape(-1)
    raise BadInput(f"column {name!r} takes one value per row")


def cast(name: str, array: Any, kind: str) -> Any:
    """Return a column in the type of the signature, where that loses nothing."""
    wanted = COLUMN_TYPES.get(kind)
    if wanted is None:
        return _cast_other(name, array, kind)
    dtype = np.dtype(wanted)
    if array.dtype == dtype:
        return array
    if array.dtype.kind == "O" or (dtype.kind == "b") != (array.dtype.kind == "b"):
        raise BadInput(f"column {name!r} takes {kind}")
    if dtype.kind == "i" and array.dtype.kind == "f" and not (np.mod(array, 1) == 0).all():
        raise BadInput(f"column {name!r} takes {kind}: whole numbers, none missing")
    return array.astype(dtype)


def _cast_other(name: str, array: Any, kind: str) -> Any:
    if kind == "string":
        if array.dtype.kind != "O":
            raise BadInput(f"column {name!r} takes string")
        return array.tolist()
    pd = pandas() if kind == "datetime" else None
    if pd is not None:
        try:
            return pd.to_datetime(pd.Series(array.tolist()))
        except (ValueError, TypeError):
            raise BadInput(f"column {name!r} takes datetime") from None
    return array.tolist() if array.dtype.kind == "O" else array


def _frame(columns: dict[str, Any]) -> Any:
    if len({len(column) for column in columns.values()}) > 1:
        raise BadInput("every column takes the same number of rows")
    pd = pandas()
    if pd is not None:
        kinds = {getattr(column, "dtype", None) for column in columns.values()}
        if len(kinds) == 1 and None not in kinds and len(columns) > 1:  # one block instead of one per column
            return pd.DataFrame(np.column_stack(list(columns.values())), columns=list(columns))
        return pd.DataFrame(columns)
    if all(getattr(column, "dtype", None) is not None for column in columns.values()):
        return np.column_stack(list(columns.values()))
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


# --- answers ---------------------------------------------------------------------------------------


def outputs(result: Any, names: list[str]) -> tuple[str, list[tuple[str, Any]]]:
    """Return a model's answer as (layout, [(name, array or list)]); `names` are the signature's, if any."""
    pd = sys.modules.get("pandas")  # a data frame cannot come from a process that never imported it
    if pd is not None and isinstance(result, pd.DataFrame):
        return "table", [(str(name), result[name].to_numpy()) for name in result.columns]
    if isinstance(result, dict):
        return "named", [(str(name), _array(value)) for name, value in result.items()]
    name = names[0] if len(names) == 1 and names[0] else "predictions"
    return "array", [(name, _array(result))]


def _array(value: Any) -> Any:
    if hasattr(value, "toarray"):
        value = value.toarray()
    pd = sys.modules.get("pandas")
    if pd is not None and isinstance(value, pd.Series):
        value = value.to_numpy()
    if np is None:
        return value if isinstance(value, list) else [value]
    try:
        array = np.asarray(value)
    except ValueError:  # ragged
        array = np.empty(len(value), dtype=object)
        array[:] = value
    return array.reshape(1) if array.ndim == 0 else array


def write(named: list[tuple[str, Any]]) -> tuple[list[dict[str, Any]], bytes, bool]:
    """Return (entries, blob, missing): what a frame's head says of the arrays, and whether a value is absent."""
    entries = []
    blobs = []
    missing = not named
    for name, array in named:
        entry, blob, lacks = _plain(name, array) if np is None else _numeric(name, array)
        entries.append(entry)
        blobs.append(blob)
        missing = missing or lacks
    return entries, b"".join(blobs), missing


def _numeric(name: str, array: Any) -> tuple[dict[str, Any], bytes, bool]:
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype("f8")
    datatype = DATATYPES.get(array.dtype.newbyteorder("<") if array.dtype.byteorder == ">" else array.dtype)
    shape = list(array.shape)
    if datatype is None:
        if array.dtype.kind == "M":
            array = np.datetime_as_string(array, unit="us")
        entry, _, lacks = _plain(name, array.reshape(-1).tolist())
        return {**entry, "shape": shape}, b"", lacks
    data = np.ascontiguousarray(array, DTYPES[datatype]).tobytes()
    lacks = not array.size or (array.dtype.kind == "f" and bool(np.isnan(array).any()))
    return {"name": name, "datatype": datatype, "shape": shape, "size": len(data)}, data, lacks


def _plain(name: str, values: list[Any]) -> tuple[dict[str, Any], bytes, bool]:
    is_text = all(value is None or isinstance(value, str) for value in values)
    clean = [_jsonable(value) for value in values]
    entry = {"name": name, "datatype": "BYTES" if is_text else "JSON", "shape": [len(values)], "values": clean}
    return entry, b"", not values or any(value is None for value in clean)


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _jsonable(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(one) for one in value]
    if hasattr(value, "tolist"):
        return _jsonable(value.tolist())
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float) and math.isnan(value):
        return None
    return value if value is None or isinstance(value, (str, int, float)) else str(value)
