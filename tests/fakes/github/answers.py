"""What the fake answers to each operation of GitHub's REST API: operationId -> status and JSON."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fakes.github import oracle
from fakes.github.world import APP_ID, APP_SLUG, INSTALLATION, NAME, ROLES, FakeComment, FakePull, GitHubWorld

Answer = tuple[int, Any]


@dataclass(frozen=True)
class Asked:
    """One request that the description knows: its path's parameters, query and body; who asks."""

    parameters: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    who: str  # app | installation | the login of a person


def answer(world: GitHubWorld, operation: str, asked: Asked) -> Answer:
    """Return what GitHub would; deeds change the world."""
    owner, repo = asked.parameters.get("owner"), asked.parameters.get("repo")
    if owner is not None and f"{owner}/{repo}".lower() != NAME.lower():
        return missing()
    return ANSWERS[operation](world, asked)


def missing(what: str = "Not Found") -> Answer:
    return 404, {"message": what, "documentation_url": "https://docs.github.com/rest", "status": "404"}


def unprocessable(field: str, code: str = "invalid") -> Answer:
    errors = [{"resource": "X", "field": field, "code": code}]
    return 422, {"message": "Validation Failed", "errors": errors, "documentation_url": "https://docs.github.com/rest"}


# --- the App -------------------------------------------------------------------------------------


def _app(world: GitHubWorld, _asked: Asked) -> Answer:
    return 200, world.app_facts()


def _hook_config(world: GitHubWorld, _asked: Asked) -> Answer:
    return 200, dict(world.hook_config)


def _rate_limit(world: GitHubWorld, _asked: Asked) -> Answer:
    rate = {"limit": 5000, "used": 5000 - world.remaining, "remaining": world.remaining, "reset": 1_795_000_000}
    found = oracle.overlay(oracle.sample("rate-limit-overview"), {"resources": {"core": rate, "search": rate}})
    return 200, found | {"rate": rate}


def _installation_facts(world: GitHubWorld) -> dict[str, Any]:
    facts = {
        "id": INSTALLATION,
        "app_id": APP_ID,
        "app_slug": APP_SLUG,
        "account": world.user("acme"),
        "permissions": world.permissions,
        "events": world.events,
        "repository_selection": "selected",
        "suspended_at": None,
    }
    return oracle.overlay(oracle.sample("installation"), facts)


def _installation(world: GitHubWorld, _asked: Asked) -> Answer:
    return (200, _installation_facts(world)) if world.is_installed else missing()


def _installations(world: GitHubWorld, _asked: Asked) -> Answer:
    return 200, [_installation_facts(world)] if world.is_installed else []


def _deliveries(world: GitHubWorld, _asked: Asked) -> Answer:
    return 200, [_delivery_facts(each) for each in reversed(world.deliveries)]


def _delivery_facts(each: Any) -> dict[str, Any]:
    return {
        "id": each.id,
        "guid": each.guid,
        "delivered_at": each.at,
        "redelivery": False,
        "duration": 0.2,
        "status": "OK" if each.status < 400 else "failed",
        "status_code": each.status,
        "event": each.event,
        "action": each.payload.get("action"),
        "installation_id": INSTALLATION,
        "repository_id": each.payload.get("repository", {}).get("id"),
        "throttled_at": None,
    }


def _delivery(world: GitHubWorld, asked: Asked) -> Answer:
    for each in world.deliveries:
        if str(each.id) == asked.parameters["delivery_id"]:
            headers = {"X-GitHub-Event": each.event, "X-GitHub-Delivery": each.guid}
            request = {"headers": headers, "payload": each.payload}
            return 200, {
                **_delivery_facts(each),
                "request": request,
                "response": {"headers": {}, "payload": None},
                "url": "",
            }
    return missing()


# --- the repository ------------------------------------------------------------------------------


def _repo(world: GitHubWorld, _asked: Asked) -> Answer:
    return 200, oracle.overlay(oracle.sample("full-repository"), world.repository())


def _repositories(world: GitHubWorld, _asked: Asked) -> Answer:
    found = oracle.overlay(oracle.sample("repository"), world.repository())
    return 200, {"total_count": 1, "repositories": [found]}


def _branch(world: GitHubWorld, asked: Asked) -> Answer:
    sha = world.branches.get(asked.parameters["branch"])
    if sha is None:
        return missing("Branch not found")
    branch = asked.parameters["branch"]
    facts = {"name": branch, "commit": {"sha": sha}, "protected": branch in world.protected}
    return 200, oracle.overlay(oracle.sample("branch-with-protection"), facts)


