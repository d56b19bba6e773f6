"""What a run made through the door says of its origin: commit, patch and command, as tags and one artifact."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from urllib.parse import quote, urlsplit

from upstream import Request

_CREATE = "/api/2.0/mlflow/runs/create"
_UPLOADS = "/api/2.0/mlflow-artifacts/artifacts/"
_PATCH = "headway/working-tree.patch"


class Stamp:
    """Marks what creates a run; without tags and patch it only counts them."""

    def __init__(self, spec: dict) -> None:
        self._tags: dict[str, str] = spec.get("tags") or {}
        self._patch = Path(spec["patch"]) if spec.get("patch") else None
        self.runs: list[str] = []

    def mark(self, request: Request) -> Request:
        """Return the creation of a run with our tags beside its own, which win; anything else as it is."""
        if not self._tags or not _creates(request):
            return request
        try:
            body = json.loads(request.body)
            given = body.get("tags") or []
            taken = {tag["key"] for tag in given}
        except (ValueError, TypeError, KeyError, AttributeError):
            return request  # the server says what is wrong with it
        ours = [{"key": key, "value": value} for key, value in self._tags.items() if key not in taken]
        return request._replace(body=json.dumps({**body, "tags": [*given, *ours]}).encode())

    def patch_for(self, request: Request, status: int, answer: bytes) -> Request | None:
        """Note the run that was made; return the upload of the patch that belongs to it, if there is one."""
        if status != 200 or not _creates(request):
            return None
        try:
            info = json.loads(answer)["run"]["info"]
            run_id, uri = str(info["run_id"]), urlsplit(str(info["artifact_uri"]))
        except (ValueError, TypeError, KeyError):
            return None
        self.runs.append(run_id)
        if self._patch is None or uri.scheme != "mlflow-artifacts":
            return None
        headers = {"Content-Type": "text/x-diff", "Idempotency-Key": uuid.uuid4().hex}
        target = f"{_UPLOADS}{quote(uri.path.strip('/'))}/{_PATCH}"
        return Request("PUT", target, headers, self._patch.read_bytes())


def _creates(request: Request) -> bool:
    return request.method == "POST" and request.target.split("?", 1)[0] == _CREATE and not _is_packed(request)


def _is_packed(request: Request) -> bool:
    return "Content-Encoding" in request.headers
