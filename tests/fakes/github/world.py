"""A GitHub with one repository and its people, in memory; commits lie in real bare repositories."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from fakes.bare import BareRepo
from fakes.github import oracle

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

APP_ID = 4242
APP_SLUG = "headway-test"
INSTALLATION = 77
OWNER = "acme"
NAME = f"{OWNER}/flights"
ROLES = {"read": "read", "triage": "read", "write": "write", "maintain": "write", "admin": "admin", "none": "none"}


@dataclass
class FakePull:
    """A pull request; the head of an open one is wherever its branch stands."""

    number: int
    branch: str
    author: str
    title: str
    base: str = "main"
    from_fork: bool = False
    fork_is_gone: bool = False
    state: str = "open"
    merged_at: str | None = None
    merge_commit_sha: str | None = None
    closed_head: str = ""
    labels: list[str] = field(default_factory=list)
    created_at: str = ""
    updated_at: str = ""


@dataclass
class FakeComment:
    """A comment under a pull request; `app` is the App that wrote it."""

    id: int
    number: int
    author: str
    body: str
    created_at: str
    updated_at: str
    app: int | None = None
    reactions: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Delivered:
    """A webhook as GitHub would have sent it."""

    id: int
    guid: str
    event: str
    payload: dict[str, Any]
    status: int = 200
    at: str = oracle.SAMPLE_TIME

    @property
    def body(self) -> bytes:
        return json.dumps(self.payload).encode()


class GitHubWorld:
    """The state, the verbs of people, and every webhook that their deeds cause."""

    def __init__(self, folder: Path, *, base: str = "http://127.0.0.1:1", with_app: bool = True) -> None:
        self.base = base
        self.with_app = with_app
        self.git = BareRepo(folder)
        self.git.git("config", "uploadpack.allowAnySHA1InWant", "true")
        self.repo_number = 186_853_002
        self.branches: dict[str, str] = {}
        self.pulls: dict[int, FakePull] = {}
        self.comments: dict[int, FakeComment] = {}
        self.checks: dict[int, dict[str, Any]] = {}
        self.statuses: list[dict[str, Any]] = []
        self.deployments: dict[int, dict[str, Any]] = {}
        self.deployment_statuses: dict[int, list[dict[str, Any]]] = {}
        self.environments: dict[str, dict[str, Any]] = {}  # "_branches": the patterns of a custom branch policy
        self.teams: dict[str, tuple[str, ...]] = {}
        self.protected: set[str] = {"main"}
        self.roles: dict[str, str] = {}
        self.folded: dict[str, str] = {}  # what the older field says of those whose role is the organisation's own
        self.is_private = True
        self.deliveries: list[Delivered] = []
        self.issue_events: list[dict[str, Any]] = []  # what the list of a repository's events shows, oldest first
        self.dispatches: list[dict[str, Any]] = []
        self.protection: dict[str, list[dict[str, Any]]] = {}  # branch -> rules as /rules/branches gives them
        self.permissions = {
            "metadata": "read",
            "contents": "read",
            "pull_requests": "write",
            "issues": "write",
            "checks": "write",
            "deployments": "write",
            "environments": "read",
            "merge_queues": "read",
        }
        self.events = [
            "issue_comment",
            "pull_request",
            "push",
            "check_run",
            "check_suite",
            "merge_group",
            "repository_dispatch",
        ]
        self.old_protection: dict[str, Any] = {}  # branch -> checks of the older branch protection, or "hidden"
        self.hook_config: dict[str, Any] = {
            "url": "https://headway.example/webhooks/github",
            "content_type": "json",
            "insecure_ssl": "0",
            "secret": "********",
        }
        self.activities: list[dict[str, Any]] = []  # who moved which branch when, by GitHub's clock
        self.remaining = 4999  # requests of the hour
        self.is_installed = True
        self.door_answers = 200  # what our webhook door says to each delivery
        self.fork_policy = "first_time_contributors"
        self._ids = 1000
        self._now = datetime.now(UTC).replace(microsecond=0)

    # --- people ----------------------------------------------------------------------------------

    def commit(self, branch: str, files: Mapping[str, str], *, actor: str = "ada") -> str:
        parent = self.branches.get(branch) or self.branches.get("main")
        whole = {**self.git.files.get(parent or "", {}), **files}
        sha = self.git.write(whole, parent)
        before, self.branches[branch] = self.branches.get(branch), sha
        moved = {"ref": f"refs/heads/{branch}", "before": before or "0" * 40, "after": sha, "timestamp": self.now()}
        self.activities.append(moved | {"id": len(self.activities) + 1, "activity_type": "push"})
        self.git.point(f"refs/heads/{branch}", sha)
        self.tell("push", **self.push_facts(branch, before, sha), sender=self.user(actor))
        for pull in self.pulls.values():
            if pull.branch == branch and pull.state == "open":
                pull.updated_at = self.now()
                self.tell(
                    "pull_request", "synchronize", before=before, after=sha, sender=self.user(actor), **self.about(pull)
                )
        return sha

    def open_pull(
        self, branch: str, *, author: str = "ada", title: str = "", from_fork: bool = False, base: str = "main"
    ) -> FakePull:
        number = len(self.pulls) + 1
        pull = FakePull(
            number=number, branch=branch, author=author, title=title or branch, from_fork=from_fork, base=base
        )
        pull.created_at = pull.updated_at = self.now()
        self.pulls[number] = pull
        self.tell("pull_request", "opened", sender=self.user(author), **self.about(pull))
        return pull

    def comment(self, number: int, author: str, body: str) -> FakeComment:
        comment = self.post(number, author, body)
        self.tell("issue_comment", "created", sender=self.user(author), **self.about_comment(comment))
        return comment

    def edit_comment(self, comment_id: int, editor: str, body: str) -> None:
        comment = self.comments[comment_id]
        old, comment.body, comment.updated_at = comment.body, body, self.now(seconds=5)
        self.tell(
            "issue_comment",
            "edited",
            sender=self.user(editor),
            changes={"body": {"from": old}},
            **self.about_comment(comment),
        )

    def merge(self, number: int, *, actor: str = "ada", squash: bool = False, rebase: bool = False) -> FakePull:
        pull = self.pulls[number]
        head, base = self.head(pull), self.branches[pull.base]
        whole = {**self.git.files[base], **self.git.files[head]}
        # A rebase writes the commits anew on top of the base: other names, the last with the same files.
        onto = self.git.write({**whole, ".rebased": "first\n"}, base) if rebase else base
        merged = self.git.write(whole, onto, *(() if squash or rebase else (head,)))
        self.branches[pull.base] = merged
        self.git.point(f"refs/heads/{pull.base}", merged)
        pull.state, pull.merged_at, pull.merge_commit_sha, pull.closed_head = "closed", self.now(), merged, head
        self.tell("pull_request", "closed", sender=self.user(actor), **self.about(pull))
        self.tell("push", **self.push_facts(pull.base, base, merged), sender=self.user(actor))
        return pull

    def close(self, number: int, *, actor: str = "ada") -> None:
        pull = self.pulls[number]
        pull.closed_head, pull.state = self.head(pull), "closed"
        self.tell("pull_request", "closed", sender=self.user(actor), **self.about(pull))

    def label(self, number: int, name: str, *, actor: str = "ada") -> None:
        pull = self.pulls[number]
        pull.labels.append(name)
        self.issue_events.append(
            {
                "id": self.next_id(),
                "event": "labeled",
                "actor": self.user(actor),
                "created_at": self.now(),
                "label": {"name": name, "color": "ededed"},
                "issue": {"number": number, "title": pull.title, "state": pull.state, "user": self.user(pull.author)},
            }
        )
        self.tell("pull_request", "labeled", sender=self.user(actor), label=self.label_facts(name), **self.about(pull))

    def press(self, check_id: int, action: str, *, actor: str = "ada") -> None:
        # As webhooks show a check: its buttons and its App's client id are of the REST API alone.
        run = {name: value for name, value in self.checks[check_id].items() if name != "actions"}
        run |= {"app": self.app_facts(client_id=False), "details_url": run["details_url"] or "https://headway.example"}
        if action == "rerequest":
            self.tell("check_run", "rerequested", check_run=run, sender=self.user(actor))
        else:
            self.tell(
                "check_run",
                "requested_action",
                check_run=run,
                requested_action={"identifier": action},
                sender=self.user(actor),
            )

    def queue(self, number: int, *, actor: str = "ada") -> str:
        """Put a pull request into the merge queue; return the commit that the queue made."""
        pull = self.pulls[number]
        head, base = self.head(pull), self.branches[pull.base]
        sha = self.git.write({**self.git.files[base], **self.git.files[head]}, base, head)
        group = {
            "head_sha": sha,
            "head_ref": f"refs/heads/gh-readonly-queue/{pull.base}/pr-{number}-{base}",
            "base_sha": base,
            "base_ref": f"refs/heads/{pull.base}",
        }
        self.tell("merge_group", "checks_requested", merge_group=group, sender=self.user(actor))
        return sha

    def protect_environment(
        self,
        name: str,
        *,
        reviewers: tuple[str, ...] = (),
        teams: tuple[str, ...] = (),
        no_self_review: bool = False,
        wait_minutes: int = 0,
        branches: tuple[str, ...] | None = None,
        protected_only: bool = False,
    ) -> None:
        """Set an environment up as a person does in the settings."""
        rules: list[dict[str, Any]] = []
        if wait_minutes:
            rules.append({"id": 1, "node_id": "R1", "type": "wait_timer", "wait_timer": wait_minutes})
        if reviewers or teams:
            people = [{"type": "User", "reviewer": self.user(each)} for each in reviewers]
            people += [
                {"type": "Team", "reviewer": oracle.overlay(oracle.sample("team"), {"slug": each, "name": each})}
                for each in teams
            ]
            rules.append(
                {
                    "id": 2,
                    "node_id": "R2",
                    "type": "required_reviewers",
                    "prevent_self_review": no_self_review,
                    "reviewers": people,
                }
            )
        policy = None
        if branches is not None or protected_only:
            rules.append({"id": 3, "node_id": "R3", "type": "branch_policy"})
            policy = {"protected_branches": protected_only, "custom_branch_policies": branches is not None}
        self.environments[name] = {
            "name": name,
            "protection_rules": rules,
            "deployment_branch_policy": policy,
            "_branches": list(branches or ()),
        }

    def dispatch(self, name: str, payload: Mapping[str, object], *, actor: str = "ada") -> None:
        self.tell("repository_dispatch", name, client_payload=dict(payload), branch="main", sender=self.user(actor))

    def grant(self, user: str, role: str, *, permission: str = "") -> None:
        """Give a role; `permission` is what GitHub folds a role of the organisation's own into."""
        self.roles[user] = role
        self.folded[user] = permission

    # --- what GitHub itself does -----------------------------------------------------------------

    def next_id(self) -> int:
        self._ids += 1
        return self._ids

    def now(self, *, seconds: int = 0) -> str:
        """Return GitHub's time as it writes it; `pass_time` moves it."""
        return (self._now + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def pass_time(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    def head(self, pull: FakePull) -> str:
        return self.branches[pull.branch] if pull.state == "open" else pull.closed_head

    def post(self, number: int, author: str, body: str, *, app: int | None = None) -> FakeComment:
        at = self.now()
        comment = FakeComment(
            id=self.next_id(), number=number, author=author, body=body, created_at=at, updated_at=at, app=app
        )
        self.comments[comment.id] = comment
        return comment

    def tell(self, event: str, action: str = "", **facts: Any) -> Delivered:
        """Make the webhook of a deed from a recorded one, laid over with this world's facts."""
        examples = oracle.webhook_examples()[event]
        same = [each for each in examples[1:] if each.get("action") == action] or examples[1:] or examples
        # Recorded payloads are the ground; what they say of their own repository is replaced by ours.
        payload = oracle.overlay(copy.deepcopy(same[-1]), {"repository": self.repository(), **facts})
        if action:
            payload["action"] = action
        if self.with_app:
            payload["installation"] = {"id": INSTALLATION, "node_id": "MDIzOkludGVncmF0aW9uSW5zdGFsbGF0aW9uNzc="}
        number = self.next_id()
        guid = f"{number:08x}-0000-11f1-9000-{hashlib.sha256(str(number).encode()).hexdigest()[:12]}"
        delivered = Delivered(id=number, guid=guid, event=event, payload=payload, status=self.door_answers)
        self.deliveries.append(delivered)
        return delivered

    # --- facts, as GitHub writes them ------------------------------------------------------------

    def user(self, login: str) -> dict[str, Any]:
        number = int(hashlib.sha256(login.encode()).hexdigest()[:6], 16) + 10
        kind = "Bot" if login.endswith("[bot]") else "User"
        sample = oracle.sample("simple-user")
        return oracle.overlay(
            sample, {"login": login, "id": number, "type": kind, "node_id": f"U_{number}", "gravatar_id": ""}
        )

    def repository(self) -> dict[str, Any]:
        owner, short = NAME.split("/")
        return {
            "id": self.repo_number,
            "name": short,
            "full_name": NAME,
            "default_branch": "main",
            "clone_url": f"{self.base}/{NAME}.git",
            "html_url": f"{self.base}/{NAME}",
            "url": f"{self.base}/api/v3/repos/{NAME}",
            "private": self.is_private,
            "fork": False,
            "owner": {"login": owner, "id": 6_811_672},
        }

    def pull_facts(self, pull: FakePull) -> dict[str, Any]:
        head_repo: dict[str, Any] | None = self.repository()
        if pull.from_fork:
            # The owner may be the same: only the repository's number tells a fork.
            head_repo = (
                None if pull.fork_is_gone else {**self.repository(), "id": 999, "full_name": f"{pull.author}/flights"}
            )
        return {
            "number": pull.number,
            "title": pull.title,
            "state": pull.state,
            "user": self.user(pull.author),
            "url": f"{self.base}/api/v3/repos/{NAME}/pulls/{pull.number}",
            "issue_url": f"{self.base}/api/v3/repos/{NAME}/issues/{pull.number}",
            "html_url": f"{self.base}/{NAME}/pull/{pull.number}",
            "draft": False,
            "merged": pull.merged_at is not None,
            "merged_at": pull.merged_at,
            "merge_commit_sha": pull.merge_commit_sha,
            "created_at": pull.created_at,
            "updated_at": pull.updated_at,
            "labels": [self.label_facts(name) for name in pull.labels],
            "head": {"sha": self.head(pull), "ref": pull.branch, "repo": head_repo},
            "base": {"sha": self.branches[pull.base], "ref": pull.base, "repo": self.repository()},
        }

    def comment_facts(self, comment: FakeComment) -> dict[str, Any]:
        return {
            "id": comment.id,
            "body": comment.body,
            "user": self.user(comment.author),
            "created_at": comment.created_at,
            "updated_at": comment.updated_at,
            "url": f"{self.base}/api/v3/repos/{NAME}/issues/comments/{comment.id}",
            "html_url": f"{self.base}/{NAME}/pull/{comment.number}#issuecomment-{comment.id}",
            "issue_url": f"{self.base}/api/v3/repos/{NAME}/issues/{comment.number}",
            "performed_via_github_app": None if comment.app is None else self.app_facts(comment.app, client_id=False),
        }

    def app_facts(self, number: int = APP_ID, *, client_id: bool = True) -> dict[str, Any]:
        """Return an App; the schemas of webhooks are of before Apps showed their client id."""
        slug = APP_SLUG if number == APP_ID else f"other-{number}"
        return {
            "id": number,
            "slug": slug,
            "node_id": f"A_{number}",
            "name": slug,
            **({"client_id": f"Iv1.{number}"} if client_id else {}),
            "owner": self.user(OWNER),
            "description": None,
            "external_url": "https://headway.example",
            "html_url": f"{self.base}/apps/{slug}",
            "created_at": oracle.SAMPLE_TIME,
            "updated_at": oracle.SAMPLE_TIME,
            "permissions": self.permissions,
            "events": self.events,
        }

    def label_facts(self, name: str) -> dict[str, Any]:
        url = f"{self.base}/api/v3/repos/{NAME}/labels/{name}"
        return {
            "id": 1,
            "node_id": "L",
            "url": url,
            "name": name,
            "color": "ededed",
            "default": False,
            "description": "",
        }

    def push_facts(self, branch: str, before: str | None, after: str) -> dict[str, Any]:
        return {
            "ref": f"refs/heads/{branch}",
            "before": before or "0" * 40,
            "after": after,
            "deleted": False,
            "commits": [],
        }

    def about(self, pull: FakePull) -> dict[str, Any]:
        return {"number": pull.number, "pull_request": self.pull_facts(pull)}

    def about_comment(self, comment: FakeComment) -> dict[str, Any]:
        pull = self.pulls[comment.number]
        page = f"{self.base}/{NAME}/pull/{pull.number}"
        mark = {
            "url": f"{self.base}/api/v3/repos/{NAME}/pulls/{pull.number}",
            "html_url": page,
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            "merged_at": pull.merged_at,
        }
        issue = {
            "number": pull.number,
            "title": pull.title,
            "state": pull.state,
            "user": self.user(pull.author),
            "pull_request": mark,
        }
        return {"issue": issue, "comment": self.comment_facts(comment)}
