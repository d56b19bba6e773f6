"""The webhook door: prove, keep, answer 202; everything else is the worker's, from the inbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headway.api.answers import failure, read_body
from headway.app import App
from headway.commands.inbox import InboxStore
from headway.errors import HeadwayError, NotFound, Refused, UsageError
from headway.forges.github.payloads import repo_id
from headway.forges.github.webhook import NAME, Hook, installation_of, open_delivery, read_event, repository_of
from headway.forges.repo_store import RepoStore
from headway.logs import logger

if TYPE_CHECKING:
    from headway.forges.github.forge import GitHubForge

PATH = "/webhooks/github"
BODY_CAP = 5 * 1024 * 1024  # GitHub's own is 25 MB; nothing that we read comes near it
_ABOUT_INSTALLATIONS = frozenset({"installation", "installation_repositories"})


def webhook_routes(app: App) -> list[Route]:
    """Return the door's one route, where a webhook secret is set; without one nothing listens."""
    forge = app.github
    if forge is None or not forge.listens:
        return []

    async def deliver(request: Request) -> Response:
        try:
            _check_json(request.headers.get("content-type", ""))
            body = await read_body(request, BODY_CAP)
            said = await run_in_threadpool(_take, app, forge, dict(request.headers), body)
            return Response(msgspec.json.encode(said), status_code=202, media_type="application/json")
        except HeadwayError as error:
            return failure(error)
        except Exception:  # noqa: BLE001  # no traceback ever leaves the server
            logger().exception("delivery failed")
            return failure(HeadwayError("internal error", hint="the server's log has it"))

    return [Route(PATH, deliver, methods=["POST"])]


def _check_json(kind: str) -> None:
    if kind.partition(";")[0].strip().lower() != "application/json":
        raise UsageError(
            f"Content-Type {kind[:80]!r} is not taken", hint="set the webhook's content type to application/json"
        )


def _take(app: App, forge: GitHubForge, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    hook = open_delivery(headers, body, forge.config.webhook_secrets)
    if hook is None:
        raise UsageError(
            "this is no delivery of GitHub's", cause="X-GitHub-Event and X-GitHub-Delivery are missing", hint=PATH
        )
    if hook.event == "ping":
        return {"state": "pong"}
    number = installation_of(hook)
    if hook.event in _ABOUT_INSTALLATIONS:
        if number is not None:
            forge.tokens.forget_installation(number)
        return {"state": "noted"}
    repo = _known(app, hook)
    if number is not None and forge.config.app is not None and not forge.tokens.may_be(repo, number):
        raise Refused(f"installation {number} is not the one of {repo}", hint="headway repo add OWNER/REPO")
    event = read_event(hook, app_id=forge.tokens.app_id, bot=forge.bot)
    if event is None:
        return {"state": "ignored", "why": f"{hook.event} {hook.action}".strip()}
    with app.database.write() as tx:
        kept = InboxStore(tx).add(event, forge=NAME, at=app.clock.now())
    return {"state": "accepted" if kept is not None else "duplicate", "delivery": hook.delivery}


def _known(app: App, hook: Hook) -> str:
    """Return the repository's name, when this server was told of it: by number, since names move."""
    repo = repository_of(hook)
    if repo is None:
        raise UsageError(f"a delivery of {hook.event!r} is about no repository")
    with app.database.read() as tx:
        store = RepoStore(tx)
        known = store.find(repo_id(repo.id)) if store.is_heard(repo_id(repo.id)) else None
    if known is None:
        raise NotFound(f"{repo.full_name} is not known here", hint=f"headway repo add {repo.full_name}")
    return known.name
