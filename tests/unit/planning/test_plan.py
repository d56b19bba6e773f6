from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from headway.environments.model import EnvKind, EnvSpec, Tier
from headway.pipelines.code import code_digest, code_files
from headway.pipelines.model import GitTree, TaskSpec, TreeEntry
from headway.planning.estimate import plan_cost, plan_seconds
from headway.planning.keys import exact_key, exact_keys
from headway.planning.model import Action, OutputFile, Plan, TaskResult
from headway.planning.plan import Earlier, History, make_plan
from headway.projects.model import EngineSpec, GateSpec, GatesSpec, ProjectSpec, Resources

ENV = EnvSpec(digest="e" * 64, kind=EnvKind.UV_LOCK, python="3.11")
OUTPUT = OutputFile(path="build/f", digest="1", size=1)


def tree(commit: str, **files: str) -> GitTree:
    entries = {f"{name}.py": TreeEntry(mode="100644", blob=blob, size=1) for name, blob in files.items()}
    return GitTree(commit=commit, tree=f"tree-{commit}", entries=entries)


OLD_TREE = tree("c1", train="1", features="1", evaluate="1")
NEW_TREE = tree("c2", train="2", features="2", evaluate="1")
PREPARE = TaskSpec(
    name="prepare", argv=("python", "p.py"), commit="c1", root="", env=ENV, code_digest="k", outputs=("build/f",)
)
TRAIN = TaskSpec(
    name="train",
    argv=("python", "t.py"),
    commit="c1",
    root="",
    env=ENV,
    code_digest=code_digest(code_files(OLD_TREE, root="")),
    needs=("prepare",),
    inputs=("build/f",),
    params={"lr": 0.05, "depth": 6},
)
ALONE = replace(TRAIN, needs=(), inputs=())


def result(spec: TaskSpec, key: str, *outputs: OutputFile) -> TaskResult:
    return TaskResult(
        key=key,
        tier=Tier.MAIN,
        project="p",
        task=spec.name,
        job_id="J12",
        run_id="r",
        outputs=outputs,
        metrics={},
        seconds=1.0,
        commit="c1",
        finished_at=datetime(2026, 1, 1, tzinfo=UTC),
        branch="main",
    )


def plan(*tasks: TaskSpec, history: History | None = None, project: ProjectSpec | None = None, **more: Any) -> Plan:
    return make_plan(
        project or ProjectSpec(name="p", root=""),
        tasks,
        repo_id="r",
        commit="c2",
        base_commit="c1",
        tree="tree",
        tier=Tier.CHANGE,
        params={"lr": 0.05},
        history=history or History(),
        **more,
    )


def after(spec: TaskSpec, **more: Any) -> History:
    """A history in which `spec` succeeded in job 12."""
    earlier = Earlier(
        spec=spec,
        job_number=12,
        branch="main",
        exact_key=exact_key(spec, dict.fromkeys(spec.inputs, "x")),
        seconds=(10.0, 30.0, 20.0),
    )
    return History(earlier={spec.name: earlier}, job_numbers={"J12": 12}, **more)


def test_what_never_ran_runs() -> None:
    (task,) = plan(ALONE).tasks
    assert (task.action, task.why) == (Action.RUN, "never run")
    assert task.expected_seconds is None
    assert task.exact_key == exact_key(ALONE, {})


def test_equal_inputs_on_another_commit_answer_already_trained() -> None:
    key = exact_key(ALONE, {})
    history = replace(after(ALONE), results={key: result(ALONE, key)})
    made = plan(replace(ALONE, commit="c9"), history=history)
    assert made.tasks[0].action is Action.REUSE
    assert made.tasks[0].why == "trained before in job #12 on branch main"
    assert made.tasks[0].reuse == result(ALONE, key)
    assert made.is_all_reused
    assert plan_seconds(made) == 0.0


def test_changed_code_is_named_file_by_file() -> None:
    new = replace(ALONE, commit="c2", code_digest=code_digest(code_files(NEW_TREE, root="")))
    (task,) = plan(new, history=after(ALONE, trees={"c1": OLD_TREE, "c2": NEW_TREE})).tasks
    assert task.why == "code changed: features.py, train.py since job #12"
    (task,) = plan(new, history=after(ALONE)).tasks
    assert task.why == "code changed since job #12"


def test_changed_params_are_named_with_both_values() -> None:
    (task,) = plan(replace(ALONE, params={"lr": 0.1, "n": 3}), history=after(ALONE)).tasks
    assert task.why == "params changed: depth 6 -> (none), lr 0.05 -> 0.1, n (none) -> 3 since job #12"


