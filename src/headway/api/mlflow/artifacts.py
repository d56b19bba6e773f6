"""The artifact routes: the proxy that a bare MLflow client uses, and the browser's.

Every path becomes a checked key first, and is looked at again at the moment of use by the store itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from headway.api.mlflow.access import check_run_write, is_attempt, refuse_attempt
from headway.api.mlflow.admit import may_touch
from headway.api.mlflow.route import Access, StreamCall, StreamRoute
from headway.api.mlflow.streams import off_loop, query_of, send_file, send_json, take_small_body, take_upload
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

_MOST_FROM_PAGE = 10 * 1024 * 1024  # MLflow's limit for its page, which sends text that somebody typed
# Parts that are empty or dots, an encoding that is left over, and what begins or ends a path on other systems.
_CLIMBING = re.compile(r"(?:^|/)\.{0,2}(?:/|$)|%[0-9A-Fa-f]{2}|[\\#?:]")


def check_may_write(tx: Connection, principal: Principal, key: str, access: Access = Access.WRITE) -> None:
    """Let people write in their projects, a training below its own run and models; nobody what is registered.

    Raises:
        NotFound: it is of a project that the caller may not write to.
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
    elif not may_touch(tx, principal, key, access=access, is_folder=access is Access.MAINTAIN):
        raise _no_such(key)
    if is_sealed(tx, key):
        raise Refused(
            f"{key!r} belongs to a registered model version and may not change",
            cause="the version's digest was taken from these bytes",
            hint="log a new model and register it; or delete the version first",
        )


def check_may_read(tx: Connection, principal: Principal, key: str) -> None:
    """Let people read what is of their projects, a training what lies in its experiment or is a registered version."""
    if not is_attempt(principal):
        if not may_touch(tx, principal, key, access=Access.READ):
            raise _no_such(key)
        return
    owner = owner_of(tx, key) if key else None
    if owner is not None and owner.experiment_id == principal.experiment_id:
        if principal.is_confined and owner.run_id:
            check_run_write(RunStore(tx), principal, owner.run_id)
        return
    is_open = bool(key) and not principal.is_confined and is_registered(tx, key)
    if not (is_open and may_touch(tx, principal, key, access=Access.READ)):
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


def key_of_path(call: StreamCall) -> str:
    """Return the key that a path of the proxy names."""
    # The server decoded the path once; what is still encoded after that is refused, not decoded again.
    return checked_path(call.path["path"])


def checked_path(path: str) -> str:
    """Return a path that stays below its root; what climbs, or could, is told as MLflow tells it and no more."""
    try:
        return checked_key(path)
    except UsageError as error:
        if _CLIMBING.search(path):
            raise UsageError("Invalid path", cause=error.cause, hint=error.hint) from None
        raise


def _no_such(key: str) -> NotFound:
    # As the reading of what is not there says it.
    return NotFound(f"No such artifact: '{key}'", hint="list the folder above it to see what is there")


# --- the proxy --------------------------------------------------------------------------------------


async def _upload(call: StreamCall) -> None:
    key = key_of_path(call)
    await _store(call, lambda _tx: key)


async def _store(call: StreamCall, find: Callable[[Connection], str]) -> None:
    def key() -> str:
        with call.database.quick_read() as tx:
            found = find(tx)
            check_may_write(tx, call.principal, found)
            return found

    await take_upload(call, call.blobs, key)
    await send_json(call, {})


async def _download(call: StreamCall) -> None:
    await _send(call, key_of_path(call))


async def _send(call: StreamCall, key: str) -> None:
    def check() -> None:
        with call.database.read() as tx:
            check_may_read(tx, call.principal, key)

    if call.principal.reach is not None:
        await off_loop(check)
    await send_file(call, call.blobs, key)


async def _list(call: StreamCall) -> None:
    path = query_of(call).get("path", "")
    folder = _folder(path)

    def find() -> list[dict[str, Any]]:
        with call.database.read() as tx:
            if not is_attempt(call.principal):
                # A folder that is hidden looks like one that is empty.
                if not may_touch(tx, call.principal, folder, access=Access.READ, is_folder=True):
                    return []
            else:
                check_may_read(tx, call.principal, folder)
        found = call.blobs.list(folder)
        return [_shown(each.size, each.is_dir, each.key.rsplit("/", 1)[-1]) for each in found]

    files = await off_loop(find)
    await send_json(call, {"files": files} if files else {})


async def _delete(call: StreamCall) -> None:
    key = key_of_path(call)

    def remove() -> None:
        refuse_attempt(call.principal, "delete artifacts")
        with call.database.read() as tx:
            check_may_write(tx, call.principal, key, Access.MAINTAIN)
        if call.blobs.stat(key) is not None:  # what is gone already is fine, as in MLflow
            call.blobs.delete(key)

    await off_loop(remove)
    await send_json(call, {})


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
    await send_json(call, await off_loop(lambda: files_of_run(call, query)))


