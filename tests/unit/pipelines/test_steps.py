from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headway.data.model import DataPin, Place
from headway.environments.find import image_environment
from headway.environments.model import EnvKind, EnvSpec
from headway.errors import UsageError
from headway.pipelines.model import GitTree, TaskSpec, TreeEntry
from headway.pipelines.steps import Side, local_data, make_tasks
from headway.projects.model import EnvSection, ProjectSpec, StepSpec, VolumeSpec

ENV = EnvSpec(digest="e" * 64, kind=EnvKind.UV_LOCK, python="3.11", files=("uv.lock",))
FILES = ("train.py", "evaluate.py", "README.md", "headway.yaml", "uv.lock", "data/train.csv", "data/hold.csv")
PIPELINE = (
    StepSpec(name="evaluate", run="python evaluate.py", inputs=("build/model", "data.hold"), outputs=("scores.csv",)),
    StepSpec(name="prepare", run="python prepare.py", inputs=("data.train",), outputs=("build/features.csv",)),
    StepSpec(name="train", run="python train.py --lr ${params.lr}", needs=("prepare",), outputs=("build/model",)),
)


def side(
    steps: tuple[StepSpec, ...], *, commit: str = "h", root: str = "", files: tuple[str, ...] = FILES, **more: Any
) -> Side:
    prefix = f"{root}/" if root else ""
    entries = {prefix + path: TreeEntry(mode="100644", blob=f"{commit}:{path}", size=1) for path in files}
    project = ProjectSpec(name="churn", root=root, steps=steps, params={"lr": 0.05, "depth": 6}, **more)
    pins = {
        "train": DataPin(name="train", uri="data/train.csv", place=Place.TREE, digest="d1"),
        "hold": DataPin(name="hold", uri="data/hold.csv", place=Place.TREE, digest="d2"),
    }
    return Side(project=project, tree=GitTree(commit=commit, tree="t", entries=entries), env=ENV, data=pins)


def named(tasks: tuple[TaskSpec, ...]) -> dict[str, TaskSpec]:
    return {task.name: task for task in tasks}


def test_needs_follow_from_inputs_and_inputs_from_needs() -> None:
    tasks = make_tasks(side(PIPELINE), scope="repo/churn")
    assert [task.name for task in tasks] == ["prepare", "train", "evaluate"]
    by_name = named(tasks)
    assert by_name["evaluate"].needs == ("train",)
    assert by_name["evaluate"].inputs == ("build/model",)
    assert by_name["train"].inputs == ("build/features.csv",)
    assert by_name["train"].argv == ("python", "train.py", "--lr", "0.05")
    assert {task.scope for task in tasks} == {"repo/churn"}


def test_a_step_is_given_the_params_and_data_that_it_names() -> None:
    by_name = named(make_tasks(side(PIPELINE), overrides={"lr": 0.2}))
    assert by_name["train"].params == {"lr": 0.2}
    assert by_name["prepare"].params == {}
    assert by_name["prepare"].data == {"train": "data/train.csv@d1"}
    assert by_name["evaluate"].data == {"hold": "data/hold.csv@d2"}
    assert by_name["train"].data == {}
    assert by_name["prepare"].variables["HEADWAY_DATA_TRAIN"] == "data/train.csv"


def test_where_nothing_is_named_everything_is_given() -> None:
    (task,) = make_tasks(side((StepSpec(name="train", run="python train.py"),)))
    assert task.params == {"lr": 0.05, "depth": 6}
    assert set(task.data) == {"train", "hold"}
    assert task.variables["HEADWAY_PARAMS"] == '{"depth":6,"lr":0.05}'


def test_the_seed_is_recorded_and_given() -> None:
    given = side((StepSpec(name="train", run="python train.py"),), seed=2**32 + 7)
    (task,) = make_tasks(given)
    assert task.seed == 2**32 + 7
    assert task.variables["HEADWAY_SEED"] == str(2**32 + 7)
    assert task.variables["PYTHONHASHSEED"] == "7"


def test_variables_of_the_step_win_over_those_of_the_project() -> None:
    step = StepSpec(name="train", run="python train.py", variables={"A": "step"})
    (task,) = make_tasks(side((step,), env=EnvSection(variables={"A": "project", "B": "b"}, secrets=("TOKEN",))))
    assert (task.variables["A"], task.variables["B"], task.secrets) == ("step", "b", ("TOKEN",))


def test_readme_config_lock_and_data_are_no_code() -> None:
    step = (StepSpec(name="train", run="python train.py"),)
    (before,) = make_tasks(side(step))
    given = side(step)
    for path in ("README.md", "headway.yaml", "uv.lock", "data/train.csv"):
        entries = {**given.tree.entries, path: TreeEntry(mode="100644", blob="other", size=2)}
        (after,) = make_tasks(replace(given, tree=replace(given.tree, entries=entries)))
        assert after.code_digest == before.code_digest, path
    entries = {**given.tree.entries, "train.py": TreeEntry(mode="100644", blob="other", size=2)}
    (after,) = make_tasks(replace(given, tree=replace(given.tree, entries=entries)))
    assert after.code_digest != before.code_digest


