"""Load a model folder with what its own environment brings; the only place that runs a model's pickles."""

# the Python of a model may be older than zip(strict=)

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PICKLES = (".pkl", ".pickle", ".cloudpickle")


class Loaded:
    """A model ready to predict, with how it was loaded and what else it can tell."""

    def __init__(self, predict: Callable[..., Any], loader: str, raw: Any = None) -> None:
        """Keep the callable; `raw` is the estimator behind it, if one is in reach."""
        self.predict = predict
        self.loader = loader
        self.raw = raw

    @property
    def has_probabilities(self) -> bool:
        """Whether the model can say how sure it is of each class."""
        return callable(getattr(self.raw, "predict_proba", None))

    @property
    def width(self) -> int | None:
        """How many columns the estimator was fitted on; None when it does not say."""
        found = getattr(self.raw, "n_features_in_", None)
        return int(found) if found is not None else None


class NotLoadable(Exception):
    """The folder holds nothing that this environment can load; the text says what was tried."""


def load_model(folder: Path, flavors: dict[str, Any]) -> Loaded:
    """Try the loaders from the most to the least particular one; the first that applies decides.

    scikit-learn models come without MLflow where they can: its import alone takes seconds of every start.
    """
    own = folder / "headway_model.py"
    if own.exists():
        return _load_own(own, folder)
    if _is_plain_sklearn(flavors):
        try:
            return _load_sklearn(folder, flavors)
        except ImportError as error:
            print("the scikit-learn flavour needs", error.name, "- trying MLflow", flush=True)
    if flavors:
        return _load_flavors(folder, flavors)
    return _load_single_file(folder)


def _load_own(path: Path, folder: Path) -> Loaded:
    sys.path.insert(0, str(folder))
    specification = importlib.util.spec_from_file_location("headway_model", path)
    if specification is None or specification.loader is None:
        raise NotLoadable("headway_model.py cannot be imported")
    module = importlib.util.module_from_spec(specification)
    sys.modules["headway_model"] = module
    specification.loader.exec_module(module)
    model = module.load(str(folder))
    return _wrap(model, "headway_model.py")


def _is_plain_sklearn(flavors: dict[str, Any]) -> bool:
    flavor = flavors.get("sklearn") or {}
    generic = flavors.get("python_function") or {}
    return bool(flavor.get("pickled_model")) and not flavor.get("code") and not generic.get("code")


def _load_sklearn(folder: Path, flavors: dict[str, Any]) -> Loaded:
    flavor = flavors["sklearn"]
    model = _load_file(folder / flavor["pickled_model"], flavor.get("serialization_format", ""))
    name = (flavors.get("python_function") or {}).get("predict_fn", "predict")
    return Loaded(getattr(model, name), "sklearn", raw=model)


def _load_flavors(folder: Path, flavors: dict[str, Any]) -> Loaded:
    if importlib.util.find_spec("mlflow") is not None:
        model = _foreign("mlflow.pyfunc").load_model(str(folder))
        return Loaded(model.predict, "mlflow.pyfunc", raw=_raw_model(model))
    generic = flavors.get("python_function") or {}
    if generic.get("code"):
        sys.path.insert(0, str(folder / generic["code"]))
    module = generic.get("loader_module", "")
    if module and not module.startswith("mlflow.") and importlib.util.find_spec(module.split(".")[0]):
        data = str(folder / generic["data"] if generic.get("data") else folder)
        # The name is MLflow's contract for loader modules.
        return _wrap(importlib.import_module(module)._load_pyfunc(data), module)  # noqa: SLF001  # see above
    raise NotLoadable(
        "flavours " + ", ".join(sorted(flavors)) + " need MLflow, which the training environment does not have; "
        "add mlflow-skinny to its lock file"
    )


def _raw_model(model: Any) -> Any:
    try:
        return model.get_raw_model()
    except Exception:
        return None


def _load_single_file(folder: Path) -> Loaded:
    known = (*PICKLES, ".joblib", ".skops")
    found = [path for path in sorted(folder.iterdir()) if path.name.endswith(known)]
    if len(found) != 1:
        raise NotLoadable(
            f"no MLmodel file, no headway_model.py and {len(found)} files that end with {', '.join(known)}; "
            "log the model with MLflow, or write headway_model.py with load(folder)"
        )
    return _wrap(_load_file(found[0], ""), found[0].name)


def _load_file(path: Path, form: str) -> Any:
    if form == "skops" or path.suffix == ".skops":
        # Types outside the allow-list may run code: this process is the place where that may happen.
        skops = _foreign("skops.io")
        return skops.load(path, trusted=skops.get_untrusted_types(file=path))
    if path.suffix == ".joblib" or form == "joblib":
        return _foreign("joblib").load(path)
    with path.open("rb") as stream:
        return _foreign("pickle").load(stream)


def _foreign(name: str) -> Any:
    # By name, so that the rule "nothing in headway imports these" can be checked without an exception.
    return importlib.import_module(name)


def _wrap(model: Any, loader: str) -> Loaded:
    predict = getattr(model, "predict", None) or model
    if not callable(predict):
        raise NotLoadable(f"what {loader} gave has no predict method and cannot be called")
    return Loaded(predict, loader, raw=model)


def read_example(folder: Path, info: dict[str, Any]) -> tuple[str, dict[str, list[Any]]] | None:
    """Return the input example as (layout, values by name); None when there is none in a form that is known."""
    path = folder / info.get("artifact_path", "input_example.json")
    if not path.exists():
        return None
    found = json.loads(path.read_text("utf-8"))
    if isinstance(found, list) and found:
        return "tensors", {"input": found}
    if not isinstance(found, dict):
        return None
    rows = found.get("data")
    if isinstance(rows, list) and rows and all(isinstance(row, list) for row in rows):
        names = found.get("columns") or range(len(rows[0]))
        return "table", {str(name): [row[at] for row in rows] for at, name in enumerate(names)}
    if found and info.get("type") == "ndarray" and all(isinstance(values, list) for values in found.values()):
        return "tensors", found
    return None
