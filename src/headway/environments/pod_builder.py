"""Environments that are made in a cluster: checked here as far as that goes, and what making them takes is kept."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from headway.environments.files import FolderFiles
from headway.environments.model import BuiltEnv, EnvKind, EnvSpec, Tier
from headway.environments.operator_config import OperatorConfig, read_operator_config
from headway.environments.packages import locked_packages
from headway.environments.shelf import Shelf
from headway.environments.wanted import check_sources, check_wheels, read_wanted
from headway.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from typing import TextIO

    from headway.environments.requirements import Requirements

IN_PODS = Path("/headway/environments")  # where pods find the shelves of all tiers
_ORDER, _FILES = "order.json", "files"
_LONGEST_BUILD = 3600.0  # seconds; what is older was left by a killed server


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptOrder:
    """What is kept of an environment: it is made again from this wherever a pod needs it."""

    spec: EnvSpec
    tier: int  # the most trusted code that named it
    packages: int = 0


class PodBuilder:
    """Implements `environments.base.Builder` for engines whose attempts run elsewhere: nothing is installed here.

    Per digest a folder with `order.json` and the files that describe the environment below `files/`.
    """

    def __init__(self, root: Path, *, shelves: Path = IN_PODS, operator: OperatorConfig | None = None) -> None:
        """Keep orders in `root`; `shelves` is where the pods keep environments."""
        self._root = root
        self._shelves = {tier: Shelf(shelves, tier) for tier in Tier}
        self._operator = read_operator_config(os.environ) if operator is None else operator

    def find(self, digest: str, tier: Tier) -> BuiltEnv | None:
        """Return where pods find the environment, once code of this tier or a higher one has passed the checks."""
        order = self.order(digest)
        if order is None or order.tier < tier:
            return None
        return self._promised(order, tier, reused=True)

    def order(self, digest: str) -> KeptOrder | None:
        """Return what is kept of an environment; None when nothing is."""
        try:
            found = msgspec.json.decode((self.folder(digest) / _ORDER).read_bytes(), type=KeptOrder)
        except (OSError, msgspec.MsgspecError):
            return None
        return found if found.spec.digest == digest else None

    def folder(self, digest: str) -> Path:
        """Return the folder of an environment's order."""
        return self._root / self._shelves[Tier.MAIN].path(digest).name

    def build(self, spec: EnvSpec, source: Path, tier: Tier, log: TextIO) -> BuiltEnv:
        """Check the files and keep them; what only the package index could tell is told by the pod."""
        found = self.find(spec.digest, tier)
        if found is not None:
            return found
        files = FolderFiles(source)
        wanted = self._checked(spec, files, tier)
        log.writelines(f"{clause}\n" for clause in (wanted.ignored if wanted else ()))
        order = KeptOrder(spec=spec, tier=int(tier), packages=len(locked_packages(spec, files)))
        self._keep(order, files)
        log.write(f"environment {spec.digest[:12]}: its files are in order; the pod makes it, or has it\n")
        log.flush()
        return self._promised(order, tier, reused=False)

    def prune(self, keep: Collection[str]) -> int:
        """Forget the orders that are not in `keep`; what stands in the cluster's cache is the cluster's matter."""
        freed = 0
        for folder in sorted(self._root.iterdir()) if self._root.is_dir() else ():
            if folder.name in keep or _is_in_the_making(folder):
                continue
            freed += sum(each.lstat().st_size for each in folder.rglob("*") if each.is_file())
            shutil.rmtree(folder, ignore_errors=True)
        return freed

    def _checked(self, spec: EnvSpec, files: FolderFiles, tier: Tier) -> Requirements | None:
        if spec.kind in (EnvKind.NONE, EnvKind.IMAGE):
            return None
        with self._scratch() as scratch:
            # uv looks for settings from here upwards and stops at the first file: this one says nothing.
            (scratch / "uv.toml").write_bytes(b"")
            variables = {**self._operator.variables, "UV_CACHE_DIR": str(scratch / "cache"), "NO_COLOR": "1"}
            wanted = read_wanted(spec, files, scratch=scratch, variables=variables)
        check_sources(wanted, tier)
        check_wheels(wanted)
        return wanted

    def _keep(self, order: KeptOrder, files: FolderFiles) -> None:
        with self._scratch() as scratch:
            for path in order.spec.files:
                copy = scratch / _FILES / path
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(files[path])
            (scratch / _ORDER).write_bytes(msgspec.json.encode(order))
            target = self.folder(order.spec.digest)
            try:
                scratch.rename(target)
            except OSError:
                # It is here, for less trusted code: equal digests are equal files, so that only the word changes.
                (scratch / _ORDER).replace(target / _ORDER)

    def _promised(self, order: KeptOrder, tier: Tier, *, reused: bool) -> BuiltEnv:
        spec = order.spec
        path = "" if spec.kind is EnvKind.IMAGE else str(self._shelves[tier].path(spec.digest))
        return BuiltEnv(digest=spec.digest, path=path, seconds=0.0, packages=order.packages, reused=reused)

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        folder = self._root / f"{new_id()}.part"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _is_in_the_making(folder: Path) -> bool:
    try:
        return folder.suffix == ".part" and time.time() - folder.stat().st_mtime < _LONGEST_BUILD
    except FileNotFoundError:
        return True
