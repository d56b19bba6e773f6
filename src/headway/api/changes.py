"""Repositories and their changes: the local forge, and what is recorded of any other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headway.api.answers import Call, place
from headway.auth.visible import in_sight
from headway.db import schema
from headway.errors import NotThereYet, UsageError
from headway.flow.projects import contexts_for
from headway.flow.repos import get_repo
from headway.flow.standing import check_comment
from headway.forges.git_merge import MergeMethod
from headway.forges.local import LocalForge
from headway.forges.model import ChangeState, Repo
from headway.forges.repo_store import RepoStore


@dataclass(frozen=True, kw_only=True)
class Register:
    """A git repository on this machine."""

    path: str


def register(call: Call) -> Any:
    """Make a local repository known; repeating it returns the same."""
    return _forge(call, "local").register_repo(place("path", call.body(Register).path), by=call.principal.user)


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