def test_a_changed_environment_names_the_packages() -> None:
    new = replace(ALONE, env=replace(ENV, digest="f" * 64))
    packages = {
        "e" * 64: {"scikit-learn": "1.7.1", "six": "1", "old": "1"},
        "f" * 64: {"scikit-learn": "1.7.2", "six": "1", "new": "2"},
    }
    (task,) = plan(new, history=after(ALONE, packages=packages)).tasks
    assert task.why == "environment changed: new 2 added, old removed, scikit-learn 1.7.1 -> 1.7.2 since job #12"


def test_several_changes_stand_beside_each_other_and_long_lists_are_cut() -> None:
    params = dict.fromkeys("abcdefg", 1)
    (task,) = plan(replace(ALONE, seed=3, data={"d": "u@1"}, params=params), history=after(ALONE)).tasks
    assert task.why == (
        "params changed: a (none) -> 1, b (none) -> 1, c (none) -> 1, d (none) -> 1 and 5 more; "
        "data changed: d; seed changed: None -> 3 since job #12"
    )


def test_a_result_of_a_lower_tier_is_not_used_and_said() -> None:
    (task,) = plan(ALONE, history=after(ALONE)).tasks
    assert task.action is Action.RUN
    assert task.why == "the result of job #12 is of a lower trust tier, or was removed"


def test_cache_false_and_unhashed_data_and_a_rerun_always_run() -> None:
    key = exact_key(ALONE, {})
    history = replace(after(ALONE), results={key: result(ALONE, key)})
    (task,) = plan(replace(ALONE, cache=False), history=history).tasks
    assert (task.action, task.why) == (Action.RUN, "cache: false")
    (task,) = plan(ALONE, history=history, rerun=("train",)).tasks
    assert (task.action, task.why) == (Action.RUN, "asked to run again")
    (task,) = plan(replace(ALONE, data={"d": "s3://b@not hashed"}), history=history).tasks
    assert task.action is Action.RUN
    assert "data d is not hashed" in task.why


def test_what_depends_on_a_task_that_must_run_is_decided_later() -> None:
    prepare, train = plan(PREPARE, TRAIN).tasks
    assert prepare.action is Action.RUN
    assert train.action is Action.DECIDE_LATER
    assert train.why == "inputs of train are not known before prepare has run"
    assert train.exact_key is None


def test_reuse_goes_through_the_pipeline() -> None:
    first = exact_keys([PREPARE, TRAIN], {})["prepare"]
    results = {first: result(PREPARE, first, OUTPUT)}
    second = exact_keys([PREPARE, TRAIN], results)["train"]
    made = plan(PREPARE, TRAIN, history=History(results={**results, second: result(TRAIN, second)}))
    assert [task.action for task in made.tasks] == [Action.REUSE, Action.REUSE]
    made = plan(PREPARE, TRAIN, history=replace(after(TRAIN), results=results))
    assert [task.action for task in made.tasks] == [Action.REUSE, Action.RUN]
    assert made.tasks[1].why == "inputs changed since job #12: build/f"


def test_time_is_the_median_and_cost_follows_the_price_of_a_core() -> None:
    spec = replace(ALONE, params={"lr": 1.0}, resources=Resources(cpus=4))
    project = ProjectSpec(name="p", root="", engine=EngineSpec(price_per_hour=0.9))
    made = plan(spec, history=after(ALONE), project=project)
    assert made.tasks[0].expected_seconds == 20.0
    assert made.tasks[0].expected_cost == 20 / 3600 * 4 * 0.9
    assert plan_cost(made) == made.tasks[0].expected_cost
    assert plan_cost(plan(spec, history=after(ALONE))) is None


def test_tasks_side_by_side_take_as_long_as_the_longest_way() -> None:
    names = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}
    specs = [replace(ALONE, name=name, needs=needs) for name, needs in names.items()]
    seconds = {"a": 10.0, "b": 5.0, "c": 20.0, "d": 1.0}
    earlier = {
        spec.name: Earlier(spec=spec, job_number=1, branch="", exact_key="", seconds=(seconds[spec.name],))
        for spec in specs
    }
    assert plan_seconds(plan(*specs, history=History(earlier=earlier))) == 31.0
    assert plan_seconds(plan(*specs)) is None


def test_the_id_is_of_what_will_happen_and_not_of_estimates() -> None:
    slow = after(ALONE)
    quick = replace(slow, earlier={"train": replace(slow.earlier["train"], seconds=(1.0,))})
    assert plan(ALONE, history=slow).id == plan(ALONE, history=quick).id
    assert plan(ALONE).id != plan(replace(ALONE, seed=1)).id
    gated = ProjectSpec(name="p", root="", gates=GatesSpec(rules=(GateSpec(id="auc>=1", metric="auc", minimum=1.0),)))
    with_gate = plan(ALONE, project=gated)
    assert with_gate.id != plan(ALONE).id
    assert with_gate.tasks == plan(ALONE).tasks
