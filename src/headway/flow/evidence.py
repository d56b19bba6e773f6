"""A result's evidence as the gates want it: metrics, and predictions joined with the pinned labels."""

from __future__ import annotations

from pathlib import Path

from headway.app import App
from headway.blobs.content import content_key
from headway.flow.model import JobResult
from headway.gates.measure import Side
from headway.gates.model import Evidence
from headway.gates.predictions import Problem, join, read_holdout, read_predictions
from headway.planning.model import OutputFile
from headway.projects.model import PredictionsSpec, ProjectSpec


def side_of(app: App, project: ProjectSpec, result: JobResult, *, label: str) -> Side:
    """Return what a result has to show, read from the kept files."""
    evidence = Evidence(label=label, metrics=result.metrics)
    spec = project.predictions
    if spec is None:
        return Side(evidence=evidence)
    if result.predictions is None:
        return Side(evidence=evidence, problem=f"no step wrote {spec.path}")
    if result.holdout is None:
        return Side(evidence=evidence, problem=f"no step wrote {spec.holdout_path}")
    return _joined(app, spec, result.predictions, result.holdout, evidence)


def _joined(app: App, spec: PredictionsSpec, predicted: OutputFile, labels: OutputFile, evidence: Evidence) -> Side:
    holdout = read_holdout(_path(app, labels), spec)
    if isinstance(holdout, Problem):
        return Side(evidence=evidence, problem=holdout.message)
    predictions = read_predictions(_path(app, predicted), spec)
    if isinstance(predictions, Problem):
        return Side(evidence=evidence, problem=predictions.message)
    joined = join(predictions, holdout, spec)
    if isinstance(joined, Problem):
        return Side(evidence=evidence, problem=joined.message)
    return Side(evidence=evidence, joined=joined)


def _path(app: App, output: OutputFile) -> Path:
    return app.data / "contents" / content_key(output.digest)
