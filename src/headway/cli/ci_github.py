"""GitHub as a step of a CI sees it: the server's own forge and rules, over a database as short-lived as the step."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from headway.app import App, open_app
from headway.cli.ci_event import Told
from headway.cli.output import note
from headway.errors import HeadwayError
from headway.forges.github.config import GitHubConfig
from headway.forges.github.forge import GitHubForge
from headway.forges.head_store import HeadStore
from headway.forges.model import Change, Repo, Wanted
from headway.forges.repo_store import RepoStore
from headway.settings import Settings

_PUSHES = ("push", "force_push", "branch_creation", "pr_merge", "merge_queue_merge")


@dataclass(frozen=True, slots=True, kw_only=True)
class AtGitHub:
    """One repository at GitHub, and an App with everything that our rules ask."""

    app: App
    forge: GitHubForge
    repo: Repo

    def change(self, number: int) -> Change:
        """Return the pull request as it stands now, with its heads in the ledger by GitHub's own clock."""
        change = self.forge.get_change(self.repo.id, number)
        if not change.from_fork:
            self._note_heads(change)
        return change

    def _note_heads(self, change: Change) -> None:
        """Fill the ledger of heads from the repository's activity: when each was pushed, which no pusher can choose.

        Without it (no permission, an older GitHub) the ledger stays empty, and a comment must name its commit.
        """
        repo, access = self.forge.access(self.repo.id)
        try:
            told = self.forge.api.get(
                f"/repos/{repo.name}/activity", access, ref=f"refs/heads/{change.head_ref}", per_page=100
            ).data
        except HeadwayError as error:
            note(f"note: GitHub does not say when this branch moved: {error.message}")
            return
        with self.app.database.write() as tx:
            heads = HeadStore(tx)
            for each in told:  # the newest first, and the first time that is noted stays
                if each.get("activity_type") in _PUSHES:
                    heads.note(change.repo_id, change.number, each["after"], datetime.fromisoformat(each["timestamp"]))

    def say(self, *wanted: Wanted) -> None:
        """Make it stand at GitHub, as far as the token may; a step does not fail because a comment did."""
        for each in wanted:
            try:
                self.forge.deliver(each)
            except HeadwayError as error:
                cause = f" ({error.cause})" if error.cause else ""
                note(f"note: not written at GitHub: {error.message}{cause}")


@contextmanager
def at_github(told: Told) -> Iterator[AtGitHub]:
    """Open the repository at GitHub; everything that is kept of it goes with the end of the block."""
    with tempfile.TemporaryDirectory(prefix="headway-ci-") as folder:
        app = open_app(Settings(data=Path(folder), auth="none"))
        config = GitHubConfig(api=told.api.rstrip("/"), token=told.token)
        forge = GitHubForge(app.database, app.clock, config=config, mirrors=Path(folder) / "mirrors")
        whole = replace(app, forges={**app.forges, forge.name: forge}, github=forge)
        try:
            # Not registered: that would count every head that is open now as known from now on.
            repo = forge.look_up(told.repository)
            with app.database.write() as tx:
                RepoStore(tx).add(repo, cursor="", at=app.clock.now(), by="ci")
            yield AtGitHub(app=whole, forge=forge, repo=repo)
        finally:
            forge.api.close()
            app.close()
