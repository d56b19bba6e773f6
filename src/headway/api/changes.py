"""Repositories and their changes: the local forge, and what is recorded of any other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from headway.api.answers import Call, place
from headway.auth.visible import in_sight
from headway.db import schema
from headway.errors import NotThereYet, Refused, UsageError
from headway.flow.projects import contexts_for
from headway.flow.repos import get_repo
from headway.flow.standing import check_comment
from headway.forges.git_merge import MergeMethod
from headway.forges.local import LocalForge
from headway.forges.model import ChangeState, Repo
from headway.forges.repo_store import RepoStore


@dataclass(frozen=True, kw_only=True)
class Register:
    """A git repository on this machine, or OWNER/REPO at GitHub."""

    path: str = ""
    name: str = ""


_AT_GITHUB = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}")


def register(call: Call) -> Any:
    """Make a repository known, of this machine or of GitHub; repeating it returns the same."""
    wanted = call.body(Register)
    if not wanted.name:
        return _forge(call, "local").register_repo(place("path", wanted.path), by=call.principal.user)
    if wanted.path:
        raise UsageError("path and name name two repositories", hint="name one of them")
    if not _AT_GITHUB.fullmatch(wanted.name) or wanted.name.endswith(("/.", "/..")):
        raise UsageError(f"name={wanted.name[:150]!r} is not OWNER/REPO", hint="headway repo add acme/flights")
    github = call.app.github
    if github is None:
        raise Refused(
            "GitHub is not set up here",
            cause="this server has neither an App nor a token",
            hint="headway init --github, or headway init --github --token",
        )
    return github.register_repo(wanted.name, by=call.principal.user)


def unregister(call: Call) -> Any:
    """Listen to a repository no more; what it did stays."""
    with call.app.database.write() as tx:
        RepoStore(tx).remove(call.path["repo"], at=call.app.clock.now(), by=call.principal.user)
    return {"id": call.path["repo"], "removed": True}


def repos(call: Call) -> Any:
    """Return every known repository."""
    with call.app.database.read() as tx:
        return RepoStore(tx).list(*in_sight(call.principal, schema.repo.c.project))


def list_changes(call: Call) -> Any:
    """Return the changes of a repository, newest first."""
    repo = _repo(call)
    return _forge(call, repo.forge).list_changes(repo.id, state=_state(call.query.get("state", "open")))


def _state(text: str) -> ChangeState | None:
    if text != "all" and text not in set(ChangeState):
        raise UsageError(f"state={text!r} is not one of open, merged, closed, all")
    return None if text == "all" else ChangeState(text)


@dataclass(frozen=True, kw_only=True)
class OpenChange:
    """A branch proposed for the base branch."""

    head: str
    title: str = ""
    base: str = ""


def open_change(call: Call) -> Any:
    """Open a change of the local forge."""
    repo, wanted = _repo(call), call.body(OpenChange)
    return _forge(call, repo.forge).open_change(
        repo.id,
        head_ref=wanted.head,
        base_ref=wanted.base or repo.default_branch,
        title=wanted.title or wanted.head,
        author=call.principal.user,
    )


def show(call: Call) -> Any:
    """Return a change with its comments and statuses."""
    repo = _repo(call)
    forge = _forge(call, repo.forge)
    return forge.show(repo.id, call.change)


@dataclass(frozen=True, kw_only=True)
class Say:
    """A comment."""

    body: str


def comment(call: Call) -> Any:
    """Write a comment as the caller; commands in it start work."""
    repo, body = _repo(call), call.body(Say).body
    forge = _forge(call, repo.forge)
    check_comment(call.app, call.principal, forge.get_change(repo.id, call.change), body)
    return forge.add_comment(repo.id, call.change, author=call.principal.user, body=body)


@dataclass(frozen=True, kw_only=True)
class Merge:
    """How to merge."""

    method: MergeMethod = MergeMethod.MERGE


def merge(call: Call) -> Any:
    """Merge a change whose required statuses are green at its head."""
    repo = _repo(call)
    forge = _forge(call, repo.forge)
    change = forge.get_change(repo.id, call.change)
    return forge.merge(
        repo.id,
        change.number,
        actor=call.principal.user,
        method=call.body(Merge).method,
        required=contexts_for(call.app, change),
        head_sha=change.head_sha,
    )


def close(call: Call) -> Any:
    """Close a change without merging it."""
    repo = _repo(call)
    return _forge(call, repo.forge).close(repo.id, call.change, actor=call.principal.user)


def _repo(call: Call) -> Repo:
    return get_repo(call.app, call.path["repo"])


def _forge(call: Call, name: str) -> LocalForge:
    forge = call.app.forge(name)
    if not isinstance(forge, LocalForge):
        raise NotThereYet("changes of this forge are worked on at the forge itself", hint="open its web page")
    return forge
