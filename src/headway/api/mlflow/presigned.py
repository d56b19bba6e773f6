"""Transfers that go round the server: refused as MLflow's own server refuses them where it keeps the artifacts itself.

A client that asks server-info never comes here; one that does falls back to the proxy.
"""

from __future__ import annotations

from typing import NoReturn

from headway.api.mlflow.access import check_run_read, check_run_write
from headway.api.mlflow.artifacts import both, check_may_write, checked_path, key_of_path
from headway.api.mlflow.route import Access, Call, Message, Route, StreamCall, StreamRoute
from headway.api.mlflow.streams import off_loop
from headway.errors import NotThereYet, UsageError
from headway.registry.folders import run_location
from headway.registry.logged import LoggedModelStore
from headway.tracking.limits import check_run_id
from headway.tracking.store import unknown_run

_LONGEST = 604_800  # seconds; what the clouds sign for


class PresignUpload(Message):
    """A file of a run or of a logged model."""

    run_id: str = ""
    model_id: str = ""
    path: str = ""
    expiration: int = 900


class PresignDownload(Message):
    """A file of a run."""

    run_id: str = ""
    path: str = ""
    expiration: int = 900


def _upload_url(call: Call, message: PresignUpload) -> NoReturn:
    if bool(message.run_id) == bool(message.model_id):
        raise UsageError("Exactly one of run_id and model_id must be provided.")
    checked_path(message.path)
    if message.model_id:
        location = LoggedModelStore(call.tx).get(message.model_id).artifact_uri
    else:
        location = _location(call, message.run_id)
        check_run_write(call.store, call.principal, message.run_id)
    raise _unsigned("upload", "proxied artifact storage", "a direct cloud storage artifact URI", location=location)


def _download_url(call: Call, message: PresignDownload) -> NoReturn:
    checked_path(message.path)
    if not 1 <= message.expiration <= _LONGEST:
        raise UsageError(f"expiration must be between 1 and {_LONGEST} seconds (got {message.expiration}).")
    location = _location(call, message.run_id)
    check_run_read(call.store, call.principal, message.run_id)
    what = "a run with a direct cloud storage artifact URI"
    raise _unsigned("download", "runs with proxied artifact storage", what, location=location)


def _location(call: Call, run_id: str) -> str:
    check_run_id(run_id)
    found = run_location(call.tx, run_id)
    if found is None:
        raise unknown_run(run_id)
    return found


def _unsigned(verb: str, where: str, needed: str, *, location: str) -> UsageError | NotThereYet:
    scheme = location.partition(":")[0]
    if scheme != "mlflow-artifacts":
        return NotThereYet(
            f"Headway signs no addresses of other stores, such as {scheme}:",
            hint="MLflow's client opens such locations by itself",
        )
    return UsageError(
        f"Presigned {verb} is not supported for {where} (artifact URI scheme: {scheme}). "
        f"This endpoint requires {needed}.",
    )


async def _no_multipart(call: StreamCall) -> None:
    key = key_of_path(call)

    def check() -> None:
        with call.database.read() as tx:
            check_may_write(tx, call.principal, key)

    await off_loop(check)
    raise _streamed("Multipart upload")


async def _no_presigned(call: StreamCall) -> None:
    key_of_path(call)
    raise _streamed("Multipart download")


def _streamed(what: str) -> NotThereYet:
    return NotThereYet(
        f"{what} is not supported for the current artifact repository: artifacts stream through the server",
        hint="transfer them whole, as the client does by itself",
    )


def _route(path: str, access: Access, message: type[Message], answer: object, *required: str) -> Route:
    return Route(
        method="POST",
        path=f"artifacts/{path}",
        access=access,
        message=message,
        answer=answer,  # type: ignore[arg-type]  # one of the two above
        required=required,
    )


ROUTES: tuple[Route | StreamRoute, ...] = (
    _route("presigned-upload-url", Access.WRITE, PresignUpload, _upload_url, "path"),
    _route("presigned-download-url", Access.READ, PresignDownload, _download_url, "run_id", "path"),
    *both("POST", "mlflow-artifacts/mpu/create/{path:path}", Access.WRITE, _no_multipart),
    *both("POST", "mlflow-artifacts/mpu/complete/{path:path}", Access.WRITE, _no_multipart),
    *both("POST", "mlflow-artifacts/mpu/abort/{path:path}", Access.WRITE, _no_multipart),
    *both("GET", "mlflow-artifacts/presigned/{path:path}", Access.READ, _no_presigned),
)
