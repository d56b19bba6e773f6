"""The `Forge` that is GitHub: each method one question or one wish."""

from __future__ import annotations

import base64
import fcntl
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from headway.errors import NotFound, Refused
from headway.forges.git import Git, check_branch_name, git_error, run_git
from headway.forges.github.api import GitHubApi
from headway.forges.github.checks import Checks
from headway.forges.github.comments import Comments
from headway.forges.github.deployments import Deployments
from headway.forges.github.environments import Environments
from headway.forges.github.missed import Missed
from headway.forges.github.payloads import Pull, RepoRef, change_of, number_of, repo_id, to_type
from headway.forges.github.polling import Poller, open_heads
from headway.forges.github.proof import Finding, prove
from headway.forges.github.reading import Ignored, Reader
from headway.forges.github.rehearsal import rehearse
from headway.forges.github.tokens import Tokens, web_base
from headway.forges.github.webhook import NAME, open_delivery
from headway.forges.head_store import HeadStore
from headway.forges.model import (
    Change,
    EnvironmentRules,
    Event,
    EventPage,
    Permission,
    Receipt,
    Repo,
    Wanted,
    WantedComment,
    WantedDeployment,
    WantedReaction,
    WantedStatus,
)
from headway.forges.repo_store import RepoStore
from headway.forges.roles import github_permission

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headway.clock import Clock
    from headway.db.connection import Database
    from headway.forges.github.config import GitHubConfig
    from headway.forges.github.tokens import Access

_SHA_LENGTHS = (40, 64)