def _rules(world: GitHubWorld, asked: Asked) -> Answer:
    return 200, world.protection.get(asked.parameters["branch"], [])


def _protection(world: GitHubWorld, asked: Asked) -> Answer:
    checks = world.old_protection.get(asked.parameters["branch"])
    if checks is None:
        return missing("Branch not protected")
    if checks == "hidden":
        return 403, {"message": "Resource not accessible by integration"}
    facts = {"contexts": [each["context"] for each in checks], "checks": checks, "strict": False}
    return 200, oracle.overlay(oracle.sample("status-check-policy"), facts)


def _activities(world: GitHubWorld, asked: Asked) -> Answer:
    found = [each for each in reversed(world.activities) if asked.query.get("ref", each["ref"]) == each["ref"]]
    return 200, [oracle.overlay(oracle.sample("activity"), each) for each in found]


def _content(world: GitHubWorld, asked: Asked) -> Answer:
    files = world.git.files.get(asked.query.get("ref") or world.branches["main"], {})
    path = asked.parameters["path"]
    if path not in files:
        return missing()
    raw = files[path].encode()
    facts = {"type": "file", "name": path.rpartition("/")[2], "path": path, "size": len(raw), "encoding": "base64"}
    return 200, oracle.overlay(
        oracle.sample("content-file"), {**facts, "content": base64.encodebytes(raw).decode(), "sha": "b" * 40}
    )


# --- git, by its API -----------------------------------------------------------------------------


def _may_write(world: GitHubWorld, asked: Asked) -> bool:
    return asked.who != "installation" or world.permissions.get("contents") == "write"


_REFUSED: Answer = (403, {"message": "Resource not accessible by integration"})


def _git_commit(world: GitHubWorld, asked: Asked) -> Answer:
    sha = asked.parameters["commit_sha"]
    if sha not in world.git.files:
        return missing()
    return 200, oracle.overlay(oracle.sample("git-commit"), {"sha": sha, "tree": {"sha": f"tree-of-{sha}"}})


def _make_commit(world: GitHubWorld, asked: Asked) -> Answer:
    if not _may_write(world, asked):
        return _REFUSED
    files = world.git.files[asked.body["tree"].removeprefix("tree-of-")]
    sha = world.git.write(files, *asked.body["parents"])
    return 201, oracle.overlay(oracle.sample("git-commit"), {"sha": sha, "tree": {"sha": asked.body["tree"]}})


def _make_ref(world: GitHubWorld, asked: Asked) -> Answer:
    if not _may_write(world, asked):
        return _REFUSED
    branch, sha = asked.body["ref"].removeprefix("refs/heads/"), asked.body["sha"]
    world.branches[branch] = sha
    world.git.point(asked.body["ref"], sha)
    return 201, oracle.overlay(oracle.sample("git-ref"), {"ref": asked.body["ref"], "object": {"sha": sha}})


def _delete_ref(world: GitHubWorld, asked: Asked) -> Answer:
    if not _may_write(world, asked):
        return _REFUSED
    gone = world.branches.pop(asked.parameters["ref"].removeprefix("heads/"), None)
    return (204, None) if gone else unprocessable("ref")


def _open_pull(world: GitHubWorld, asked: Asked) -> Answer:
    pull = world.open_pull(asked.body["head"], author=_author(asked), title=asked.body["title"])
    return 201, _whole_pull(world, pull, "pull-request")


def _update_pull(world: GitHubWorld, asked: Asked) -> Answer:
    pull = world.pulls[int(asked.parameters["pull_number"])]
    if asked.body.get("state") == "closed":
        world.close(pull.number, actor=_author(asked))
    return 200, _whole_pull(world, pull, "pull-request")


def _permission(world: GitHubWorld, asked: Asked) -> Answer:
    user = asked.parameters["username"]
    role = world.roles.get(user)
    if role is None:
        return missing(f"{user} is not a user")
    folded = world.folded.get(user) or ROLES.get(role, "read")
    return 200, {"permission": folded, "role_name": role, "user": None}


def _fork_policy(world: GitHubWorld, _asked: Asked) -> Answer:
    return 200, {"approval_policy": world.fork_policy}


def _dispatch(world: GitHubWorld, asked: Asked) -> Answer:
    world.dispatch(asked.body["event_type"], asked.body.get("client_payload") or {}, actor=asked.who)
    return 204, None


def _user(world: GitHubWorld, asked: Asked) -> Answer:
    if asked.who in ("app", "installation") or asked.who.endswith("[bot]"):
        return 403, {"message": "Resource not accessible by integration"}
    return 200, oracle.overlay(oracle.sample("private-user"), world.user(asked.who))


