"""The artifact routes: the proxy that a bare MLflow client uses, and the browser's.

Every path becomes a checked key first, and is looked at again at the moment of use by the store itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headway.api.mlflow.access import check_run_write, is_attempt, refuse_attempt
from headway.api.mlflow.route import Access, StreamCall, StreamRoute
from headway.api.mlflow.streams import off_loop, query_of, send_file, send_json, take_upload
from headway.blobs.keys import checked_key, joined_key
from headway.errors import NotFound, NotThereYet, Refused, UsageError
from headway.registry.folders import is_registered, is_sealed, key_of, owner_of, run_location
from headway.registry.logged import LoggedModelStore
from headway.registry.names import checked_number
from headway.registry.store import RegistryStore
from headway.tracking.limits import check_run_id
from headway.tracking.store import RunStore, unknown_run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy import Connection

    from headway.auth.model import Principal
    from headway.blobs.base import BlobStore


def check_may_write(tx: Connection, principal: Principal, key: str) -> None:
    """Let people write anywhere, a training below its own run and the models it made; nobody what is registered.

    Raises:
        Refused: not this principal, or a registered version was digested from these bytes.
    """
    if is_attempt(principal):
        owner = owner_of(tx, key)
        if owner is None or not owner.run_id:
            raise Refused(
                f"{key!r} does not belong to this attempt's run",
                hint="log artifacts inside the run that the task was given",
            )
        check_run_write(RunStore(tx), principal, owner.run_id)
    if is_sealed(tx, key):
        raise Refused(
            f"{key!r} belongs to a registered model version and may not change",
            cause="the version's digest was taken from these bytes",
            hint="log a new model and register it; or delete the version first",
        )


def check_may_read(tx: Connection, principal: Principal, key: str) -> None:
    """Let people read everything, a training what lies in its experiment or is a registered version."""
    if not is_attempt(principal):
        return
    owner = owner_of(tx, key) if key else None
    if owner is not None and owner.experiment_id == principal.experiment_id:
        return
    if not key or not is_registered(tx, key):
        raise Refused(
            f"{key or 'the root'!r} lies outside of this attempt's experiment",
            hint="read other data through the task's inputs, and models as models:/name@alias",
        )


def listing(blobs: BlobStore, root: str, path: str) -> list[dict[str, Any]]:
    """Return the files below a folder of a run or model, with paths relative to its root."""
    folder = joined_key(root, path)
    above = f"{path}/" if path else ""
    return [_shown(each.size, each.is_dir, above + each.key.rsplit("/", 1)[-1]) for each in blobs.list(folder)]


def _shown(size: int, is_dir: bool, path: str) -> dict[str, Any]:  # noqa: FBT001  # a record's three fields
    return {"path": path, "is_dir": True} if is_dir else {"path": path, "is_dir": False, "file_size": size}


def _key(call: StreamCall) -> str:
    # The server decoded the path once; what is still encoded after that is refused, not decoded again.
    return checked_key(call.path["path"])


# --- the proxy --------------------------------------------------------------------------------------


async def _upload(call: StreamCall) -> None:
    key = _key(call)
    await _store(call, lambda _tx: key)


async def _store(call: StreamCall, find: Callable[[Connection], str]) -> None:
    def key() -> str:
        with call.database.read() as tx:
            found = find(tx)
            check_may_write(tx, call.principal, found)
            return found

    await take_upload(call, call.blobs, key)
    await send_json(call, {})


async def _download(call: StreamCall) -> None:
    await _send(call, _key(call))


async def _send(call: StreamCall, key: str) -> None:
    def check() -> None:
        with call.database.read() as tx:
            check_may_read(tx, call.principal, key)

    if is_attempt(call.principal):
        await off_loop(check)
    await send_file(call, call.blobs, key)


async def _list(call: StreamCall) -> None:
    path = query_of(call).get("path", "").rstrip("/")
    folder = checked_key(path) if path else ""

    def find() -> list[dict[str, Any]]:
        with call.database.read() as tx:
            check_may_read(tx, call.principal, folder)
        found = call.blobs.list(folder)
        return [_shown(each.size, each.is_dir, each.key.rsplit("/", 1)[-1]) for each in found]

    files = await off_loop(find)
    await send_json(call, {"files": files} if files else {})


async def _delete(call: StreamCall) -> None:
    key = _key(call)

    def remove() -> None:
        refuse_attempt(call.principal, "delete artifacts")
        with call.database.read() as tx:
            check_may_write(tx, call.principal, key)
        if call.blobs.stat(key) is None:
            raise NotFound(f"No such artifact: '{key}'")
        call.blobs.delete(key)

    await off_loop(remove)
    await send_json(call, {})


async def _not_direct(_call: StreamCall) -> None:
    raise _no_direct_access()


async def _no_multipart(call: StreamCall) -> None:
    key = _key(call)

    def check() -> None:
        with call.database.read() as tx:
            check_may_write(tx, call.principal, key)

    await off_loop(check)
    raise _no_direct_access()


async def _no_presigned(call: StreamCall) -> None:
    _key(call)
    raise _no_direct_access()


def _no_direct_access() -> NotThereYet:
    return NotThereYet(
        "multipart and presigned transfers are not offered: artifacts stream through the server",
        hint="upload and download them whole, as the client does by itself",
    )


# --- by run, model and version ----------------------------------------------------------------------


def _run_root(tx: Connection, run_id: str) -> tuple[str, str]:
    """Return a run's artifact location and its key."""
    check_run_id(run_id)
    location = run_location(tx, run_id)
    if location is None:
        raise unknown_run(run_id)
    return location, _kept(location)


