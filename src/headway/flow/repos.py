"""From a repository's id to the forge where it lives and to its commits on this disk."""

from __future__ import annotations

from pathlib import Path

from headway.app import App
from headway.forges.base import Forge
from headway.forges.git import Git
from headway.forges.model import Repo
from headway.forges.repo_store import RepoStore


def get_repo(app: App, repo_id: str) -> Repo:
    """Return one repository, by id."""
    with app.database.read() as tx:
        return RepoStore(tx).get(repo_id)


def forge_of(app: App, repo_id: str) -> Forge:
    """Return the forge where a repository lives."""
    return app.forge(get_repo(app, repo_id).forge)


def git_at(app: App, repo_id: str, sha: str) -> Git:
    """Return a repository that certainly has this commit."""
    return Git(Path(forge_of(app, repo_id).fetch(repo_id, sha)))
