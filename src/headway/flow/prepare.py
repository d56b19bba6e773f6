"""A ready task becomes an attempt: key, reuse, environment, source, inputs, run, token; then the launch."""

from __future__ import annotations

import errno
import os
import secrets as random
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from sqlalchemy import Connection

from headway.app import App
from headway.auth.model import FORK, Role, TokenKind
from headway.auth.projects import ProjectStore
from headway.auth.secrets import SecretStore
from headway.auth.tokens import TokenStore
from headway.blobs.content import materialise
from headway.engines.base import AttemptSpec, DoorSpec, Isolation
from headway.environments.base import Builder
from headway.environments.model import BuiltEnv, Tier
from headway.errors import HeadwayError
from headway.flow.cluster_rules import mounts_of
from headway.flow.repos import forge_of
from headway.ids import new_id
from headway.jobs import advance
from headway.jobs.model import Job, Task
from headway.jobs.results import ResultStore
from headway.jobs.store import JobStore
from headway.logs import forms_of, logger
from headway.pipelines.model import TaskSpec
from headway.pipelines.params import as_text
from headway.pipelines.source import write_source
from headway.pipelines.steps import local_data
from headway.planning.keys import exact_key, input_digest, is_reusable
from headway.planning.model import OutputFile, Plan
from headway.tracking.store import RunStore

