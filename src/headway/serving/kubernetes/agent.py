"""The agent of a pod: it asks the server what shall serve, fetches that, and reports what the front shows.

It holds the pod's token and runs no code of a model; the front beside it has the code and no token.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from headway.errors import HeadwayError, Unreachable
from headway.serving.durable import is_locked, read_plain, write_file
from headway.serving.front import Log, Options
from headway.serving.kubernetes.exchange import PORT, TOKEN, PodReport
from headway.serving.kubernetes.fetch import Fetcher, Place
from headway.serving.kubernetes.ship import LogShip, PredictionShip
from headway.serving.kubernetes.upstream import Upstream
from headway.serving.model import Deployment, Observed

if TYPE_CHECKING:
    from headway.serving.kubernetes.exchange import PodOrder

_EVERY = 1.0
_BUSY = 0.3  # while something changes
_LONGEST_PAUSE = 15.0
_MOST_OBSERVED = 48 << 10  # what the server takes, with room for the report around it


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which pod of which deployment this is."""

    deployment: str
    pod: str


class Agent:
    """One pod's agent; `run` goes on until it is told to stop and the front has ended."""

    def __init__(self, identity: Identity, upstream: Upstream, place: Place, *, port: int = PORT) -> None:
        """Prepare the folders; nothing is asked yet. `port` is where the front listens."""
        place.private.mkdir(parents=True, exist_ok=True)
        for folder in (place.endpoint, place.models, place.environments):
            folder.mkdir(parents=True, exist_ok=True)
        self._identity = identity
        self._upstream = upstream
        self._place = place
        self._port = port
        self.log = Log(place.private / "agent.log", echo=True)
        self._fetcher = Fetcher(upstream, place, self.log)
        files = (place.private / "agent.log", place.endpoint / "endpoint.log")
        self._logs = LogShip(upstream, files, place.private / "sent.json")
        self._predictions = PredictionShip(upstream, place.endpoint / "predictions", self.log)
        self._order: PodOrder | None = None
        self._told = ""
        self._seen: bytes = b""

    def run(self, stop: threading.Event) -> None:
        """Report, follow and send, once a second; with pauses that grow while the server is away."""
        self.log(f"agent of {self._identity.deployment} in pod {self._identity.pod}")
        pause = _EVERY
        while not (stop.is_set() and self._has_ended()):
            try:
                is_busy = self.turn()
            except (HeadwayError, OSError) as error:  # a model can make files of the front's folder unusable
                self._say(_told(error))
                pause = min(pause * 1.5, _LONGEST_PAUSE)
                if stop.is_set():
                    pause = _EVERY
            else:
                self._say("")
                pause = _BUSY if is_busy or stop.is_set() else _EVERY
            time.sleep(pause)  # a stop is seen at the next turn: the front takes its time to drain
        self._finish()

    def turn(self) -> bool:
        """Take one turn; return whether something is under way that the server wants to hear of soon.

        Errors: those of `Upstream`.
        """
        self._follow()  # first by what is known: a server that is away holds up nothing that is here
        report = PodReport(pod=self._identity.pod, observed=self._observed(), fetched=self._fetcher.states())
        self._order = self._upstream.report(report)
        self._follow()
        everything_sent = self._predictions.send() and self._logs.send()
        return bool(self._fetcher.states()) or not everything_sent or not self._is_settled(report)

    def _is_settled(self, report: PodReport) -> bool:
        observed, order = report.observed, self._order
        return observed is not None and order is not None and observed.revision >= order.wanted.revision

    def _observed(self) -> Observed | None:
        data = read_plain(self._place.endpoint / "observed.json", 0, _MOST_OBSERVED)
        try:
            return msgspec.json.decode(data, type=Observed)
        except msgspec.DecodeError:
            return None

    def _follow(self) -> None:
        order = self._order
        if order is None:
            return
        every = [route for one in (order.wanted, order.in_force) if one is not None for route in one.routes]
        self._fetcher.want(every)
        folder = self._place.endpoint
        wanted, in_force = self._servable(order.wanted), self._servable(order.in_force)
        if not (folder / "wanted.json").exists():
            if in_force is None and order.in_force is not None and not self._has_failed(order.in_force):
                return  # a fresh pod begins with what served last, where that can be had
            if in_force is not None:
                write_file(folder / "in_force.json", msgspec.json.encode(in_force))
        chosen = wanted or (in_force if not (folder / "wanted.json").exists() else None)
        if chosen is not None:
            write_file(folder / "launch.json", msgspec.json.encode(_launch(order.options)))
            write_file(folder / "wanted.json", msgspec.json.encode(chosen))

    def _servable(self, deployment: Deployment | None) -> Deployment | None:
        """Return a deployment as the front here can serve it; None while a version with traffic is not here."""
        if deployment is None:
            return None
        here = [(route, self._fetcher.here(route)) for route in deployment.routes]
        if any(found is None for route, found in here if route.weight > 0):
            return None
        # A version without traffic joins when it is here: it holds up nobody.
        return replace(deployment, port=self._port, routes=tuple(found for _, found in here if found is not None))

    def _has_failed(self, deployment: Deployment) -> bool:
        states = self._fetcher.states()
        return any(states.get(route.version, "").startswith("failed") for route in deployment.routes if route.weight)

    def _has_ended(self) -> bool:
        return not is_locked(self._place.endpoint / "lock")

    def _finish(self) -> None:
        """Send the last lines; what cannot be sent within ten seconds is lost with the pod."""
        self._fetcher.close()
        self.log("agent ends")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                if self._predictions.send() and self._logs.send():
                    return
            except Unreachable:
                time.sleep(_EVERY)
            except (HeadwayError, OSError):
                return  # it shall not serve any more, or the token has ended: nobody takes it

    def _say(self, problem: str) -> None:
        if problem and problem != self._told:
            self.log(problem)
        self._told = problem


def _told(error: HeadwayError | OSError) -> str:
    if isinstance(error, OSError):
        return f"the front's folder cannot be used: {error}"
    return f"{error.message}: {error.cause}" if error.cause else error.message


def _launch(options: Options) -> Options:
    return replace(options, host="0.0.0.0", echo=True)  # noqa: S104  # the pod's own address; policies say who may


def main(arguments: list[str]) -> int:
    """Be the agent of a pod of the deployment that is named; the rest comes from the pod's environment."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    deployment = arguments[0]
    pod, uid = os.environ["HEADWAY_POD_NAME"], os.environ["HEADWAY_POD_UID"]
    upstream = Upstream(os.environ["HEADWAY_POD_SERVER"], deployment, uid, token_file=Path(TOKEN))
    Agent(Identity(deployment=deployment, pod=pod), upstream, Place()).run(stop)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
