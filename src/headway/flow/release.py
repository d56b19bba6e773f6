"""The release loop: targets follow what is wanted, and every unfinished release takes its next smallest step."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
from sqlalchemy import Connection

from headway.app import App
from headway.errors import Conflict, HeadwayError
from headway.flow import environment_gate
from headway.flow.background import Background
from headway.flow.notify import notify_released
from headway.flow.outbox import want
from headway.flow.registering import model_folder
from headway.flow.repos import git_at
from headway.forges.model import WantedComment
from headway.ids import checked_name, new_id
from headway.jobs.store import JobStore
from headway.logs import logger
from headway.pipelines.source import write_source
from headway.projects.model import DeploySpec
from headway.registry.model import ModelVersion, VersionState
from headway.registry.store import RegistryStore
from headway.reports.escape import inline
from headway.serving.model import Release, ReleaseState, Route
from headway.serving.model_test import run_model_test
from headway.serving.reconcile import reconcile
from headway.serving.release import Candidate, step_release
from headway.serving.rollout import Do, Tested
from headway.serving.store import DeploymentStore, ReleaseStore

EVERY = 0.5  # seconds between two looks: a canary is judged within two of them


def step(app: App, background: Background) -> bool:
    """Look at targets and releases; return whether a release is under way."""
    if not background.is_due("release", EVERY):
        return False
    background.run("reconcile", partial(_reconcile, app))
    with app.database.read() as tx:
        unfinished = ReleaseStore(tx).unfinished()
    for release in unfinished:
        try:
            _step_one(app, background, release)
        except Conflict:
            continue  # somebody else moved it: the next look sees how
        except HeadwayError as error:
            logger().warning("release cannot go on", release=release.id, error=error.message, cause=error.cause)
    return bool(unfinished)


def _reconcile(app: App) -> None:
    reconcile(app.database, app.targets, app.clock)


def _step_one(app: App, background: Background, release: Release) -> None:
    candidate, _ = candidate_of(app, release)
    now = app.clock.now()
    if environment_gate.held(app, background, release):
        # One approval more than it has: it goes through staging, and waits there.
        spec = replace(candidate.spec, approvals=len(release.approved_by) + 1)
        candidate = replace(candidate, spec=spec)
    with app.database.write() as tx:
        moved, action = step_release(tx, release, candidate, now=now, tested=read_tested(app, release))
        if moved.state is not release.state or moved.step != release.step:
            _follow_up(app, tx, moved)
    if moved.state is not release.state and moved.job_id:
        background.run(f"tell {release.id} {moved.state}", partial(_tell, app, moved))
    if action.do is Do.RUN_TEST:
        background.run(f"test {release.id}", partial(_test, app, release, candidate))


def _tell(app: App, release: Release) -> None:
    with app.database.read() as tx:
        plan = JobStore(tx).plan(JobStore(tx).get(release.job_id).plan_id)
    notify_released(app, release, plan)


def candidate_of(app: App, release: Release) -> tuple[Candidate, ModelVersion]:
    """Return what a release serves and by which rules: those that stood on the default branch when it was asked for."""
    with app.database.read() as tx:
        version = RegistryStore(tx, app.clock).get_version(release.model, release.version)
    spec = release.spec or DeploySpec()
    route = Route(
        model=version.model,
        version=version.number,
        weight=0,
        source=str(model_folder(app, version)),
        digest=version.digest,
        env_path=version.env_path,
    )
    workdir = str(_checkout(app, release)) if spec.target == "command" else ""
    return Candidate(route=route, spec=spec, workdir=workdir), version


def rules_for(spec: DeploySpec, environment: str) -> DeploySpec:
    """Return the rules of a release; one to staging alone is tested there, and then served without anybody's word."""
    if environment == "staging":
        target = "local" if spec.target == "command" else spec.target
        return DeploySpec(
            environment="staging",
            approvals=0,
            test=spec.test,
            resources=spec.resources,
            target=target,
            namespace=spec.namespace,
        )
    return spec


