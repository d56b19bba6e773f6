from __future__ import annotations

import pytest

from headway.environments.find import find_environment
from headway.environments.model import EnvKind, EnvSpec
from headway.errors import NotThereYet, UsageError
from headway.projects.model import EnvSection

PROJECT = '[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.10"\ndependencies = ["six"]\n'
LOCK = """version = 1

[[package]]
name = "p"
version = "1"
source = { virtual = "." }

[[package]]
name = "six"
version = "1.16.0"
"""


def find(files: dict[str, str], **section: str) -> EnvSpec:
    data = {path: text.encode() for path, text in files.items()}
    return find_environment(data, EnvSection(**section), default_python="3.11")


@pytest.mark.parametrize(
    ("files", "kind", "used"),
    [
        (
            {"uv.lock": LOCK, "pyproject.toml": PROJECT, "requirements.txt": "x"},
            EnvKind.UV_LOCK,
            ("uv.lock", "pyproject.toml"),
        ),
        ({"requirements.lock": "six", "requirements.txt": "six"}, EnvKind.REQUIREMENTS, ("requirements.lock",)),
        ({"requirements.txt": "six", "pyproject.toml": PROJECT}, EnvKind.REQUIREMENTS, ("requirements.txt",)),
        (
            {"requirements-train.txt": "six", "requirements-dev.txt": "x"},
            EnvKind.REQUIREMENTS,
            ("requirements-train.txt",),
        ),
        ({"pyproject.toml": PROJECT, "requirements-dev.txt": "x"}, EnvKind.PYPROJECT, ("pyproject.toml",)),
        ({"pyproject.toml": "[tool.ruff]\n", "train.py": ""}, EnvKind.NONE, ()),
        ({"train.py": ""}, EnvKind.NONE, ()),
        ({"sub/uv.lock": LOCK, "train.py": ""}, EnvKind.NONE, ()),
    ],
)
def test_what_describes_the_environment_best_wins(files: dict[str, str], kind: EnvKind, used: tuple[str, ...]) -> None:
    spec = find(files)
    assert (spec.kind, spec.files) == (kind, used)


def test_the_project_may_choose() -> None:
    files = {"uv.lock": LOCK, "pyproject.toml": PROJECT, "env/gpu.txt": "six"}
    spec = find(files, lockfile="./env/gpu.txt")
    assert (spec.kind, spec.files) == (EnvKind.REQUIREMENTS, ("env/gpu.txt",))
    with pytest.raises(UsageError, match="no such file"):
        find(files, lockfile="gpu.txt")


def test_python_comes_from_the_section_then_a_version_file_then_the_project() -> None:
    files = {"pyproject.toml": PROJECT.replace(">=3.10", ">=3.12")}
    assert find({"train.py": ""}).python == "3.11"
    assert find(files).python == "3.12"
    assert find({**files, ".python-version": "3.13.1\n"}).python == "3.13"
    assert find({**files, ".python-version": "3.13\n"}, python="3.10").python == "3.10"


def test_comments_versions_and_tool_settings_do_not_rebuild() -> None:
    assert (
        find({"requirements.txt": "six==1\n"}).digest == find({"requirements.txt": "# why\nsix==1  # because\n"}).digest
    )
    changed = PROJECT.replace('version = "1"', 'version = "2"') + "[tool.ruff]\nline-length = 3\n"
    assert find({"pyproject.toml": PROJECT}).digest == find({"pyproject.toml": changed}).digest
    lock = LOCK.replace('version = "1"\nsource', 'version = "2"\nsource')
    assert lock != LOCK
    assert (
        find({"uv.lock": LOCK, "pyproject.toml": PROJECT}).digest
        == find({"uv.lock": lock, "pyproject.toml": changed}).digest
    )


def test_what_is_installed_changes_the_digest() -> None:
    digests = [
        find({"requirements.txt": "six==1\n"}).digest,
        find({"requirements.txt": "six==2\n"}).digest,
        find({"requirements.txt": "six==1\n"}, python="3.12").digest,
        find({"requirements.txt": "six==1 --hash=sha256:aa\n"}).digest,
        find({"requirements.txt": "six==1\n-c c.txt\n", "c.txt": "a==1"}).digest,
        find({"requirements.txt": "six==1\n-c c.txt\n", "c.txt": "a==2"}).digest,
        find({"requirements.txt": "./a.whl\n", "a.whl": "1"}).digest,
        find({"requirements.txt": "./a.whl\n", "a.whl": "2"}).digest,
        find({"pyproject.toml": PROJECT}).digest,
        find({"pyproject.toml": PROJECT + '[dependency-groups]\ndev = ["x"]\n'}).digest,
        find({"uv.lock": LOCK, "pyproject.toml": PROJECT}).digest,
        find({"uv.lock": LOCK.replace("1.16.0", "1.17.0"), "pyproject.toml": PROJECT}).digest,
        find({"train.py": ""}).digest,
    ]
    assert len(set(digests)) == len(digests)


def test_groups_include_each_other() -> None:
    text = PROJECT + '[dependency-groups]\ndev = [{include-group = "test"}, "a"]\ntest = ["b"]\n'
    flat = PROJECT + '[dependency-groups]\ndev = ["b", "a"]\n'
    assert find({"pyproject.toml": text}).digest == find({"pyproject.toml": flat}).digest
    with pytest.raises(UsageError, match="includes itself"):
        find({"pyproject.toml": PROJECT + '[dependency-groups]\ndev = [{include-group = "dev"}]\n'})


def test_members_of_a_workspace_belong_to_the_lock() -> None:
    project = PROJECT + '[tool.uv.workspace]\nmembers = ["packages/*"]\n'
    files = {
        "uv.lock": LOCK,
        "pyproject.toml": project,
        "packages/a/pyproject.toml": PROJECT,
        "packages/a/b/pyproject.toml": PROJECT,
    }
    assert find(files).files == ("uv.lock", "pyproject.toml", "packages/a/pyproject.toml")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"uv.lock": LOCK}, "no pyproject.toml beside it"),
        ({"pyproject.toml": "[project\n"}, "not readable TOML"),
        ({"pyproject.toml": '[project]\nname = "p"\ndynamic = ["dependencies"]\n'}, "dynamic"),
        ({"pyproject.toml": PROJECT + '[tool.uv.sources]\nSix = {git = "https://h/six"}\n'}, "where 'Six' comes from"),
        ({"requirements-a.txt": "x", "requirements-b.txt": "y"}, "several files"),
    ],
)
def test_what_contradicts_itself_is_said(files: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        find(files)
    assert said in caught.value.message
    assert caught.value.hint or "TOML" in said


def test_a_source_of_something_that_is_not_wanted_does_not_matter() -> None:
    assert (
        find({"pyproject.toml": PROJECT + '[tool.uv.sources]\nsixth = {git = "https://h/six"}\n'}).kind
        is EnvKind.PYPROJECT
    )


@pytest.mark.parametrize("name", ["environment.yml", "poetry.lock", "Pipfile.lock", "conda-lock.yml"])
def test_other_tools_are_named_and_not_guessed(name: str) -> None:
    with pytest.raises(NotThereYet, match="does not read yet"):
        find({name: "", "train.py": ""})
    assert find({name: "", "requirements.txt": "six"}).kind is EnvKind.REQUIREMENTS


def test_a_dockerfile_that_is_chosen_is_not_there_yet() -> None:
    with pytest.raises(NotThereYet, match="Docker"):
        find({"Dockerfile": "FROM x"}, lockfile="Dockerfile")
