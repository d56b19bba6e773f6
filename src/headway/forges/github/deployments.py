"""The Deployments API: one deployment per commit, environment and release; its statuses; the one before retired."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headway.errors import Conflict
from headway.forges.github.payloads import Deployment, DeploymentState, to_list, to_type
from headway.forges.model import Receipt, WantedDeployment

if TYPE_CHECKING:
    from headway.forges.github.api import GitHubApi
    from headway.forges.github.tokens import Access

TASK = "deploy:headway"
LONGEST_DESCRIPTION = 140
LOOKED_AT = 30  # earlier deployments of an environment that are checked for being retired


class Deployments:
    """Deployments of repositories' environments, made or adopted by what stands in their payload."""

    def __init__(self, api: GitHubApi) -> None:
        """Speak through `api`."""
        self._api = api

    def deliver(self, name: str, wanted: WantedDeployment, access: Access) -> Receipt:
        """Make the deployment stand in the wanted state.

        Raises:
            Conflict: GitHub recorded another commit than the one asked for.
        """
        path = f"/repos/{name}/deployments"
        there = self._list(path, wanted, access)
        ours = next((each for each in there if each.sha == wanted.sha and is_same(each, wanted)), None)
        if ours is None:
            ours = self._create(path, wanted, access, before=self._serving(path, there, access))
        if ours.sha != wanted.sha:
            raise Conflict(f"GitHub recorded a deployment of {ours.sha}, not of {wanted.sha}")
        self._say(f"{path}/{ours.id}/statuses", wanted, access)
        if wanted.state == "success":
            self._retire(path, [each for each in there if each.id != ours.id], access)
        return Receipt(remote_id=str(ours.id), url=ours.url)

    def _list(self, path: str, wanted: WantedDeployment, access: Access) -> list[Deployment]:
        answer = self._api.get(path, access, environment=wanted.environment, task=TASK, per_page=LOOKED_AT)
        return to_list(answer.data, Deployment, "deployments")

    def _create(self, path: str, wanted: WantedDeployment, access: Access, *, before: int | None) -> Deployment:
        body = {
            "ref": wanted.sha,  # the whole commit: a branch could move
            "task": TASK,
            "auto_merge": False,
            "required_contexts": [],  # judged by our own gates, before anything is deployed
            "environment": wanted.environment,
            "description": wanted.description[:LONGEST_DESCRIPTION],
            "payload": wanted.payload | ({"previous_deployment": str(before)} if before is not None else {}),
            "transient_environment": False,
            "production_environment": wanted.environment in ("production", "prod"),
        }
        return to_type(
            self._api.send("POST", path, access, body, is_content=True).data,
            Deployment,
            "deployment",
        )

    def _say(self, path: str, wanted: WantedDeployment, access: Access) -> None:
        latest = to_list(self._api.get(path, access, per_page=1).data, DeploymentState, "deployment statuses")
        said = wanted.description[:LONGEST_DESCRIPTION]
        if latest and (latest[0].state, latest[0].description) == (wanted.state, said):
            return
        body = {"state": wanted.state, "description": said, "environment": wanted.environment, "auto_inactive": False}
        if wanted.url:
            body["environment_url"] = wanted.url
        if wanted.log_url or wanted.url:
            body["log_url"] = wanted.log_url or wanted.url
        self._api.send("POST", path, access, body, is_content=True)

    def _serving(self, path: str, there: list[Deployment], access: Access) -> int | None:
        """Return the number of the deployment that stands as successful now: the one that is replaced."""
        return next((each.id for each in there if self._state(path, each, access) == "success"), None)

    def _state(self, path: str, deployment: Deployment, access: Access) -> str:
        answer = self._api.get(f"{path}/{deployment.id}/statuses", access, per_page=1)
        latest = to_list(answer.data, DeploymentState, "deployment statuses")
        return latest[0].state if latest else ""

    def _retire(self, path: str, others: list[Deployment], access: Access) -> None:
        """Mark what was replaced as inactive: GitHub does so by itself only outside production."""
        for other in others:
            if self._state(path, other, access) == "success":
                body = {"state": "inactive", "description": "replaced", "auto_inactive": False}
                self._api.send("POST", f"{path}/{other.id}/statuses", access, body, is_content=True)


def is_same(deployment: Deployment, wanted: WantedDeployment) -> bool:
    """Whether a deployment is the wanted one: a release deploys one run once, and a later one the same run again."""
    payload: Any = deployment.payload if isinstance(deployment.payload, dict) else {}
    fields = ("release", "run")
    return all(payload.get(name) == wanted.payload.get(name) for name in fields if name in wanted.payload)