def test_files_of_another_project_below_are_no_code() -> None:
    step = (StepSpec(name="train", run="python train.py"),)
    one = side(step, files=(*FILES, "other/train.py"))
    (with_other,) = make_tasks(one, other_roots=("other",))
    (without,) = make_tasks(side(step), other_roots=("other",))
    assert with_other.code_digest == without.code_digest


def test_a_step_of_the_base_is_taken_from_there_whole() -> None:
    honest = StepSpec(name="evaluate", run="python evaluate.py --lr ${params.lr}", base=True, inputs=("build/model",))
    train = StepSpec(name="train", run="python train.py", outputs=("build/model",))
    bent = StepSpec(name="evaluate", run="python cheat.py", inputs=("build/model",))
    base = side((train, honest), commit="b")
    head = replace(side((train, bent), commit="h"))
    head = replace(head, project=replace(head.project, params={"lr": 99.0}))
    by_name = named(make_tasks(head, base=base))
    assert by_name["train"].commit == "h"
    assert by_name["evaluate"].commit == "b"
    assert by_name["evaluate"].argv == ("python", "evaluate.py", "--lr", "0.05")
    assert by_name["evaluate"].code_digest != by_name["train"].code_digest


def test_a_change_cannot_drop_a_step_of_the_base() -> None:
    train = StepSpec(name="train", run="python train.py", outputs=("build/model",))
    honest = StepSpec(name="evaluate", run="python evaluate.py", base=True, needs=("train",))
    tasks = make_tasks(side((train,), commit="h"), base=side((train, honest), commit="b"))
    assert [(task.name, task.commit) for task in tasks] == [("train", "h"), ("evaluate", "b")]


def test_a_first_step_of_the_base_comes_from_the_head_for_want_of_another() -> None:
    train = StepSpec(name="train", run="python train.py")
    new = StepSpec(name="evaluate", run="python evaluate.py", base=True)
    tasks = named(make_tasks(side((train, new), commit="h"), base=side((train,), commit="b")))
    assert tasks["evaluate"].commit == "h"


def test_a_project_in_a_folder_keeps_its_root() -> None:
    (task,) = make_tasks(side((StepSpec(name="train", run="python train.py"),), root="models/churn"))
    assert task.root == "models/churn"
    top = make_tasks(side((StepSpec(name="train", run="python train.py"),)))[0]
    assert task.code_digest == top.code_digest


def test_a_tracked_input_is_code_of_a_step_that_names_its_code() -> None:
    step = StepSpec(name="train", run="python train.py", code=("train.py",), inputs=("README.md",))
    (task,) = make_tasks(side((step,)))
    assert task.code == ("train.py", "README.md")
    assert task.inputs == ()


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((), "no steps"),
        ((StepSpec(name="a", run="x"), StepSpec(name="a", run="y")), "two steps are called 'a'"),
        ((StepSpec(name="train", run="x"), StepSpec(name="b", run="y", needs=("trian",))), "did you mean 'train'"),
        (
            (
                StepSpec(name="a", run="x", outputs=("build/model",)),
                StepSpec(name="b", run="y", inputs=("build/modle",)),
            ),
            "did you mean 'build/model'",
        ),
        ((StepSpec(name="a", run="x", outputs=("../out",)),), "not inside the project"),
        ((StepSpec(name="a", run="x", outputs=("/out",)),), "not inside the project"),
        ((StepSpec(name="a", run="x", outputs=("o",)), StepSpec(name="b", run="y", outputs=("o/p",))), "both write"),
        ((StepSpec(name="a", run="x", outputs=("o",), inputs=("o",)),), "its own output"),
        ((StepSpec(name="a", run="x", needs=("b",)), StepSpec(name="b", run="y", needs=("a",))), "circle: a -> b -> a"),
        ((StepSpec(name="../a", run="x"),), "not a usable name"),
    ],
)
def test_what_cannot_be_wired_is_said(steps: tuple[StepSpec, ...], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_tasks(side(steps))
    assert said in caught.value.message


def test_an_unknown_param_is_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'depth'"):
        make_tasks(side(PIPELINE), overrides={"dept": 3})


def test_absolute_paths_are_what_a_sandbox_must_show() -> None:
    (task,) = make_tasks(side((StepSpec(name="train", run="python train.py"),)))
    data = {"a": "/srv/a@x@d", "b": "s3://b/c@not hashed", "c": "data/c.csv@e"}
    assert local_data(replace(task, data=data)) == ("/srv/a@x",)


def test_a_container_is_the_environment_and_lock_files_are_then_code() -> None:
    step = StepSpec(
        name="train", run="python train.py", image="ml/torch:2.4", volumes=(VolumeSpec(name="d", path="/d"),)
    )
    (task,) = make_tasks(side((step,)))
    assert (task.env, task.image, task.volumes) == (image_environment("ml/torch:2.4"), "ml/torch:2.4", step.volumes)
    (plain,) = make_tasks(side((replace(step, image=None),)))
    assert (plain.env, plain.image) == (ENV, "")
    assert "uv.lock" in plain.not_code
    assert "uv.lock" not in task.not_code
    assert plain.code_digest != task.code_digest