# --- changes and comments ------------------------------------------------------------------------


def _whole_pull(world: GitHubWorld, pull: FakePull, kind: str) -> dict[str, Any]:
    sample = oracle.sample(kind)
    facts = world.pull_facts(pull)
    if kind == "pull-request-simple":
        for name in ("merged",):
            facts.pop(name)
    if facts["head"]["repo"] is None:
        sample["head"]["repo"] = None
    return oracle.overlay(sample, facts)


def _pulls(world: GitHubWorld, asked: Asked) -> Answer:
    state = asked.query.get("state", "open")
    found = [pull for pull in world.pulls.values() if state in ("all", pull.state)]
    if asked.query.get("direction", "desc") == "desc":
        found.reverse()
    return 200, [_whole_pull(world, pull, "pull-request-simple") for pull in found]


def _pull(world: GitHubWorld, asked: Asked) -> Answer:
    pull = world.pulls.get(int(asked.parameters["pull_number"]))
    return missing() if pull is None else (200, _whole_pull(world, pull, "pull-request"))


def _whole_comment(world: GitHubWorld, comment: FakeComment) -> dict[str, Any]:
    facts = world.comment_facts(comment)
    if facts["performed_via_github_app"] is None:
        del facts["performed_via_github_app"]
    return oracle.overlay(oracle.sample("issue-comment"), facts)


def _comments_of(world: GitHubWorld, asked: Asked) -> Answer:
    number = int(asked.parameters["issue_number"])
    if number not in world.pulls:
        return missing()
    return 200, [_whole_comment(world, each) for each in world.comments.values() if each.number == number]


def _comments(world: GitHubWorld, asked: Asked) -> Answer:
    found = sorted(world.comments.values(), key=lambda each: each.id, reverse=asked.query.get("direction") == "desc")
    return 200, [_whole_comment(world, each) for each in found]


def _issue_events(world: GitHubWorld, asked: Asked) -> Answer:
    ground = oracle.overlay(oracle.sample("issue-event"), {"issue": oracle.sample("nullable-issue")})
    return 200, [oracle.overlay(ground, each) for each in reversed(world.issue_events)]


def _comment(world: GitHubWorld, asked: Asked) -> Answer:
    comment = world.comments.get(int(asked.parameters["comment_id"]))
    return missing() if comment is None else (200, _whole_comment(world, comment))


def _post_comment(world: GitHubWorld, asked: Asked) -> Answer:
    number = int(asked.parameters["issue_number"])
    if number not in world.pulls:
        return missing()
    if len(asked.body["body"]) > 65_536:
        return unprocessable("body")
    comment = world.post(
        number, _author(asked), asked.body["body"], app=APP_ID if asked.who == "installation" else None
    )
    # GitHub tells everybody of comments, the one who wrote it too.
    world.tell("issue_comment", "created", sender=world.user(_author(asked)), **world.about_comment(comment))
    return 201, _whole_comment(world, comment)


def _author(asked: Asked) -> str:
    return f"{APP_SLUG}[bot]" if asked.who == "installation" else asked.who


def _edit_comment(world: GitHubWorld, asked: Asked) -> Answer:
    comment = world.comments.get(int(asked.parameters["comment_id"]))
    if comment is None:
        return missing()
    comment.body, comment.updated_at = asked.body["body"], world.now(seconds=1)
    return 200, _whole_comment(world, comment)


def _delete_comment(world: GitHubWorld, asked: Asked) -> Answer:
    gone = world.comments.pop(int(asked.parameters["comment_id"]), None)
    return missing() if gone is None else (204, None)


def _react(world: GitHubWorld, asked: Asked) -> Answer:
    comment = world.comments.get(int(asked.parameters["comment_id"]))
    if comment is None:
        return missing()
    known = next((each for each in comment.reactions if each[1] == asked.body["content"]), None)
    reaction = known or (world.next_id(), asked.body["content"])
    if known is None:
        comment.reactions.append(reaction)
    facts = {"id": reaction[0], "content": reaction[1], "user": world.user(_author(asked))}
    return 200 if known else 201, oracle.overlay(oracle.sample("reaction"), facts)


# --- checks and statuses -------------------------------------------------------------------------


