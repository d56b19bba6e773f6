from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headway.environments.find import image_environment
from headway.environments.model import EnvKind, EnvSpec, Tier
from headway.pipelines.model import TaskSpec
from headway.planning.keys import exact_key, exact_keys, input_digest, input_digests, is_reusable, static_key
from headway.planning.model import OutputFile, TaskResult
from headway.projects.model import Resources, VolumeSpec

ENV = EnvSpec(digest="e" * 64, kind=EnvKind.UV_LOCK, python="3.11")
PREPARE = TaskSpec(
    name="prepare",
    argv=("python", "p.py"),
    commit="c1",
    root="",
    env=ENV,
    code_digest="k",
    outputs=("build/f",),
    scope="r/p",
)
TRAIN = TaskSpec(
    name="train",
    argv=("python", "t.py"),
    commit="c1",
    root="",
    env=ENV,
    code_digest="k",
    needs=("prepare",),
    inputs=("build/f",),
    outputs=("build/m",),
    params={"lr": 0.1},
    scope="r/p",
)


def result(spec: TaskSpec, key: str, *outputs: OutputFile) -> TaskResult:
    return TaskResult(
        key=key,
        tier=Tier.MAIN,
        project="p",
        task=spec.name,
        job_id="j",
        run_id="r",
        outputs=outputs,
        metrics={},
        seconds=1.0,
        commit="c1",
        finished_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    "other",
    [
        {"commit": "c2"},
        {"timeout": timedelta(hours=1)},
        {"retries": 3},
        {"resources": Resources(cpus=8, memory_mb=100)},
        {"cache": False},
        {"network": False},
        {"code": ("*.py",)},
        {"needs": ()},
    ],
)
def test_what_does_not_change_the_outcome_does_not_change_the_key(other: dict[str, Any]) -> None:
    assert static_key(replace(TRAIN, **other)) == static_key(TRAIN)


@pytest.mark.parametrize(
    "other",
    [
        {"argv": ("python", "t.py", "-v")},
        {"code_digest": "l"},
        {"env": replace(ENV, digest="f" * 64)},
        {"params": {"lr": 0.2}},
        {"params": {"lr": 0.1, "x": 1}},
        {"data": {"a": "u@1"}},
        {"inputs": ("build/g",)},
        {"outputs": ("build/n",)},
        {"variables": {"A": "1"}},
        {"secrets": ("A",)},
        {"seed": 1},
        {"scope": "r/q"},
        {"name": "fit"},
        {"root": "sub"},
        {"resources": Resources(accelerators="H100:1")},
        {"env": image_environment("registry.example/ml/torch:2.4")},
        {"volumes": (VolumeSpec(name="data", path="/data"),)},
    ],
)
def test_what_may_change_the_outcome_changes_the_key(other: dict[str, Any]) -> None:
    assert static_key(replace(TRAIN, **other)) != static_key(TRAIN)


def test_one_and_one_point_nought_and_true_are_three_params() -> None:
    keys = {static_key(replace(TRAIN, params={"lr": value})) for value in (1, 1.0, True, "1")}
    assert len(keys) == 4


def test_the_digest_of_an_input_is_of_all_below_it_and_not_of_where_it_lies() -> None:
    files = [OutputFile(path="build/f/a", digest="1", size=1), OutputFile(path="build/f/b", digest="2", size=1)]
    assert input_digest("build/f", files) == input_digest("build/f", files[::-1])
    moved = [replace(each, path=each.path.replace("build/f", "x")) for each in files]
    assert input_digest("x", moved) == input_digest("build/f", files)
    assert input_digest("build/f", [*files, OutputFile(path="build/fx", digest="3", size=1)]) == input_digest(
        "build/f", files
    )
    assert input_digest("build/f", [replace(files[0], executable=True), files[1]]) != input_digest("build/f", files)
    assert input_digest("build/g", files) is None


def test_inputs_are_unknown_until_every_needed_task_has_a_result() -> None:
    assert input_digests(PREPARE, {}) == {}
    assert input_digests(TRAIN, {}) is None
    output = OutputFile(path="build/f", digest="1", size=1)
    known = input_digests(TRAIN, {"prepare": result(PREPARE, "k", output)})
    assert known == {"build/f": input_digest("build/f", [output])}


def test_exact_keys_go_as_deep_as_results_are_known() -> None:
    first = exact_keys([PREPARE, TRAIN], {})
    assert set(first) == {"prepare"}
    output = OutputFile(path="build/f", digest="1", size=1)
    known = {first["prepare"]: result(PREPARE, first["prepare"], output)}
    second = exact_keys([PREPARE, TRAIN], known)
    assert second["train"] == exact_key(TRAIN, {"build/f": input_digest("build/f", [output]) or ""})
    other = OutputFile(path="build/f", digest="2", size=1)
    third = exact_keys([PREPARE, TRAIN], {first["prepare"]: result(PREPARE, first["prepare"], other)})
    assert third["train"] != second["train"]


def test_a_task_that_always_runs_hides_what_follows() -> None:
    prepare = replace(PREPARE, cache=False)
    key = exact_keys([prepare], {})["prepare"]
    assert set(exact_keys([prepare, TRAIN], {key: result(prepare, key)})) == {"prepare"}


def test_data_that_nobody_hashed_is_never_proof() -> None:
    assert is_reusable(replace(TRAIN, data={"a": "s3://b/c@1234"}))
    assert not is_reusable(replace(TRAIN, data={"a": "s3://b/c@not hashed"}))
    assert not is_reusable(replace(TRAIN, volumes=(VolumeSpec(name="data", path="/data"),)))


def test_each_image_has_a_key_of_its_own() -> None:
    images = ("ml/torch:2.4", "ml/torch:2.5", "ml/torch@sha256:aa", "ml/torch@sha256:ab")
    assert len({static_key(replace(TRAIN, env=image_environment(each))) for each in images}) == 4
