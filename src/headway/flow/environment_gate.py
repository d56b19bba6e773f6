"""GitHub's protection of an environment, kept by us: its settings hold jobs of workflows, never our deployments.

Read when a release is asked for and again before it goes out; what cannot be read holds it. Together with headway.yaml
the stricter counts: as many approvals as the file asks for, one of them by a reviewer whom GitHub lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec
from sqlalchemy import Connection

from headway.app import App
from headway.errors import HeadwayError, Refused
from headway.flow.background import Background
from headway.flow.repos import get_repo
from headway.flow.results import JobResults
from headway.forges.model import EnvironmentRules
from headway.forges.patterns import fits
from headway.ids import checked_name, new_id
from headway.jobs.model import Job
from headway.jobs.store import JobStore
from headway.projects.model import DeploySpec
from headway.serving.model import Release, ReleaseState

UNTOUCHED = (ReleaseState.PENDING, ReleaseState.STAGING, ReleaseState.WAITING)
LOOK_EVERY = timedelta(seconds=30)
FRESH = timedelta(seconds=60)  # an older look lets nothing through
NEVER_READ = "GitHub's rules of the environment have not been read yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What GitHub's settings say of one release at one time."""

    at: datetime
    approved_by: tuple[str, ...]  # the approvals that were looked at
    why: str = ""  # why it may not go out; "" = it may
    who: str = ""  # who must approve, for people


def is_mirrored(app: App, repo_id: str) -> bool:
    """Whether the repository's forge has environments of its own."""
    return app.github is not None and get_repo(app, repo_id).forge == app.github.name


def check_asked(app: App, job: Job, environment: str) -> EnvironmentRules | None:
    """Return the forge's rules for an environment when this job's branch may be deployed there.

    Raises:
        Refused: the environment takes deployments of other branches only.
        Unreachable: GitHub cannot be read: nothing is let through meanwhile.
    """
    if app.github is None or not is_mirrored(app, job.repo_id):
        return None
    rules = app.github.environment(job.repo_id, environment)
    if rules is None:
        return None
    with app.database.read() as tx:
        branch = _branch(tx, job, get_repo(app, job.repo_id).default_branch)
    why = _branch_problem(app, job.repo_id, rules, branch)
    if why:
        raise Refused(
            why, cause="GitHub's environment says so", hint="merge it, then /deploy", reason="HW-BRANCH-NOT-TAKEN"
        )
    return rules


def check_approver(app: App, release: Release, actor: str) -> None:
    """Return when GitHub's environment lists this person as a reviewer, or lists nobody.

    Raises:
        Refused: it lists others, or a team whose members we may not see.
    """
    if app.github is None or not is_mirrored(app, release.repo_id):
        return
    rules = app.github.environment(release.repo_id, release.environment)
    if rules is None or not (rules.reviewers or rules.teams) or _is_reviewer(app, release.repo_id, rules, actor):
        return
    raise Refused(
        f"@{actor} is no reviewer of {release.environment}",
        cause=f"GitHub's environment {release.environment} lists {_who(rules)}",
        hint="ask one of them to comment /approve",
        reason="HW-NOT-A-REVIEWER",
    )


def needs(rules: EnvironmentRules | None, spec: DeploySpec) -> str:
    """Say who must approve and how long a release waits, by both sets of rules."""
    listed = rules is not None and bool(rules.reviewers or rules.teams)
    count = max(spec.approvals, int(listed))
    parts = []
    if count:
        parts.append(f"{count} approval{'s' * (count > 1)}")
    if rules is not None and listed:
        parts.append(f"one of them by {_who(rules)}" if count > 1 else f"by {_who(rules)}")
    if spec.reviewers:
        parts.append(f"only by {', '.join(name.lstrip('@') for name in spec.reviewers)} (headway.yaml)")
    if rules is not None and rules.wait_minutes:
        parts.append(f"{rules.wait_minutes} minutes after it was asked for (GitHub's wait timer)")
    return ", ".join(parts)


def held(app: App, background: Background, release: Release) -> str:
    """Say why a release that has touched nothing may not go out now; "" when it may. Looks again beside the loops."""
    if release.state not in UNTOUCHED or not is_mirrored(app, release.repo_id):
        return ""
    look, now = read_look(app, release), app.clock.now()
    is_of_these = look is not None and look.approved_by == release.approved_by
    if look is None or not is_of_these or now - look.at > LOOK_EVERY:
        background.run(f"gate {release.id}", partial(_look, app, release))
    if look is None or not is_of_these or now - look.at > FRESH:
        return NEVER_READ
    return look.why


def read_look(app: App, release: Release) -> Look | None:
    """Return the latest look at GitHub's settings for a release."""
    try:
        return msgspec.json.decode(_path(app, release).read_bytes(), type=Look)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _look(app: App, release: Release) -> None:
    now = app.clock.now()
    try:
        why, who = _judge(app, release, now)
    except HeadwayError as error:
        why, who = f"GitHub's environment {release.environment} cannot be read: {error.message}", ""
    look = Look(at=now, approved_by=release.approved_by, why=why, who=who)
    path = _path(app, release)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{new_id()}")
    draft.write_bytes(msgspec.json.encode(look))
    draft.replace(path)


def _judge(app: App, release: Release, now: datetime) -> tuple[str, str]:
    if app.github is None:
        return "GitHub is not set up here any more", ""
    rules, spec = app.github.environment(release.repo_id, release.environment), release.spec or DeploySpec()
    who = needs(rules, spec)
    if rules is None:
        return "", who
    with app.database.read() as tx:
        branch = _branch(tx, JobStore(tx).get(release.job_id), get_repo(app, release.repo_id).default_branch)
    why = _branch_problem(app, release.repo_id, rules, branch)
    if why:
        return why, who
    others = [name for name in release.approved_by if name.casefold() != release.requested_by.casefold()]
    able = others if rules.prevents_self_review else list(release.approved_by)
    if (rules.reviewers or rules.teams) and not any(_is_reviewer(app, release.repo_id, rules, name) for name in able):
        return f"it needs an approval by {_who(rules)}", who
    until = release.created_at + timedelta(minutes=rules.wait_minutes)
    if now < until:
        return f"GitHub's wait timer ends at {until:%Y-%m-%d %H:%M:%S} UTC", who
    return "", who


def _is_reviewer(app: App, repo_id: str, rules: EnvironmentRules, user: str) -> bool:
    if user.casefold() in {name.casefold() for name in rules.reviewers}:
        return True
    return app.github is not None and any(app.github.is_member(repo_id, team, user) for team in rules.teams)


def _branch(tx: Connection, job: Job, default: str) -> str:
    """Return the branch that a job's model comes from: the default one as soon as its change is merged."""
    return default if job.change is None or JobResults(tx).is_baseline(job.id) else job.branch


def _branch_problem(app: App, repo_id: str, rules: EnvironmentRules, branch: str) -> str:
    if app.github is not None and rules.protected_branches_only and not app.github.is_protected(repo_id, branch):
        return f"{rules.name} takes deployments of protected branches only, and {branch} is not protected"
    if rules.branches is not None and not any(fits(branch, pattern) for pattern in rules.branches):
        return f"{rules.name} takes deployments of {', '.join(rules.branches) or 'no branch'} only, not of {branch}"
    return ""


def _who(rules: EnvironmentRules) -> str:
    return " or ".join((*rules.reviewers, *(f"the team {team}" for team in rules.teams)))


def _path(app: App, release: Release) -> Path:
    return app.data / "releases" / f"{checked_name(release.id, what='release')}.gate"
