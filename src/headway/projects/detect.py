"""What a folder of Python looks like to somebody who has never seen it: for the first headway.yaml."""

from __future__ import annotations

import ast
import posixpath
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headway.ids import NAME
from headway.projects.build import goal_of
from headway.projects.model import Goal

_LOCKS = ("uv.lock", "requirements.lock", "requirements.txt", "pyproject.toml")
_OTHER_LOCKS = ("poetry.lock", "Pipfile.lock", "pdm.lock", "environment.yml", "environment.yaml", "conda-lock.yml")
_NOT_SCRIPTS = re.compile(
    r"(?:^|/)(?:tests?|docs?|\.[^/]*|node_modules|venv|build|dist)/|(?:^|/)(?:test_[^/]*|setup|conftest|__init__)\.py$"
)
_SCRIPT_NAMES = ("train", "main", "run", "fit", "model", "pipeline", "app")
_VERSION = re.compile(r"3\.[0-9]{1,2}")
# What a person would look at first, when a script logs many numbers.
_TELLING = ("auc", "f1", "accuracy", "acc", "rmse", "mae", "r2", "logloss", "log_loss", "loss", "mse")
LARGEST_SCRIPT = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A finding and where it stands, so that a person can check it."""

    name: str
    file: str
    line: int

    @property
    def place(self) -> str:
        """As terminals know to jump to it."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """What was found; None or empty where nothing was."""

    script: str | None = None
    lockfile: str | None = None
    other_lockfile: str | None = None  # of a tool that Headway does not speak
    python: str | None = None
    mlflow: Seen | None = None  # its import
    autolog: Seen | None = None
    metrics: tuple[Seen, ...] = ()  # in the order of the script
    model: Seen | None = None  # where a model is logged already
    primary: Seen | None = None
    goal: Goal = Goal.MAXIMIZE


def detect(files: Mapping[str, bytes]) -> Detected:
    """Return what the files of a folder (path in it -> bytes) tell; nothing of them is run."""
    found = {path: _look(path, data) for path, data in sorted(files.items()) if _is_script(path)}
    script = _entry(found)
    look = found.get(script or "", _Look())
    # What the script logs through a module of its own counts where the script itself logs nothing.
    others = [each for path, each in found.items() if path != script]
    metrics = look.metrics or next((each.metrics for each in others if each.metrics), ())
    primary = _primary(metrics)
    return Detected(
        script=script,
        lockfile=next((name for name in _LOCKS if name in files), None),
        other_lockfile=next((name for name in _OTHER_LOCKS if name in files), None),
        python=_python(files),
        mlflow=look.mlflow or next((each.mlflow for each in others if each.mlflow), None),
        autolog=look.autolog or next((each.autolog for each in others if each.autolog), None),
        metrics=metrics,
        model=look.model or next((each.model for each in others if each.model), None),
        primary=primary,
        goal=goal_of(primary.name) if primary else Goal.MAXIMIZE,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What one script shows."""

    mlflow: Seen | None = None
    autolog: Seen | None = None
    model: Seen | None = None
    metrics: tuple[Seen, ...] = ()
    has_main: bool = False


def _is_script(path: str) -> bool:
    return path.endswith(".py") and path.count("/") <= 2 and not _NOT_SCRIPTS.search(path)


def _look(path: str, data: bytes) -> _Look:
    if len(data) > LARGEST_SCRIPT:
        return _Look()
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _Look()  # a script for another Python, or none at all
    names = _imported(tree)
    calls = [(name, call) for call in _calls(tree) if (name := _called(call.func, names))]
    metrics: dict[str, Seen] = {}
    for name, call in calls:
        for each in _metric_names(name, call):
            metrics.setdefault(each, Seen(name=each, file=path, line=call.lineno))
    if not metrics and b"metrics.json" in data:
        metrics = {name: Seen(name=name, file=path, line=line) for name, line in _dumped(tree)}
    return _Look(
        mlflow=next((Seen(name="mlflow", file=path, line=line) for line in _mlflow_imports(tree)), None),
        autolog=_first(calls, "autolog", path),
        model=_first(calls, "log_model", path) or _first(calls, "save_model", path),
        metrics=tuple(metrics.values()),
        has_main=any(_is_main(node) for node in tree.body),
    )


def _calls(tree: ast.Module) -> Iterator[ast.Call]:
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return iter(sorted(found, key=lambda call: (call.lineno, call.col_offset)))


