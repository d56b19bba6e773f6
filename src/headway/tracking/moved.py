"""What moves in from another tracker, packed: the terminal sends it, the server checks all of it and writes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from headway.errors import UsageError
from headway.tracking.points import Point, pack_chunk, tidied, unpack_chunk

POINT_BYTES = 24
MOST_BATCH = 32 << 20  # bytes of one batch; a longer history comes in several


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the import."""


class MovedExperiment(Moved, frozen=True, kw_only=True):
    """An experiment; what stands here under its name already is not changed."""

    name: str
    artifact_location: str = ""  # "" = ours
    project: str = ""  # whose it becomes; "" = open to all members
    creation_time: int
    last_update_time: int
    tags: dict[str, str] = {}


class MovedDataset(Moved, frozen=True, kw_only=True):
    """A data set that a run read, and the tags of that use."""

    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str | None = None
    profile: str | None = None
    tags: dict[str, str] = {}


class MovedLink(Moved, frozen=True, kw_only=True):
    """A logged model that a run read or made."""

    model_id: str
    step: int = 0


class MovedRun(Moved, frozen=True, kw_only=True):
    """A run under its own id; of a metric that is long, some of its points."""

    run_id: str
    name: str
    user_id: str = ""
    status: str
    start_time: int
    end_time: int | None = None
    stage: str
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    histories: dict[str, bytes] = {}  # by metric: timestamps, steps and values, as columns
    datasets: tuple[MovedDataset, ...] = ()
    model_inputs: tuple[MovedLink, ...] = ()
    model_outputs: tuple[MovedLink, ...] = ()


class MovedRuns(Moved, frozen=True, kw_only=True):
    """Runs of one experiment of ours."""

    source: str
    experiment_id: str
    runs: tuple[MovedRun, ...]


class MovedMeasure(Moved, frozen=True, kw_only=True):
    """A metric that was measured on a logged model."""

    key: str
    value: float
    timestamp: int
    step: int = 0
    run_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class MovedLoggedModel(Moved, frozen=True, kw_only=True):
    """A logged model under its own id."""

    model_id: str
    experiment_id: str
    name: str
    model_type: str = ""
    source_run_id: str = ""
    status: str
    status_message: str = ""
    stage: str = "active"
    creation_time: int
    last_update_time: int
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    metrics: tuple[MovedMeasure, ...] = ()


class MovedVersion(Moved, frozen=True, kw_only=True):
    """A version under its own number; its source is spelled as a client of ours would spell it."""

    number: int
    created_at: int
    updated_at: int
    user_id: str = ""
    stage: str = "None"
    description: str | None = None
    source: str
    run_id: str = ""
    run_link: str = ""
    status: str = "READY"
    model_id: str = ""
    tags: dict[str, str] = {}


class MovedModel(Moved, frozen=True, kw_only=True):
    """A registered model with the versions that come along."""

    name: str
    project: str = ""  # whose it becomes; "" = open to all members
    created_at: int
    updated_at: int
    description: str | None = None
    tags: dict[str, str] = {}
    aliases: dict[str, int] = {}
    versions: tuple[MovedVersion, ...] = ()


class MovedIn(Moved, frozen=True, kw_only=True):
    """What became of one thing: new, added to, the same as before, or left alone for a reason."""

    id: str
    state: str  # new | added | same | refused
    why: str = ""


class HereRun(Moved, frozen=True, kw_only=True):
    """What of a run is here, counted."""

    run_id: str
    experiment_id: str
    status: str
    stage: str
    start_time: int
    points: int
    params: int
    tags: int
    files: int = 0
    bytes: int = 0


class HereModel(Moved, frozen=True, kw_only=True):
    """What of a logged model is here, counted."""

    model_id: str
    files: int = 0
    bytes: int = 0


class Asked(Moved, frozen=True, kw_only=True):
    """Whose counts are wanted."""

    runs: tuple[str, ...] = ()
    logged_models: tuple[str, ...] = ()
    models: tuple[str, ...] = ()  # names of registered models
    with_files: bool = False


class Here(Moved, frozen=True, kw_only=True):
    """What is here of what was asked for; what is absent is left out."""

    runs: tuple[HereRun, ...] = ()
    logged_models: tuple[HereModel, ...] = ()
    versions: dict[str, int] = {}


def pack_history(points: Sequence[Point]) -> bytes:
    """Return points as columns."""
    return pack_chunk(points) if points else b""


def unpack_history(data: bytes, key: str) -> list[Point]:
    """Return the points of a foreign history: in order, each once.

    Raises:
        UsageError: the columns do not fit each other, or a timestamp lies before 1970.
    """
    if not data:
        return []
    if len(data) % POINT_BYTES:
        raise UsageError(f"the history of {key[:100]!r} is cut", cause=f"it has {len(data)} bytes")
    points = tidied(unpack_chunk(data))
    if points[0][0] < 0:
        raise UsageError(f"the history of {key[:100]!r} has a timestamp before 1970", hint="mend it at the source")
    return points


def refusals(found: Iterable[MovedIn]) -> list[MovedIn]:
    """Return what was left alone."""
    return [each for each in found if each.state == "refused"]
