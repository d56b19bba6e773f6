from __future__ import annotations

from headway.environments.model import EnvKind, EnvSpec
from headway.environments.packages import locked_packages


def locked(kind: EnvKind, **files: str) -> dict[str, str]:
    named = {name.replace("_", "."): text.encode() for name, text in files.items()}
    return locked_packages(EnvSpec(digest="d", kind=kind, python="3.11", files=tuple(named)), named)


def test_a_uv_lock_has_everything_but_the_project() -> None:
    text = """
[[package]]
name = "p"
version = "1"
source = { virtual = "." }
[[package]]
name = "Scikit_Learn"
version = "1.7.2"
source = { registry = "x" }
[[package]]
name = "numpy"
version = "1.26"
[[package]]
name = "numpy"
version = "2.0"
"""
    assert locked(EnvKind.UV_LOCK, uv_lock=text) == {"numpy": "1.26 / 2.0", "scikit-learn": "1.7.2"}


def test_requirements_have_versions_ranges_and_constraints() -> None:
    found = locked(
        EnvKind.REQUIREMENTS,
        requirements_txt="six==1.16.0 --hash=sha256:aa\npandas[excel]>=2,<3 ; sys_platform > '3'\nx\n-c c.txt\nnumpy\n",
        c_txt="numpy==2.1\nother==3\n",
    )
    assert found == {"numpy": "2.1", "pandas": ">=2,<3", "six": "1.16.0", "x": "any"}


def test_a_pyproject_has_its_ranges() -> None:
    assert locked(EnvKind.PYPROJECT, pyproject_toml='[project]\ndependencies = ["six>=1"]\n') == {"six": ">=1"}


def test_what_cannot_be_read_explains_nothing() -> None:
    assert locked(EnvKind.UV_LOCK, uv_lock="[[[") == {}
    assert locked(EnvKind.NONE) == {}
    assert locked_packages(EnvSpec(digest="d", kind=EnvKind.UV_LOCK, python="3.11", files=("uv.lock",)), {}) == {}
