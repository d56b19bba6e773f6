"""From what the pods say and what the cluster shows to one `Observed`; pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headway.serving.endpoint import FAILED, LOADING, READY
from headway.serving.model import Observed, VersionCounters

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from headway.serving.kubernetes.pods import Heard
    from headway.serving.model import Deployment

_MOST_OTHERS = 16  # versions that are not wanted: those that drain
_LONGEST_STATE = 500
SILENT_AFTER = 20.0  # seconds without a report after which a pod no longer counts as answering


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSeen:
    """A pod as the cluster shows it."""

    uid: str
    name: str
    ready: bool
    ending: bool = False
    trouble: str = ""  # why it does not run: image, scheduling, crash


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSeen:
    """A deployment's objects as the cluster last showed them."""

    namespace: str = ""
    address: str = ""  # of the service; "" while there is none
    pods: tuple[PodSeen, ...] | None = None  # None: never looked yet
    trouble: str = ""  # what stands in the way: refused by quota or RBAC, API away


def picture(wanted: Deployment, heard: Sequence[Heard], seen: ClusterSeen, *, last_revision: int) -> Observed:
    """Return the state of a deployment whose pods say `heard`.

    What is in force is what every answering pod has in force; counts are sums, latencies those of the slowest pod.
    """
    live = _live(heard, seen)
    answering = [one for one in live if _answers(one, seen)]
    revisions = [one.report.observed.revision for one in answering if one.report.observed is not None]
    return Observed(
        ready=bool(answering) and bool(seen.address),
        url=seen.address,
        revision=min(revisions, default=last_revision),
        versions=_versions(wanted, answering or live),
        counters=_counters(answering),
        message=_message(answering, seen),
    )


def _live(heard: Sequence[Heard], seen: ClusterSeen) -> list[Heard]:
    fresh = [one for one in heard if one.age < SILENT_AFTER]
    staying = {pod.uid for pod in seen.pods or () if not pod.ending}
    # A pod that ends still answers what it was asked, but says nothing of what serves from now on.
    return [one for one in fresh if one.uid in staying] or fresh


def _answers(one: Heard, seen: ClusterSeen) -> bool:
    observed = one.report.observed
    if observed is None or not observed.ready:
        return False
    # The cluster's word counts where it is known: only a pod that it calls ready gets requests. It may be a moment old.
    known = {pod.uid: pod.ready for pod in seen.pods or ()}
    return known.get(one.uid, True)


def _versions(wanted: Deployment, live: Iterable[Heard]) -> dict[int, str]:
    told: defaultdict[int, list[str]] = defaultdict(list)
    for one in live:
        own = one.report.observed.versions if one.report.observed is not None else {}
        for version, state in (one.report.fetched | own).items():
            told[version].append(state)
    for route in wanted.routes:
        told.setdefault(route.version, [LOADING])
    ours = {route.version for route in wanted.routes}
    # A model's code can say anything in its pod's name: what is not asked for is shown as far as it is plausible.
    others = sorted(told.keys() - ours)[-_MOST_OTHERS:]
    return {version: _worst(told[version])[:_LONGEST_STATE] for version in sorted((*ours, *others))}


def _worst(states: list[str]) -> str:
    failed = [state for state in states if state.startswith(FAILED)]
    loading = [state for state in states if state != READY]
    return (failed or loading or [READY])[0]


def _counters(answering: Iterable[Heard]) -> tuple[VersionCounters, ...]:
    by_version: defaultdict[int, list[VersionCounters]] = defaultdict(list)
    for one in answering:
        for counters in one.report.observed.counters if one.report.observed is not None else ():
            by_version[counters.version].append(counters)
    return tuple(_sum(version, every) for version, every in sorted(by_version.items()))


def _sum(version: int, every: list[VersionCounters]) -> VersionCounters:
    return VersionCounters(
        version=version,
        requests=sum(one.requests for one in every),
        errors=sum(one.errors for one in every),
        missing=sum(one.missing for one in every),
        latency_p50_ms=max(one.latency_p50_ms for one in every),
        latency_p95_ms=max(one.latency_p95_ms for one in every),
        latency_p99_ms=max(one.latency_p99_ms for one in every),
    )


def _message(answering: Sequence[Heard], seen: ClusterSeen) -> str:
    troubles = [seen.trouble, *(f"pod {pod.name}: {pod.trouble}" for pod in seen.pods or () if pod.trouble)]
    told = "; ".join(one for one in troubles if one)
    if not answering and not told:
        return "its pods are starting"
    if not answering:
        return told
    who = f"pod {answering[0].report.pod}" if len(answering) == 1 else f"{len(answering)} pods answer"
    return f"{who}; {told}" if told else who