def _model_root(tx: Connection, model_id: str) -> tuple[str, str]:
    location = LoggedModelStore(tx).get(model_id).artifact_uri
    return location, _kept(location)


def _kept(location: str) -> str:
    key = key_of(location)
    if key is None:
        raise NotThereYet(
            f"the artifacts at {location} are kept elsewhere",
            hint="use MLflow's client, which opens such locations by itself",
        )
    return key


async def _list_run(call: StreamCall) -> None:
    query = query_of(call)
    run_id = query.get("run_id") or query.get("run_uuid") or ""
    if not run_id:
        raise _missing("run_id")
    await _send_listing(call, query.get("path", ""), lambda tx: _run_root(tx, run_id))


async def _list_model(call: StreamCall) -> None:
    path = query_of(call).get("artifact_directory_path", "")
    await _send_listing(call, path, lambda tx: _model_root(tx, call.path["model_id"]))


async def _send_listing(call: StreamCall, path: str, find: Callable[[Connection], tuple[str, str]]) -> None:
    def work() -> dict[str, Any]:
        with call.database.read() as tx:
            location, root = find(tx)
            check_may_read(tx, call.principal, root)
        files = listing(call.blobs, root, path.rstrip("/"))
        return {"root_uri": location, **({"files": files} if files else {})}

    await send_json(call, await off_loop(work))


async def _get_of_run(call: StreamCall) -> None:
    query = query_of(call)
    run_id = query.get("run_id") or query.get("run_uuid") or ""
    if not run_id:
        raise _missing("run_id")
    await _send_below(call, query.get("path", ""), lambda tx: _run_root(tx, run_id)[1])


async def _get_of_model(call: StreamCall) -> None:
    path = query_of(call).get("artifact_file_path", "")
    await _send_below(call, path, lambda tx: _model_root(tx, call.path["model_id"])[1])


async def _get_of_version(call: StreamCall) -> None:
    query = query_of(call)

    def find(tx: Connection) -> str:
        version = RegistryStore(tx).get_version(query.get("name", ""), checked_number(query.get("version", "")))
        if not version.source:
            raise NotFound("this version has no files here")
        return version.source

    await _send_below(call, query.get("path", ""), find)


async def _send_below(call: StreamCall, path: str, find: Callable[[Connection], str]) -> None:
    if not path:
        raise _missing("path")
    checked_key(path)

    def key() -> str:
        with call.database.read() as tx:
            return joined_key(find(tx), path)

    await _send(call, await off_loop(key))


async def _upload_to_run(call: StreamCall) -> None:
    query = query_of(call)
    run_id, path = query.get("run_id") or query.get("run_uuid") or "", query.get("path", "")
    for name, value in (("run_uuid", run_id), ("path", path)):
        if not value:
            raise _missing(name)

    checked_key(path)
    await _store(call, lambda tx: joined_key(_run_root(tx, run_id)[1], path))


def _missing(name: str) -> UsageError:
    return UsageError(f"Missing value for required parameter '{name}'.")


def _both(method: str, path: str, access: Access, serve: Callable[[StreamCall], Awaitable[None]]) -> list[StreamRoute]:
    return [
        StreamRoute(method=method, path=f"{prefix}/{path}", access=access, serve=serve)
        for prefix in ("/api/2.0", "/ajax-api/2.0")
    ]


_PROXY = "mlflow-artifacts/artifacts"

ROUTES: tuple[StreamRoute, ...] = (
    *_both("PUT", f"{_PROXY}/{{path:path}}", Access.WRITE, _upload),
    *_both("GET", f"{_PROXY}/{{path:path}}", Access.READ, _download),
    *_both("DELETE", f"{_PROXY}/{{path:path}}", Access.WRITE, _delete),
    *_both("GET", _PROXY, Access.READ, _list),
    *_both("POST", "mlflow-artifacts/mpu/create/{path:path}", Access.WRITE, _no_multipart),
    *_both("POST", "mlflow-artifacts/mpu/complete/{path:path}", Access.WRITE, _no_multipart),
    *_both("POST", "mlflow-artifacts/mpu/abort/{path:path}", Access.WRITE, _no_multipart),
    *_both("GET", "mlflow-artifacts/presigned/{path:path}", Access.READ, _no_presigned),
    *_both("POST", "mlflow/artifacts/presigned-upload-url", Access.WRITE, _not_direct),
    *_both("POST", "mlflow/artifacts/presigned-download-url", Access.READ, _not_direct),
    *_both("GET", "mlflow/artifacts/list", Access.READ, _list_run),
    *_both("GET", "mlflow/logged-models/{model_id}/artifacts/directories", Access.READ, _list_model),
    *_both("GET", "mlflow/logged-models/{model_id}/artifacts/files", Access.READ, _get_of_model),
    StreamRoute(method="GET", path="/get-artifact", access=Access.READ, serve=_get_of_run),
    StreamRoute(method="GET", path="/model-versions/get-artifact", access=Access.READ, serve=_get_of_version),
    StreamRoute(method="POST", path="/ajax-api/2.0/mlflow/upload-artifact", access=Access.WRITE, serve=_upload_to_run),
)
