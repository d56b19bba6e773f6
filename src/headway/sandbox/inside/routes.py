"""Which requests the door lets through, and which of them it may answer before the server has."""

from __future__ import annotations

APPEND = "append"  # may be journalled: it only adds, and the answer says nothing
ARTIFACT = "artifact"  # may be spooled
LIVE = "live"  # needs the server's own answer

_RUNS = "/api/2.0/mlflow/runs/"
_APPENDING = frozenset(
    {"log-metric", "log-batch", "log-parameter", "set-tag", "log-inputs", "outputs", "log-model", "update"}
)
_ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/"
_OPEN = (
    "/api/2.0/mlflow/",
    "/api/3.0/mlflow/",
    "/api/2.0/mlflow-artifacts/",
    "/ajax-api/2.0/mlflow/",
    "/ajax-api/3.0/mlflow/",
)
_OPEN_EXACTLY = frozenset({"/health", "/version", "/get-artifact", "/model-versions/get-artifact", "/v1/traces"})


def kind_of(method: str, target: str) -> str | None:
    """Return how a request is treated; None when the door does not let it through."""
    path = target.split("?", 1)[0].split("#", 1)[0]
    if _climbs(path):
        return None
    if method == "POST" and path.startswith(_RUNS) and path[len(_RUNS) :] in _APPENDING:
        return APPEND
    if method == "PUT" and path.startswith(_ARTIFACTS):
        return ARTIFACT
    if path in _OPEN_EXACTLY or path.startswith(_OPEN):
        return LIVE
    return None


def _climbs(path: str) -> bool:
    """Say whether a path has a segment that leads elsewhere than it says, in any spelling a server may undo."""
    plain = path.lower().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/").replace("\\", "/")
    return any(segment in {".", ".."} for segment in plain.split("/"))