class GitHubForge:
    """GitHub, as an App or with a person's token; commits are kept in bare repositories under `mirrors`."""

    name = NAME

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        config: GitHubConfig,
        mirrors: Path,
        api: GitHubApi | None = None,
    ) -> None:
        """Speak as `config` says; names and addresses of repositories are the database's."""
        self.config = config
        self.api = api or GitHubApi(config.api, clock)
        self.tokens = Tokens(config, self.api, clock)
        self._database = database
        self._clock = clock
        self._mirrors = mirrors
        self._comments = Comments(self.api, self.tokens)
        self._checks = Checks(self.api, self.tokens)
        self._deployments = Deployments(self.api)
        self._environments = Environments(self.api)
        # An App whose webhooks come in here can also say which of them did not.
        missed = Missed(self.api, self.tokens, clock, bot=self.bot) if config.app and config.webhook_secrets else None
        self._poller = Poller(self.api, self._comments, clock, missed=missed, finds_labels=not self.listens)

    # --- the protocol: headway.forges.base.Forge ---------------------------------------------------

    def parse_webhook(self, headers: Mapping[str, str], body: bytes) -> Event | None:
        """Verify one delivery and read it; no request is made for it.

        Raises:
            LoginNeeded: nobody who knows a secret of ours signed it.
        """
        hook = open_delivery(headers, body, self.config.webhook_secrets)
        if hook is None:
            return None
        event = self.reader.read(hook, self._clock.now())
        return None if isinstance(event, Ignored) else event

    def events_since(self, repo_id: str, cursor: str) -> EventPage:
        """Look at the repository and return what moved since the cursor; "" = from now on."""
        repo, access = self._of(repo_id)
        return self._poller.look(repo, cursor, access)

    def get_change(self, repo_id: str, number: int) -> Change:
        """Return the pull request now, with the commit that its base branch stands at now."""
        repo, access = self._of(repo_id)
        pull = to_type(self.api.get(f"/repos/{repo.name}/pulls/{number}", access).data, Pull, "pull request")
        return change_of(pull, repo_id, base_tip=self._poller.branch_tip(repo, pull.base.ref, access))

    def get_permission(self, repo_id: str, user: str) -> Permission:
        """Return the person's role in the repository; NONE for strangers.

        `role_name` is read: the older `permission` folds maintain into write and triage into read.
        """
        repo, access = self._of(repo_id)
        if not user or "/" in user:
            return Permission.NONE
        try:
            found = self.api.get(f"/repos/{repo.name}/collaborators/{user}/permission", access).data
        except NotFound:
            return Permission.NONE
        return github_permission(str(found.get("role_name") or ""), str(found.get("permission") or ""))

    def read_file(self, repo_id: str, sha: str, path: str) -> bytes | None:
        """Return a file of one commit; None when it has none there."""
        return Git(Path(self.fetch(repo_id, sha))).read_file(sha, path)

    def fetch(self, repo_id: str, sha: str) -> str:
        """Fetch exactly this object into our own bare repository, where it is not there yet.

        The token goes through git's environment: never into an address, an argument or a file.
        """
        repo, _ = self._of(repo_id)
        if len(sha) not in _SHA_LENGTHS or not all(digit in "0123456789abcdef" for digit in sha):
            raise NotFound(f"{sha[:64]!r} is not the full name of a commit")
        mirror = self._mirrors / f"{repo_id}.git"
        git = Git(mirror)
        if not (mirror / "HEAD").is_file() or git.resolve(sha) != sha:
            mirror.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _turn_of(mirror):
                if not (mirror / "HEAD").is_file():
                    run_git("init", "--quiet", "--bare", str(mirror), cwd=mirror)
                if git.resolve(sha) != sha:
                    self._fetch(git, repo, sha)
        git.check_commit(sha)
        return str(mirror)

    def deliver(self, wanted: Wanted) -> Receipt:
        """Make what is wanted stand at GitHub: create, adopt or change it, never a second one."""
        repo, access = self._of(wanted.repo_id)
        match wanted:
            case WantedComment():
                return self._comments.deliver(repo.name, wanted, access)
            case WantedStatus():
                return self._checks.deliver(repo.name, wanted, access)
            case WantedReaction():
                return self._comments.react(repo.name, wanted, access)
            case WantedDeployment():
                return self._deployments.deliver(repo.name, wanted, access)

    # --- what set-up and doctor ask besides ----------------------------------------------------------

    def look_up(self, name: str) -> Repo:
        """Return OWNER/REPO as GitHub describes it now; nothing is kept of it.

        Raises:
            NotFound: there is none, or none that we may see.
        """
        found = to_type(self.api.get(f"/repos/{name}", self.tokens.of(name)).data, RepoRef, "repository")
        return Repo(
            forge=NAME,
            id=repo_id(found.id),
            name=found.full_name,
            location=found.clone_url or f"{web_base(self.config.api)}/{found.full_name}.git",
            default_branch=found.default_branch or "main",
        )

    def register_repo(self, name: str, *, by: str) -> Repo:
        """Make OWNER/REPO known, by GitHub's number for it; again is the same, with its name looked up anew.

        Raises:
            NotFound: there is none, or none that we may see.
        """
        access, repo = self.tokens.of(name), self.look_up(name)
        start = self._poller.look(repo, "", access).cursor
        number = self.tokens.installation_of(name) if self.config.app else None
        with self._database.write() as tx:
            RepoStore(tx).add(repo, cursor=start, at=self._clock.now(), by=by)
            # What is open already was never told to us: from now on it counts as known.
            for change, sha in open_heads(start).items():
                HeadStore(tx).note(repo.id, change, sha, self._clock.now())
            RepoStore(tx).set_installation(repo.id, number)
        return repo

    @property
    def reader(self) -> Reader:
        """What reads deliveries as our App does."""
        return Reader(app_id=self.tokens.app_id, bot=self.bot)

    def prove(self, repos: tuple[Repo, ...], *, public_url: str) -> Iterator[Finding]:
        """Ask GitHub everything that has to be right before a comment becomes a deployment."""
        return prove(self, repos, public_url=public_url, clock=self._clock)

    def rehearse(self, repo: Repo, *, change: int | None) -> list[Finding]:
        """Do comment, check and deployment once on a change, and take everything away again."""
        return rehearse(self, repo, change=change)

    @property
    def bot(self) -> str:
        """The account in which our App writes; "" without an App."""
        return self._comments.bot

    @property
    def listens(self) -> bool:
        """Whether GitHub sends us what happens, so that looking is only for what was missed."""
        return bool(self.config.webhook_secrets)

    def branch_tip(self, repo_id: str, branch: str) -> str:
        """Return the commit that a branch stands at now.

        Raises:
            NotFound: there is no such branch.
        """
        repo, access = self._of(repo_id)
        return self._poller.branch_tip(repo, check_branch_name(branch), access)

    def environment(self, repo_id: str, name: str) -> EnvironmentRules | None:
        """Return how an environment is protected in GitHub's settings now; None where there is none of that name."""
        repo, access = self._of(repo_id)
        return self._environments.rules(repo.name, name, access)

    def is_protected(self, repo_id: str, branch: str) -> bool:
        """Whether a branch has protection rules now."""
        repo, access = self._of(repo_id)
        return self._environments.is_protected(repo.name, branch, access)

    def is_member(self, repo_id: str, team: str, user: str) -> bool:
        """Whether somebody is in a team, ORGANISATION/TEAM, now.

        Raises:
            Refused: GitHub does not let us look.
        """
        _, access = self._of(repo_id)
        return self._environments.is_member(team, user, access)

    def access(self, repo_id: str) -> tuple[Repo, Access]:
        """Return a repository and the access that serves it, for questions that only GitHub has."""
        return self._of(repo_id)

    def _of(self, repo_id: str) -> tuple[Repo, Access]:
        with self._database.read() as tx:
            repo = RepoStore(tx).find(repo_id)
        if repo is None or repo.forge != NAME:
            raise NotFound(f"no repository {repo_id!r} of GitHub's", hint="headway repo add OWNER/REPO")
        return repo, self.tokens.of(repo.name)

    def _fetch(self, git: Git, repo: Repo, sha: str) -> None:
        token = self.tokens.for_fetch(repo.name, number_of(repo.id))
        login = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        done = git.attempt(
            "-c",
            "credential.helper=",
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
            "--end-of-options",
            repo.location,
            # Kept under a name: what git can tell GitHub that it has is not sent again. Without names each commit
            # would bring the whole history along.
            f"{sha}:refs/headway/{sha}",
            environment={
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"http.{repo.location}.extraHeader",
                "GIT_CONFIG_VALUE_0": f"Authorization: Basic {login}",
                "GIT_ASKPASS": "/bin/false",
            },
        )
        if done.returncode == 0:
            return
        said = done.stderr.decode(errors="replace")
        if "not our ref" in said or "couldn't find remote ref" in said or "no such ref" in said.lower():
            raise NotFound(f"no commit {sha} in {repo.name}", hint="it may have been pushed over and collected")
        if "Authentication failed" in said or "403" in said:
            raise Refused(f"GitHub does not let us read {repo.name}", cause=said.strip()[:300], hint="contents: read")
        raise git_error("fetch", done)


@contextmanager
def _turn_of(mirror: Path) -> Iterator[None]:
    """Let one process fetch into a mirror at a time: two that name the same commit hinder each other in git."""
    with (mirror / "fetching.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
