"""What differs between two resolutions of a task, in clauses for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headway.pipelines.code import changed_code
from headway.pipelines.model import GitTree, TaskSpec
from headway.pipelines.params import as_text

_SHOWN = 4


def describe_changes(
    old: TaskSpec,
    new: TaskSpec,
    *,
    trees: Mapping[str, GitTree],
    packages: Mapping[str, Mapping[str, str]],
) -> tuple[str, ...]:
    """Return one clause for each thing that differs; empty when nothing that counts does.

    `trees` maps commits to their trees and `packages` environment digests to versions; where one is not
    there, the clause names no details.
    """
    clauses = [
        _code(old, new, trees),
        _params(old, new),
        _data(old, new),
        _environment(old, new, packages),
        "command changed" if old.argv != new.argv and old.params == new.params and old.data == new.data else "",
        f"seed changed: {old.seed} -> {new.seed}" if old.seed != new.seed else "",
        _variables(old, new),
        "volumes changed" if old.volumes != new.volumes else "",
        "inputs or outputs changed" if (old.inputs, old.outputs) != (new.inputs, new.outputs) else "",
        "accelerators changed" if old.resources.accelerators != new.resources.accelerators else "",
    ]
    return tuple(clause for clause in clauses if clause)


def changed_packages(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[str, ...]:
    """Return what was added, removed or changed between two sets of versions."""
    clauses = []
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            clauses.append(f"{name} {new[name]} added")
        elif name not in new:
            clauses.append(f"{name} removed")
        elif old[name] != new[name]:
            clauses.append(f"{name} {old[name]} -> {new[name]}")
    return tuple(clauses)


def _code(old: TaskSpec, new: TaskSpec, trees: Mapping[str, GitTree]) -> str:
    if old.code_digest == new.code_digest:
        return ""
    if old.commit not in trees or new.commit not in trees:
        return "code changed"
    return _listed("code changed", changed_code((old, trees[old.commit]), (new, trees[new.commit])))


def _params(old: TaskSpec, new: TaskSpec) -> str:
    changed = []
    for name in sorted(old.params.keys() | new.params.keys()):
        before = as_text(old.params[name]) if name in old.params else "(none)"
        after = as_text(new.params[name]) if name in new.params else "(none)"
        if before != after:
            changed.append(f"{name} {before} -> {after}")
    return _listed("params changed", changed) if changed else ""


def _data(old: TaskSpec, new: TaskSpec) -> str:
    names = [name for name in sorted(old.data.keys() | new.data.keys()) if old.data.get(name) != new.data.get(name)]
    return _listed("data changed", names) if names else ""


def _environment(old: TaskSpec, new: TaskSpec, packages: Mapping[str, Mapping[str, str]]) -> str:
    if old.env.digest == new.env.digest:
        return ""
    if old.image != new.image:
        return f"container changed: {old.image or 'none'} -> {new.image or 'none'}"
    details = [] if old.env.python == new.env.python else [f"Python {old.env.python} -> {new.env.python}"]
    if old.env.digest in packages and new.env.digest in packages:
        details += changed_packages(packages[old.env.digest], packages[new.env.digest])
    return _listed("environment changed", details) if details else "environment changed"


def _variables(old: TaskSpec, new: TaskSpec) -> str:
    # Ours repeat what the clauses on params, data and seed say.
    before, after = (
        {name: value for name, value in spec.variables.items() if not name.startswith(("HEADWAY_", "PYTHONHASHSEED"))}
        for spec in (old, new)
    )
    names = [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
    return _listed("variables changed", names) if names else ""


def _listed(head: str, details: Sequence[str]) -> str:
    shown = ", ".join(details[:_SHOWN])
    more = len(details) - _SHOWN
    return f"{head}: {shown}" + (f" and {more} more" if more > 0 else "") if shown else head