# Without these, MLflow's client would ask the parent's environment or the network for what it does not need.
_QUIET = {
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Else each run ends with two links to the attempt's own door, which nobody can open and which ends with it.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A task with everything that was decided about it."""

    job: Job
    task: Task
    plan: Plan
    spec: TaskSpec
    key: str
    inputs: tuple[OutputFile, ...]


def prepare(app: App, task_id: str) -> None:
    """Reuse or launch one ready task; safe to repeat after a crash at any point."""
    ready = _decide(app, task_id)
    if ready is None or _reuse(app, ready):
        return
    try:
        built = _environment(app, ready)
        spec = _attempt(app, ready, built)
    except (HeadwayError, OSError) as error:
        with app.database.write() as tx:
            advance.fail(tx, JobStore(tx).task(task_id), why_not(error), app.clock.now())
        return
    _launch(app, ready, spec)


def why_not(error: Exception) -> str:
    """Return an error as the one line that a person reads as a task's reason."""
    if isinstance(error, HeadwayError):
        return "; ".join(part for part in (error.message, error.cause, error.hint) if part)
    if isinstance(error, OSError):
        full = "free some space: `headway server clean` helps" if error.errno == errno.ENOSPC else ""
        return "; ".join(part for part in (f"the server could not prepare it: {error}", full) if part)
    return f"internal error: {type(error).__name__}; the server's log has it"


def _decide(app: App, task_id: str) -> Ready | None:
    with app.database.read() as tx:
        store = JobStore(tx)
        task = store.task(task_id)
        job = store.get(task.job_id)
        plan = store.plan(job.plan_id)
        others = {each.name: each for each in store.tasks(job.id)}
    if task.state != "ready" or job.desired == "cancel":
        return None
    spec = next(planned.spec for planned in plan.tasks if planned.spec.name == task.name)
    inputs = tuple(
        output
        for need in spec.needs
        for output in others[need].outputs
        if any(output.path == path or output.path.startswith(f"{path.rstrip('/')}/") for path in spec.inputs)
    )
    digests = {path: input_digest(path, inputs) or "" for path in spec.inputs}
    return Ready(job=job, task=task, plan=plan, spec=spec, key=exact_key(spec, digests), inputs=inputs)


def _reuse(app: App, ready: Ready) -> bool:
    if not ready.spec.cache or not is_reusable(ready.spec) or ready.spec.name in ready.plan.rerun:
        return False
    with app.database.write() as tx:
        found = ResultStore(tx).find(ready.key, ready.plan.tier)
        if found is None:
            return False
        earlier = JobStore(tx).get(found.job_id)
        return advance.reuse(
            tx,
            ready.task,
            app.clock.now(),
            key=ready.key,
            run_id=found.run_id,
            outputs=found.outputs,
            reason=f"trained before in job #{earlier.number}",
        )


def _environment(app: App, ready: Ready) -> BuiltEnv:
    builder, spec = app.builder_for(ready.job.engine), ready.spec
    found = builder.find(spec.env.digest, ready.plan.tier)
    if found is not None:
        return found
    with app.database.write() as tx:
        advance.note(tx, ready.task, f"building the environment from {', '.join(spec.env.files) or 'nothing'}")
    return build_environment(app, builder, ready.plan, spec)


def build_environment(app: App, builder: Builder, plan: Plan, spec: TaskSpec) -> BuiltEnv:
    """Make the environment of a task from the files of its commit."""
    folder = app.data / "builds" / f"{spec.env.digest[:16]}-{new_id()}"
    _write_source(app, plan, spec, folder)
    log_path = app.data / "builds" / f"{spec.env.digest}.log"
    with log_path.open("a", encoding="utf-8") as log:
        return builder.build(spec.env, folder / spec.root, plan.tier, log)


def _write_source(app: App, plan: Plan, spec: TaskSpec, folder: Path) -> None:
    write_source(Path(forge_of(app, plan.repo_id).fetch(plan.repo_id, spec.commit)), spec.commit, folder)


def _attempt(app: App, ready: Ready, built: BuiltEnv) -> AttemptSpec:
    spec = ready.spec
    attempt_id = new_id()
    directory = app.data / "attempts" / attempt_id
    work = directory / "work"
    work.mkdir(mode=0o700, parents=True)
    _write_source(app, ready.plan, spec, work)
    project = work / spec.root
    materialise(app.contents, ready.inputs, project)
    for path in spec.outputs:
        (project / path).parent.mkdir(parents=True, exist_ok=True)
    (directory / "params.json").write_bytes(msgspec.json.encode(spec.params))
    is_fork = ready.plan.tier is Tier.FORK
    secrets = _secrets(app, ready)
    return AttemptSpec(
        id=attempt_id,
        job_id=ready.job.id,
        task=spec.name,
        number=ready.task.attempts + 1,
        nonce=random.token_hex(16),
        directory=str(directory),
        argv=spec.argv,
        cwd=str(project),
        env_path=built.path,
        variables=_variables(ready, secrets),
        hidden=tuple(sorted({form for each in secrets.values() for form in forms_of(each)})),
        readable=() if is_fork or app.is_elsewhere(ready.job.engine) else local_data(spec),
        resources=replace(spec.resources, disk_mb=spec.resources.disk_mb or app.settings.attempt_disk_mb),
        timeout=spec.timeout,
        network=not is_fork if spec.network is None else spec.network and not is_fork,
        minimum_isolation=Isolation.L2 if is_fork else Isolation.L0,
        door=DoorSpec(
            server_file=str(app.data / "server.json"),
            # Run and token are made in `_launch`, in the transaction that records the attempt.
            token="",
            run_id=uuid.uuid4().hex,
            experiment_id="",
        ),
        log_limit_mb=app.settings.log_limit_mb,
        env=spec.env,
        tier=int(ready.plan.tier),
        outputs=spec.outputs,
        image=spec.image or None,
        volumes=mounts_of(app, spec.name, spec.volumes, ready.plan.tier),
        namespace=ready.plan.project.engine.namespace,
    )


def _secrets(app: App, ready: Ready) -> dict[str, str]:
    """Return the secrets that a step is given: none for a fork's, whatever it asks for (rule 21)."""
    if not ready.spec.secrets or ready.plan.tier is Tier.FORK:
        return {}
    with app.database.read() as tx:
        return SecretStore(tx).values_for(ready.plan.repo_id, ready.spec.secrets)


def _variables(ready: Ready, secrets: dict[str, str]) -> dict[str, str]:
    spec = ready.spec
    values = dict(_QUIET)
    values |= spec.variables
    values |= secrets
    values |= {f"HEADWAY_PARAM_{name.upper()}": as_text(value) for name, value in spec.params.items()}
    values["HEADWAY_JOB"] = ready.job.id
    values["HEADWAY_TASK"] = spec.name
    values["HEADWAY_COMMIT"] = spec.commit
    if spec.resources.cpus:
        threads = str(max(1, int(spec.resources.cpus)))
        values = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "MKL_NUM_THREADS": threads} | values
    return values


