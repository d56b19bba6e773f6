"""Families of MLflow's API that Headway knows of and does not speak: they answer 501, never 404 or 500."""

from __future__ import annotations

import re

# name -> words below `/api/2.0/mlflow/` and the like; a star stands for letters, digits, _ and -.
FAMILIES = {
    "traces": "*traces* *trace* assessments correlation",
    "AI gateway": "gateway* endpoints secrets model-definitions guardrails budgets",
    "webhooks": "webhooks",
    "prompts": "prompts prompt-optimization optimize-prompts",
    "demonstrations and evaluations on the server": "demo genai",
    "telemetry of its pages": "ui-telemetry",
    "assistant": "assistant",
    "scorers": "scorers scorer online-scoring",
    "evaluation datasets": "datasets",
    "workspaces": "workspaces",
    "users and permissions": "users roles permissions *-permissions",
    "review queues": "review-queues label-schemas issues sessions",
    "jobs": "jobs",
    "skills and MCP servers": "mcp-servers skills mcp",
    "multipart uploads": "mpu",
    "presigned addresses": "presigned*",
}
_WORDS = {
    name: re.compile("|".join(re.escape(word).replace(r"\*", r"[\w-]*") for word in words.split()))
    for name, words in FAMILIES.items()
}
_PREFIX = re.compile(r"/(?:ajax-)?api/[23]\.0/(?:mlflow(?:-artifacts)?/)?(?:artifacts/(?=presigned))?([\w-]+)")
_OTHER = {
    "/v1/traces": "traces",
}


def absent_family(path: str) -> str:
    """Return the name of the family that a path belongs to, or "" when it is simply unknown."""
    if path in _OTHER:
        return _OTHER[path]
    if path.startswith("/gateway/"):
        return "AI gateway"
    found = _PREFIX.match(path)
    if not found:
        return ""
    for name, words in _WORDS.items():
        if words.fullmatch(found.group(1)):
            return name
    return ""
