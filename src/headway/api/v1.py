"""Headway's own API: what the terminal and other programs call; one line a route."""

from __future__ import annotations

from starlette.routing import Route

from headway.api import about, changes, commands, deployments, jobs, models, people, rehearsals, runs, secrets, trash
from headway.api.answers import Handler, route
from headway.api.attempts import attempt_routes
from headway.api.endpoints import endpoint_routes
from headway.api.imports import import_routes
from headway.app import App
from headway.auth.model import Role
from headway.tracking.writer import Writer

_TABLE: tuple[tuple[str, str, Role, Handler], ...] = (
    ("GET", "/server", Role.VIEWER, about.server),
    ("GET", "/doctor", Role.VIEWER, about.doctor),
    ("POST", "/doctor/live", Role.ADMIN, about.doctor_live),
    ("POST", "/clean", Role.ADMIN, about.clean),
    ("POST", "/backup", Role.ADMIN, about.backup),
    ("GET", "/events", Role.VIEWER, about.events),
    ("POST", "/repos", Role.ADMIN, changes.register),
    ("GET", "/repos", Role.VIEWER, changes.repos),
    ("DELETE", "/repos/{repo}", Role.ADMIN, changes.unregister),
    ("GET", "/repos/{repo}/changes", Role.VIEWER, changes.list_changes),
    ("POST", "/repos/{repo}/changes", Role.CONTRIBUTOR, changes.open_change),
    ("GET", "/repos/{repo}/changes/{number}", Role.VIEWER, changes.show),
    ("POST", "/repos/{repo}/changes/{number}/comments", Role.CONTRIBUTOR, changes.comment),
    ("POST", "/repos/{repo}/changes/{number}/merge", Role.MAINTAINER, changes.merge),
    ("POST", "/repos/{repo}/changes/{number}/close", Role.CONTRIBUTOR, changes.close),
    ("POST", "/repos/{repo}/plan", Role.CONTRIBUTOR, commands.plan),
    ("POST", "/repos/{repo}/commands", Role.CONTRIBUTOR, commands.give),
    ("POST", "/repos/{repo}/rehearsals", Role.MAINTAINER, rehearsals.try_event),
    ("GET", "/commands/{command}", Role.VIEWER, commands.show),
    ("GET", "/jobs", Role.VIEWER, jobs.list_jobs),
    ("GET", "/jobs/{job}", Role.VIEWER, jobs.show),
    ("GET", "/jobs/{job}/logs", Role.VIEWER, jobs.logs),
    ("GET", "/jobs/{job}/report", Role.VIEWER, jobs.report),
    ("GET", "/jobs/{job}/compare", Role.VIEWER, jobs.compare),
    ("GET", "/runs", Role.VIEWER, runs.list_runs),
    ("GET", "/runs/{run}", Role.VIEWER, runs.show),
    ("GET", "/trash", Role.VIEWER, trash.list_items),
    ("POST", "/trash/restore", Role.CONTRIBUTOR, trash.put_back),
    ("POST", "/trash/purges", Role.MAINTAINER, trash.purge),
    ("GET", "/trash/purges", Role.ADMIN, trash.purges),
    ("GET", "/trash/purges/{purge}", Role.VIEWER, trash.show_purge),
    ("GET", "/space", Role.VIEWER, trash.space),
    ("POST", "/space/measure", Role.ADMIN, trash.measure_space),
    ("POST", "/space/reclaim", Role.ADMIN, trash.reclaim),
    ("GET", "/retention", Role.ADMIN, trash.retention),
    ("POST", "/retention", Role.ADMIN, trash.apply_retention),
    ("GET", "/models", Role.VIEWER, models.list_models),
    ("GET", "/models/{model}", Role.VIEWER, models.show),
    ("POST", "/models/{model}/aliases", Role.MAINTAINER, models.set_alias),
    ("GET", "/deployments", Role.VIEWER, deployments.list_deployments),
    ("GET", "/deployments/{name}", Role.VIEWER, deployments.show),
    ("DELETE", "/deployments/{name}", Role.MAINTAINER, deployments.remove),
    ("GET", "/deployments/{name}/logs", Role.VIEWER, deployments.logs),
    ("GET", "/releases", Role.VIEWER, deployments.releases),
    ("GET", "/releases/{release}", Role.VIEWER, deployments.release),
    ("GET", "/why/{subject}", Role.VIEWER, deployments.why),
    ("GET", "/users", Role.ADMIN, people.list_users),
    ("POST", "/users", Role.ADMIN, people.add_user),
    ("GET", "/users/{user}", Role.ADMIN, people.show_user),
    ("PUT", "/users/{user}", Role.ADMIN, people.change_user),
    ("PUT", "/users/{user}/projects/{project}", Role.ADMIN, people.grant),
    ("DELETE", "/users/{user}/projects/{project}", Role.ADMIN, people.revoke),
    ("GET", "/projects", Role.VIEWER, people.list_projects),
    ("POST", "/projects", Role.ADMIN, people.add_project),
    ("GET", "/tokens", Role.VIEWER, people.list_tokens),
    ("POST", "/tokens", Role.VIEWER, people.make_token),
    ("DELETE", "/tokens/{token}", Role.VIEWER, people.revoke_token),
    ("GET", "/repos/{repo}/secrets", Role.MAINTAINER, secrets.list_names),
    ("PUT", "/repos/{repo}/secrets/{name}", Role.MAINTAINER, secrets.set_value),
    ("DELETE", "/repos/{repo}/secrets/{name}", Role.MAINTAINER, secrets.remove),
)


def api_routes(app: App, writer: Writer | None = None) -> list[Route]:
    """Return every route with the role that it needs; what moves in is written by the process's writer."""
    return [
        *(route(app, *each) for each in _TABLE),
        *import_routes(app, writer),
        *attempt_routes(app),
        *endpoint_routes(app),
    ]


def absent_routes(app: App) -> list[Route]:
    """Return what answers every other path: behind the same door, so that nobody learns which routes there are."""
    methods = ("GET", "POST", "PUT", "PATCH", "DELETE")
    return [route(app, method, "/{rest:path}", Role.VIEWER, about.absent) for method in methods]
