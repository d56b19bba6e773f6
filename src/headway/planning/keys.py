"""Task keys: equal keys mean that running again could only give the same, whatever commit, branch or job asks."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping

from headway.ids import digest_of
from headway.pipelines.model import TaskSpec
from headway.planning.model import OutputFile, TaskResult

# Raised when results of earlier versions of Headway must not be reused.
_FORMAT = 1


def static_key(spec: TaskSpec) -> str:
    """Return the digest of everything about a task that is known before any task has run.

    Left out on purpose: commit and branch (the code's digest stands for them), time-outs, retries, memory
    and CPU (they say how long it may take and not what comes out), and everything outside the task: gates,
    report, deployment.
    """
    # Only where there are some, so that the keys of all other tasks stay what they were.
    mounted = {"volumes": [(each.name, each.path, each.read_only) for each in spec.volumes]} if spec.volumes else {}
    return digest_of(
        mounted
        | {
            "format": _FORMAT,
            "scope": spec.scope,
            "name": spec.name,
            "root": spec.root,
            "argv": spec.argv,
            "environment": spec.env.digest,  # of a container, its name
            "code": spec.code_digest,
            "data": spec.data,
            "inputs": sorted(spec.inputs),
            "outputs": sorted(spec.outputs),
            # 1 and 1.0 and True are equal to Python and not to a program that reads them.
            "params": {name: (type(value).__name__, value) for name, value in spec.params.items()},
            "variables": spec.variables,
            "secrets": sorted(spec.secrets),
            "accelerators": spec.resources.accelerators,
            "seed": spec.seed,
        },
    )


def exact_key(spec: TaskSpec, inputs: Mapping[str, str]) -> str:
    """Return the key of a task whose inputs are there; `inputs` maps each of its input paths to a digest."""
    return digest_of({"static": static_key(spec), "inputs": {path: inputs[path] for path in spec.inputs}})


def input_digest(path: str, outputs: Iterable[OutputFile]) -> str | None:
    """Return the digest of what stands at `path` among earlier tasks' outputs; None when nothing does."""
    found = {
        posixpath.relpath(each.path, path): (each.digest, each.executable)
        for each in outputs
        if each.path == path or each.path.startswith(f"{path}/")
    }
    return digest_of(found) if found else None


def input_digests(spec: TaskSpec, results: Mapping[str, TaskResult]) -> dict[str, str] | None:
    """Return the digest of each input from the results of the tasks it needs; None while one is not there.

    An input that its task did not output in the end counts as empty: the task may still say so itself.
    """
    if not spec.inputs:
        return {}
    if any(need not in results for need in spec.needs):
        return None
    outputs = [each for need in spec.needs for each in results[need].outputs]
    return {path: input_digest(path, outputs) or "" for path in spec.inputs}


def exact_keys(tasks: Iterable[TaskSpec], known: Mapping[str, TaskResult]) -> dict[str, str]:
    """Return the exact key of every task whose inputs are known, by task name; `known` maps exact keys to results.

    A result that is known opens the next task's inputs, so looking up and calling again goes deeper each time.
    """
    keys: dict[str, str] = {}
    results: dict[str, TaskResult] = {}
    for spec in tasks:
        inputs = input_digests(spec, results)
        if inputs is None:
            continue
        keys[spec.name] = exact_key(spec, inputs)
        # A task that is never reused will run, so what it outputs is not known.
        if spec.cache and is_reusable(spec) and keys[spec.name] in known:
            results[spec.name] = known[keys[spec.name]]
    return keys


def is_reusable(spec: TaskSpec) -> bool:
    """Return whether equal keys are proof: every data set was hashed, and no volume holds what nobody has seen."""
    return not unhashed_data(spec) and not spec.volumes


def unhashed_data(spec: TaskSpec) -> tuple[str, ...]:
    """Return the data sets whose content was not looked at, so that a change of it goes unnoticed."""
    return tuple(sorted(name for name, reference in spec.data.items() if reference.endswith("@not hashed")))
