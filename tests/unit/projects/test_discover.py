from __future__ import annotations

import pytest

from headway.errors import ConfigError
from headway.projects.discover import check_names, config_path, find_configs, touched
from headway.projects.model import ProjectSpec, TriggersSpec


def project(name: str, root: str = "", *paths: str) -> ProjectSpec:
    return ProjectSpec(name=name, root=root, triggers=TriggersSpec(paths=paths))


def test_every_headway_yaml_is_found_top_first() -> None:
    paths = [
        "models/flights/headway.yaml",
        "b/headway.yaml",
        "headway.yaml",
        "headway.yml",
        "my-headway.yaml",
        "node_modules/x/headway.yaml",
        ".venv/lib/site-packages/y/headway.yaml",
        "a/headway.yaml",
        "docs/headway.yaml.md",
    ]
    assert find_configs(paths) == ("headway.yaml", "a/headway.yaml", "b/headway.yaml", "models/flights/headway.yaml")


def test_two_projects_of_one_name_are_refused() -> None:
    check_names([project("a", "a"), project("b", "b")])
    with pytest.raises(ConfigError, match="two projects are called 'a'") as caught:
        check_names([project("a", "x"), project("b"), project("a", "y")])
    assert caught.value.cause == "x/headway.yaml and y/headway.yaml"


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        (["README.md"], ["top"]),
        (["flights/train.py"], ["flights"]),
        (["flights/train.py", "churn/a/b.py"], ["flights", "churn"]),
        (["flights2/x.py"], ["top"]),
        ([], []),
    ],
)
def test_a_project_is_touched_by_what_lies_in_its_folder_only(changed: list[str], names: list[str]) -> None:
    projects = [project("top"), project("flights", "flights"), project("churn", "churn")]
    assert [each.name for each in touched(projects, changed)] == names


@pytest.mark.parametrize(
    ("changed", "is_touched"),
    [
        ("m/src/a.py", True),
        ("m/README.md", False),
        ("m/headway.yaml", True),
        ("src/a.py", False),
        ("shared/x.py", True),
        ("shared/x.md", False),
    ],
)
def test_paths_narrow_and_widen_what_touches(changed: str, is_touched: bool) -> None:  # noqa: FBT001  # a column
    spec = project("m", "m", "**.py", "../shared/*.py")
    assert bool(touched([spec], [changed])) is is_touched


def test_a_project_knows_where_its_file_stands() -> None:
    assert config_path(project("a")) == "headway.yaml"
    assert config_path(project("a", "x/y")) == "x/y/headway.yaml"
