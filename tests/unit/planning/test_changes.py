from __future__ import annotations

from dataclasses import replace

from headway.environments.find import image_environment
from headway.environments.model import EnvKind, EnvSpec
from headway.pipelines.model import TaskSpec
from headway.planning.changes import changed_packages, describe_changes
from headway.projects.model import Resources, VolumeSpec

SPEC = TaskSpec(
    name="t",
    argv=("a",),
    commit="c",
    root="",
    env=EnvSpec(digest="e", kind=EnvKind.NONE, python="3.11"),
    code_digest="k",
)


def describe(new: TaskSpec) -> tuple[str, ...]:
    return describe_changes(SPEC, new, trees={}, packages={})


def test_equal_specs_have_no_changes_whatever_the_commit() -> None:
    assert describe(SPEC) == ()
    assert describe(replace(SPEC, commit="d", retries=2)) == ()


def test_each_thing_has_its_clause() -> None:
    assert describe(replace(SPEC, argv=("b",))) == ("command changed",)
    assert describe(replace(SPEC, variables={"A": "1", "HEADWAY_PARAMS": "{}"})) == ("variables changed: A",)
    assert describe(replace(SPEC, outputs=("o",))) == ("inputs or outputs changed",)
    assert describe(replace(SPEC, volumes=(VolumeSpec(name="d", path="/d"),))) == ("volumes changed",)
    torch = replace(SPEC, image="ml/torch:2.4", env=image_environment("ml/torch:2.4"))
    assert describe(torch) == ("container changed: none -> ml/torch:2.4",)
    assert describe(replace(SPEC, resources=Resources(accelerators="T4:1"))) == ("accelerators changed",)
    assert describe(replace(SPEC, env=EnvSpec(digest="f", kind=EnvKind.NONE, python="3.12"))) == (
        "environment changed: Python 3.11 -> 3.12",
    )


def test_a_command_that_changed_only_through_a_param_is_named_once() -> None:
    assert describe(replace(SPEC, argv=("a", "--lr", "1"), params={"lr": 1})) == ("params changed: lr (none) -> 1",)


def test_packages_are_added_removed_and_changed() -> None:
    assert changed_packages({"a": "1", "b": "1"}, {"a": "2", "c": "1"}) == ("a 1 -> 2", "b removed", "c 1 added")
