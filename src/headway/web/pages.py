"""The table of pages."""

from __future__ import annotations

from starlette.routing import BaseRoute

from headway.app import App


def web_routes(app: App) -> list[BaseRoute]:
    """Return every page's route."""
    _ = app
    return []
