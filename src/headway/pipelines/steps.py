"""From a project and a commit to its tasks: every name resolved, every path checked, nothing run."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import msgspec

from headway.data.digest import place_of
from headway.data.model import DataPin, Place
from headway.environments.find import image_environment
from headway.environments.model import EnvSpec
from headway.pipelines.code import code_digest, code_files
from headway.pipelines.command_line import names_in, split_command
from headway.pipelines.graph import Wiring, wire
from headway.pipelines.model import GitTree, TaskSpec
from headway.pipelines.order import in_order
from headway.pipelines.params import merge_params
from headway.projects.model import ParamValue, ProjectSpec, StepSpec

_CONFIG = ("headway.yaml", "headway.yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A project as it stands at one commit: the head of a change, or its base."""

    project: ProjectSpec
    tree: GitTree
    env: EnvSpec
    data: Mapping[str, DataPin] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Context:
    """What all steps share."""

    overrides: Mapping[str, ParamValue]
    known: Mapping[str, ParamValue]
    scope: str
    other_roots: tuple[str, ...]
    params_are_named: bool
    data_is_named: bool
    wiring: Mapping[str, Wiring]


def make_tasks(
    head: Side,
    *,
    base: Side | None = None,
    overrides: Mapping[str, ParamValue] | None = None,
    scope: str = "",
    other_roots: Collection[str] = (),
) -> tuple[TaskSpec, ...]:
    """Return the tasks of the project at `head`, in an order in which they can run.

    Steps that the base branch declares as taken from base come from there whole: definition, code, data,
    environment. A step is given the params and data sets that it names; where no step of the project
    names any, each is given all of them. `scope` names whose results may be reused; `other_roots` are
    the folders of the repository's other projects.

    Raises:
        UsageError: an unknown param, need, input or data set, or steps that need each other in a circle.
    """
    chosen = choose_steps(head, base)
    steps = [step for step, _ in chosen]
    wiring = wire(steps, tracked={step.name: _relative_paths(side) for step, side in chosen})
    context = _Context(
        overrides=overrides or {},
        known={**(base.project.params if base else {}), **head.project.params},
        scope=scope,
        other_roots=tuple(sorted(other_roots)),
        params_are_named=any(names_in(step.run, "params") for step in steps),
        data_is_named=any(_data_names(step) for step in steps),
        wiring=wiring,
    )
    by_name = {step.name: (step, side) for step, side in chosen}
    ordered = in_order({step.name: wiring[step.name].needs for step in steps})
    return tuple(_task(*by_name[name], context) for name in ordered)


def choose_steps(head: Side, base: Side | None) -> tuple[tuple[StepSpec, Side], ...]:
    """Return each step with the side that it is taken from; a change can neither edit nor drop a base step."""
    at_base = {step.name: step for step in base.project.steps} if base else {}
    chosen: list[tuple[StepSpec, Side]] = []
    for step in head.project.steps:
        earlier = at_base.get(step.name)
        if base is not None and earlier is not None and (earlier.base or step.base):
            chosen.append((earlier, base))
        else:
            chosen.append((step, head))
    names = {step.name for step in head.project.steps}
    if base is not None:
        chosen += [(step, base) for step in base.project.steps if step.base and step.name not in names]
    return tuple(chosen)


def local_data(spec: TaskSpec) -> tuple[str, ...]:
    """Return the absolute paths that a task's data sets have on this machine, for read-only mounts."""
    uris = [reference.rpartition("@")[0] for reference in spec.data.values()]
    return tuple(sorted(uri for uri in uris if place_of(uri) is Place.LOCAL))


def _task(step: StepSpec, side: Side, context: _Context) -> TaskSpec:
    project, wiring = side.project, context.wiring[step.name]
    all_params = merge_params(project.params, context.overrides, known=context.known)
    pins = _pins(step, side, context)
    argv = split_command(step, params=all_params, data={name: pin.uri for name, pin in side.data.items()})
    named = names_in(step.run, "params")
    params = {name: value for name, value in all_params.items() if name in named or not context.params_are_named}
    code = (*step.code, *wiring.tracked_inputs) if step.code else ()
    env = image_environment(step.image) if step.image else side.env
    not_code = _not_code(side, context, env)
    files = code_files(side.tree, root=project.root, code=code, not_code=not_code)
    return TaskSpec(
        name=step.name,
        argv=argv,
        commit=side.tree.commit,
        root=project.root,
        env=env,
        code_digest=code_digest(files),
        needs=wiring.needs,
        inputs=wiring.inputs,
        data={name: pin.reference for name, pin in pins.items()},
        outputs=tuple(posixpath.normpath(path) for path in step.outputs),
        params=params,
        variables={**project.env.variables, **step.variables, **_given(params, pins, project.seed)},
        secrets=project.env.secrets,
        resources=step.resources,
        timeout=step.timeout,
        retries=step.retries,
        network=step.network,
        image=step.image or "",
        volumes=step.volumes,
        cache=step.cache,
        seed=project.seed,
        scope=context.scope,
        code=code,
        not_code=not_code,
    )


def _pins(step: StepSpec, side: Side, context: _Context) -> dict[str, DataPin]:
    named = _data_names(step)
    return {name: pin for name, pin in sorted(side.data.items()) if name in named or not context.data_is_named}


def _data_names(step: StepSpec) -> frozenset[str]:
    declared = {path.removeprefix("data.") for path in step.inputs if path.startswith("data.")}
    return names_in(step.run, "data") | declared


def _given(params: Mapping[str, ParamValue], pins: Mapping[str, DataPin], seed: int | None) -> dict[str, str]:
    found = {f"HEADWAY_DATA_{name.upper().replace('-', '_').replace('.', '_')}": pin.uri for name, pin in pins.items()}
    if params:
        found["HEADWAY_PARAMS"] = msgspec.json.encode(dict(params), order="deterministic").decode()
    if seed is not None:
        found |= {"HEADWAY_SEED": str(seed), "PYTHONHASHSEED": str(seed % 2**32)}
    return found


def _not_code(side: Side, context: _Context, env: EnvSpec) -> tuple[str, ...]:
    root = side.project.root
    others = [
        posixpath.relpath(other, root) if root else other
        for other in context.other_roots
        if other != root and (not root or other.startswith(f"{root}/"))
    ]
    data = [pin.uri for pin in side.data.values() if pin.place is Place.TREE]
    # Lock files act through the environment's digest, data sets through their own.
    return tuple(sorted({*_CONFIG, *env.files, *data, *others}))


def _relative_paths(side: Side) -> frozenset[str]:
    prefix = f"{side.project.root}/" if side.project.root else ""
    return frozenset(path.removeprefix(prefix) for path in side.tree.entries if path.startswith(prefix))
