from __future__ import annotations

import pytest

from headway.environments.missing import distribution_of, missing_import_hint
from headway.environments.model import EnvKind, EnvSpec

TRACE = """Traceback (most recent call last):
  File "/data/attempts/1/work/models/churn/train.py", line 4, in <module>
    import lightgbm as lgb
ModuleNotFoundError: No module named '{}'
"""


def spec(kind: EnvKind, *files: str) -> EnvSpec:
    return EnvSpec(digest="d", kind=kind, python="3.12", files=files)


UV = spec(EnvKind.UV_LOCK, "uv.lock", "pyproject.toml")


def test_the_lock_file_and_the_command_are_named() -> None:
    assert missing_import_hint(TRACE.format("lightgbm"), UV, changed="in this change") == (
        "`train.py` imports `lightgbm`, but `uv.lock` in this change does not list `lightgbm`. "
        "Run `uv add lightgbm`, commit pyproject.toml and uv.lock, push"
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            spec(EnvKind.REQUIREMENTS, "requirements.txt"),
            "`models/churn/requirements.txt` does not list `scikit-learn`. Add a line `scikit-learn`",
        ),
        (spec(EnvKind.REQUIREMENTS, "requirements.lock"), "make it again (`uv pip compile`)"),
        (spec(EnvKind.PYPROJECT, "pyproject.toml"), "under [project] dependencies"),
        (spec(EnvKind.NONE), "names no packages. Write `scikit-learn` into models/churn/requirements.txt"),
    ],
)
def test_each_kind_has_its_way(given: EnvSpec, said: str) -> None:
    hint = missing_import_hint(TRACE.format("sklearn.linear_model"), given, "models/churn")
    assert said in hint
    assert "`train.py` imports `sklearn`" in hint


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("sklearn.tree", "scikit-learn"),
        ("cv2", "opencv-python-headless"),
        ("yaml", "pyyaml"),
        ("PIL.Image", "pillow"),
        ("google.cloud.storage", "google-cloud-storage"),
        ("torch_geometric", "torch-geometric"),
        ("lightgbm", "lightgbm"),
    ],
)
def test_imported_and_installed_names_differ(module: str, name: str) -> None:
    assert distribution_of(module) == name


def test_a_module_of_the_project_gets_another_hint() -> None:
    hint = missing_import_hint(TRACE.format("features"), UV, project_files=("src/features.py", "train.py"))
    assert "is in the project but not found" in hint
    assert "PYTHONPATH: src" in hint
    assert "is in the project" not in missing_import_hint(TRACE.format("features"), UV, project_files=("train.py",))


def test_a_file_that_hides_a_package_is_found() -> None:
    text = "ModuleNotFoundError: No module named 'mlflow.sklearn'; 'mlflow' is not a package\n"
    assert missing_import_hint(text, UV) == "a file mlflow.py hides the package 'mlflow': rename that file"


def test_the_standard_library_of_another_python() -> None:
    assert "add `setuptools`" in missing_import_hint(TRACE.format("distutils"), UV)
    assert "part of another Python than 3.12" in missing_import_hint(TRACE.format("tomllib"), UV)


def test_a_system_library() -> None:
    text = "ImportError: libGL.so.1: cannot open shared object file: No such file or directory"
    assert "opencv-python-headless" in missing_import_hint(text, UV)


def test_the_last_one_counts_and_escapes_do_not_hide_it() -> None:
    text = (
        TRACE.format("first") + "\nDuring handling ...\n\x1b[31mModuleNotFoundError: No module named 'second'\x1b[0m\n"
    )
    assert "`second`" in missing_import_hint(text, UV)


@pytest.mark.parametrize(
    "tail", ["", "ValueError: No module named 'x'", "print: ModuleNotFoundError: No module named 'x'", "killed"]
)
def test_other_ends_have_no_hint(tail: str) -> None:
    assert missing_import_hint(tail, UV) == ""
