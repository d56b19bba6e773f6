"""The door of the pods of a deployment: what they shall serve and its files down, and up what they say and answer.

Only the token of the deployment's own pods opens it, and not after its removal. A pod learns of no other deployment.
"""

from __future__ import annotations

import hmac
import re
from pathlib import Path
from typing import Any

from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from headway.api.answers import Call, json_response, route
from headway.app import App
from headway.auth.model import Role, TokenKind
from headway.errors import HeadwayError, NotFound, UsageError
from headway.sandbox.inside.archive import BadArchive, pieces
from headway.serving.kubernetes.exchange import PodOrder, PodReport, Taken
from headway.serving.kubernetes.orders import read_order
from headway.serving.kubernetes.pods import PodFolder

_OFFSET = re.compile(r"[0-9]{1,15}")
_SMALL = 64 << 10


def endpoint_routes(app: App) -> list[Route]:
    """Return the routes that pods of deployments call."""
    kind = TokenKind.ENDPOINT
    return [
        route(app, "PUT", "/endpoints/{name}/pods/{pod}", Role.NONE, report, cap=_SMALL, kind=kind),
        route(app, "POST", "/endpoints/{name}/pods/{pod}/log", Role.NONE, log, kind=kind),
        route(app, "POST", "/endpoints/{name}/pods/{pod}/predictions", Role.NONE, predictions, kind=kind),
        route(app, "GET", "/endpoints/{name}/models/{digest}", Role.NONE, model, kind=kind),
        route(app, "GET", "/endpoints/{name}/environments/{digest}", Role.NONE, environment, kind=kind),
    ]


def report(call: Call) -> Any:
    """Take what a pod says of itself; the answer is what it shall serve."""
    place = _place(call)
    place.keep_report(_pod(call), call.body(PodReport))
    wanted = place.wanted
    if wanted is None:
        raise NotFound(f"{place.name} shall not serve any more", hint="its pods end")
    in_force = place.in_force
    earlier = in_force if in_force is not None and in_force.revision != wanted.revision else None
    return PodOrder(wanted=wanted, in_force=earlier, options=place.options)


def log(call: Call) -> Any:
    """Add to a pod's log; the answer is how much of it is here, where the pod goes on from."""
    return Taken(size=_place(call).append_log(_pod(call), _offset(call), call.data))


def predictions(call: Call) -> Any:
    """Add to a segment of a pod's prediction log; the answer is how much of it is here."""
    segment = str(call.query.get("segment", ""))
    most = call.app.settings.kubernetes.predictions_gb << 30
    place, now = _place(call), call.app.clock.now()
    return Taken(size=place.append_predictions(_pod(call), segment, _offset(call), data=call.data, now=now, most=most))


def model(call: Call) -> Response:
    """Send the files of a version that the deployment serves, as an archive."""
    place, digest = _place(call), str(call.path["digest"])
    found = place.route_by(digest)
    if found is None:
        raise NotFound(f"{place.name} serves no model {digest[:12]}")
    folder = Path(found.source)
    if not folder.is_dir():
        raise NotFound(f"the files of {found.model} v{found.version} are not here", hint="register it again")
    try:
        # Piece by piece, and nothing on our disk: a pod may ask as often as it likes.
        archive = pieces(folder, sorted(path.name for path in folder.iterdir()))
    except BadArchive as error:
        raise HeadwayError(f"the files of {found.model} v{found.version} cannot be sent", cause=str(error)) from error
    return StreamingResponse(archive, media_type="application/x-tar")


def environment(call: Call) -> Response:
    """Send what an environment is made of, if a version of the deployment runs in it."""
    place, digest = _place(call), str(call.path["digest"])
    found = read_order(call.app.data / "environments" / "orders", digest) if place.uses_environment(digest) else None
    if found is None:
        raise NotFound(
            f"what the environment {digest[:12]} is made of is not known",
            cause="the version was trained on this machine, not in the cluster, or long ago",
            hint="train it again with engine: {type: kubernetes}, then deploy that version",
        )
    return json_response(found)


def _place(call: Call) -> PodFolder:
    name, own = str(call.path["name"]), call.principal.endpoint
    if not own or not hmac.compare_digest(own.encode(), name.encode()):
        raise NotFound(f"there is no deployment {name[:63]!r} for this token", hint="pods see their own alone")
    return PodFolder(call.app.data / "deployments", own)


def _pod(call: Call) -> str:
    return str(call.path["pod"])


def _offset(call: Call) -> int:
    text = call.query.get("offset", "0")
    if not _OFFSET.fullmatch(text):
        raise UsageError(f"offset={text[:40]!r} is not a whole number")
    return int(text)
