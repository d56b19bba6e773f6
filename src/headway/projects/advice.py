"""What is allowed in a headway.yaml and yet probably not meant: said by `config validate` and in reports."""

from __future__ import annotations

from headway.projects.model import ProjectSpec


def advice(project: ProjectSpec) -> tuple[str, ...]:
    """Return one sentence for each thing that weakens what the gates can say."""
    return (*_about_gates(project), *_about_holdout(project))


def _about_gates(project: ProjectSpec) -> tuple[str, ...]:
    found = []
    if not project.metrics:
        found.append("no `metrics:` are declared: nothing is compared, and no gate can fail")
    elif not project.gates.rules:
        found.append("`gates:` has no rules: every change may be merged")
    sliced = [rule.id for rule in project.gates.rules if rule.slices and rule.metric]
    if sliced and project.predictions is None:
        found.append(f"the rule `{sliced[0]}` judges slices, and without `predictions:` there are no rows to slice")
    return tuple(found)


def _about_holdout(project: ProjectSpec) -> tuple[str, ...]:
    predictions = project.predictions
    if predictions is None:
        return ()
    path = predictions.holdout_path
    for step in project.steps:
        if any(path == output or path.startswith(f"{output}/") for output in step.outputs) and not step.base:
            says = f"the hold-out `{path}` is written by the step `{step.name}`, which a change can edit: "
            return (says + "add `from: base` to it, so that no change grades itself",)
    return ()
