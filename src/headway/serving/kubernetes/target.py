"""The Kubernetes target: apply leaves a wish, a thread brings it to the cluster, pods report through the API.

No method waits for the cluster: what is seen comes from what pods have told and what the thread last saw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headway.errors import HeadwayError
from headway.ids import checked_name
from headway.serving.durable import write_file
from headway.serving.kubernetes.keeper import Keeper
from headway.serving.kubernetes.picture import picture
from headway.serving.kubernetes.pods import PodFolder
from headway.serving.kubernetes.rights import prove

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headway.engines.proof import Finding
    from headway.kube import Kube
    from headway.serving.kubernetes.keeper import Tokens
    from headway.serving.kubernetes.options import PodSettings
    from headway.serving.model import Deployment, Observed


class KubernetesTarget:
    """Deployments as pods; their folders under `root` are what the API's routes of endpoints write."""

    def __init__(self, root: Path, settings: PodSettings, *, connect: Callable[[], Kube], tokens: Tokens) -> None:
        """Nothing is asked of the cluster before the first deployment is applied or looked at."""
        self.root = root
        self._keeper = Keeper(root, settings, connect=connect, tokens=tokens)

    def apply(self, deployment: Deployment) -> None:
        """Write the wish down; the cluster follows in a moment."""
        place = self._place(deployment.name)
        self._remember(place)  # what serves until now, before the wish for it is overwritten
        self._keeper.namespace_of(deployment)
        place.folder.mkdir(parents=True, exist_ok=True)
        write_file(place.folder / "launch.json", msgspec.json.encode(self._keeper.settings.options))
        write_file(place.folder / "wanted.json", msgspec.json.encode(deployment))
        self._keeper.wake()

    def observe(self, name: str) -> Observed | None:
        """Return what the pods report, and what the cluster shows of pods that do not."""
        place = self._place(name)
        self._keeper.start()
        found = self._look(place)
        if found is not None:
            self._remember(place)
        return found

    def logs(self, name: str, tail: int) -> list[str]:
        """Return the last lines of the pods, and what the cluster says of those that never came up."""
        place = self._place(name)
        lines = place.lines()
        seen = self._keeper.seen(place)
        if place.wanted is not None:
            lines += [f"pod {pod.name}: {pod.trouble}" for pod in seen.pods or () if pod.trouble]
            lines += [seen.trouble] if seen.trouble else []
        return lines[-tail:] if tail > 0 else []

    def remove(self, name: str) -> None:
        """Let the pods drain and end; the prediction log stays, for `headway why`."""
        place = self._place(name)
        if not place.folder.exists():
            return
        for file in ("wanted.json", "in_force.json"):
            (place.folder / file).unlink(missing_ok=True)
        self._keeper.wake()

    def prove(self) -> list[Finding]:
        """Say whether the server may do there what endpoints need; whether the cluster answers, the engine says."""
        try:
            return list(prove(self._keeper.cluster(), self._keeper.settings.namespaces))
        except HeadwayError:
            return []

    def close(self) -> None:
        """Stop looking at the cluster; pods live on."""
        self._keeper.close()

    def _place(self, name: str) -> PodFolder:
        return PodFolder(self.root, checked_name(name, what="deployment"))

    def _look(self, place: PodFolder) -> Observed | None:
        wanted = place.wanted
        if wanted is None:
            return None
        in_force = place.in_force
        last = in_force.revision if in_force is not None else 0
        return picture(wanted, place.heard(), self._keeper.seen(place), last_revision=last)

    def _remember(self, place: PodFolder) -> None:
        """Keep the deployment that serves now: a fresh pod begins with it, should the next one not load."""
        wanted, seen = place.wanted, self._look(place)
        if wanted is not None and seen is not None and seen.ready and seen.revision == wanted.revision:
            write_file(place.folder / "in_force.json", msgspec.json.encode(wanted))
