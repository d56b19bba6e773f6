"""Families of MLflow's API that Headway knows of and does not speak: they answer 501, never 404 or 500."""

from __future__ import annotations

import re

_FAMILIES = (
    ("traces", r"[\w-]*traces?[\w-]*|assessments|correlation"),
    ("AI gateway", r"gateway[\w-]*|endpoints|secrets|model-definitions|guardrails|budgets"),
    ("webhooks", r"webhooks"),
    ("prompts", r"prompts|prompt-optimization|optimize-prompts"),
    ("demonstrations and evaluations on the server", r"demo|genai"),
    ("telemetry of its pages", r"ui-telemetry"),
    ("assistant", r"assistant"),
    ("scorers", r"scorers|online-scoring|scorer"),
    ("evaluation datasets", r"datasets"),
    ("workspaces", r"workspaces"),
    ("users and permissions", r"users|roles|permissions|[\w-]+-permissions"),
    ("review queues", r"review-queues|label-schemas|issues|sessions"),
    ("jobs", r"jobs"),
    ("skills and MCP servers", r"mcp-servers|skills|mcp"),
    ("GraphQL", r"graphql"),
    ("multipart uploads", r"mpu"),
    ("presigned addresses", r"presigned[\w-]*"),
)
_PREFIX = re.compile(r"/(?:ajax-)?api/[23]\.0/(?:mlflow(?:-artifacts)?/)?(?:artifacts/(?=presigned))?([\w-]+)")
_OTHER = {
    "/v1/traces": "traces",
    "/graphql": "GraphQL",
    "/ajax-api/2.0/mlflow/runs/create-promptlab-run": "prompts",
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
    for name, pattern in _FAMILIES:
        if re.fullmatch(pattern, found.group(1)):
            return name
    return ""
