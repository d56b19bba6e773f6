"""A merge queue's commit is answered for every project: known files at once, others by training, forks by a grant."""

from __future__ import annotations

from typing import Any

from fakes.story import CONFIG, Story
from headway.commands.inbox import InboxStore
from headway.commands.model import Command, Origin
from headway.commands.store import CommandStore
from headway.db import schema
from headway.environments.model import Tier
from headway.flow import dispatch, intake
from headway.flow.results import JobResults
from headway.forges.git import Git
from headway.forges.git_merge import MergeMethod, merge_commits
from headway.forges.model import Change, ChangeMoved, QueueEntered
from headway.jobs.model import Job
from headway.jobs.store import JobStore


def queue(story: Story, change: Change, *, onto: str = "", delivery: str = "q1", numbers: bool = True) -> str:
    """Make the queue's commit as the forge does, and tell of it."""
    git = Git(story.repository.path / ".git")
    base = onto or story.repository.head("main")
    sha = merge_commits(
        git, base, change.head_sha, method=MergeMethod.MERGE, message="queue", actor="bot", at=story.clock.now()
    )
    event = QueueEntered(
        delivery=delivery,
        repo_id=story.repo.id,
        sha=sha,
        base_sha=base,
        base_branch="main",
        numbers=(change.number,) if numbers else (),
        actor="github-merge-queue[bot]",
    )
    with story.app.database.write() as tx:
        InboxStore(tx).add(event, forge="local", at=story.clock.now())
    for _ in range(2):
        intake.step(story.app, story.background)
        dispatch.step(story.app, story.background)
    return sha


def said(story: Story, sha: str, project: str = "flights") -> dict[str, Any]:
    found = [each for each in story.outbox("status") if (each["sha"], each["context"]) == (sha, f"headway/{project}")]
    assert len(found) == 1
    return found[0]


def asked(story: Story) -> list[Command]:
    with story.app.database.read() as tx:
        return [each for each in CommandStore(tx).of_repo(story.repo.id) if each.origin is Origin.QUEUE]


def jobs_at(story: Story, sha: str) -> list[Job]:
    with story.app.database.read() as tx:
        return JobStore(tx).find(schema.job.c.commit == sha)


def test_files_that_were_judged_are_answered_at_once(story: Story) -> None:
    good, bad = story.change("good"), story.change("bad")
    job = story.ended(good)
    story.ended(bad, is_good=False)
    sha = queue(story, good)
    assert (said(story, sha)["state"], said(story, sha)["title"]) == (
        "success",
        f"the same files passed as job #{job.number}",
    )
    sha = queue(story, bad, delivery="q2")
    assert said(story, sha)["state"] == "failure"
    assert asked(story) == []


def test_a_verdict_by_other_rules_is_no_answer(story: Story) -> None:
    change = story.change("idea", **{"headway.yaml": CONFIG.replace("maximize", "minimize")})
    story.ended(change)
    gates = "gates: {rules: [{metric: auc, min: 0.99}]}\n"
    story.repository.commit("main", {"headway.yaml": CONFIG + gates})
    story.repository.git("checkout", "-q", "idea")
    story.repository.git("merge", "-q", "-s", "ours", "-m", "take main", "main")
    story.repository.git("checkout", "-q", "main")
    change = story.forge.get_change(story.repo.id, change.number)
    sha = queue(story, change)
    assert said(story, sha)["state"] == "pending", "its files are the same, the gates are not"


def test_other_files_are_trained_as_a_member_s_proposal(story: Story) -> None:
    change = story.change()
    story.ended(change)
    story.repository.commit("main", {"data.txt": "moved on\n"})
    sha = queue(story, change)
    queue(story, change)
    (job,) = jobs_at(story, sha)
    assert (job.tier, job.branch, job.change) == (Tier.CHANGE, "merge-queue:main", None)
    (command,) = asked(story)
    assert command.cause == f"the merge queue of main wants a verdict on change {change.number}"
    assert said(story, sha)["state"] == "pending"


def test_what_a_change_does_not_touch_passes_and_what_it_takes_away_does_not(story: Story) -> None:
    other = "name: {name}\nrun: python x.py\nmetrics: {{a: {{goal: maximize}}}}\n"
    for name in ("left", "right"):
        story.repository.commit("main", {f"{name}/headway.yaml": other.format(name=name), f"{name}/x.py": "1\n"})
    story.repository.git("checkout", "-q", "-b", "idea")
    story.repository.git("rm", "-q", "-r", "left")
    story.repository.git("commit", "-q", "-m", "take left away")
    story.repository.git("checkout", "-q", "main")
    sha = queue(story, story.forge.open_change(story.repo.id, "idea"))
    assert (said(story, sha, "right")["state"], said(story, sha, "right")["is_neutral"]) == ("success", True)
    assert said(story, sha, "left")["state"] == "failure"