def files_of_run(call: StreamCall, query: dict[str, str]) -> dict[str, Any]:
    """Return the files in a folder of a run; it blocks."""
    run_id = query.get("run_id") or query.get("run_uuid") or ""
    if not run_id:
        raise _missing("run_id")
    return _files(call, query.get("path", ""), lambda tx: _run_root(tx, run_id))


async def _list_model(call: StreamCall) -> None:
    path = query_of(call).get("artifact_directory_path", "")
    model_id = call.path["model_id"]
    await send_json(call, await off_loop(lambda: _files(call, path, lambda tx: _model_root(tx, model_id))))


def _files(call: StreamCall, path: str, find: Callable[[Connection], tuple[str, str]]) -> dict[str, Any]:
    folder = _folder(path)
    with call.database.read() as tx:
        location, root = find(tx)
        check_may_read(tx, call.principal, root)
    files = listing(call.blobs, root, folder)
    return {"root_uri": location, **({"files": files} if files else {})}


async def _get_of_run(call: StreamCall) -> None:
    query = query_of(call)
    run_id = query.get("run_id") or query.get("run_uuid") or ""
    if not run_id:
        raise _missing("run_id")
    await _send_below(call, query.get("path", ""), lambda tx: _run_root(tx, run_id)[1])


async def _get_of_model(call: StreamCall) -> None:
    path = query_of(call).get("artifact_file_path", "")
    if not path:
        raise UsageError('Request must include the "artifact_file_path" query parameter.')
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
    checked_path(path)

    def key() -> str:
        with call.database.read() as tx:
            return joined_key(find(tx), path)

    await _send(call, await off_loop(key))


async def _upload_to_run(call: StreamCall) -> None:
    query = query_of(call)
    run_id, path = query.get("run_id") or query.get("run_uuid") or "", query.get("path", "")
    for name, value in (("run_uuid", run_id), ("path", path)):
        if not value:
            raise UsageError(f"Request must specify {name}.")
    checked_path(path)
    body = await take_small_body(call, _MOST_FROM_PAGE)
    if body is None:
        raise UsageError("Artifact size is too large. Max size is 10MB.", hint="upload it with MLflow's client")
    if not body:
        raise UsageError("Request must specify data.")

    def store() -> None:
        with call.database.read() as tx:
            key = joined_key(_run_root(tx, run_id)[1], path)
            check_may_write(tx, call.principal, key)
        call.blobs.save(key, [body])

    await off_loop(store)
    await send_json(call, {})


def _folder(path: str) -> str:
    """Return the folder that a listing asks for; "" is the root."""
    # MLflow's client asks for "." where a user names no folder, and for "<root>/./." and "<root>/./dir" of the proxy.
    plain = "/".join(part for part in path.rstrip("/").split("/") if part != ".")
    if path.startswith("/") and not plain:
        raise UsageError("Invalid path")
    return checked_path(plain) if plain else ""


def _missing(name: str) -> UsageError:
    return UsageError(
        f"Missing value for required parameter '{name}'. "
        "See the API docs for more information about request parameters.",
    )


def both(method: str, path: str, access: Access, serve: Callable[[StreamCall], Awaitable[None]]) -> list[StreamRoute]:
    """Return the routes of a path for clients and for the browser."""
    return [
        StreamRoute(method=method, path=f"{prefix}/{path}", access=access, serve=serve)
        for prefix in ("/api/2.0", "/ajax-api/2.0")
    ]


_PROXY = "mlflow-artifacts/artifacts"

ROUTES: tuple[StreamRoute, ...] = (
    *both("PUT", f"{_PROXY}/{{path:path}}", Access.WRITE, _upload),
    *both("GET", f"{_PROXY}/{{path:path}}", Access.READ, _download),
    *both("DELETE", f"{_PROXY}/{{path:path}}", Access.MAINTAIN, _delete),
    *both("GET", _PROXY, Access.READ, _list),
    *both("GET", "mlflow/artifacts/list", Access.READ, _list_run),
    *both("GET", "mlflow/logged-models/{model_id}/artifacts/directories", Access.READ, _list_model),
    *both("GET", "mlflow/logged-models/{model_id}/artifacts/files", Access.READ, _get_of_model),
    StreamRoute(method="GET", path="/get-artifact", access=Access.READ, serve=_get_of_run),
    StreamRoute(method="GET", path="/model-versions/get-artifact", access=Access.READ, serve=_get_of_version),
    StreamRoute(method="POST", path="/ajax-api/2.0/mlflow/upload-artifact", access=Access.WRITE, serve=_upload_to_run),
)
