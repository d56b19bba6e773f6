"""Every route of the wire, in one tuple. A new module of routes is one more line here."""

from __future__ import annotations

from headway.api.mlflow import (
    artifacts,
    experiments,
    graph_route,
    history,
    log,
    models,
    presigned,
    probes,
    promptlab,
    registry,
    registry_search,
    runs,
)
from headway.api.mlflow.route import Route, StreamRoute

ROUTES: tuple[Route | StreamRoute, ...] = (
    *probes.ROUTES,
    *experiments.ROUTES,
    *runs.ROUTES,
    *log.ROUTES,
    *history.ROUTES,
    *registry.ROUTES,
    *registry_search.ROUTES,
    *models.ROUTES,
    *artifacts.ROUTES,
    *presigned.ROUTES,
    *graph_route.ROUTES,
    *promptlab.ROUTES,
)
