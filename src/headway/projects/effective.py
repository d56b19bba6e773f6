"""A change's project as it is judged: what decides about the change comes from the base branch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from headway.projects.model import MetricSpec, ProjectSpec, StepSpec

_FROM_BASE = (
    "gates",
    "deploy",
    "triggers",
    "engine",
    "report",
    "tracking",
    "retention",
    "notifications",
    "monitor",
    "predictions",
    "commands",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Something that a change alters in its file and that takes effect only after the merge."""

    section: str  # "gates", "metrics.val_auc", "steps.evaluate"
    says: str  # one clause for the report

    def __str__(self) -> str:
        """The sentence that the report shows."""
        return self.says


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """The projects of a change, each with the one of the base branch that it continues."""

    pairs: tuple[tuple[ProjectSpec, ProjectSpec | None], ...]  # in the order of the change's projects
    removed: tuple[ProjectSpec, ...]  # projects of the base that the change no longer has


def pair_with_base(heads: Sequence[ProjectSpec], bases: Sequence[ProjectSpec]) -> Paired:
    """Find what each project of a change was before it, so that no rename shakes off the base's gates.

    A file in the same folder is the same project, whatever it calls itself now; one that has moved is
    known by its name. Each project of the base is continued at most once.
    """
    left = list(bases)
    found: dict[int, ProjectSpec] = {}
    for is_same in (_has_same_folder, _has_same_name):
        for index, head in enumerate(heads):
            earlier = next((base for base in left if index not in found and is_same(head, base)), None)
            if earlier is not None:
                found[index] = earlier
                left.remove(earlier)
    return Paired(pairs=tuple((head, found.get(index)) for index, head in enumerate(heads)), removed=tuple(left))


def _has_same_folder(head: ProjectSpec, base: ProjectSpec) -> bool:
    return head.root == base.root


def _has_same_name(head: ProjectSpec, base: ProjectSpec) -> bool:
    return head.name == base.name


def effective(head: ProjectSpec, base: ProjectSpec | None) -> ProjectSpec:
    """Return the project of a change as the base branch lets it be judged.

    The name, gates, deploy, triggers, engine, report, tracking, retention, notifications, monitor, commands,
    predictions, the metrics' goals, the steps taken `from: base` and the volumes that a step mounts are the base's;
    the rest is the change's. Where the base has no such project yet, the change's own file is all there is, but for
    `tracking`, volumes and the namespace: no server is asked, no volume mounted and no namespace entered that only a
    change names.
    """
    if base is None:
        steps = tuple(replace(step, base=False, volumes=()) for step in head.steps)
        return replace(head, tracking=None, engine=replace(head.engine, namespace=None), steps=steps)
    return replace(
        head,
        name=base.name,
        metrics=_metrics(head, base),
        steps=_steps(head, base),
        gates=base.gates,
        deploy=base.deploy,
        triggers=base.triggers,
        engine=base.engine,
        report=base.report,
        tracking=base.tracking,
        retention=base.retention,
        notifications=base.notifications,
        monitor=base.monitor,
        predictions=base.predictions,
        commands=base.commands,
    )


def edits(head: ProjectSpec, base: ProjectSpec | None) -> tuple[Edit, ...]:
    """Return what the change tried to alter of what judges it, for the report."""
    if base is None:
        says = "this change introduces the project: it is judged by its own gates until it is merged"
        asks = "this change introduces the project: the server under `tracking` is asked once it is merged"
        edits_of_new = [Edit(section="", says=says), *((Edit(section="tracking", says=asks),) if head.tracking else ())]
        if head.engine.namespace is not None:
            usual = (
                f"the namespace `{head.engine.namespace}` holds once this is merged: until then the server's usual one"
            )
            edits_of_new.append(Edit(section="engine", says=usual))
        return (*edits_of_new, *_volume_edits(head, {}))
    return (*_name_edits(head, base), *_section_edits(head, base), *_metric_edits(head, base), *_step_edits(head, base))


def _metrics(head: ProjectSpec, base: ProjectSpec) -> tuple[MetricSpec, ...]:
    known = {metric.name for metric in base.metrics}
    # A new metric may be watched at once; first it cannot be: that decides the verdict's headline.
    added = (replace(metric, primary=False) for metric in head.metrics if metric.name not in known)
    return (*base.metrics, *(added if base.metrics else head.metrics))


