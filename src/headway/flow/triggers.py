"""What else starts a training where the default branch's file says so: a label, and another system's event.

The base branch says which labels and names count, and whoever put the label or sent the event needs the standing for
the command, looked up when it is carried out.
"""

from __future__ import annotations

from headway.app import App
from headway.commands.model import Command, Origin, Verb, happening
from headway.commands.store import CommandStore
from headway.errors import UsageError
from headway.flow.projects import ProjectAt, default_tip, projects_at, readable_projects
from headway.flow.repos import forge_of, get_repo
from headway.forges.model import ChangeLabelled, ChangeState, Dispatched
from headway.ids import new_id


def after_label(app: App, event: ChangeLabelled) -> bool:
    """Train a change for a label that its base branch names.

    The delivery carries the head as it stood when the label was put on, so a later push is refused, not trained. A
    fork's code still waits for a grant of that commit: a label names none.
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
    for project in wanted:
        _give(
            app,
            Command(
                id=new_id(),
                verb=Verb.TRAIN,
                origin=Origin.LABEL,
                repo_id=change.repo_id,
                actor=event.actor,
                at=app.clock.now(),
                project=project.spec.name,
                change=change.number,
                head_sha=change.head_sha,
                comment_id=happening("label", event.delivery, project.spec.name),
                cause=f"label {event.label!r} was put on change {change.number}",
            ),
        )
    return bool(wanted)


def after_dispatch(app: App, event: Dispatched) -> bool:
    """Train the default branch for a name that it listens to; what the event carries may set declared params."""
    tip = default_tip(app, event.repo_id)
    if tip is None:
        return False
    projects = readable_projects(app, event.repo_id, tip)
    wanted = [each for each in projects if event.name in each.spec.triggers.dispatch]
    for project in wanted:
        _give(
            app,
            Command(
                id=new_id(),
                verb=Verb.TRAIN,
                origin=Origin.DISPATCH,
                repo_id=event.repo_id,
                actor=event.actor,
                at=app.clock.now(),
                project=project.spec.name,
                head_sha=tip,
                branch=get_repo(app, event.repo_id).default_branch,
                params=_params(project, event),
                comment_id=happening("dispatch", event.delivery, project.spec.name),
                cause=f"event {event.name!r} came from another system",
            ),
        )
    return bool(wanted)


def _params(project: ProjectAt, event: Dispatched) -> dict[str, str]:
    """Return what an event says of the project's own params: it may carry much else that is not for us."""
    return {name: value for name, value in event.payload.items() if name in project.spec.params}


def _give(app: App, command: Command) -> None:
    with app.database.write() as tx:
        CommandStore(tx).add(command)