def _mlflow_imports(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        else:
            continue
        if any(module.split(".")[0] == "mlflow" for module in modules):
            yield node.lineno


def _imported(tree: ast.Module) -> dict[str, str]:
    """Return the local names that mean MLflow or something in it."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                if each.name.split(".")[0] == "mlflow":
                    names[each.asname or "mlflow"] = each.name if each.asname else "mlflow"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mlflow":
            names.update({each.asname or each.name: f"{node.module}.{each.name}" for each in node.names})
    return names


def _called(function: ast.expr, names: Mapping[str, str]) -> str:
    """Return the dotted MLflow name of what is called; "" for anything else."""
    parts: list[str] = []
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    if not isinstance(function, ast.Name) or function.id not in names:
        return ""
    return ".".join((names[function.id], *reversed(parts)))


def _metric_names(name: str, call: ast.Call) -> Iterator[str]:
    last = name.rpartition(".")[2]
    if last not in {"log_metric", "log_metrics"}:
        return
    wanted = {"log_metric": "key", "log_metrics": "metrics"}[last]
    given = call.args[0] if call.args else next((each.value for each in call.keywords if each.arg == wanted), None)
    if last == "log_metric" and isinstance(given, ast.Constant) and isinstance(given.value, str):
        yield given.value
    elif last == "log_metrics" and isinstance(given, ast.Dict):
        yield from _keys(given)


def _keys(given: ast.Dict) -> Iterator[str]:
    for key in given.keys:
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield key.value


def _dumped(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the keys of what is written as JSON, for a script that writes metrics.json itself."""
    for call in _calls(tree):
        is_dump = isinstance(call.func, ast.Attribute) and call.func.attr in {"dump", "dumps"}
        if is_dump and call.args and isinstance(call.args[0], ast.Dict):
            for name in _keys(call.args[0]):
                yield name, call.lineno


def _first(calls: list[tuple[str, ast.Call]], verb: str, path: str) -> Seen | None:
    return next(
        (Seen(name=name, file=path, line=call.lineno) for name, call in calls if name.rpartition(".")[2] == verb),
        None,
    )


def _is_main(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__main__" in ast.dump(node.test)


def _entry(found: Mapping[str, _Look]) -> str | None:
    """Return the script that trains, most likely; None where no file looks like one."""

    def score(path: str) -> tuple[int, ...]:
        look, stem = found[path], posixpath.basename(path).removesuffix(".py").lower()
        by_name = len(_SCRIPT_NAMES) - _SCRIPT_NAMES.index(stem) if stem in _SCRIPT_NAMES else 0
        is_training = 2 * (stem == "train") + ("train" in stem)
        return (is_training, bool(look.metrics), bool(look.mlflow), by_name, look.has_main, -path.count("/"))

    if not found:
        return None
    best = max(sorted(found), key=score)
    return best if any(score(best)[:5]) or len(found) == 1 else None


def _primary(metrics: tuple[Seen, ...]) -> Seen | None:
    """Return the metric to judge by: one of a held-out part first, then the telling ones, then the first."""
    usable = [each for each in metrics if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._/-]{0,127}", each.name)]

    def rank(seen: Seen) -> tuple[bool, int]:
        words = re.split(r"[^a-z0-9]+", seen.name.lower())
        is_held_out = any(word in {"val", "valid", "validation", "test", "eval", "holdout"} for word in words)
        telling = next((place for place, word in enumerate(_TELLING) if word in seen.name.lower()), len(_TELLING))
        return (not is_held_out, telling)

    return min(usable, key=rank, default=None)


def _python(files: Mapping[str, bytes]) -> str | None:
    pinned = files.get(".python-version", b"").decode("utf-8", "replace")
    if found := _VERSION.search(pinned):
        return found[0]
    try:
        table = tomllib.loads(files.get("pyproject.toml", b"").decode("utf-8", "replace"))
    except tomllib.TOMLDecodeError:
        return None
    project = table.get("project")
    wanted = project.get("requires-python") if isinstance(project, dict) else None
    found = _VERSION.search(wanted) if isinstance(wanted, str) else None
    return found[0] if found else None


def project_name(folder: str) -> str:
    """Return a usable project name for a folder's name."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder).strip("-._")[:63]
    return name if NAME.match(name) else "model"
