"""The table of pages: every address that a person may open, with the role that it needs."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import BaseRoute

from headway.app import App
from headway.auth.model import Role
from headway.errors import NotFound
from headway.web import changes, charts, commands, deployments, home, jobs, login, models, people, runs, trash
from headway.web.assets import static_route
from headway.web.visit import Visit, page


def web_routes(app: App) -> list[BaseRoute]:
    """Return every page's route; only the login page and static files are open to everybody."""
    rows = (
        ("GET", "/", Role.VIEWER, home.home),
        ("GET", "/changes", Role.VIEWER, changes.list_changes),
        ("GET", "/changes/{repo}/{number:int}", Role.VIEWER, changes.show),
        ("POST", "/changes/{repo}/{number:int}/comments", Role.VIEWER, changes.comment),
        ("POST", "/changes/{repo}/{number:int}/merge", Role.CONTRIBUTOR, changes.merge),
        ("POST", "/commands", Role.VIEWER, commands.give),
        ("GET", "/commands/{command}", Role.VIEWER, commands.show),
        ("GET", "/jobs", Role.VIEWER, jobs.list_jobs),
        ("GET", "/jobs/compare", Role.VIEWER, jobs.choose),
        ("GET", "/jobs/{number:int}", Role.VIEWER, jobs.show),
        ("GET", "/jobs/{number:int}/log", Role.VIEWER, jobs.log),
        ("GET", "/jobs/{number:int}/log.txt", Role.VIEWER, jobs.whole_log),
        ("GET", "/jobs/{number:int}/curves.json", Role.VIEWER, charts.of_job),
        ("GET", "/jobs/{a:int}/compare/{b:int}", Role.VIEWER, jobs.compare),
        ("GET", "/runs", Role.VIEWER, runs.list_runs),
        ("GET", "/runs/compare", Role.VIEWER, runs.choose),
        ("GET", "/runs/{run}", Role.VIEWER, runs.show),
        ("GET", "/runs/{run}/curves.json", Role.VIEWER, charts.of_run),
        ("GET", "/runs/{a}/compare/{b}", Role.VIEWER, runs.compare),
        ("GET", "/models", Role.VIEWER, models.list_models),
        ("GET", "/models/{name}", Role.VIEWER, models.show),
        ("GET", "/deployments", Role.VIEWER, deployments.list_deployments),
        ("GET", "/deployments/{name}", Role.VIEWER, deployments.show),
        ("GET", "/releases/{release}", Role.VIEWER, deployments.release),
        ("GET", "/why", Role.VIEWER, deployments.why),
        ("GET", "/events", Role.VIEWER, home.events),
        ("GET", "/trash", Role.VIEWER, trash.show),
        ("POST", "/trash/restore", Role.CONTRIBUTOR, trash.put_back),
        ("POST", "/trash/purge", Role.MAINTAINER, trash.purge),
        ("GET", "/people", Role.VIEWER, people.show),
        ("POST", "/people/shut", Role.ADMIN, people.shut),
        ("POST", "/people/tokens", Role.VIEWER, people.end),
        ("GET", "/login", Role.NONE, login.show),
        ("POST", "/login", Role.NONE, login.enter),
        ("POST", "/logout", Role.VIEWER, login.leave),
        ("POST", "/theme", Role.NONE, login.theme),
        ("GET", "/{rest:path}", Role.VIEWER, _nowhere),
    )
    return [static_route(), *(page(app, method, path, needs, handler) for method, path, needs, handler in rows)]


def _nowhere(visit: Visit) -> Response:
    raise NotFound(f"there is no page {visit.url}", hint="the menu lists what is there")
