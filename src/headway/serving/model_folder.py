"""Read what a model folder says of itself: flavours, signature, input example. Nothing of it is executed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from headway.errors import UsageError

_MOST_BYTES = 1 << 20

# MLflow's column types and NumPy's names -> datatypes of the Open Inference Protocol.
DATATYPES = {
    "boolean": "BOOL",
    "integer": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
    "string": "BYTES",
    "binary": "BYTES",
    "datetime": "BYTES",
    "bool": "BOOL",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    **{f"int{bits}": f"INT{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"UINT{bits}" for bits in (8, 16, 32, 64)},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output of a signature: a column (no shape) or a tensor (shape with -1 for any)."""

    name: str
    type: str  # MLflow's column type or NumPy's dtype
    shape: tuple[int, ...] = ()
    required: bool = True

    @property
    def datatype(self) -> str:
        """The protocol's word for the type."""
        return DATATYPES.get(self.type, "BYTES")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What goes in and out; `kind` is columns, tensors, or empty when the model does not say."""

    kind: str = ""
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """The MLmodel file, typed; everything empty for a folder without one."""

    path: str
    flavors: dict[str, Any] = field(default_factory=dict)
    signature: Signature = field(default_factory=Signature)
    example: dict[str, Any] = field(default_factory=dict)
    takes_parameters: bool = False

    @property
    def platform(self) -> str:
        """The name that model metadata states."""
        special = sorted(set(self.flavors) - {"python_function"})
        return f"mlflow_{special[0]}" if special else "mlflow_pyfunc" if self.flavors else "python"

    def order(self, memory_mb: int | None = None) -> bytes:
        """Return the head of the frame that tells a scorer to load this folder, within so much memory."""
        return msgspec.json.encode(
            {
                "folder": self.path,
                "flavors": self.flavors,
                "signature": self.signature,
                "example": self.example,
                "takes_parameters": self.takes_parameters,
                "memory_mb": memory_mb,
            }
        )


def read_model_folder(path: Path) -> ModelFolder:
    """Describe the model in `path`.

    Raises:
        UsageError: the folder is not there, or its MLmodel file cannot be read.
    """
    if not path.is_dir():
        raise UsageError(
            f"the model folder {path.name!r} is not there",
            cause="a version's files are unpacked before it is deployed",
            hint="deploy the version again; if that does not help, register it again",
        )
    file = path / "MLmodel"
    if not file.exists():
        return ModelFolder(path=str(path))
    try:
        return _folder(path, _read_yaml(file))
    except (YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            "the model's MLmodel file cannot be read",
            cause=f"{type(error).__name__}: {error}"[:500],
            hint="save the model again with mlflow.<flavour>.log_model",
        ) from error


def _read_yaml(file: Path) -> dict[str, Any]:
    if file.stat().st_size > _MOST_BYTES:
        raise ValueError("the file is larger than 1 MiB")
    plain = YAML(typ="safe", pure=True).load(file.read_text("utf-8"))
    return dict(plain)


def _folder(path: Path, plain: dict[str, Any]) -> ModelFolder:
    signature = plain.get("signature") or {}
    flavors = json.loads(json.dumps(plain.get("flavors") or {}, default=str))
    return ModelFolder(
        path=str(path),
        flavors={str(name): flavor or {} for name, flavor in flavors.items()},
        signature=_signature(signature.get("inputs"), signature.get("outputs")),
        example={str(key): str(value) for key, value in (plain.get("saved_input_example_info") or {}).items()},
        takes_parameters=bool(signature.get("params")),
    )


def _signature(inputs: str | None, outputs: str | None) -> Signature:
    if not inputs:
        return Signature(outputs=_specs(outputs))
    specs = _specs(inputs)
    if specs and all(spec.shape for spec in specs):
        return Signature(kind="tensors", inputs=specs, outputs=_specs(outputs))
    if all(spec.name for spec in specs):
        return Signature(kind="columns", inputs=specs, outputs=_specs(outputs))
    return Signature(outputs=_specs(outputs))  # columns without names say nothing that can be checked


def _specs(text: str | None) -> tuple[TensorSpec, ...]:
    found = json.loads(text) if text else []
    return tuple(_spec(one) for one in found)


def _spec(one: dict[str, Any]) -> TensorSpec:
    name = str(one.get("name") or "")
    required = bool(one.get("required", not one.get("optional", False)))
    if one["type"] == "tensor":
        inner = one["tensor-spec"]
        shape = tuple(int(size) for size in inner["shape"])
        return TensorSpec(name=name, type=str(inner["dtype"]), shape=shape, required=required)
    return TensorSpec(name=name, type=str(one["type"]), required=required)
