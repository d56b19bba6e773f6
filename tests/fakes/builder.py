"""A Builder that makes empty environments: folders with a link to this Python, no packages, no network."""

from __future__ import annotations

import shutil
import sys
import threading
from typing import TYPE_CHECKING

from headway.environments.failure import BuildFailed
from headway.environments.model import BuiltEnv, EnvSpec, Tier

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path
    from typing import TextIO


class FakeBuilder:
    """Builds in no time; a requirements file that names `fails` cannot be built."""

    def __init__(self, root: Path) -> None:
        self.built: list[tuple[str, Tier]] = []
        self._root = root
        self._lock = threading.Lock()

    def find(self, digest: str, tier: Tier) -> BuiltEnv | None:
        for each in sorted(Tier, reverse=True):
            path = self._path(digest, each)
            if each >= tier and (path / "ready").is_file():
                return BuiltEnv(digest=digest, path=str(path), seconds=0.1, packages=0, reused=True)
        return None

    def build(self, spec: EnvSpec, source: Path, tier: Tier, log: TextIO) -> BuiltEnv:
        with self._lock:
            found = self.find(spec.digest, tier)
            if found is not None:
                return found
            for name in spec.files:
                if not (source / name).is_file():
                    raise BuildFailed(f"{name} is not those that were planned with", hint="plan again")
                if "fails" in (source / name).read_text(encoding="utf-8"):
                    raise BuildFailed(f"{name} cannot be built", cause="it says so", hint=f"mend {name}")
            path = self._path(spec.digest, tier)
            (path / "bin").mkdir(parents=True, exist_ok=True)
            (path / "bin" / "python").symlink_to(sys.executable)
            log.write("nothing to install\n")
            (path / "ready").touch()
            self.built.append((spec.digest, tier))
            return BuiltEnv(digest=spec.digest, path=str(path), seconds=0.1, packages=0, reused=False)

    def prune(self, keep: Collection[str]) -> int:
        freed = 0
        for path in self._root.glob("*/*"):
            if path.name not in keep:
                freed += sum(each.lstat().st_blocks * 512 for each in path.rglob("*")) or 512
                shutil.rmtree(path)
        return freed

    def _path(self, digest: str, tier: Tier) -> Path:
        return self._root / tier.name.lower() / digest
