"""What another tracker says, parsed into types: the wire's own words, and nothing that it says is trusted further."""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message of MLflow's wire; unknown fields are passed over, absent ones have defaults."""


class PeerTag(Message, frozen=True, kw_only=True):
    """A tag, a parameter, or any other pair of texts."""

    key: str
    value: str = ""


class PeerExperiment(Message, frozen=True, kw_only=True):
    """A named set of runs."""

    experiment_id: str
    name: str
    artifact_location: str = ""
    lifecycle_stage: str = "active"
    creation_time: int | None = None  # servers before 1.30 do not say
    last_update_time: int | None = None
    tags: tuple[PeerTag, ...] = ()


class PeerPoint(Message, frozen=True, kw_only=True):
    """One point of a metric."""

    key: str
    value: float
    timestamp: int = 0
    step: int = 0


class PeerMeasured(Message, frozen=True, kw_only=True):
    """A point that was measured on a logged model."""

    key: str
    value: float
    timestamp: int = 0
    step: int = 0
    run_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class PeerRunInfo(Message, frozen=True, kw_only=True):
    """What a run is."""

    run_id: str = ""
    run_uuid: str = ""
    run_name: str = ""
    experiment_id: str
    user_id: str = ""
    status: str = "FINISHED"
    start_time: int = 0
    end_time: int | None = None
    lifecycle_stage: str = "active"
    artifact_uri: str = ""


class PeerRunData(Message, frozen=True, kw_only=True):
    """What a run logged: of each metric its latest point."""

    metrics: tuple[PeerPoint, ...] = ()
    params: tuple[PeerTag, ...] = ()
    tags: tuple[PeerTag, ...] = ()


class PeerDataset(Message, frozen=True, kw_only=True):
    """A data set as MLflow describes one."""

    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str | None = None
    profile: str | None = None


class PeerDatasetInput(Message, frozen=True, kw_only=True):
    """A data set that a run read, with the tags of that use."""

    dataset: PeerDataset
    tags: tuple[PeerTag, ...] = ()


class PeerModelLink(Message, frozen=True, kw_only=True):
    """A logged model that a run read or made."""

    model_id: str
    step: int = 0


class PeerInputs(Message, frozen=True, kw_only=True):
    """What a run read."""

    dataset_inputs: tuple[PeerDatasetInput, ...] = ()
    model_inputs: tuple[PeerModelLink, ...] = ()


class PeerOutputs(Message, frozen=True, kw_only=True):
    """What a run made."""

    model_outputs: tuple[PeerModelLink, ...] = ()


class PeerRun(Message, frozen=True, kw_only=True):
    """A run with its latest metrics, params, tags and what it read and made."""

    info: PeerRunInfo
    data: PeerRunData = PeerRunData()
    inputs: PeerInputs = PeerInputs()
    outputs: PeerOutputs = PeerOutputs()

    @property
    def run_id(self) -> str:
        """The id, which old servers give under its old name only."""
        return self.info.run_id or self.info.run_uuid


class PeerLoggedInfo(Message, frozen=True, kw_only=True):
    """What a logged model is."""

    model_id: str
    experiment_id: str
    name: str = ""
    creation_timestamp_ms: int = 0
    last_updated_timestamp_ms: int = 0
    artifact_uri: str = ""
    status: int | str = "LOGGED_MODEL_READY"
    status_message: str = ""
    model_type: str = ""
    source_run_id: str = ""
    lifecycle_stage: str = "active"  # of a database only: the wire shows active ones
    tags: tuple[PeerTag, ...] = ()


class PeerLoggedData(Message, frozen=True, kw_only=True):
    """What was logged to a model."""

    params: tuple[PeerTag, ...] = ()
    metrics: tuple[PeerMeasured, ...] = ()


class PeerLoggedModel(Message, frozen=True, kw_only=True):
    """A logged model (MLflow 3)."""

    info: PeerLoggedInfo
    data: PeerLoggedData = PeerLoggedData()


class PeerAlias(Message, frozen=True, kw_only=True):
    """A movable name of one version."""

    alias: str
    version: str


class PeerModel(Message, frozen=True, kw_only=True):
    """A registered model, without its versions."""

    name: str
    creation_timestamp: int = 0
    last_updated_timestamp: int = 0
    description: str | None = None
    tags: tuple[PeerTag, ...] = ()
    aliases: tuple[PeerAlias, ...] = ()


class PeerVersion(Message, frozen=True, kw_only=True):
    """One version of a registered model."""

    name: str
    version: str
    creation_timestamp: int = 0
    last_updated_timestamp: int = 0
    user_id: str = ""
    current_stage: str = "None"
    description: str | None = None
    source: str = ""
    run_id: str = ""
    status: str = "READY"
    run_link: str = ""
    model_id: str = ""
    tags: tuple[PeerTag, ...] = ()


class PeerFile(Message, frozen=True, kw_only=True):
    """A file below a place of artifacts; `problem` says why its name cannot be taken over."""

    path: str
    size: int = 0
    problem: str = ""


class PeerAbout(Message, frozen=True, kw_only=True):
    """What answers at the address."""

    version: str  # "" when it does not say