def _steps(head: ProjectSpec, base: ProjectSpec) -> tuple[StepSpec, ...]:
    at_base = {step.name: step for step in base.steps}
    chosen = [_step(step, at_base.get(step.name)) for step in head.steps]
    names = {step.name for step in head.steps}
    return (*chosen, *(step for step in base.steps if step.base and step.name not in names))


def _step(step: StepSpec, at_base: StepSpec | None) -> StepSpec:
    if at_base is None:
        # The base has no such step to take: it runs as the change has it.
        return replace(step, base=False, volumes=())
    return replace(at_base, base=True) if step.base or at_base.base else replace(step, volumes=at_base.volumes)


def _name_edits(head: ProjectSpec, base: ProjectSpec) -> Iterable[Edit]:
    if head.name != base.name:
        says = f"this change renames the project `{base.name}` to `{head.name}`: it keeps its name until it is merged"
        yield Edit(section="name", says=says)


def _section_edits(head: ProjectSpec, base: ProjectSpec) -> Iterable[Edit]:
    for section in _FROM_BASE:
        if getattr(head, section) == getattr(base, section):
            continue
        if section == "gates":
            yield Edit(section=section, says=f"this change edits its gates{_rules(head, base)}: judged by the base's")
        else:
            says = f"this change edits `{section}`: the base's stands until it is merged"
            yield Edit(section=section, says=says)


def _rules(head: ProjectSpec, base: ProjectSpec) -> str:
    before = {rule.id: rule for rule in base.gates.rules}
    after = {rule.id: rule for rule in head.gates.rules}
    parts = (
        ("removes", [name for name in before if name not in after]),
        ("adds", [name for name in after if name not in before]),
        ("alters", [name for name in after if name in before and before[name] != after[name]]),
    )
    listed = [f"{verb} {', '.join(f'`{_plain(name)}`' for name in names[:5])}" for verb, names in parts if names]
    return f" ({'; '.join(listed)})" if listed else ""


def _metric_edits(head: ProjectSpec, base: ProjectSpec) -> Iterable[Edit]:
    after = {metric.name: metric for metric in head.metrics}
    for metric in base.metrics:
        changed = after.get(metric.name)
        if changed == metric:
            continue
        verb = "removes" if changed is None else "redefines"
        yield Edit(
            section=f"metrics.{metric.name}",
            says=f"this change {verb} the metric `{metric.name}`: the base's definition stands",
        )


def _step_edits(head: ProjectSpec, base: ProjectSpec) -> Iterable[Edit]:
    after = {step.name: step for step in head.steps}
    at_base = {step.name: step for step in base.steps}
    for step in base.steps:
        if step.base and after.get(step.name) != step:
            verb = "edits" if step.name in after else "removes"
            says = f"this change {verb} the step `{step.name}`, which is taken from the base: the base's runs"
            yield Edit(section=f"steps.{step.name}", says=says)
    yield from _volume_edits(head, at_base)
    for step in head.steps:
        earlier = at_base.get(step.name)
        if step.base and earlier is None:
            says = f"the step `{step.name}` is new: it is taken from this change, and from the base once it is merged"
            yield Edit(section=f"steps.{step.name}", says=says)
        elif step.base and earlier is not None and not earlier.base:
            says = f"this change declares the step `{step.name}` as taken from the base: the base's runs"
            yield Edit(section=f"steps.{step.name}", says=says)


def _volume_edits(head: ProjectSpec, at_base: Mapping[str, StepSpec]) -> Iterable[Edit]:
    for step in head.steps:
        earlier = at_base.get(step.name)
        if earlier is not None and (earlier.base or step.base):
            continue  # the whole step is the base's
        mounted = earlier.volumes if earlier is not None else ()
        if step.volumes != mounted:
            has = "the base's are mounted" if mounted else "none is mounted"
            says = f"this change edits the volumes of the step `{step.name}`: {has} until it is merged"
            yield Edit(section=f"steps.{step.name}", says=says)


def _plain(text: str) -> str:
    return text.replace("`", "'")