def _create_check(world: GitHubWorld, asked: Asked) -> Answer:
    if asked.who != "installation":
        return 403, {"message": "You must authenticate via a GitHub App."}
    number = world.next_id()
    facts = {
        "id": number,
        "head_sha": asked.body["head_sha"],
        "node_id": f"C_{number}",
        "url": f"{world.base}/api/v3/repos/{NAME}/check-runs/{number}",
        "html_url": f"{world.base}/{NAME}/runs/{number}",
        "app": world.app_facts(),
        "check_suite": {"id": 5},
        "pull_requests": [],
        "conclusion": None,
        "started_at": world.now(),
        "completed_at": None,
        "external_id": "",
        "details_url": None,
        "output": {
            "title": None,
            "summary": None,
            "text": None,
            "annotations_count": 0,
            "annotations_url": "https://x.example",
        },
    }
    world.checks[number] = oracle.overlay(oracle.sample("check-run"), facts)
    return 201, _change_check(world, number, asked.body)


def _change_check(world: GitHubWorld, number: int, body: Mapping[str, Any]) -> dict[str, Any]:
    run = world.checks[number]
    known = {"name", "external_id", "details_url", "status", "conclusion", "started_at", "completed_at"}
    run |= {name: value for name, value in body.items() if name in known}
    if body.get("conclusion"):
        run["status"] = "completed"
        run["completed_at"] = body.get("completed_at", world.now())
    elif "status" in body and body["status"] != "completed":
        # What is at work again has no conclusion any more.
        run["conclusion"], run["completed_at"] = None, None
    if "output" in body:
        run["output"] = {**run["output"], **body["output"]}
    run["actions"] = body.get("actions", run.get("actions", []))
    return {name: value for name, value in run.items() if name != "actions"}


def _update_check(world: GitHubWorld, asked: Asked) -> Answer:
    number = int(asked.parameters["check_run_id"])
    return missing() if number not in world.checks else (200, _change_check(world, number, asked.body))


def _checks_of(world: GitHubWorld, asked: Asked) -> Answer:
    found = [
        {name: value for name, value in run.items() if name != "actions"}
        for run in world.checks.values()
        if run["head_sha"] == asked.parameters["ref"]
        and asked.query.get("check_name", run["name"]) == run["name"]
        and asked.query.get("app_id", str(run["app"]["id"])) == str(run["app"]["id"])
    ]
    return 200, {"total_count": len(found), "check_runs": found}


def _create_status(world: GitHubWorld, asked: Asked) -> Answer:
    facts = {
        "id": world.next_id(),
        "state": asked.body["state"],
        "context": asked.body.get("context", "default"),
        "description": asked.body.get("description"),
        "target_url": asked.body.get("target_url"),
        "creator": world.user(_author(asked)),
        "created_at": world.now(),
        "updated_at": world.now(),
    }
    made = oracle.overlay(oracle.sample("status"), facts)
    world.statuses.append({**made, "sha": asked.parameters["sha"]})
    return 201, made


def _status_of(world: GitHubWorld, asked: Asked) -> Answer:
    latest: dict[str, dict[str, Any]] = {}
    for status in world.statuses:
        if status["sha"] == asked.parameters["ref"]:
            latest[status["context"]] = status
    simple = [
        oracle.overlay(oracle.sample("simple-commit-status"), {**each, "avatar_url": None}) for each in latest.values()
    ]
    for each in simple:
        each.pop("creator", None)
        each.pop("sha", None)
    facts = {"sha": asked.parameters["ref"], "statuses": simple, "total_count": len(simple), "state": "success"}
    return 200, oracle.overlay(oracle.sample("combined-commit-status"), facts)


# --- deployments ---------------------------------------------------------------------------------


def _create_deployment(world: GitHubWorld, asked: Asked) -> Answer:
    body = asked.body
    sha = world.branches.get(body["ref"], body["ref"])
    if sha not in world.git.files:
        return unprocessable("ref")
    number = world.next_id()
    facts = {
        "id": number,
        "sha": sha,
        "ref": body["ref"],
        "task": body.get("task", "deploy"),
        "environment": body.get("environment", "production"),
        "payload": body.get("payload", {}),
        "description": body.get("description"),
        "creator": world.user(_author(asked)),
        "url": f"{world.base}/api/v3/repos/{NAME}/deployments/{number}",
        "auto_merge": body.get("auto_merge", True),
    }
    made = oracle.overlay(oracle.sample("deployment"), facts)
    world.deployments[number] = made
    world.deployment_statuses[number] = []
    return 201, {name: value for name, value in made.items() if name != "auto_merge"}


def _deployments(world: GitHubWorld, asked: Asked) -> Answer:
    wanted = {name: asked.query[name] for name in ("environment", "task", "sha", "ref") if name in asked.query}
    found = [each for each in world.deployments.values() if all(each[name] == value for name, value in wanted.items())]
    return 200, [{name: value for name, value in each.items() if name != "auto_merge"} for each in reversed(found)]


