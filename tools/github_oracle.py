#!/usr/bin/env python3
"""Make `tests/oracle/github/`: what GitHub itself says of its API and webhooks, trimmed to what Headway uses.

The sources are three npm packages under the MIT licence, fetched with `npm pack` at the versions below. The result
is committed, so that tests need no network: run this again to move to newer versions, and read the diff.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

OPENAPI = "@octokit/openapi@23.0.2"
EXAMPLES = "@octokit/webhooks-examples@7.6.1"
SCHEMAS = "@octokit/webhooks-schemas@7.6.1"
INTO = Path(__file__).parent.parent / "tests" / "oracle" / "github"

REPO = "/repos/{owner}/{repo}"
OPERATIONS = {
    "/app": "get",
    "/app-manifests/{code}/conversions": "post",
    "/app/hook/config": "get patch",
    "/app/hook/deliveries": "get",
    "/app/hook/deliveries/{delivery_id}": "get",
    "/app/hook/deliveries/{delivery_id}/attempts": "post",
    "/app/installations": "get",
    "/app/installations/{installation_id}": "get",
    "/app/installations/{installation_id}/access_tokens": "post",
    "/installation/repositories": "get",
    "/orgs/{org}/teams/{team_slug}/memberships/{username}": "get",
    "/rate_limit": "get",
    "/repositories/{repository_id}": "",
    "/user": "get",
    REPO: "get",
    f"{REPO}/actions/permissions/fork-pr-contributor-approval": "get",
    f"{REPO}/activity": "get",
    f"{REPO}/branches/{{branch}}": "get",
    f"{REPO}/branches/{{branch}}/protection/required_status_checks": "get",
    f"{REPO}/check-runs": "post",
    f"{REPO}/check-runs/{{check_run_id}}": "get patch",
    f"{REPO}/check-runs/{{check_run_id}}/rerequest": "post",
    f"{REPO}/collaborators/{{username}}/permission": "get",
    f"{REPO}/commits": "get",
    f"{REPO}/commits/{{ref}}": "get",
    f"{REPO}/commits/{{ref}}/check-runs": "get",
    f"{REPO}/commits/{{ref}}/status": "get",
    f"{REPO}/commits/{{ref}}/statuses": "get",
    f"{REPO}/commits/{{commit_sha}}/pulls": "get",
    f"{REPO}/compare/{{basehead}}": "get",
    f"{REPO}/contents/{{path}}": "get",
    f"{REPO}/deployments": "get post",
    f"{REPO}/deployments/{{deployment_id}}": "get delete",
    f"{REPO}/deployments/{{deployment_id}}/statuses": "get post",
    f"{REPO}/dispatches": "post",
    f"{REPO}/environments": "get",
    f"{REPO}/environments/{{environment_name}}": "get put",
    f"{REPO}/environments/{{environment_name}}/deployment-branch-policies": "get",
    f"{REPO}/git/commits": "post",
    f"{REPO}/git/commits/{{commit_sha}}": "get",
    f"{REPO}/git/ref/{{ref}}": "get",
    f"{REPO}/git/refs": "post",
    f"{REPO}/git/refs/{{ref}}": "delete",
    f"{REPO}/hooks": "get post",
    f"{REPO}/hooks/{{hook_id}}": "get patch delete",
    f"{REPO}/hooks/{{hook_id}}/deliveries": "get",
    f"{REPO}/hooks/{{hook_id}}/deliveries/{{delivery_id}}": "get",
    f"{REPO}/hooks/{{hook_id}}/deliveries/{{delivery_id}}/attempts": "post",
    f"{REPO}/installation": "get",
    f"{REPO}/issues/comments": "get",
    f"{REPO}/issues/events": "get",
    f"{REPO}/issues/comments/{{comment_id}}": "get patch delete",
    f"{REPO}/issues/comments/{{comment_id}}/reactions": "get post",
    f"{REPO}/issues/{{issue_number}}/comments": "get post",
    f"{REPO}/issues/{{issue_number}}/labels": "get post",
    f"{REPO}/pulls": "get post",
    f"{REPO}/pulls/{{pull_number}}": "get patch",
    f"{REPO}/pulls/{{pull_number}}/merge": "put",
    f"{REPO}/rules/branches/{{branch}}": "get",
    f"{REPO}/statuses/{{sha}}": "post",
}
EVENTS = (
    "check_run",
    "check_suite",
    "deployment",
    "deployment_status",
    "installation",
    "installation_repositories",
    "issue_comment",
    "merge_group",
    "ping",
    "pull_request",
    "pull_request_review",
    "push",
    "repository_dispatch",
)
# What a description says to people, and samples; the shapes stay whole.
PROSE = frozenset({"description", "example", "examples", "externalDocs", "summary", "tags", "x-github", "servers"})


def main() -> int:
    """Fetch, trim, write; say how large each file has become."""
    INTO.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        described = json.loads(_fetch(place, OPENAPI, "package/generated/api.github.com.json"))
        examples = json.loads(_fetch(place, EXAMPLES, "package/api.github.com/index.json"))
        schemas = json.loads(_fetch(place, SCHEMAS, "package/schema.json"))
    _write("openapi.json", _trim_openapi(described))
    _write("webhook-examples.json", [each for each in examples if each["name"] in EVENTS])
    _write("webhook-schemas.json", _trim_schemas(schemas))
    return 0


def _fetch(place: Path, package: str, member: str) -> bytes:
    done = subprocess.run(["npm", "pack", "--silent", package], cwd=place, check=True, capture_output=True, text=True)
    with tarfile.open(place / done.stdout.strip().splitlines()[-1]) as archive:
        found = archive.extractfile(member)
        if found is None:
            raise SystemExit(f"{package} holds no file {member}")
        return found.read()


def _trim_openapi(whole: dict[str, Any]) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for path, methods in OPERATIONS.items():
        found = _path(whole["paths"], path)
        if methods:
            paths[path] = {method: found[method] for method in methods.split()} | (
                {"parameters": found["parameters"]} if "parameters" in found else {}
            )
    return {
        "openapi": whole["openapi"],
        "info": {"title": whole["info"]["title"], "version": whole["info"]["version"], "license": {"name": "MIT"}},
        "x-source": OPENAPI,
        "paths": _without_prose(paths),
        "components": _reachable(whole, paths),
    }


def _path(paths: dict[str, Any], path: str) -> dict[str, Any]:
    found = paths.get(path, {} if path == "/repositories/{repository_id}" else None)
    if found is None:
        raise SystemExit(f"the description has no path {path} any more")
    return dict(found)


def _reachable(whole: dict[str, Any], paths: dict[str, Any]) -> dict[str, Any]:
    """Return the components that `paths` lead to, through whatever others."""
    kept: dict[str, Any] = {}
    waiting = list(_refs(paths))
    while waiting:
        _, _, group, name = waiting.pop().split("/", 3)
        if name not in kept.setdefault(group, {}):
            kept[group][name] = _without_prose(whole["components"][group][name])
            waiting += _refs(whole["components"][group][name]) if group != "examples" else []
    kept.pop("examples", None)
    return {group: dict(sorted(names.items())) for group, names in sorted(kept.items())}


def _refs(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [ref for each in value.values() for ref in _refs(each)]
    return [ref for each in value for ref in _refs(each)] if isinstance(value, list) else []


def _without_prose(value: Any, *, names: bool = False) -> Any:
    """Drop what is said to people; under `properties` a word such as "description" is a name and stays."""
    if isinstance(value, dict):
        return {
            key: _without_prose(each, names=key in ("properties", "parameters", "schemas") and not names)
            for key, each in value.items()
            if names or key not in PROSE
        }
    return [_without_prose(each) for each in value] if isinstance(value, list) else value


def _trim_schemas(whole: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    waiting = [name for name in whole["definitions"] if name.split("$")[0].removesuffix("_event") in EVENTS]
    while waiting:
        name = waiting.pop()
        if name not in kept:
            kept[name] = _without_prose(whole["definitions"][name])
            waiting += [ref.rsplit("/", 1)[1] for ref in _refs(whole["definitions"][name])]
    return {"$schema": whole["$schema"], "x-source": SCHEMAS, "definitions": dict(sorted(kept.items()))}


def _write(name: str, value: object) -> None:
    target = INTO / name
    target.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(f"{name}: {target.stat().st_size / 1e6:.2f} MB")  # noqa: T201  # a tool speaks to its caller


if __name__ == "__main__":
    sys.exit(main())
