"""Everything that is answered beside the wire: pages, the API and the webhooks' door.

A module of its own, since it is two fifths of what a server imports: who only tracks never loads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.routing import Mount

from headway.api.v1 import absent_routes, api_routes
from headway.api.webhooks import webhook_routes
from headway.web.pages import web_routes

if TYPE_CHECKING:
    from headway.app import App
    from headway.tracking.writer import Writer


def open_site(app: App, writer: Writer | None) -> Starlette:
    """Return the application of pages, API and webhooks."""
    api = Mount("/api/v1", routes=[*api_routes(app, writer), *absent_routes(app)])
    return Starlette(routes=[api, *webhook_routes(app, writer), *web_routes(app)])