def _checkout(app: App, release: Release) -> Path:
    """Return the project's folder at the rules' commit: the team's scripts never come from a change."""
    with app.database.read() as tx:
        root = JobStore(tx).plan(JobStore(tx).get(release.job_id).plan_id).project.root
    folder = app.data / "checkouts" / release.rules_commit
    if not folder.exists():
        draft = folder.with_name(f".{release.rules_commit}.{new_id()}")
        write_source(git_at(app, release.repo_id, release.rules_commit).directory, release.rules_commit, draft)
        try:
            draft.rename(folder)
        except OSError:
            logger().info("checkout was made meanwhile", commit=release.rules_commit)
    return folder / root


def _test(app: App, release: Release, candidate: Candidate) -> None:
    """Throw the team's own test, as the default branch has it, at the version in staging; keep how it went."""
    with app.database.read() as tx:
        kept = DeploymentStore(tx).get(f"{release.project}-staging")
    test = candidate.spec.test
    if kept is None or kept.observed is None or test is None:
        return
    tested = run_model_test(
        test,
        endpoint=kept.observed.url,
        checkout=_checkout(app, release),
        env_path=candidate.route.env_path,
    )
    path = _tested_path(app, release)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_bytes(msgspec.json.encode(tested))
    draft.replace(path)


def read_tested(app: App, release: Release) -> Tested | None:
    """Return how the team's test of a release went; None while it has not ended."""
    try:
        return msgspec.json.decode(_tested_path(app, release).read_bytes(), type=Tested)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _tested_path(app: App, release: Release) -> Path:
    return app.data / "releases" / f"{checked_name(release.id, what='release')}.json"


def _follow_up(app: App, tx: Connection, release: Release) -> None:
    """What a new state means outside serving, in the transaction that makes it."""
    now = app.clock.now()
    registry = RegistryStore(tx, app.clock)
    title = f"{release.model} v{release.version}"
    if release.state is ReleaseState.PROMOTED:
        alias = release.environment
        registry.set_alias(
            release.model, alias, number=release.version, actor="headway", reason=f"release {release.id}"
        )
        registry.set_state(release.model, release.version, state=VersionState.RELEASED, actor="headway")
        for approver in release.approved_by:
            registry.approve(release.model, release.version, approver=approver)
    if release.state is ReleaseState.ROLLED_BACK and release.previous is not None:
        registry.set_alias(
            release.model,
            release.environment,
            number=release.previous,
            actor="headway",
            reason=f"release {release.id} rolled back: {release.reason}",
        )
    if release.change is None:
        return
    look = environment_gate.read_look(app, release)
    text = _needed(release, title, look)
    if text:
        marker = f"<!-- headway:{release.state.value} release={release.id} -->"
        body = f"{marker}\n{text}"
        wanted = WantedComment(repo_id=release.repo_id, number=release.change, marker=marker, body=body, fresh=True)
        want(tx, wanted, now)


def _needed(release: Release, title: str, look: environment_gate.Look | None) -> str:
    """Text for a person who must act and may have left: an approval, a rollback, a failure."""
    match release.state:
        case ReleaseState.WAITING:
            test = f"\n\n{release.test_output}" if release.test_output else ""
            needs = (
                look.who
                if look is not None and look.who
                else environment_gate.needs(None, release.spec or DeploySpec())
            )
            return (
                f"### ⏸ {title} works in staging and waits for approval to {release.environment}{test}"
                f"\n\nIt needs {inline(needs, limit=500)}. It goes on with\n\n```text\n/approve @{release.commit}\n```"
            )
        case ReleaseState.ROLLING_BACK:
            back = f" to v{release.previous}" if release.previous is not None else ""
            return f"### ⏪ {title} was rolled back{back}: {release.reason}"
        case ReleaseState.FAILED:
            return f"### ❌ {title} did not reach {release.environment}: {release.reason}"
        case _:
            return ""
