"""The kinds of objects that may be asked for: MLflow's schema, as far as its pages and its tests ask it."""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """What a field holds: a scalar, or objects of a named kind."""

    name: str
    is_list: bool = False

    @property
    def is_object(self) -> bool:
        """Whether it has fields of its own."""
        return self.name in OBJECTS

    def __str__(self) -> str:
        """Write it as a schema does."""
        if not self.is_list:
            return self.name
        return f"[{self.name}!]" if self.is_object else f"[{self.name}]"


# One line per kind: `field=Kind`, `field=[Kind]`, and a plain field is a String.
_OBJECTS = """
Query: test=Test mlflowGetExperiment=MlflowGetExperimentResponse mlflowGetRun=MlflowGetRunResponse
  mlflowGetMetricHistoryBulkInterval=MlflowGetMetricHistoryBulkIntervalResponse
  mlflowListArtifacts=MlflowListArtifactsResponse mlflowSearchModelVersions=MlflowSearchModelVersionsResponse
  mlflowSearchRuns=MlflowSearchRunsResponse
Mutation: testMutation=TestMutation mlflowSearchDatasets=MlflowSearchDatasetsResponse
  mlflowSearchRuns=MlflowSearchRunsResponse
Test: output
TestMutation: output
ApiError: code message helpUrl
MlflowGetExperimentResponse: experiment=MlflowExperiment apiError=ApiError
MlflowGetRunResponse: run=MlflowRunExtension apiError=ApiError
MlflowGetMetricHistoryBulkIntervalResponse: metrics=[MlflowMetricWithRunId] apiError=ApiError
MlflowListArtifactsResponse: rootUri files=[MlflowFileInfo] nextPageToken apiError=ApiError
MlflowSearchModelVersionsResponse: modelVersions=[MlflowModelVersion] nextPageToken apiError=ApiError
MlflowSearchRunsResponse: runs=[MlflowRunExtension] nextPageToken apiError=ApiError
MlflowSearchDatasetsResponse: datasetSummaries=[MlflowDatasetSummary] apiError=ApiError
MlflowExperiment: experimentId name artifactLocation lifecycleStage lastUpdateTime=LongString creationTime=LongString
  tags=[MlflowExperimentTag] effectiveTraceArchivalRetention workspace
MlflowExperimentTag: key value
MlflowRunExtension: info=MlflowRunInfo data=MlflowRunData inputs=MlflowRunInputs outputs=MlflowRunOutputs
  experiment=MlflowExperiment modelVersions=[MlflowModelVersion]
MlflowRunInfo: runId runUuid runName experimentId userId status=MlflowRunStatus startTime=LongString
  endTime=LongString artifactUri lifecycleStage
MlflowRunData: metrics=[MlflowMetricExtension] params=[MlflowParam] tags=[MlflowRunTag]
MlflowMetricExtension: key value=Float timestamp=LongString step=LongString datasetName datasetDigest modelId runId
MlflowParam: key value
MlflowRunTag: key value
MlflowRunInputs: datasetInputs=[MlflowDatasetInput] modelInputs=[MlflowModelInput]
MlflowDatasetInput: tags=[MlflowInputTag] dataset=MlflowDataset
MlflowInputTag: key value
MlflowDataset: name digest sourceType source schema profile
MlflowModelInput: modelId
MlflowRunOutputs: modelOutputs=[MlflowModelOutput]
MlflowModelOutput: modelId step=LongString
MlflowFileInfo: path isDir=Boolean fileSize=LongString
MlflowMetricWithRunId: key value=Float timestamp=LongString step=LongString runId
MlflowDatasetSummary: experimentId name digest context
MlflowModelVersion: name version creationTimestamp=LongString lastUpdatedTimestamp=LongString userId currentStage
  description source runId status=MlflowModelVersionStatus statusMessage tags=[MlflowModelVersionTag] runLink
  aliases=[String] modelId modelParams=[MlflowModelParam] modelMetrics=[MlflowModelMetric]
MlflowModelVersionTag: key value
MlflowModelParam: name value
MlflowModelMetric: key value=Float timestamp=LongString step=LongString datasetName datasetDigest modelId runId
"""

# What may be said of what is asked; all of it below one argument that is called `input`.
_INPUTS = """
mlflowGetExperiment: experimentId
mlflowGetRun: runId runUuid
mlflowGetMetricHistoryBulkInterval: runIds metricKey startStep endStep maxResults
mlflowListArtifacts: runId runUuid path pageToken
mlflowSearchModelVersions: filter maxResults orderBy pageToken
mlflowSearchRuns: experimentIds filter runViewType maxResults orderBy pageToken
mlflowSearchDatasets: experimentIds
"""


def _lines(text: str) -> dict[str, list[str]]:
    parts = text.replace("\n  ", " ").strip().splitlines()
    return {name: words.split() for name, _, words in (each.partition(":") for each in parts)}


def _field(text: str) -> tuple[str, Kind]:
    name, _, kind = text.partition("=")
    return name, Kind(kind.strip("[]") or "String", kind.startswith("["))


OBJECTS: dict[str, dict[str, Kind]] = {
    name: dict(_field(each) for each in words) for name, words in _lines(_OBJECTS).items()
}
INPUTS: dict[str, frozenset[str]] = {name: frozenset(words) for name, words in _lines(_INPUTS).items()}
ECHOES = frozenset({"test", "testMutation"})  # they say what they were told: `inputString`
