"""An effect happens once, whatever is killed between it and the answer, and never in another repository."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from fakes.repository import Repository
from fakes.story import CONFIG, Story
from headway.auth.secrets import SecretStore
from headway.commands.model import Command, CommandState, Verb
from headway.db import schema
from headway.flow import dispatch, intake, release_commands
from headway.flow.results import JobResults
from headway.jobs.store import JobStore
from headway.projects.model import DeploySpec
from headway.registry.digest import digest_folder
from headway.registry.model import Lineage
from headway.registry.store import RegistryStore
from headway.serving.model import Deployment, Release, ReleaseState, Route
from headway.serving.store import DeploymentStore, ReleaseStore


class Killed(BaseException):
    """What no `except Exception` catches: as if the process had ended here."""


def _killed_before_answering(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(dispatch, "_end", die)
        with pytest.raises(Killed):
            dispatch.step(story.app, story.background)
    dispatch.step(story.app, story.background)


def _events(story: Story, entity: str) -> list[str]:
    with story.app.database.read() as tx:
        query = select(schema.event.c.to_state).where(schema.event.c.entity == entity).order_by(schema.event.c.seq)
        return list(tx.execute(query).scalars())


def _executed(story: Story, command: Command) -> str:
    ended = story.answer(command)
    assert ended.state is CommandState.EXECUTED, ended.answer
    return ended.answer


def test_a_training_is_queued_once(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    command = story.command(Verb.TRAIN, story.change())
    _killed_before_answering(story, monkeypatch)
    _executed(story, command)
    with story.app.database.read() as tx:
        assert len(JobStore(tx).find()) == 1


def test_a_stop_says_what_it_stopped(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    change = story.change()
    job = story.queued(change)
    command = story.command(Verb.STOP, change)
    _killed_before_answering(story, monkeypatch)
    assert f"#{job.number}" in _executed(story, command)


def test_an_override_is_recorded_once_and_judged(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    change = story.change()
    job = story.ended(change, is_good=False)
    judged: list[str] = []
    monkeypatch.setattr("headway.flow.acts.judge_again", lambda _app, job: judged.append(job.id))
    command = story.command(Verb.OVERRIDE, change, arguments=("auc",), reason="known to be late")
    _killed_before_answering(story, monkeypatch)
    assert "is accepted" in _executed(story, command)
    assert judged == [job.id, job.id], "the verdict follows the override, also after a crash in between"
    assert _events(story, "override") == ["accepted"]


def test_an_override_counts_for_its_commit_only(story: Story) -> None:
    change = story.change()
    story.ended(change, is_good=False)
    story.repository.commit("idea", {"train.py": "3\n"})
    newer = story.forge.get_change(story.repo.id, change.number)
    command = story.command(Verb.OVERRIDE, newer, arguments=("auc",), reason="late data")
    dispatch.step(story.app, story.background)
    assert "nothing has been judged at this commit" in story.answer(command).answer


def _deployed(
    story: Story, *, repo_id: str = "", project: str = "flights", environment: str = "production", name: str = ""
) -> None:
    routes = [_registered(story, number) for number in (1, 2, 3)]
    wanted = Deployment(
        name=name or "flights-production",
        project=project,
        environment=environment,
        target="local",
        routes=routes[-1:],
        revision=0,
        spec=DeploySpec(),
    )
    with story.app.database.write() as tx:
        store = DeploymentStore(tx)
        store.save(wanted, repo_id=repo_id or story.repo.id, at=story.clock.now(), actor="ada")
        for route in routes:
            store.serves_all("flights-production", route)


def _registered(story: Story, number: int) -> Route:
    """Return the way to a version whose files are those that were registered."""
    folder = f"models/{number}"
    story.app.artifacts.put(f"{folder}/weights", iter([b"%d" % number]))
    digest = digest_folder(story.app.artifacts, folder)
    lineage = Lineage(run_id=f"{number}" * 32, project="flights", repo_id=story.repo.id)
    with story.app.database.write() as tx:
        RegistryStore(tx, story.clock).register_candidate(
            "flights", source=folder, digest=digest, env_digest="", env_path="", lineage=lineage, actor="ada"
        )
    return Route(model="flights", version=number, weight=100, source=folder, digest=digest, env_path="/nowhere")


DEPLOYING = "deploy: {environment: production}\n"


def test_a_rollback_goes_back_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    story = _with_deploy(tmp_path)
    _deployed(story)
    command = story.command(Verb.ROLLBACK)
    _killed_before_answering(story, monkeypatch)
    assert "goes back to v2" in _executed(story, command)
    with story.app.database.read() as tx:
        kept = DeploymentStore(tx).get("flights-production")
        assert kept is not None
        assert kept.serving is not None
        assert kept.serving.version == 2
        assert len(ReleaseStore(tx).find()) == 1
    story.close()


def test_a_rollback_to_files_that_were_changed_is_refused(tmp_path: Path) -> None:
    """Rule 30: in haste, too, only what was judged is served."""
    story = _with_deploy(tmp_path)
    _deployed(story)
    story.app.artifacts.put("models/2/weights", iter([b"changed"]))
    command = story.command(Verb.ROLLBACK)
    dispatch.step(story.app, story.background)
    assert story.answer(command).state is CommandState.REFUSED
    assert "are not those that were registered" in story.answer(command).answer
    with story.app.database.read() as tx:
        assert ReleaseStore(tx).find() == []
    story.close()


@pytest.mark.parametrize("version", ["²", "9" * 30, "v", "-1", "x"])
def test_a_rollback_to_no_version_is_refused(tmp_path: Path, version: str) -> None:
    story = _with_deploy(tmp_path)
    _deployed(story)
    command = story.command(Verb.ROLLBACK, params={"version": version})
    dispatch.step(story.app, story.background)
    assert story.answer(command).state is CommandState.REFUSED
    assert "internal error" not in story.answer(command).answer
    story.close()


def test_a_deployment_of_another_repository_is_not_rolled_back(tmp_path: Path) -> None:
    story = _with_deploy(tmp_path)
    _deployed(story, repo_id="another")
    command = story.command(Verb.ROLLBACK)
    dispatch.step(story.app, story.background)
    assert "belongs to another repository" in story.answer(command).answer
    story.close()


def test_what_waits_to_be_another_repository_s_deployment_is_not_touched(tmp_path: Path) -> None:
    """Two repositories may each have a project of one name: whoever asked first keeps the place."""
    story = _with_deploy(tmp_path)
    waits = Release(
        id="waits",
        project="flights",
        repo_id="another",
        environment="production",
        model="flights",
        version=1,
        previous=None,
        command_id="of-another",
        change=None,
        commit="a" * 40,
        requested_by="ada",
        state=ReleaseState.WAITING,
        approved_by=(),
        reason="",
        step=0,
        stages=(),
        test_output="",
        version_no=1,
        created_at=story.app.clock.now(),
    )
    with story.app.database.write() as tx:
        ReleaseStore(tx).add(waits, actor="ada")
        release_commands._end_older(tx, replace(waits, id="new", repo_id=story.repo.id, command_id="new"), "bea")
        kept = ReleaseStore(tx).get("waits")
    assert kept is not None and kept.state is ReleaseState.WAITING
    command = story.command(Verb.ROLLBACK)
    dispatch.step(story.app, story.background)
    assert "belongs to another repository" in story.answer(command).answer
    story.close()


@pytest.mark.parametrize(
    ("repo_id", "project", "environment", "name"),
    [
        ("another", "flights", "staging", "flights-staging"),  # its own environment is another one, staging is shared
        ("another", "fli", "ghts-production", "flights-production"),
    ],
)
def test_names_that_meet_are_one_repositorys(
    tmp_path: Path, repo_id: str, project: str, environment: str, name: str
) -> None:
    story = _with_deploy(tmp_path)
    _deployed(story, repo_id=repo_id, project=project, environment=environment, name=name)
    command = story.command(Verb.ROLLBACK)
    dispatch.step(story.app, story.background)
    assert "belongs to another repository" in story.answer(command).answer
    story.close()


def _with_deploy(folder: Path) -> Story:
    return Story(folder, config=CONFIG + DEPLOYING)


def test_a_job_of_another_repository_cannot_be_named(story: Story, tmp_path: Path) -> None:
    job = story.queued(story.change())
    other = Repository(tmp_path / "other")
    other.commit("main", {"headway.yaml": "name: other\nrun: python x.py\nmetrics: {a: {goal: maximize}}\n"})
    repo = story.forge.register_repo(other.path)
    for verb in (Verb.STOP, Verb.RETRY, Verb.DEPLOY):
        command = story.command(
            verb, None, repo_id=repo.id, head_sha=other.head(), branch="main", arguments=(f"#{job.number}",)
        )
        dispatch.step(story.app, story.background)
        ended = story.answer(command)
        assert (ended.state, "in this repository" in ended.answer) == (CommandState.REFUSED, True), ended.answer
    with story.app.database.read() as tx:
        assert JobStore(tx).get(job.id).desired == "run"


def test_no_answer_tells_a_secret(story: Story) -> None:
    with story.app.database.write() as tx:
        SecretStore(tx).set(story.repo.id, "KEY", value="hunter2-and-more", by="ada", at=story.clock.now())
    change = story.change()
    command = story.command(Verb.WHY, change, arguments=("hunter2-and-more",), comment_id="77")
    dispatch.step(story.app, story.background)
    assert "hunter2" not in story.answer(command).answer
    assert all("hunter2" not in comment["body"] for comment in story.outbox("comment"))


def test_only_main_s_good_results_become_the_baseline(story: Story) -> None:
    good, fork = story.change("good"), story.change("fork", from_fork=True)
    job = story.ended(good)
    story.repository.git("merge", "-q", "--no-ff", "-m", "by hand", "good")
    assert story.forge.events_since(story.repo.id, "0")
    intake.step(story.app, story.background)
    with story.app.database.read() as tx:
        baseline = JobResults(tx).latest_baseline(story.repo.id, "flights")
    assert baseline is not None
    assert baseline.job_id == job.id
    assert fork.from_fork
