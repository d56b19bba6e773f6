"""The probes: whether the server answers, which protocol it speaks, and what it can do."""

from __future__ import annotations

from typing import Any

from headway.api.mlflow.route import API, API3, Access, Call, Message, Route

# The version whose protocol we speak; clients and tools compare it.
SPOKEN_VERSION = "3.17.2"


def _server_info(_call: Call, _message: Message) -> dict[str, Any]:
    return {
        "store_type": "SqlStore",
        "workspaces_enabled": False,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": False,
        "multipart_downloads_enabled": False,
        "artifact_serving_enabled": True,
        "presigned_upload_run_id_supported": False,
        "presigned_upload_model_id_supported": False,
        "model_artifact_presigned_downloads_supported": False,
        "features_enabled": {"gateway": False, "scheduled_issue_detection": False},
        "tracking_auth": True,
        "artifacts_presigned_only": False,
    }


ROUTES = tuple(
    Route(
        method="GET",
        path=path,
        access=Access.OPEN,
        message=Message,
        answer=_server_info,
        prefixes=(API, API3, "/ajax-api/3.0/mlflow/"),
    )
    for path in ("server-info", "server-features")
)
