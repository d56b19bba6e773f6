"""A target in memory: versions load at once, unless their model folder says otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from headway.ids import checked_name
from headway.serving.model import Deployment, Observed, Route, VersionCounters


@dataclass
class World:
    """What lives on when the server restarts."""

    wanted: dict[str, Deployment] = field(default_factory=dict)
    in_force: dict[str, Deployment] = field(default_factory=dict)
    counters: dict[str, tuple[VersionCounters, ...]] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)
    slow: bool = False  # nothing comes into force


class FakeTarget:
    """Fails to load what has `bad` in its source; tests set counters with `answer`."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()

    def apply(self, deployment: Deployment) -> None:
        name = checked_name(deployment.name, what="deployment")
        self.world.wanted[name] = deployment
        bad = [route for route in deployment.routes if route.weight > 0 and _is_bad(route)]
        if bad or self.world.slow:
            return
        before = self.world.in_force.get(name)
        if before is None or before.routes != deployment.routes:
            self.world.counters.pop(name, None)
            self.world.lines.setdefault(name, []).append(f"in force: revision {deployment.revision}")
        self.world.in_force[name] = deployment

    def observe(self, name: str) -> Observed | None:
        wanted = self.world.wanted.get(checked_name(name, what="deployment"))
        if wanted is None:
            return None
        in_force = self.world.in_force.get(name)
        served = in_force.routes if in_force is not None else ()
        states = {route.version: "ready" for route in served}
        states |= {route.version: _state(route, slow=self.world.slow) for route in wanted.routes}
        return Observed(
            ready=in_force is not None,
            url=f"http://fake/{name}" if in_force is not None else "",
            revision=in_force.revision if in_force is not None else 0,
            versions=states,
            counters=self.world.counters.get(name, ()),
        )

    def logs(self, name: str, tail: int) -> list[str]:
        return self.world.lines.get(name, [])[-tail:] if tail > 0 else []

    def remove(self, name: str) -> None:
        for kept in (self.world.wanted, self.world.in_force, self.world.counters, self.world.lines):
            kept.pop(name, None)

    def answer(self, name: str, version: int, requests: int, **more: float) -> None:
        """Have a version answer so many requests under the routes in force."""
        plain = {"errors": 0, "missing": 0, "latency_p50_ms": 1.0, "latency_p95_ms": 2.0, "latency_p99_ms": 3.0}
        counted = VersionCounters(version=version, requests=requests, **{**plain, **more})
        others = tuple(one for one in self.world.counters.get(name, ()) if one.version != version)
        self.world.counters[name] = (*others, replace(counted))


def _is_bad(route: Route) -> bool:
    return "bad" in route.source.rsplit("/", 1)[-1]


def _state(route: Route, *, slow: bool) -> str:
    if _is_bad(route):
        return "failed: the weights are damaged"
    return "loading" if slow else "ready"
