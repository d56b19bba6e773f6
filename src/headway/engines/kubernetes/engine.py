"""The Kubernetes engine: one Job per attempt; what its pod brings lies in the attempt's folder on the server."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from headway.engines.base import Alive, AttemptSpec, Isolation, LogLine, Lost, Observation, Starting
from headway.engines.delivered import LOG, ORDERED, SOURCE, STOP
from headway.engines.kubernetes.documents import environment_place, job_document, secret_document, server_label
from headway.engines.kubernetes.ends import end_by_record
from headway.engines.kubernetes.folder import AttemptFolder, Begun, Ordered
from headway.engines.kubernetes.keeper import Keeper
from headway.engines.kubernetes.options import KubernetesOptions
from headway.engines.kubernetes.proof import prove
from headway.engines.kubernetes.standing import Standing
from headway.engines.lines import read_lines
from headway.engines.proof import Finding
from headway.errors import Refused, UsageError
from headway.ids import NAME, checked_name
from headway.sandbox.inside import archive

if TYPE_CHECKING:
    from headway.kube import Kube


class KubernetesEngine:
    """Keeps one folder per attempt directly below `root`; the folder's name is the handle.

    Nothing here waits for the cluster: one thread (`Keeper`) does, begun by the first attempt that this process
    starts, looks at or stops.
    """

    def __init__(self, root: Path, options: KubernetesOptions, connect: Callable[[], Kube]) -> None:
        """`connect` opens the cluster; it is called only when there is something to do."""
        self._root = root.absolute()
        self._options = options
        self._connect = connect
        self._server = server_label(options.server_url, str(self._root))
        self._keeper = Keeper(self._root, options, connect, server=self._server)
        self._standing = Standing(options.cache)
        self._learned: set[str] = set()

    def start(self, spec: AttemptSpec) -> str:
        """Pack the source and write down what is wanted; the keeper brings it about, once."""
        folder = self._folder_of(spec)
        with (folder.path / "order.lock").open("a") as lock:
            # Whoever comes second must not pack what the first one is taking away.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.is_ordered:
                self._order(spec, folder)
            # What was sent is in the archive; the folder would only lie there twice.
            shutil.rmtree(folder.path / "work", ignore_errors=True)
        self._keeper.take(folder.handle)
        return folder.handle

    def _order(self, spec: AttemptSpec, folder: AttemptFolder) -> None:
        namespace = self._check(spec)
        digest = pack_source(folder.path)
        placed = {"namespace": namespace, "server": self._server}
        place = environment_place(spec, namespace)
        stands = place is not None and self._standing.has(place)
        folder.order(
            Ordered(
                namespace=namespace,
                ordered_at=time.time(),
                secret=secret_document(spec, self._options, **placed),
                job=job_document(spec, self._options, source_digest=digest, environment_stands=stands, **placed),
                makes=None if stands else place,
                counts_on=place if stands else None,
            )
        )

    def observe(self, handle: str) -> Observation:
        """Read the folder: the pod's last word first, then what the keeper concluded, then what it waits for."""
        folder = self._known(handle)
        if folder is None:
            return Lost(why=f"this engine knows no attempt {handle!r}")
        verdict = folder.verdict()
        if verdict is not None:
            self._unlearn(folder)
            return verdict
        begun = folder.begun()
        if begun is not None:
            self._learn(folder, begun)
        record = folder.exit_record()
        if record is not None:
            return end_by_record(record, is_stopped=folder.is_stopped, is_overdue=folder.is_overdue)
        self._keeper.take(handle)
        why = self._keeper.why(handle)
        if begun is None:
            return Starting(why=why)
        return Alive(isolation=Isolation.L3, why=why)

    def _learn(self, folder: AttemptFolder, begun: Begun) -> None:
        """The code began, so the environment that its pod was to make is there for the next ones."""
        if folder.handle in self._learned:
            return
        self._learned.add(folder.handle)
        made = folder.ordered().makes
        if made is not None:
            self._standing.note(made, begun.node)

    def _unlearn(self, folder: AttemptFolder) -> None:
        """It did not end by its own word: if it counted on an environment, the next pod looks for itself."""
        counted_on = folder.ordered().counts_on
        if counted_on is not None:
            self._standing.forget(counted_on)

    def logs(self, handle: str, offset: int = 0) -> Iterator[LogLine]:
        """Yield what the pod has brought from byte `offset` on."""
        folder = self._known(handle)
        if folder is None:
            return iter(())
        return read_lines(folder.path / LOG, offset, ended=folder.has_ended)

    def stop(self, handle: str) -> None:
        """Leave the wish in the folder: the pod is told when it brings its log, and the keeper deletes the Job."""
        folder = self._known(handle)
        if folder is None or folder.has_ended:
            return
        (folder.path / STOP).touch()
        self._keeper.take(handle)
        self._keeper.wake()

    def handles(self) -> Iterable[str]:
        """Return the name of every folder that was ordered here."""
        return sorted(found.parent.name for found in self._root.glob(f"*/{ORDERED}"))

    def resume(self) -> None:
        """Go on with what an earlier process left: Jobs that have ended are taken away though nobody asks for them."""
        if not all(AttemptFolder(self._root / handle).is_tidied for handle in self.handles()):
            self._keeper.wake()

    def prove(self) -> Iterator[Finding]:
        """Say whether the cluster answers, and what the server may do there."""
        return prove(self._connect, self._options)

    def close(self) -> None:
        """Stop looking; what runs goes on, and the next engine over this folder finds it."""
        self._keeper.close()

    def _known(self, handle: str) -> AttemptFolder | None:
        if not NAME.match(handle):
            return None
        folder = AttemptFolder(self._root / handle)
        return folder if folder.is_ordered else None

    def _folder_of(self, spec: AttemptSpec) -> AttemptFolder:
        folder = Path(spec.directory).absolute()
        if folder.parent != self._root:
            raise UsageError(
                f"the attempt's folder {folder} is not directly below {self._root}",
                hint=f"use {self._root / spec.id}",
            )
        if folder.name != spec.id:
            raise UsageError(
                f"the attempt's folder {folder} does not have its name", hint=f"use {self._root / spec.id}"
            )
        checked_name(folder.name, what="attempt folder")
        return AttemptFolder(folder)

    def _check(self, spec: AttemptSpec) -> str:
        """Return the namespace for an attempt that may run here."""
        namespace = spec.namespace or self._options.namespace
        if not self._options.allows(namespace):
            raise Refused(
                f"the operator does not let projects run in the namespace {namespace!r}",
                cause=f"allowed: {', '.join(dict.fromkeys((self._options.namespace, *self._options.namespaces)))}",
                hint="name one of these in `engine: {namespace: ...}`, or add it to HEADWAY_KUBERNETES_NAMESPACES",
            )
        if spec.minimum_isolation > Isolation.L3:
            raise Refused(f"this task needs isolation L{spec.minimum_isolation:d}, and a pod gives L3")
        if not spec.network and not self._options.enforces_network:
            raise Refused(
                "this task must have no network but the door, and nobody has said that the cluster enforces that",
                cause="code from a fork, or `network: false`",
                hint="where the cluster's network enforces NetworkPolicy, apply deploy/kubernetes/network.yaml and set "
                "HEADWAY_KUBERNETES_ENFORCES_NETWORK=1",
            )
        return namespace


def pack_source(folder: Path) -> str:
    """Pack `work/` into `source.tar`, whole and durable, and return its SHA-256; done already, it stays as it is."""
    packed, work = folder / SOURCE, folder / "work"
    if not packed.exists():
        descriptor, part = tempfile.mkstemp(dir=folder, prefix=".source-")
        with os.fdopen(descriptor, "wb") as stream:
            names = sorted(each.name for each in work.iterdir())
            archive.pack(work, stream, names, links=True)
            stream.flush()
            os.fsync(stream.fileno())
        Path(part).replace(packed)
    with packed.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
