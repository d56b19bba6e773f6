"""What a job may be compared with: what its file names, unless that is another project's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sqlalchemy import update

from fakes.repository import Repository
from fakes.story import CONFIG, Story
from headway.auth.projects import ProjectStore
from headway.db import schema
from headway.flow.baselines import Chosen, baseline_for
from headway.flow.results import JobResults
from headway.jobs.model import Job
from headway.jobs.store import JobStore
from headway.registry.model import Lineage
from headway.registry.store import RegistryStore


def _elsewhere(story: Story, folder: Path) -> tuple[Job, str]:
    """Another repository of this server, a project of its own, with a judged job; return that and its id."""
    repository = Repository(folder)
    repository.commit("main", {"headway.yaml": CONFIG, "train.py": "1\n"})
    repo = story.forge.register_repo(repository.path)
    return story.ended(repo_id=repo.id, head_sha=repository.head(), auc=0.99), repo.id


def _chosen(story: Story, job: Job, wanted: str) -> Chosen:
    with story.app.database.read() as tx:
        plan, result = JobStore(tx).plan(job.plan_id), JobResults(tx).get(job.id)
    assert result is not None
    gates = replace(plan.project.gates, baseline=wanted)
    return baseline_for(story.app, job, replace(plan, project=replace(plan.project, gates=gates)), result)


def _give(story: Story, repo_id: str, project: str) -> None:
    with story.app.database.write() as tx:
        tx.execute(update(schema.repo).where(schema.repo.c.id == repo_id).values(project=project))


def test_a_file_names_no_job_of_another_project(story: Story, tmp_path: Path) -> None:
    """Numbers of jobs are easily guessed: the report would show another project's metrics, params and curves."""
    first, own = story.ended(auc=0.7), story.ended(story.change())
    job, repo_id = _elsewhere(story, tmp_path / "other")
    assert _chosen(story, own, f"run:{first.number}").result is not None
    assert _chosen(story, own, f"run:{job.number}").result is None
    assert _chosen(story, own, f"run:{job.id}").result is None
    with story.app.database.read() as tx:
        project = ProjectStore(tx).of_repo(own.repo_id)
    _give(story, repo_id, project)
    assert _chosen(story, own, f"run:{job.number}").result is not None


def test_a_file_names_no_model_of_another_project(story: Story, tmp_path: Path) -> None:
    own = story.ended(story.change())
    job, repo_id = _elsewhere(story, tmp_path / "other")
    lineage = Lineage(run_id="r" * 32, repo_id=repo_id, job_id=job.id, commit=job.commit)
    with story.app.database.write() as tx:
        store = RegistryStore(tx, story.clock)
        version = store.register_candidate(
            "merger", source="0/merger", digest="d" * 64, env_digest="", env_path="", lineage=lineage, actor="ada"
        )
        store.set_alias("merger", "best", number=version.number, actor="ada")
    assert _chosen(story, own, "model:merger@best").result is None
    with story.app.database.read() as tx:
        project = ProjectStore(tx).of_repo(own.repo_id)
    _give(story, repo_id, project)
    with story.app.database.write() as tx:
        RegistryStore(tx).move_model("merger", project)
    assert _chosen(story, own, "model:merger@best").result is not None
