"""A task: one step of a pipeline, resolved against one commit, ready to be keyed and run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from headway.environments.model import EnvSpec
from headway.projects.model import ParamValue, Resources, VolumeSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """One step of a job, complete: nothing further is read from headway.yaml to run it."""

    name: str
    argv: tuple[str, ...]
    commit: str  # full sha whose tree it runs in: the head, or the base for a step taken from base
    root: str  # folder of the project in that tree
    env: EnvSpec
    code_digest: str  # of the paths it reads at `commit`
    needs: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()  # paths that earlier tasks output
    data: dict[str, str] = field(default_factory=dict)  # data set name -> "uri@digest"
    outputs: tuple[str, ...] = ()
    params: dict[str, ParamValue] = field(default_factory=dict)  # those it is given, so those its key depends on
    variables: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    resources: Resources = field(default_factory=Resources)
    timeout: timedelta | None = None
    retries: int = 0
    network: bool | None = None
    image: str = ""  # a container that stands in for the environment; then `env` is of its name
    volumes: tuple[VolumeSpec, ...] = ()
    cache: bool = True
    seed: int | None = None
    scope: str = ""  # whose results it may reuse: never another repository's or project's
    code: tuple[str, ...] = ()  # globs of what it reads, relative to the project; () = all but documentation
    not_code: tuple[str, ...] = ()  # tracked paths that are no code of it: data sets, lock files, other projects


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeEntry:
    """One tracked thing of a commit."""

    mode: str  # "100644", "100755", "120000" (symbolic link), "160000" (submodule)
    blob: str  # sha of its content; of a submodule, its commit
    size: int  # bytes; 0 for a submodule

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return self.mode == "120000"

    @property
    def is_submodule(self) -> bool:
        """Whether it stands for another repository's commit."""
        return self.mode == "160000"


@dataclass(frozen=True, slots=True, kw_only=True)
class GitTree:
    """Everything that one commit tracks, by path in the repository."""

    commit: str
    tree: str  # sha of the commit's tree, equal after a squash or rebase that changes no file
    entries: Mapping[str, TreeEntry]
