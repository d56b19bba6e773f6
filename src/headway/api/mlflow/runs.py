"""Routes of the life of runs, and of finding them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headway.api.mlflow.access import check_experiment, check_run_read, check_run_write, is_attempt
from headway.api.mlflow.experiments import PlainTag, stages_of
from headway.api.mlflow.route import Access, Call, Int64, Message, Route
from headway.errors import UsageError
from headway.tracking.documents import documents, plain_info
from headway.tracking.find import Query, find_runs
from headway.tracking.idempotency import once
from headway.tracking.limits import bad_value, experiment_number
from headway.tracking.model import PARENT_TAG, RunStatus
from headway.tracking.search import filter_of_runs, orders_of_runs

if TYPE_CHECKING:
    from headway.tracking.documents import Document
    from headway.tracking.store import RunStore

_STATUSES = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
_MAX_RESULTS = 50_000


class CreateRun(Message):
    """runs/create."""

    experiment_id: str = ""
    user_id: str = ""
    run_name: str = ""
    start_time: Int64 | None = None
    tags: list[PlainTag] = msgspec.field(default_factory=list)


class ByRun(Message):
    """Any request about one run."""

    run_id: str = ""
    run_uuid: str = ""


class UpdateRun(Message):
    """runs/update."""

    run_id: str = ""
    run_uuid: str = ""
    status: str | int | None = None
    end_time: Int64 | None = None
    run_name: str = ""


class SearchRuns(Message):
    """runs/search."""

    experiment_ids: list[str] = msgspec.field(default_factory=list)
    filter: str = ""
    run_view_type: str | int = "ACTIVE_ONLY"
    max_results: Int64 = 1000
    order_by: list[str] = msgspec.field(default_factory=list)
    page_token: str = ""


class Found:
    """The answer to a search: ready documents, and those fresh ones that are worth keeping."""

    __slots__ = ("body", "made")

    def __init__(self, body: bytes, made: list[Document]) -> None:
        """Hold the JSON and the documents made for it."""
        self.body = body
        self.made = made


def _create(call: Call, asked: CreateRun) -> bytes:
    experiment = asked.experiment_id or "0"
    check_experiment(call.principal, experiment)
    tags = {tag.key: tag.value for tag in asked.tags}
    if is_attempt(call.principal):
        # A second run of a training is a child of the one that Headway gave it.
        tags.setdefault(PARENT_TAG, call.principal.run_id or "")
        check_run_write(call.store, call.principal, tags[PARENT_TAG])

    def create() -> str:
        return call.store.create_run(
            experiment,
            name=asked.run_name,
            user_id=asked.user_id,
            tags=tags,
            start_time=asked.start_time,
        )

    run_id = once(call.store.link, call.principal, call.idempotency_key, create)
    document = call.store.document(run_id) if call.idempotency_key else call.store.new_document(run_id)
    return b'{"run":%b}' % document


def _get(call: Call, asked: ByRun) -> Found:
    run_id = asked.run_id or asked.run_uuid
    check_run_read(call.store, call.principal, run_id)
    found = documents(call.store.link, [call.store.row(run_id).id])
    return Found(b'{"run":%b}' % found[0].doc, [each for each in found if each.is_fresh])


def _update(call: Call, asked: UpdateRun) -> dict[str, Any]:
    run_id = asked.run_id or asked.run_uuid
    check_run_write(call.store, call.principal, run_id)
    status = None if asked.status is None else _status(asked.status)
    call.store.update_run(run_id, status=status, end_time=asked.end_time, name=asked.run_name)
    return {"run_info": plain_info(call.store.info_row(run_id))}


def _status(given: str | int) -> RunStatus:
    name = str(given)
    if name.isdigit() and len(name) < 3:
        name = _STATUSES.get(int(name), "")
    if name not in RunStatus.__members__:
        raise bad_value("status", str(given)[:100], f" Hint: Value was of type '{type(given).__name__}'.")
    return RunStatus(name)


def _delete(call: Call, asked: ByRun) -> None:
    check_run_write(call.store, call.principal, asked.run_id or asked.run_uuid)
    call.store.delete_run(asked.run_id or asked.run_uuid)


def _restore(call: Call, asked: ByRun) -> None:
    check_run_write(call.store, call.principal, asked.run_id or asked.run_uuid)
    call.store.restore_run(asked.run_id or asked.run_uuid)


def _search(call: Call, asked: SearchRuns) -> Found:
    if asked.max_results < 1:
        raise UsageError(
            f"Invalid value {asked.max_results} for parameter 'max_results' supplied. It must be a positive integer",
        )
    if asked.max_results > _MAX_RESULTS:
        raise bad_value("max_results", asked.max_results, f" It must be at most {_MAX_RESULTS}.")
    exps = [_experiment(each) for each in asked.experiment_ids]
    if is_attempt(call.principal):
        exps = [exp for exp in exps if str(exp) == call.principal.experiment_id]
    query = Query(
        exps=tuple(dict.fromkeys(exps)),
        stages=stages_of(asked.run_view_type),
        clauses=filter_of_runs(asked.filter),
        orders=orders_of_runs(tuple(asked.order_by)),
        limit=asked.max_results,
        token=asked.page_token,
    )
    return _page(call.store, query)


def _experiment(given: str) -> int:
    if not given:  # elsewhere an absent id means the default experiment; in a list nothing is absent
        raise UsageError("Invalid experiment ID ''. Experiment ID must be a valid integer.")
    return experiment_number(given)


def _page(store: RunStore, query: Query) -> Found:
    ids, token = find_runs(store.link, query)
    found = documents(store.link, ids)
    parts = [b'"runs":[%b]' % b",".join([each.doc for each in found])] if found else []
    if token:
        parts.append(b'"next_page_token":"%b"' % token.encode())
    return Found(b"{%b}" % b",".join(parts), [each for each in found if each.is_fresh])


def _route(method: str, path: str, message: type[Message], answer: Any, **more: Any) -> Route:
    access = Access.WRITE if more.get("is_write") else Access.READ
    return Route(method=method, path=f"runs/{path}", access=access, message=message, answer=answer, **more)


ROUTES = (
    _route("POST", "create", CreateRun, _create, is_write=True),
    _route("GET", "get", ByRun, _get, required=("run_id",)),
    _route("POST", "update", UpdateRun, _update, required=("run_id",), is_write=True),
    _route("POST", "delete", ByRun, _delete, required=("run_id",), is_write=True),
    _route("POST", "restore", ByRun, _restore, required=("run_id",), is_write=True),
    _route("POST", "search", SearchRuns, _search, is_heavy=True),
)
