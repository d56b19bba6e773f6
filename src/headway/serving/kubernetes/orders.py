"""What an environment is made of, as it goes to the pod that makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.environments.files import FolderFiles
from headway.environments.pod_builder import PodBuilder
from headway.serving.kubernetes.exchange import EnvironmentOrder

if TYPE_CHECKING:
    from pathlib import Path


def read_order(root: Path, digest: str) -> EnvironmentOrder | None:
    """Return the order of an environment that `PodBuilder` kept in `root`; None where none was kept."""
    builder = PodBuilder(root)
    kept = builder.order(digest)
    if kept is None:
        return None
    found = FolderFiles(builder.folder(digest) / "files")
    return EnvironmentOrder(spec=kept.spec, tier=kept.tier, files={name: found[name] for name in found})