def _create_deployment_status(world: GitHubWorld, asked: Asked) -> Answer:
    number = int(asked.parameters["deployment_id"])
    if number not in world.deployments:
        return missing()
    facts = {
        "id": world.next_id(),
        "state": asked.body["state"],
        "description": asked.body.get("description", ""),
        "environment_url": asked.body.get("environment_url", ""),
        "log_url": asked.body.get("log_url", ""),
        "environment": world.deployments[number]["environment"],
        "creator": world.user(_author(asked)),
    }
    made = oracle.overlay(oracle.sample("deployment-status"), facts)
    world.deployment_statuses[number].append(made)
    return 201, made


def _deployment_statuses(world: GitHubWorld, asked: Asked) -> Answer:
    number = int(asked.parameters["deployment_id"])
    return (200, list(reversed(world.deployment_statuses[number]))) if number in world.deployments else missing()


def _delete_deployment(world: GitHubWorld, asked: Asked) -> Answer:
    number = int(asked.parameters["deployment_id"])
    latest = world.deployment_statuses.get(number, [])
    if number not in world.deployments:
        return missing()
    if not latest or latest[-1]["state"] != "inactive":
        return unprocessable("state")  # a deployment must be inactive before it goes
    del world.deployments[number]
    return 204, None


def _environment(world: GitHubWorld, asked: Asked) -> Answer:
    found = world.environments.get(asked.parameters["environment_name"])
    if found is None:
        return missing()
    shown = {name: value for name, value in found.items() if not name.startswith("_")}
    return 200, oracle.overlay(oracle.sample("environment"), shown)


def _branch_policies(world: GitHubWorld, asked: Asked) -> Answer:
    found = world.environments.get(asked.parameters["environment_name"])
    if found is None:
        return missing()
    policies = [{"id": n, "node_id": f"P{n}", "name": name} for n, name in enumerate(found.get("_branches", []), 1)]
    return 200, {"total_count": len(policies), "branch_policies": policies}


def _membership(world: GitHubWorld, asked: Asked) -> Answer:
    if world.permissions.get("members") != "read":
        return 403, {"message": "Resource not accessible by integration"}
    if asked.parameters["username"] not in world.teams.get(asked.parameters["team_slug"], ()):
        return missing()
    return 200, {"url": f"{world.base}/x", "role": "member", "state": "active"}


ANSWERS: dict[str, Callable[[GitHubWorld, Asked], Answer]] = {
    "apps/get-authenticated": _app,
    "apps/list-installations": _installations,
    "apps/get-installation": _installation,
    "apps/get-repo-installation": _installation,
    "apps/list-repos-accessible-to-installation": _repositories,
    "apps/list-webhook-deliveries": _deliveries,
    "apps/get-webhook-delivery": _delivery,
    "apps/get-webhook-config-for-app": _hook_config,
    "rate-limit/get": _rate_limit,
    "repos/get-status-checks-protection": _protection,
    "repos/list-activities": _activities,
    "repos/get-content": _content,
    "git/get-commit": _git_commit,
    "git/create-commit": _make_commit,
    "git/create-ref": _make_ref,
    "git/delete-ref": _delete_ref,
    "pulls/create": _open_pull,
    "pulls/update": _update_pull,
    "repos/delete-deployment": _delete_deployment,
    "users/get-authenticated": _user,
    "repos/get": _repo,
    "repos/get-branch": _branch,
    "repos/get-branch-rules": _rules,
    "repos/get-collaborator-permission-level": _permission,
    "repos/create-dispatch-event": _dispatch,
    "actions/get-fork-pr-contributor-approval-permissions-repository": _fork_policy,
    "pulls/list": _pulls,
    "pulls/get": _pull,
    "issues/list-comments": _comments_of,
    "issues/list-comments-for-repo": _comments,
    "issues/list-events-for-repo": _issue_events,
    "issues/get-comment": _comment,
    "issues/create-comment": _post_comment,
    "issues/update-comment": _edit_comment,
    "issues/delete-comment": _delete_comment,
    "reactions/create-for-issue-comment": _react,
    "checks/create": _create_check,
    "checks/update": _update_check,
    "checks/list-for-ref": _checks_of,
    "repos/create-commit-status": _create_status,
    "repos/get-combined-status-for-ref": _status_of,
    "repos/create-deployment": _create_deployment,
    "repos/list-deployments": _deployments,
    "repos/create-deployment-status": _create_deployment_status,
    "repos/list-deployment-statuses": _deployment_statuses,
    "repos/get-environment": _environment,
    "repos/list-deployment-branch-policies": _branch_policies,
    "teams/get-membership-for-user-in-org": _membership,
}
