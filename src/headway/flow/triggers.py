"""What else starts a training where the default branch's file says so: a label, and another system's event.

The base branch says which labels and names count, and whoever put the label or sent the event needs the standing for
the command, looked up when it is carried out.
"""

from __future__ import annotations

from headway.app import App
from headway.commands.model import Origin, Verb, happening
from headway.commands.refusals import copyable
from headway.errors import UsageError
from headway.flow.caused import Aim, Cause, give
from headway.flow.outbox import want
from headway.flow.projects import ProjectAt, default_tip, projects_at, readable_projects
from headway.flow.repos import forge_of, get_repo
from headway.flow.standing import doubt_of_head
from headway.forges.model import Change, ChangeLabelled, ChangeState, Dispatched, WantedComment


def after_label(app: App, event: ChangeLabelled) -> bool:
    """Train a change for a label that its base branch names.

    A delivery carries the head as it stood when the label was put on, so a later push is refused, not trained. A
    label that was found by looking names none: then only a head that we knew before can be the one that was meant. A
    fork's code still waits for a grant of that commit.
    """
    change = event.change
    fresh = forge_of(app, change.repo_id).get_change(change.repo_id, change.number)
    if fresh.state is not ChangeState.OPEN:
        return False
    try:
        projects = projects_at(app, change.repo_id, head=change.head_sha, base=fresh.base_sha)
    except UsageError:
        return False  # its status says already what is wrong with the file
    wanted = [each for each in projects if each.is_touched and event.label in each.spec.triggers.labels]
    doubt = "" if event.at is None or not wanted else doubt_of_head(app, fresh, event.at)
    if doubt:
        _say_doubt(app, event, fresh, doubt)
        return True
    for project in wanted:
        name = project.spec.name
        cause = Cause(
            origin=Origin.LABEL,
            actor=event.actor,
            once=happening("label", event.delivery, name),
            words=f"label {event.label!r} was put on change {change.number}",
        )
        give(
            app,
            cause,
            Aim(repo_id=change.repo_id, project=name, head_sha=change.head_sha, change=change.number),
        )
    return bool(wanted)


def _say_doubt(app: App, event: ChangeLabelled, change: Change, doubt: str) -> None:
    marker = f"<!-- headway:answer {happening('label', event.delivery)} -->"
    text = (
        f"@{event.actor} `HW-HEAD-UNSURE` I cannot be sure which commit the label is for: {doubt}, and the label was "
        f"put on at {event.at:%H:%M:%S}. If that is the commit, say so:"
        f"{copyable(f'/{Verb.TRAIN} @{change.head_sha}')}"
    )
    said = WantedComment(
        repo_id=change.repo_id, number=change.number, marker=marker, body=f"{marker}\n{text}", fresh=True
    )
    with app.database.write() as tx:
        want(tx, said, app.clock.now())


def after_dispatch(app: App, event: Dispatched) -> bool:
    """Train the default branch for a name that it listens to; what the event carries may set declared params."""
    tip = default_tip(app, event.repo_id)
    if tip is None:
        return False
    projects = readable_projects(app, event.repo_id, tip)
    wanted = [each for each in projects if event.name in each.spec.triggers.dispatch]
    for project in wanted:
        name = project.spec.name
        cause = Cause(
            origin=Origin.DISPATCH,
            actor=event.actor,
            once=happening("dispatch", event.delivery, name),
            words=f"event {event.name!r} came from another system",
        )
        branch = get_repo(app, event.repo_id).default_branch
        params = _params(project, event)
        give(app, cause, Aim(repo_id=event.repo_id, project=name, head_sha=tip, branch=branch, params=params))
    return bool(wanted)


def _params(project: ProjectAt, event: Dispatched) -> dict[str, str]:
    """Return what an event says of the project's own params: it may carry much else that is not for us."""
    return {name: value for name, value in event.payload.items() if name in project.spec.params}
