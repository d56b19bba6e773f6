"""What an MLmodel file says, read as data: the model itself is never loaded, here or anywhere in the server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent

from headway.errors import NotFound, TooLarge, UsageError
from headway.registry.digest import walk

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headway.blobs.base import BlobStore

MAX_MLMODEL = 1_000_000
_MAX_EVENTS = 5_000  # keys, values and brackets; MLflow writes fewer than 300
_MAX_DEPTH = 50
_MAX_COLUMNS = 2_000

# Formats whose reading can run code (security.md, row 7).
_RUNS_CODE = (
    ".pkl",
    ".pickle",
    ".joblib",
    ".dill",
    ".cloudpickle",
    ".pt",
    ".pth",
    ".bin",
    ".ckpt",
    ".keras",
    ".h5",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One column, tensor or parameter of a signature."""

    name: str
    type: str
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFlavor:
    """What can be known of a model folder without loading it."""

    flavors: tuple[str, ...] = ()
    loader: str = ""  # the module that python_function would import
    python: str = ""
    mlflow: str = ""
    inputs: tuple[Field, ...] | None = None  # None = no signature
    outputs: tuple[Field, ...] | None = None
    contains_code: bool = False  # the project's own modules lie in the folder and would be imported
    contains_pickle: bool = False  # loading it runs whatever the file says
    files: int = 0
    size: int = 0

    @property
    def badge(self) -> str:
        """The warning to show beside the model; "" when loading runs only the flavour's own code."""
        parts = [("code", self.contains_code), ("pickle", self.contains_pickle)]
        found = " and ".join(name for name, there in parts if there)
        return f"contains {found}" if found else ""


def read_flavor(blobs: BlobStore, folder: str) -> ModelFlavor:
    """Read `MLmodel` below a folder key.

    Raises:
        NotFound: the folder has no MLmodel file.
        TooLarge, UsageError: it is not what MLflow writes.
    """
    files = list(walk(blobs, folder))
    meta = next((each for each in files if each.key == f"{folder}/MLmodel"), None)
    if meta is None:
        raise NotFound(f"{folder!r} has no MLmodel file", hint="log it with mlflow.<flavour>.log_model")
    if meta.size > MAX_MLMODEL:
        raise TooLarge(f"MLmodel of {meta.size} bytes is over the limit of {MAX_MLMODEL}")
    with blobs.open(meta.key) as stream:
        parsed = parse_mlmodel(stream.read(MAX_MLMODEL + 1))
    flavors = _mapping(parsed.get("flavors"))
    python = _mapping(flavors.get("python_function"))
    signature = _mapping(parsed.get("signature"))
    names = [each.key.lower() for each in files]
    return ModelFlavor(
        flavors=tuple(sorted(str(name) for name in flavors)),
        loader=_text(python.get("loader_module")),
        python=_text(python.get("python_version")),
        mlflow=_text(parsed.get("mlflow_version")),
        inputs=_fields(signature.get("inputs")),
        outputs=_fields(signature.get("outputs")),
        contains_code=any(_mapping(each).get("code") for each in flavors.values())
        or any(name.endswith(".py") for name in names),
        contains_pickle=any(name.endswith(_RUNS_CODE) for name in names),
        files=len(files),
        size=sum(each.size for each in files),
    )


def parse_mlmodel(raw: bytes) -> dict[str, Any]:
    """Return the plain mapping of an MLmodel file: scalars, lists and mappings, no tag is ever obeyed."""
    if len(raw) > MAX_MLMODEL:
        raise TooLarge(f"MLmodel is over the limit of {MAX_MLMODEL} bytes")
    reader = YAML(typ="safe", pure=True)
    reader.allow_duplicate_keys = False
    try:
        text = raw.decode()
        _check_shape(reader.parse(text))
        found = reader.load(text)
    except (YAMLError, UnicodeDecodeError, ValueError, RecursionError, AttributeError) as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError("MLmodel is not plain YAML", cause=cause[:300], hint="log the model again") from None
    if not isinstance(found, dict):
        raise UsageError("MLmodel is not a mapping", hint="log the model again")
    return found


def _check_shape(events: Iterable[Any]) -> None:
    """Refuse a file made to keep the parser busy, as soon as that shows: it is quadratic in the depth."""
    depth = 0
    for count, event in enumerate(events):
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if count > _MAX_EVENTS or depth > _MAX_DEPTH:
            raise TooLarge(
                f"MLmodel has more than {_MAX_EVENTS} parts or {_MAX_DEPTH} levels",
                hint="log the model again",
            )


def _fields(text: Any) -> tuple[Field, ...] | None:
    if not isinstance(text, str) or len(text) > MAX_MLMODEL:
        return None
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(listed, list):
        return None
    return tuple(_field(each, position) for position, each in enumerate(listed[:_MAX_COLUMNS]))


def _field(each: Any, position: int) -> Field:
    column = _mapping(each)
    spec = _mapping(column.get("tensor-spec"))
    kind = f"tensor({_text(spec.get('dtype'))}, {spec.get('shape')})" if spec else _text(column.get("type"))
    return Field(
        name=_text(column.get("name")) or str(position),
        type=kind[:100],
        required=column.get("required") is not False,
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value[:500] if isinstance(value, str) else ""
