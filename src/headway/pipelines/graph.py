"""How steps hang together: who needs whom, completed from what they read and write."""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from headway.errors import UsageError
from headway.ids import checked_name
from headway.projects.model import StepSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What one step waits for and reads."""

    needs: tuple[str, ...]  # in the order of the steps
    inputs: tuple[str, ...]  # paths that earlier steps output
    tracked_inputs: tuple[str, ...]  # paths that are in the commit


def wire(steps: Sequence[StepSpec], *, tracked: Mapping[str, Collection[str]]) -> dict[str, Wiring]:
    """Return the wiring of each step; `tracked` has the project's files at each step's commit.

    A step that states what it needs but not what it reads is given all that those steps output.

    Raises:
        UsageError: names twice, unknown needs, inputs that come from nowhere, outputs that leave the project.
    """
    _check_names(steps)
    outputs = _outputs(steps)
    return {step.name: _wire_step(step, steps, outputs, tracked[step.name]) for step in steps}


def _wire_step(
    step: StepSpec, steps: Sequence[StepSpec], outputs: Mapping[str, str], tracked: Collection[str]
) -> Wiring:
    needs = set(step.needs)
    inputs: list[str] = []
    tracked_inputs: list[str] = []
    paths = [posixpath.normpath(path) for path in step.inputs if not path.startswith("data.")]
    for path in paths:
        makers = {maker for output, maker in outputs.items() if _overlap(path, output)}
        if step.name in makers:
            raise UsageError(f"step {step.name!r} reads {path!r}, which is its own output")
        if makers:
            inputs.append(path)
            needs |= makers
        elif _is_tracked(path, tracked):
            tracked_inputs.append(path)
        else:
            raise _from_nowhere(step, path, outputs)
    if not paths:
        inputs = [output for output, maker in outputs.items() if maker in needs]
    return Wiring(
        needs=tuple(each.name for each in steps if each.name in needs),
        inputs=tuple(sorted(inputs)),
        tracked_inputs=tuple(tracked_inputs),
    )


def _check_names(steps: Sequence[StepSpec]) -> None:
    names = [checked_name(step.name, what="step") for step in steps]
    if not names:
        raise UsageError("the project has no steps", hint="write `run: python train.py` in headway.yaml")
    for step in steps:
        if names.count(step.name) > 1:
            raise UsageError(f"two steps are called {step.name!r}", hint="give each its own name")
        for need in step.needs:
            if need not in names:
                close = difflib.get_close_matches(need, names, n=1)
                raise UsageError(
                    f"step {step.name!r} needs {need!r}, and there is no such step"
                    + (f"; did you mean {close[0]!r}?" if close else ""),
                    hint=f"steps are: {', '.join(names)}",
                )


def _outputs(steps: Sequence[StepSpec]) -> dict[str, str]:
    found: dict[str, str] = {}
    for step in steps:
        for written in step.outputs:
            path = posixpath.normpath(written)
            if path.startswith(("/", "..")) or path == ".":
                raise UsageError(
                    f"step {step.name!r}: the output {written!r} is not inside the project",
                    hint="name a file or folder relative to the project, for example build/model",
                )
            other = next((maker for output, maker in found.items() if _overlap(path, output)), None)
            if other is not None and other != step.name:
                raise UsageError(
                    f"steps {other!r} and {step.name!r} both write {path!r}",
                    hint="let each step write to a place of its own",
                )
            found[path] = step.name
    return found


def _from_nowhere(step: StepSpec, path: str, outputs: Mapping[str, str]) -> UsageError:
    close = difflib.get_close_matches(path, outputs, n=1)
    return UsageError(
        f"step {step.name!r} reads {path!r}, which no step outputs and the commit does not have"
        + (f"; did you mean {close[0]!r}?" if close else ""),
        cause=f"outputs are: {', '.join(outputs) or 'none'}",
        hint="declare it under `outputs:` of the step that writes it, or commit the file",
    )


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _is_tracked(path: str, tracked: Collection[str]) -> bool:
    return path in tracked or any(each.startswith(f"{path}/") for each in tracked)