def _create_run(app: App, tx: Connection, ready: Ready, run_id: str) -> str:
    """Make the run of an attempt and return its experiment; a run without an attempt would stay open for ever."""
    job, spec = ready.job, ready.spec
    tags = {
        "mlflow.runName": f"{job.project}-{job.number}-{spec.name}",
        "mlflow.source.name": " ".join(spec.argv),
        "mlflow.source.type": "PROJECT",
        "mlflow.source.git.commit": spec.commit,
        "mlflow.source.git.branch": job.branch,
        "mlflow.user": job.actor,
        "headway.job": str(job.number),
        "headway.project": job.project,
        "headway.task": spec.name,
        "headway.key": ready.key,
        "headway.environment": spec.env.digest,
    }
    if job.change is not None:
        tags["headway.change"] = str(job.change)
    if spec.seed is not None:
        tags["headway.seed"] = str(spec.seed)
    tags |= {f"headway.param.{name}": as_text(value) for name, value in spec.params.items()}
    tags |= {f"headway.data.{name}": pin for name, pin in spec.data.items()}
    runs = RunStore(tx, actor="headway", clock=app.clock)
    project = ProjectStore(tx).of_repo(job.repo_id)
    # An attempt reads what is in its experiment: a fork's must not read what the team's runs logged.
    name = f"{job.project} (forks)" if ready.plan.tier is Tier.FORK else job.project
    experiment_id = runs.experiments.get_or_create(name, project=project).id
    runs.create_run(
        experiment_id,
        name=tags["mlflow.runName"],
        user_id=job.actor,
        tags=tags,
        job_id=job.id,
        run_id=run_id,
    )
    return experiment_id


def _launch(app: App, ready: Ready, spec: AttemptSpec) -> None:
    now = app.clock.now()
    door = spec.door
    new = advance.Launch(
        attempt_id=spec.id,
        nonce=spec.nonce,
        engine=ready.job.engine,
        directory=spec.directory,
        key=ready.key,
        run_id=door.run_id if door else "",
        spec=msgspec.to_builtins(replace(spec, variables=dict.fromkeys(spec.variables, "***"), hidden=())),
    )
    with app.database.write() as tx:
        if not advance.launch(tx, ready.task, new, now):
            logger().info("somebody else launched or cancelled first", task=ready.task.id)
            return
        if door is not None:
            experiment_id = _create_run(app, tx, ready, door.run_id)
            token = TokenStore(tx).mint(
                TokenKind.ATTEMPT,
                f"job-{ready.job.number}",
                role=Role.CONTRIBUTOR,
                at=now,
                run_id=door.run_id,
                experiment_id=experiment_id,
                project=ProjectStore(tx).of_repo(ready.job.repo_id),
                attempt_id=spec.id,
                label=FORK if ready.plan.tier is Tier.FORK else "",
                fence=ready.task.attempts + 1,
            )
            spec = replace(spec, door=replace(door, token=token, experiment_id=experiment_id))
        # Inside the transaction: a committed intent always finds its specification, also after a crash.
        keep_spec(spec)
    try:
        start(app, spec.id)
    except Exception as error:  # noqa: BLE001  # the job loop tries once more, and tells of it
        logger().warning("attempt cannot be started", attempt=spec.id, error=str(error))


def keep_spec(spec: AttemptSpec) -> None:
    """Write the attempt's specification durably beside its work: token and secrets never enter the database."""
    path = Path(spec.directory) / "attempt.json"
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as stream:
        stream.write(msgspec.json.encode(spec))
        stream.flush()
        os.fsync(stream.fileno())


def forget_secrets(spec: AttemptSpec) -> None:
    """Take an ended attempt's token and secrets off the disk; what else it was stays."""
    door = spec.door and replace(spec.door, token="")
    kept = replace(spec, variables=dict.fromkeys(spec.variables, "***"), hidden=(), door=door)
    path = Path(spec.directory) / "attempt.json"
    draft = path.with_suffix(f".{new_id()}")
    draft.write_bytes(msgspec.json.encode(kept))
    draft.replace(path)


def read_spec(directory: str) -> AttemptSpec:
    """Read back what `keep_spec` wrote."""
    return msgspec.json.decode((Path(directory) / "attempt.json").read_bytes(), type=AttemptSpec)


def start(app: App, attempt_id: str) -> None:
    """Ask the engine to start a recorded attempt; repeating it never runs the code twice."""
    with app.database.read() as tx:
        attempt = next((each for each in JobStore(tx).live_attempts() if each.id == attempt_id), None)
    if attempt is None:
        return
    handle = app.engine(attempt.engine).start(read_spec(attempt.directory))
    with app.database.write() as tx:
        advance.started(tx, attempt, handle)
