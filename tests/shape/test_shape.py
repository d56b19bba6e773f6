"""The shape of the code: sizes, names and what may be imported where.

An exception names the thing, the reason and the day it was granted; one that is no longer needed fails too.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from headway.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "headway"
FILES = sorted(path for path in SOURCE.rglob("*.py") if "__pycache__" not in path.parts)
FORBIDDEN = re.compile(r"(?:^|_)(?:util|utils|helper|helpers|common|misc|core|manager|service|handler)s?(?:_|$)")
HEAVY = ("numpy", "scipy", "optuna")

LONG_FILES: dict[str, tuple[str, str]] = {
    "db/schema.py": ("2026-11-26", "every table on one page is worth its length"),
    "db/migrations/v0001_initial.py": ("2026-11-26", "the same tables once more, frozen"),
}
LONG_FUNCTIONS: dict[str, tuple[str, str]] = {}
MANY_PARAMETERS: dict[str, tuple[str, str]] = {
    "auth/tokens.py:mint": ("2026-11-26", "the columns of a token; to become a record"),
    "db/events.py:record": ("2026-11-26", "the columns of an event, all by name; called from everywhere"),
    "forges/local_merge.py:merge_change": ("2026-11-26", "facts of one merge; to become a record"),
    "gates/bench.py:make_check": ("2026-11-26", "the fields of a check; to become a record"),
    "planning/plan.py:make_plan": ("2026-11-26", "the fields of a plan; to become a record"),
    "registry/store.py:create_version": ("2026-11-26", "the columns of a version; to become a record"),
}
MANY_METHODS: dict[str, tuple[str, str]] = {
    "registry/store.py:RegistryStore": ("2026-11-26", "one method per verb of MLflow's registry; to be cut in two"),
    "tracking/store.py:RunStore": ("2026-11-26", "one method per verb of MLflow's tracking; to be cut in two"),
}


def _name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def _functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{_name(path)}:{node.name}", node


def _classes() -> Iterator[tuple[str, ast.ClassDef]]:
    for path in FILES:
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.ClassDef):
                yield f"{_name(path)}:{node.name}", node


def _methods(node: ast.ClassDef) -> list[str]:
    """Public ones: properties and dunders are no part of what a reader must learn to call."""
    return [
        each.name
        for each in node.body
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
        and not each.name.startswith("_")
        and not any(isinstance(mark, ast.Name) and mark.id == "property" for mark in each.decorator_list)
    ]


def _is_protocol(node: ast.ClassDef) -> bool:
    return any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases)


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return len([each for each in given if each.arg not in ("self", "cls")])


def _is_terminal_verb(name: str) -> bool:
    return name.startswith("cli/")  # one parameter per option of the command line


def _check(found: dict[str, int], limit: int, exceptions: dict[str, tuple[str, str]]) -> None:
    over = {name: size for name, size in found.items() if size > limit}
    assert {name: size for name, size in over.items() if name not in exceptions} == {}
    assert sorted(set(exceptions) - set(over)) == [], "no longer needed: take them out"


def test_files_fit_on_a_few_screens() -> None:
    _check({_name(path): len(path.read_text("utf-8").splitlines()) for path in FILES}, 500, LONG_FILES)


def test_functions_fit_on_one_screen() -> None:
    _check({name: _lines(node) for name, node in _functions()}, 60, LONG_FUNCTIONS)


def test_functions_take_few_parameters() -> None:
    found = {name: _parameters(node) for name, node in _functions() if not _is_terminal_verb(name)}
    _check(found, 8, MANY_PARAMETERS)


def test_protocols_stay_small_enough_to_implement_twice() -> None:
    sizes = {name: len(_methods(node)) for name, node in _classes() if _is_protocol(node)}
    assert len(sizes) >= 5
    _check(sizes, 7, {})


def test_stores_stay_small() -> None:
    sizes = {name: len(_methods(node)) for name, node in _classes() if name.endswith("Store")}
    assert len(sizes) >= 5
    _check(sizes, 12, MANY_METHODS)


def test_files_are_named_for_what_is_in_them() -> None:
    bad = [_name(path) for path in FILES if FORBIDDEN.search(path.stem)]
    assert bad == []


def test_the_tree_is_at_most_two_deep() -> None:
    deep = [_name(path) for path in FILES if len(path.relative_to(SOURCE).parts) > 3]
    assert deep == []


def test_settings_can_be_read_on_one_page() -> None:
    assert len(fields(Settings)) <= 30


def test_dependencies_stay_few() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert len(project["dependencies"]) <= 14


def _imported(path: Path) -> set[str]:
    """Top-level packages that a file imports, at any depth of its code."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {each.name.split(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("folder", ["sandbox/inside", "serving/inside"])
def test_what_runs_in_foreign_pythons_needs_nothing_but_them(folder: str) -> None:
    inside = sorted((SOURCE / folder).glob("*.py"))
    assert len(inside) > 1
    neighbours = {path.stem for path in inside}
    for path in inside:
        unknown = _imported(path) - neighbours - set(sys.stdlib_module_names)
        assert unknown <= FOREIGN.get(_name(path), set()), path


# Imported late, from the model's own environment, where the model itself needs them.
FOREIGN = {"serving/inside/arrays.py": {"numpy"}}


def _modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint()\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


HELP = """
import sys
from headway.cli.main import run
sys.argv = ["headway", "--help"]
try:
    run()
except SystemExit as leaving:
    assert not leaving.code
"""


def test_the_light_process_never_loads_numbers():
    loaded = {name.split(".")[0] for name in _modules_after("import headway.server")}
    assert loaded.isdisjoint(HEAVY)


def test_help_loads_no_database_and_no_numbers():
    loaded = {name.split(".")[0] for name in _modules_after(HELP)}
    assert loaded.isdisjoint({*HEAVY, "sqlalchemy", "httpx", "starlette", "uvicorn", "jinja2", "ruamel"})


def test_help_stays_quick_by_loading_little():
    """200 ms is the aim; modules are counted because they do not depend on how busy the machine is."""
    loaded = _modules_after(HELP)
    assert len({name for name in loaded if name.startswith("headway.")}) <= 20
    assert len(loaded) <= 250


def test_nobody_unpickles_in_the_server() -> None:
    """Rule 24: loading a model is running code, which the server leaves to the sandbox and the scorers."""
    for path in FILES:
        if "inside" not in path.parts:
            assert _imported(path).isdisjoint({"pickle", "joblib", "cloudpickle", "torch", "mlflow"}), path


def test_programs_are_started_with_argument_vectors() -> None:
    """Rule 25: no shell reads what others wrote."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Call):
                shells = [each for each in node.keywords if each.arg == "shell"]
                assert not any(ast.unparse(each.value) != "False" for each in shells), path