def test_a_fork_in_the_queue_needs_its_grant_and_stays_a_fork_s(story: Story) -> None:
    fork = story.change("fork", from_fork=True)
    story.repository.commit("main", {"data.txt": "moved on\n"})
    sha = queue(story, fork)
    assert (said(story, sha)["state"], jobs_at(story, sha)) == ("failure", [])
    assert "is not approved" in said(story, sha)["summary"]
    _grant(story, fork)
    sha = queue(story, fork, delivery="again")
    (job,) = jobs_at(story, sha)
    assert job.tier == Tier.FORK


def test_a_fork_that_waits_before_another_change_counts_too(story: Story) -> None:
    fork, member = story.change("fork", from_fork=True), story.change("member", **{"other.txt": "x\n"})
    story.repository.git("checkout", "-q", "member")
    story.repository.commit("member", {"train.py": "1\n"})
    member = story.forge.get_change(story.repo.id, member.number)
    first = queue(story, fork)
    second = queue(story, member, onto=first, delivery="q2")
    assert jobs_at(story, second) == []
    assert "is not approved" in said(story, second)["summary"]


def test_a_queue_s_commit_that_holds_more_than_the_grant_is_refused(story: Story) -> None:
    fork = story.change("fork", from_fork=True)
    _grant(story, fork)
    git = Git(story.repository.path / ".git")
    evil = story.repository.commit("evil", {"train.py": "steal()\n"})
    event = QueueEntered(
        delivery="q1",
        repo_id=story.repo.id,
        sha=evil,
        base_sha=git.branch_head("main") or "",
        base_branch="main",
        numbers=(fork.number,),
    )
    with story.app.database.write() as tx:
        InboxStore(tx).add(event, forge="local", at=story.clock.now())
    for _ in range(2):
        intake.step(story.app, story.background)
        dispatch.step(story.app, story.background)
    assert jobs_at(story, evil) == []
    assert "is not exactly" in said(story, evil)["summary"]


def test_a_queue_that_names_no_change_is_not_trusted(story: Story) -> None:
    sha = queue(story, story.change(), numbers=False)
    assert (said(story, sha)["state"], jobs_at(story, sha)) == ("failure", [])


def test_the_queue_s_own_result_becomes_the_baseline(story: Story) -> None:
    change = story.change()
    story.repository.commit("main", {"data.txt": "moved on\n"})
    sha = queue(story, change)
    (job,) = jobs_at(story, sha)
    _end(story, job)
    story.repository.git("update-ref", "refs/heads/main", sha)
    merged = story.forge.get_change(story.repo.id, change.number)
    event = ChangeMoved(
        delivery="m1",
        action="merged",
        change=Change(**{**_fields(merged), "merged_sha": sha, "state": "merged"}),
        actor="ada",
    )
    with story.app.database.write() as tx:
        InboxStore(tx).add(event, forge="local", at=story.clock.now())
    intake.step(story.app, story.background)
    with story.app.database.read() as tx:
        baseline = JobResults(tx).latest_baseline(story.repo.id, "flights")
    assert baseline is not None
    assert baseline.job_id == job.id


def _fields(change: Change) -> dict[str, Any]:
    return {name: getattr(change, name) for name in Change.__dataclass_fields__}


def _end(story: Story, job: Job) -> None:
    now = story.clock.now()
    with story.app.database.write() as tx:
        values = {"state": "succeeded", "started_at": now, "finished_at": now, "settled_at": now}
        tx.execute(schema.job.update().where(schema.job.c.id == job.id).values(**values))
        JobResults(tx).save(story.result(job), is_baseline=False)
        tree = JobStore(tx).plan(job.plan_id).tree
        tx.execute(schema.result.update().values(tree=tree))


def _grant(story: Story, fork: Change) -> None:
    with story.app.database.write() as tx:
        tx.execute(
            schema.fork_grant.insert().values(
                repo_id=fork.repo_id, change=fork.number, head_sha=fork.head_sha, actor="ada", at=story.clock.now()
            )
        )
