from __future__ import annotations

from dataclasses import replace

import pytest

from headway.projects.effective import edits, effective, pair_with_base
from headway.projects.model import (
    DeploySpec,
    EngineSpec,
    GateSpec,
    GatesSpec,
    Goal,
    MetricSpec,
    PredictionsSpec,
    ProjectSpec,
    ReportSpec,
    StepSpec,
    TrackingSpec,
    TriggersSpec,
    VolumeSpec,
)

RULE = GateSpec(id="val_auc>=0.85", metric="val_auc", minimum=0.85)
BASE = ProjectSpec(
    name="churn",
    root="",
    params={"lr": 0.1},
    steps=(
        StepSpec(name="train", run="python train.py", outputs=("build/p.csv",)),
        StepSpec(name="evaluate", run="python evaluate.py", inputs=("build/p.csv",), base=True),
    ),
    metrics=(MetricSpec(name="val_auc", primary=True), MetricSpec(name="loss", goal=Goal.MINIMIZE)),
    predictions=PredictionsSpec(path="build/p.csv", id="id", holdout_path="h.csv"),
    gates=GatesSpec(rules=(RULE,)),
    deploy=DeploySpec(),
)


def says(head: ProjectSpec, base: ProjectSpec | None = BASE) -> str:
    return "\n".join(str(edit) for edit in edits(head, base))


def test_a_change_that_touches_no_rule_is_judged_as_it_is() -> None:
    head = replace(BASE, params={"lr": 0.2})
    assert effective(head, BASE) == head
    assert edits(head, BASE) == ()


@pytest.mark.parametrize(
    "changed",
    [
        {"gates": GatesSpec()},
        {"deploy": None},
        {"deploy": DeploySpec(approvals=0)},
        {"triggers": TriggersSpec(comment_roles=("read",))},
        {"engine": EngineSpec(price_per_hour=0.0)},
        {"report": ReportSpec(template="evil.j2")},
        {"commands": {"x": "deploy"}},
        {"predictions": None},
        {"predictions": PredictionsSpec(path="build/p.csv", id="id", holdout_path="easy.csv")},
        {"monitor": {"sample_rate": 0}},
    ],
)
def test_what_judges_comes_from_the_base_and_is_said(changed: dict[str, object]) -> None:
    head = replace(BASE, **changed)  # type: ignore[arg-type]
    assert effective(head, BASE) == BASE
    assert [edit.section for edit in edits(head, BASE)] == list(changed)


def test_edited_gates_are_listed() -> None:
    softer = replace(RULE, minimum=0.1)
    head = replace(BASE, gates=GatesSpec(rules=(softer, GateSpec(id="new`", metric="loss", maximum=1))))
    assert says(head) == "this change edits its gates (adds `new'`; alters `val_auc>=0.85`): judged by the base's"
    assert "removes `val_auc>=0.85`" in says(replace(BASE, gates=GatesSpec()))
    assert says(replace(BASE, gates=replace(BASE.gates, baseline="main"))) == (
        "this change edits its gates: judged by the base's"
    )


def test_a_metric_can_be_neither_turned_nor_dropped() -> None:
    turned = replace(BASE.metrics[0], goal=Goal.MINIMIZE)
    added = MetricSpec(name="new", primary=True)
    head = replace(BASE, metrics=(turned, added))
    found = effective(head, BASE)
    assert found.metrics == (*BASE.metrics, replace(added, primary=False))
    assert "redefines the metric `val_auc`" in says(head)
    assert "removes the metric `loss`" in says(head)


def test_the_first_metrics_of_a_project_are_its_own() -> None:
    base = replace(BASE, metrics=())
    assert effective(BASE, base).metrics == BASE.metrics


def test_a_step_from_base_can_be_neither_edited_nor_dropped() -> None:
    train, evaluate = BASE.steps
    easy = replace(evaluate, run="python always_good.py", base=False)
    assert effective(replace(BASE, steps=(train, easy)), BASE).steps == BASE.steps
    assert "edits the step `evaluate`" in says(replace(BASE, steps=(train, easy)))
    assert effective(replace(BASE, steps=(train,)), BASE).steps == BASE.steps
    assert "removes the step `evaluate`" in says(replace(BASE, steps=(train,)))


def test_the_change_s_own_steps_are_its_own() -> None:
    train, evaluate = BASE.steps
    head = replace(BASE, steps=(replace(train, run="python train.py --fast"), evaluate))
    assert effective(head, BASE) == head
    assert edits(head, BASE) == ()


def test_a_new_step_from_base_runs_from_the_change_and_says_so() -> None:
    new = StepSpec(name="audit", run="python audit.py", base=True)
    head = replace(BASE, steps=(*BASE.steps, new))
    assert effective(head, BASE).steps[-1] == replace(new, base=False)
    assert "the step `audit` is new: it is taken from this change" in says(head)


