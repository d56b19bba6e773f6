"""Environments as people protect them in GitHub's settings: reviewers, wait timer, branches; read, never written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from headway.errors import NotFound, Refused, UsageError
from headway.forges.model import EnvironmentRules

if TYPE_CHECKING:
    from headway.forges.github.api import GitHubApi
    from headway.forges.github.tokens import Access


class Environments:
    """Questions about environments, branches and teams; every answer is of now."""

    def __init__(self, api: GitHubApi) -> None:
        """Speak through `api`."""
        self._api = api

    def rules(self, name: str, environment: str, access: Access) -> EnvironmentRules | None:
        """Return how an environment is protected; None where GitHub has none of that name.

        Raises:
            UsageError: the answer holds a rule that we do not understand: it must not be taken for none.
        """
        path = f"/repos/{name}/environments/{quote(environment, safe='')}"
        try:
            found = self._api.get(path, access).data
        except NotFound:
            # Also what GitHub answers where it hides: the repository itself must be there for us.
            self._api.get(f"/repos/{name}", access)
            return None
        rules = _rules(environment, found, owner=name.partition("/")[0])
        policy = found.get("deployment_branch_policy")
        if policy is None:
            return rules
        if policy.get("protected_branches"):
            return replace(rules, protected_branches_only=True)
        pages = self._api.pages(f"{path}/deployment-branch-policies", access)
        patterns = [each for page in pages for each in page.get("branch_policies", [])]
        return replace(
            rules, branches=tuple(each["name"] for each in patterns if each.get("type", "branch") == "branch")
        )

    def is_protected(self, name: str, branch: str, access: Access) -> bool:
        """Whether a branch has protection rules; one that is gone has none."""
        try:
            return bool(self._api.get(f"/repos/{name}/branches/{quote(branch, safe='')}", access).data["protected"])
        except NotFound:
            return False

    def is_member(self, team: str, user: str, access: Access) -> bool:
        """Whether somebody is in a team, ORGANISATION/TEAM.

        Raises:
            Refused: GitHub does not let us look.
        """
        organisation, _, slug = team.partition("/")
        path = f"/orgs/{organisation}/teams/{quote(slug, safe='')}/memberships/{quote(user, safe='')}"
        try:
            return bool(self._api.get(path, access).data.get("state") == "active")
        except NotFound:
            return False
        except Refused as error:
            raise Refused(
                f"GitHub does not say who is in the team {team}",
                cause=error.message,
                hint="give the App members: read in the organisation, or list people as reviewers of the environment",
                reason="HW-TEAM-UNSEEN",
            ) from None


def _rules(environment: str, found: dict[str, Any], *, owner: str) -> EnvironmentRules:
    reviewers: list[str] = []
    teams: list[str] = []
    wait, prevents = 0, False
    for rule in found.get("protection_rules") or ():
        match rule.get("type"):
            case "wait_timer":
                wait = max(wait, int(rule.get("wait_timer") or 0))
            case "required_reviewers":
                prevents = prevents or bool(rule.get("prevent_self_review"))
                for each in rule.get("reviewers") or ():
                    who = each.get("reviewer") or {}
                    if each.get("type") == "Team":
                        teams.append(f"{owner}/{who['slug']}")
                    else:
                        reviewers.append(str(who["login"]))
            case "branch_policy":
                continue  # read from deployment_branch_policy
            case kind:
                # A rule of another App, or of a time after ours: nobody but GitHub could say whether it is kept.
                raise UsageError(
                    f"environment {environment} has a protection rule of the kind {kind!r}, which Headway cannot keep",
                    hint="remove it from the environment, or let a workflow deploy there",
                )
    return EnvironmentRules(
        name=environment,
        reviewers=tuple(reviewers),
        teams=tuple(teams),
        prevents_self_review=prevents,
        wait_minutes=wait,
    )
