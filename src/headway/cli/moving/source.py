"""What the import reads: one way to ask a server, a database and a folder of files."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from headway.errors import UsageError
from headway.tracking.peer.model import PeerExperiment, PeerFile, PeerLoggedModel, PeerModel, PeerRun, PeerVersion
from headway.tracking.points import Point, pack_chunk, tidied


class Columns:
    """The points of one metric of one run, in 24 bytes each."""

    __slots__ = ("stamps", "steps", "values")

    def __init__(self) -> None:
        """Hold none yet."""
        self.stamps = array("q")
        self.steps = array("q")
        self.values = array("d")

    def add(self, stamp: int, step: int, value: float) -> None:
        """Take one more point.

        Raises:
            UsageError: a number has more than 64 bits.
        """
        try:
            self.stamps.append(stamp)
            self.steps.append(step)
            self.values.append(value)
        except OverflowError:
            raise UsageError(f"a point at step {step!s:.40} does not fit into 64 bits") from None

    def __len__(self) -> int:
        """Return how many points there are."""
        return len(self.values)

    def tidy(self) -> None:
        """Put the points in order, each once, with infinities as the store keeps them."""
        most = 1.7976931348623157e308
        points = [
            (stamp, step, max(-most, min(most, value)) if value == value else value)  # noqa: PLR0124  # NaN stays
            for stamp, step, value in zip(self.stamps, self.steps, self.values, strict=True)
        ]
        self._keep(tidied(points) if points else [])

    def _keep(self, points: Sequence[Point]) -> None:
        self.stamps = array("q", [stamp for stamp, _, _ in points])
        self.steps = array("q", [step for _, step, _ in points])
        self.values = array("d", [value for _, _, value in points])

    def packed(self, start: int, stop: int) -> bytes:
        """Return some of the points as they travel."""
        stamps, steps, values = self.stamps[start:stop], self.steps[start:stop], self.values[start:stop]
        return pack_chunk(list(zip(stamps, steps, values, strict=True))) if values else b""


Histories = dict[str, dict[str, Columns]]
"""By run, then by metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """How much a source holds by its own count; None where it cannot tell without reading everything."""

    runs: int
    points: int
    params: int
    tags: int
    by_run: dict[str, tuple[int, int, int]] = field(default_factory=dict)


class Files(Protocol):
    """The artifacts of a source. Errors: `UsageError` when they lie where this cannot reach."""

    def list(self, uri: str) -> Iterator[PeerFile]:
        """Yield the files below an artifact URI; none for an absent place."""
        ...

    def open(self, uri: str, path: str) -> AbstractContextManager[Iterator[bytes]]:
        """Open one file and yield its bytes in parts."""
        ...


class Source(Protocol):
    """A tracker that is read and never written. Errors: `HeadwayError`; methods block and may be repeated."""

    name: str  # what it is called in messages and in the journal: no login in it

    @property
    def files(self) -> Files:
        """Where its artifacts are read."""
        ...

    def about(self) -> str:
        """Say what it is, after proving that it can be read."""
        ...

    def experiments(self) -> list[PeerExperiment]:
        """Return every experiment, deleted ones too."""
        ...

    def run_pages(self, experiment: PeerExperiment) -> Iterator[Sequence[PeerRun]]:
        """Yield the runs of an experiment, deleted ones too, some at a time."""
        ...

    def histories(self, runs: Sequence[PeerRun]) -> Histories:
        """Return every point of these runs."""
        ...

    def logged_models(self, experiment: PeerExperiment) -> Iterator[PeerLoggedModel]:
        """Yield the logged models of an experiment."""
        ...

    def models(self) -> Iterator[tuple[PeerModel, Sequence[PeerVersion]]]:
        """Yield each registered model with its versions."""
        ...
