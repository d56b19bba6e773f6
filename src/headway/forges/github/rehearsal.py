"""`headway doctor --live`: comment, check and deployment once on a real pull request, then all taken away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headway.errors import HeadwayError, NotFound, Refused, Unreachable
from headway.forges.github.proof import Finding
from headway.forges.model import (
    Change,
    Receipt,
    StatusState,
    WantedComment,
    WantedDeployment,
    WantedReaction,
    WantedStatus,
)
from headway.ids import new_id

if TYPE_CHECKING:
    from headway.forges.github.forge import GitHubForge
    from headway.forges.github.tokens import Access
    from headway.forges.model import Repo

CONTEXT = "headway/doctor"
ENVIRONMENT = "headway-doctor"
ARRIVES_WITHIN = 20.0  # seconds that a webhook is given
_POLL = 1.0


def rehearse(
    forge: GitHubForge, repo: Repo, *, change: int | None, arrives_within: float = ARRIVES_WITHIN
) -> list[Finding]:
    """Do it all on a change, or on one that is opened for it and closed again; what was made is taken away."""
    play = _Rehearsal(forge=forge, repo=repo, access=forge.tokens.of(repo.name), patience=arrives_within)
    try:
        play.run(change)
    finally:
        play.clean()
    return play.findings


@dataclass(slots=True, kw_only=True)
class _Rehearsal:
    forge: GitHubForge
    repo: Repo
    access: Access
    patience: float
    id: str = field(default_factory=new_id)
    findings: list[Finding] = field(default_factory=list)
    made: list[tuple[str, Callable[[], Any]]] = field(default_factory=list)  # what to take away, newest last

    def run(self, number: int | None) -> None:
        for step in self._steps(number):
            self.findings.append(step)
            if step.state == "fail":
                return

    def _steps(self, number: int | None) -> Iterator[Finding]:
        change, found = self._change(number)
        yield found
        if change is None:
            return
        yield self._try("comment", lambda: self._comment(change))
        if self.forge.listens:
            yield self._try("webhook", self._arrived)
        yield self._try("check", lambda: self._check(change))
        yield self._try("deployment", lambda: self._deployment(change))

    def _try(self, name: str, deed: Callable[[], str]) -> Finding:
        try:
            return Finding(name=name, state="ok", found=deed())
        except HeadwayError as error:
            return Finding(name=name, state="fail", found=error.message, cause=error.cause, hint=error.hint)

    # --- the change -----------------------------------------------------------------------------

    def _change(self, number: int | None) -> tuple[Change | None, Finding]:
        try:
            change = self.forge.get_change(self.repo.id, number if number is not None else self._open())
        except HeadwayError as error:
            found = Finding(name="change", state="fail", found=error.message, cause=error.cause, hint=error.hint)
            return None, found
        if change.state != "open":
            hint = "name an open one"
            return None, Finding(name="change", state="fail", found=f"#{change.number} is {change.state}", hint=hint)
        return change, Finding(name="change", state="ok", found=f"#{change.number} at {change.head_sha[:12]}")

    def _open(self) -> int:
        """Open a change that changes nothing: one empty commit on a branch of its own."""
        path, branch = f"/repos/{self.repo.name}", f"headway-doctor-{self.id[-8:].lower()}"
        tip = self.forge.branch_tip(self.repo.id, self.repo.default_branch)
        tree = str(self._get(f"{path}/git/commits/{tip}")["tree"]["sha"])
        try:
            body = {"message": "headway doctor: nothing changes here", "tree": tree, "parents": [tip]}
            sha = str(self._send("POST", f"{path}/git/commits", body)["sha"])
            self._send("POST", f"{path}/git/refs", {"ref": f"refs/heads/{branch}", "sha": sha})
        except Refused as error:
            raise Refused(
                "no change can be opened for the rehearsal",
                cause=f"{error.message}; Headway's App does not ask to write code",
                hint=f"headway doctor --live {self.repo.name} --change N, with a pull request of yours",
            ) from None
        self._owe(f"branch {branch}", lambda: self._send("DELETE", f"{path}/git/refs/heads/{branch}", None))
        title = "headway doctor (closes itself)"
        opened = self._send(
            "POST", f"{path}/pulls", {"title": title, "head": branch, "base": self.repo.default_branch, "draft": False}
        )
        number = int(opened["number"])
        self._owe(f"change #{number}", lambda: self._send("PATCH", f"{path}/pulls/{number}", {"state": "closed"}))
        return number

    # --- the three deeds ------------------------------------------------------------------------

    def _comment(self, change: Change) -> str:
        marker = f"<!-- headway:doctor id={self.id} -->"
        wanted = WantedComment(
            repo_id=self.repo.id,
            number=change.number,
            marker=marker,
            body=f"{marker}\nHeadway's doctor was here; this comment goes away by itself.",
        )
        first = self.forge.deliver(wanted)
        path = f"/repos/{self.repo.name}/issues/comments/{first.remote_id}"
        self._owe("the comment", lambda: self._send("DELETE", path, None))
        self.forge.deliver(
            WantedReaction(repo_id=self.repo.id, number=change.number, comment_id=first.remote_id, content="eyes")
        )
        self._same(first, self.forge.deliver(wanted), "comment")
        return "posted, found again by marker and author, and reacted to"

    def _arrived(self) -> str:
        """Wait until GitHub has told us of our own comment."""
        ends = time.monotonic() + self.patience
        while True:
            recent = self.forge.api.get("/app/hook/deliveries", self.forge.tokens.app, per_page=10).data
            mine = [each for each in recent if each.get("event") == "issue_comment"]
            if mine and 200 <= int(mine[0].get("status_code") or 0) < 300:
                return f"told of it; our door answered {mine[0]['status_code']}"
            if time.monotonic() >= ends:
                said = f"it answered {mine[0].get('status_code')}" if mine else "no delivery was made"
                raise Unreachable("GitHub could not tell us of the comment", cause=said, hint="headway doctor")
            time.sleep(_POLL)

    def _check(self, change: Change) -> str:
        def at(state: StatusState, title: str, **more: bool) -> WantedStatus:
            return WantedStatus(
                repo_id=self.repo.id,
                sha=change.head_sha,
                context=CONTEXT,
                state=state,
                title=title,
                external_id=self.id,
                **more,  # type: ignore[arg-type]  # flags by name
            )

        first = self.forge.deliver(at(StatusState.PENDING, "being looked at", is_started=True))
        last = self.forge.deliver(at(StatusState.SUCCESS, "rehearsed", is_neutral=True))
        if self.forge.config.app is None:
            return f"commit status {CONTEXT} (GitHub keeps it; nothing requires it)"
        self._same(first, last, "check run")
        return f"{CONTEXT}: in progress, then neutral (GitHub keeps it; nothing requires it)"

    def _deployment(self, change: Change) -> str:
        def at(state: str) -> Receipt:
            wanted = WantedDeployment(
                repo_id=self.repo.id,
                sha=change.head_sha,
                environment=ENVIRONMENT,
                state=state,
                description=f"headway doctor: {state}",
                payload={"release": self.id, "run": "doctor"},
            )
            return self.forge.deliver(wanted)

        first = at("in_progress")
        path = f"/repos/{self.repo.name}/deployments/{first.remote_id}"
        self._owe("the deployment", lambda: self._send("DELETE", path, None))
        self._same(first, at("success"), "deployment")
        at("inactive")
        return f"to {ENVIRONMENT}: in progress, success, inactive (its environment stays listed)"

    # --- taking away ----------------------------------------------------------------------------

    def clean(self) -> None:
        """Take away what was made, the newest first; one that fails does not keep the others."""
        problems = []
        gone = []
        for what, undo in reversed(self.made):
            try:
                undo()
            except NotFound:
                gone.append(what)  # somebody was faster
            except HeadwayError as error:
                problems.append(f"{what}: {error.message}")
            else:
                gone.append(what)
        if problems:
            self.findings.append(
                Finding(
                    name="cleaning up",
                    state="fail",
                    found="left behind: " + "; ".join(problems),
                    hint=f"remove it by hand in {self.repo.name}",
                )
            )
        elif gone:
            self.findings.append(Finding(name="cleaning up", state="ok", found="gone: " + ", ".join(gone)))

    def _owe(self, what: str, undo: Callable[[], Any]) -> None:
        self.made.append((what, undo))

    def _same(self, first: Receipt, second: Receipt, what: str) -> None:
        if first.remote_id != second.remote_id:
            raise Refused(f"GitHub made a second {what}", cause=f"{first.remote_id} and {second.remote_id}")

    def _get(self, path: str) -> Any:
        return self.forge.api.get(path, self.access).data

    def _send(self, method: str, path: str, body: object) -> Any:
        return self.forge.api.send(method, path, self.access, body).data
