"""The model of a run becomes a candidate version, with digest, lineage and environment."""

from __future__ import annotations

from pathlib import Path

from headway.app import App
from headway.blobs.content import content_key
from headway.errors import NotFound
from headway.flow.gather import model_outputs
from headway.flow.model import JobResult, ModelSource
from headway.jobs.model import Job
from headway.jobs.store import JobStore
from headway.planning.model import OutputFile, Plan
from headway.registry.digest import digest_folder
from headway.registry.folders import run_location
from headway.registry.model import Lineage, ModelVersion
from headway.registry.store import RegistryStore

CHUNK = 1 << 20


def register_model(app: App, job: Job, plan: Plan, result: JobResult, *, actor: str) -> ModelVersion:
    """Return the version of a job's model; the same job gives the same version.

    Raises:
        NotFound: the job made no model, or headway.yaml names none.
    """
    spec = plan.project.model
    if spec is None:
        raise NotFound(
            f"project {job.project} names no model",
            hint=f"add to headway.yaml on the base branch: model: {{name: {job.project}}}",
        )
    source = result.model or _from_outputs(app, job, plan)
    if source is None:
        raise NotFound(
            f"job #{job.number} made no model",
            cause="its runs logged none with MLflow, and no output is named by model.path",
            hint="log it with mlflow.<flavor>.log_model, or set model: {path: ...}",
        )
    digest = digest_folder(app.artifacts, source.key)
    lineage = Lineage(
        run_id=source.run_id,
        job_id=job.id,
        project=job.project,
        repo_id=job.repo_id,
        commit=job.commit,
        tree=plan.tree,
        change=job.change,
        actor=job.actor,
        data=result.data | result.inputs,
    )
    with app.database.write() as tx:
        if run_location(tx, source.run_id) is None:
            # In this transaction: a purge that marks it later finds the version, and holds back.
            raise NotFound(
                f"the run of job #{job.number} was deleted for good", hint="train again: headway retry starts a job"
            )
        return RegistryStore(tx, app.clock).register_candidate(
            spec.name,
            source=source.key,
            digest=digest,
            env_digest=result.env_digest,
            env_path=result.env_path,
            lineage=lineage,
            actor=actor,
        )


def has_model(app: App, job: Job, plan: Plan, result: JobResult) -> bool:
    """Whether a job made a model: logged with MLflow, or a folder among its outputs that headway.yaml names."""
    return result.model is not None or _made_by(app, job, plan) is not None


def _made_by(app: App, job: Job, plan: Plan) -> tuple[str, tuple[OutputFile, ...]] | None:
    """Return the run among whose outputs the model folder is, and its files; None without either."""
    with app.database.read() as tx:
        tasks = JobStore(tx).tasks(job.id)
    files = model_outputs(plan, tasks)
    task = next((each for each in tasks if any(output in files for output in each.outputs)), None)
    return None if task is None or not task.run_id else (task.run_id, files)


def _from_outputs(app: App, job: Job, plan: Plan) -> ModelSource | None:
    """Copy the model folder among the outputs beside the run's artifacts, where versions point to."""
    path = plan.project.model.path if plan.project.model else None
    made = _made_by(app, job, plan)
    if path is None or made is None:
        return None
    run_id, files = made
    folder = f"outputs/{job.id}/{path.strip('/')}"
    for output in files:
        _copy(app, output, f"{folder}/{output.path.removeprefix(path.rstrip('/') + '/')}")
    return ModelSource(key=folder, run_id=run_id)


def _copy(app: App, output: OutputFile, key: str) -> None:
    with app.contents.open(content_key(output.digest)) as stream:
        app.artifacts.save(key, iter(lambda: stream.read(CHUNK), b""))


def model_folder(app: App, version: ModelVersion) -> Path:
    """Return the folder of a version's files on this machine."""
    return app.data / "artifacts" / version.source
