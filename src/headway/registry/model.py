"""Model versions and where they came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Where a version came from, as far back as it is known; empty strings where it is not."""

    run_id: str = ""
    job_id: str = ""
    project: str = ""
    repo_id: str = ""
    commit: str = ""
    tree: str = ""
    change: int | None = None
    actor: str = ""  # whose command trained it
    approved_by: str = ""
    data: dict[str, str] = field(default_factory=dict)  # data set -> digest


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """A registry entry."""

    model: str
    number: int
    run_id: str
    source: str  # key of the model folder in the artifact blob store
    digest: str  # of the folder: paths and bytes
    env_digest: str
    env_path: str
    state: str  # candidate | released | archived
    aliases: tuple[str, ...]
    created_by: str
    created_at: datetime
    lineage: Lineage = field(default_factory=Lineage)