def test_a_step_declared_from_base_is_taken_from_there_at_once() -> None:
    train, evaluate = BASE.steps
    head = replace(BASE, steps=(replace(train, run="python cheat.py", base=True), evaluate))
    assert effective(head, BASE).steps[0] == replace(train, base=True)
    assert "declares the step `train` as taken from the base" in says(head)


def test_the_first_introduction_is_judged_by_its_own_file_and_says_so() -> None:
    found = effective(BASE, None)
    assert found == replace(BASE, steps=(BASE.steps[0], replace(BASE.steps[1], base=False)))
    assert "introduces the project" in says(BASE, None)


def test_a_rename_does_not_shake_off_the_gates() -> None:
    head = replace(BASE, name="churn2", gates=GatesSpec())
    assert effective(head, BASE) == BASE
    assert "renames the project `churn` to `churn2`" in says(head)


@pytest.mark.parametrize(
    ("heads", "expected", "removed"),
    [
        ([("a", "x"), ("b", "y")], ["a", "b"], []),
        ([("renamed", "x"), ("b", "y")], ["a", "b"], []),
        ([("a", "moved"), ("b", "y")], ["a", "b"], []),
        ([("b", "x"), ("a", "y")], ["a", "b"], []),  # names exchanged: folders decide
        ([("renamed", "x"), ("a", "decoy"), ("b", "y")], ["a", None, "b"], []),
        ([("a", "decoy"), ("renamed", "x"), ("b", "y")], [None, "a", "b"], []),
        ([("b", "y")], ["b"], ["a"]),
        ([("new", "z"), ("a", "x"), ("b", "y")], [None, "a", "b"], []),
        ([], [], ["a", "b"]),
    ],
)
def test_each_project_is_paired_with_what_it_continues(
    heads: list[tuple[str, str]], expected: list[str | None], removed: list[str]
) -> None:
    bases = [ProjectSpec(name="a", root="x"), ProjectSpec(name="b", root="y")]
    paired = pair_with_base([ProjectSpec(name=name, root=root) for name, root in heads], bases)
    assert [base.name if base else None for _, base in paired.pairs] == expected
    assert [base.name for base in paired.removed] == removed


class TestTrackingServer:
    MINE = TrackingSpec(uri="https://collect.example", experiment="churn")

    def test_no_change_names_the_server_that_is_asked(self) -> None:
        base = replace(BASE, tracking=TrackingSpec(uri="https://mlflow.example", experiment="churn"))
        assert effective(replace(base, tracking=self.MINE), base).tracking == base.tracking
        assert effective(replace(BASE, tracking=self.MINE), BASE).tracking is None
        assert "this change edits `tracking`: the base's stands until it is merged" in says(
            replace(base, tracking=self.MINE), base
        )

    def test_a_new_project_asks_nobody_until_it_is_merged(self) -> None:
        assert effective(replace(BASE, tracking=self.MINE), None).tracking is None
        assert "asked once it is merged" in says(replace(BASE, tracking=self.MINE), None)


DATA = (VolumeSpec(name="data", path="/data"),)


def with_volumes(volumes: tuple[VolumeSpec, ...], project: ProjectSpec = BASE) -> ProjectSpec:
    train, *others = project.steps
    return replace(project, steps=(replace(train, volumes=volumes), *others))


def test_a_change_mounts_what_the_base_mounts_and_nothing_else() -> None:
    base = with_volumes(DATA)
    for own in (
        (),
        (VolumeSpec(name="secrets", path="/data"),),
        (VolumeSpec(name="data", path="/data", read_only=False),),
    ):
        head = with_volumes(own, base)
        assert effective(head, base) == base
        assert says(head, base) == (
            "this change edits the volumes of the step `train`: the base's are mounted until it is merged"
        )
    head = with_volumes(DATA)
    assert effective(head, BASE) == BASE
    assert "none is mounted until it is merged" in says(head, BASE)
    new = replace(BASE, steps=(*BASE.steps, StepSpec(name="other", run="python o.py", volumes=DATA)))
    assert effective(new, BASE).steps[-1].volumes == ()
    assert "the step `other`: none is mounted" in says(new, BASE)


def test_a_renamed_step_takes_no_volumes_along() -> None:
    base = with_volumes(DATA)
    head = replace(base, steps=(replace(base.steps[0], name="fit"), *base.steps[1:]))
    assert effective(head, base).steps[0].volumes == ()


def test_a_new_project_enters_the_usual_namespace_and_mounts_nothing() -> None:
    head = replace(with_volumes(DATA), engine=EngineSpec(type="kubernetes", namespace="payments"))
    judged = effective(head, None)
    assert (judged.engine.type, judged.engine.namespace) == ("kubernetes", None)
    assert all(step.volumes == () for step in judged.steps)
    assert "the namespace `payments` holds once this is merged" in says(head, None)
    assert "the volumes of the step `train`: none is mounted" in says(head, None)


def test_an_image_is_the_changes_own() -> None:
    train, *others = BASE.steps
    head = replace(BASE, steps=(replace(train, image="registry.example/ml/torch:2.5"), *others))
    assert effective(head, BASE) == head
    assert edits(head, BASE) == ()
