"""Routes of experiments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headway.api.mlflow.access import check_experiment, is_attempt, refuse_attempt
from headway.api.mlflow.admit import check_move
from headway.api.mlflow.route import AJAX, AJAX3, API, API3, Access, Call, Int64, Message, Route
from headway.auth.authenticate import is_local
from headway.auth.model import NO_PROJECT
from headway.auth.projects import PROJECT_TAG, ProjectStore
from headway.auth.visible import sight_text
from headway.errors import NotFound, UsageError
from headway.tracking.limits import experiment_number
from headway.tracking.link import marks
from headway.tracking.listing import search_experiments
from headway.tracking.model import Tag
from headway.tracking.ownership import move_experiment

if TYPE_CHECKING:
    from headway.tracking.model import Experiment

VIEWS = {
    "ACTIVE_ONLY": ("active",),
    "DELETED_ONLY": ("deleted",),
    "ALL": ("active", "deleted"),
    1: ("active",),
    2: ("deleted",),
    3: ("active", "deleted"),
}


class PlainTag(msgspec.Struct, gc=False):
    """A tag or a param on the wire."""

    key: str = ""
    value: str = ""


class Create(Message):
    """experiments/create."""

    name: str = ""
    artifact_location: str = ""
    tags: list[PlainTag] = msgspec.field(default_factory=list)


class ById(Message):
    """Any request about one experiment."""

    experiment_id: str = ""


class ByName(Message):
    """experiments/get-by-name."""

    experiment_name: str = ""


class Update(Message):
    """experiments/update."""

    experiment_id: str = ""
    new_name: str = ""


class SetTag(Message):
    """experiments/set-experiment-tag and delete-experiment-tag."""

    experiment_id: str = ""
    key: str = ""
    value: str = ""


class Search(Message):
    """experiments/search."""

    max_results: Int64 = 0  # what protobuf reads where it is left out; then it is refused, as there
    page_token: str = ""
    filter: str = ""
    order_by: list[str] = msgspec.field(default_factory=list)
    view_type: str | int = "ACTIVE_ONLY"


class SearchDatasets(Message):
    """experiments/search-datasets."""

    experiment_ids: list[str] = msgspec.field(default_factory=list)


def plain_experiment(found: Experiment) -> dict[str, Any]:
    """Return an experiment as the wire spells it."""
    plain: dict[str, Any] = {
        "experiment_id": found.id,
        "name": found.name,
        "artifact_location": found.artifact_location,
        "lifecycle_stage": found.stage,
        "last_update_time": found.last_update_time,
        "creation_time": found.creation_time,
    }
    if found.tags:
        plain["tags"] = [{"key": key, "value": value} for key, value in found.tags.items()]
    return plain


def stages_of(view: str | int) -> tuple[str, ...]:
    """Return the stages that a view shows."""
    found = VIEWS.get(int(view) if isinstance(view, str) and view.isdigit() else view)
    if found is None:
        raise UsageError(f"Invalid value {str(view)[:100]!r} for parameter 'view_type' supplied.")
    return found


def _create(call: Call, asked: Create) -> dict[str, Any]:
    refuse_attempt(call.principal, "create experiments")
    tags = [Tag(key=tag.key, value=tag.value) for tag in asked.tags]
    wanted = next((tag.value for tag in reversed(tags) if tag.key == PROJECT_TAG), NO_PROJECT)
    made = call.store.experiments.create(
        asked.name,
        artifact_location=asked.artifact_location,
        tags=tags,
        project=ProjectStore(call.tx).for_new(call.principal, wanted),
        is_local=is_local(call.principal),
    )
    return {"experiment_id": made}


def _get(call: Call, asked: ById) -> dict[str, Any]:
    experiment_number(asked.experiment_id)
    check_experiment(call.principal, asked.experiment_id)
    return {"experiment": plain_experiment(call.store.experiments.get(asked.experiment_id))}


def _get_by_name(call: Call, asked: ByName) -> dict[str, Any]:
    store = call.store.experiments
    if is_attempt(call.principal):
        # `set_experiment("anything")` in a training script must lead to the experiment that its run is in.
        return {"experiment": plain_experiment(store.get(call.principal.experiment_id or ""))}
    sight = sight_text(call.principal, "project")
    found = store.find(asked.experiment_name, sight=sight, project=call.principal.project)
    if found is None:
        raise NotFound(f"Could not find experiment with name '{asked.experiment_name}'")
    return {"experiment": plain_experiment(found)}


def _update(call: Call, asked: Update) -> None:
    refuse_attempt(call.principal, "rename experiments")
    call.store.experiments.rename(asked.experiment_id, asked.new_name)


def _delete(call: Call, asked: ById) -> None:
    refuse_attempt(call.principal, "delete experiments")
    call.store.experiments.delete(asked.experiment_id)


def _restore(call: Call, asked: ById) -> None:
    refuse_attempt(call.principal, "restore experiments")
    call.store.experiments.restore(asked.experiment_id)


def _set_tag(call: Call, asked: SetTag) -> None:
    refuse_attempt(call.principal, "tag experiments")
    if asked.key == PROJECT_TAG:
        move_experiment(call.store, asked.experiment_id, check_move(call.tx, call.principal, asked.value))
    call.store.experiments.set_tag(asked.experiment_id, asked.key, asked.value)


def _delete_tag(call: Call, asked: SetTag) -> None:
    refuse_attempt(call.principal, "tag experiments")
    if asked.key == PROJECT_TAG:
        move_experiment(call.store, asked.experiment_id, check_move(call.tx, call.principal, NO_PROJECT))
    call.store.experiments.delete_tag(asked.experiment_id, asked.key)


def _search(call: Call, asked: Search) -> dict[str, Any]:
    only = call.principal.experiment_id if is_attempt(call.principal) else None
    page = search_experiments(
        call.store.experiments,
        stages=stages_of(asked.view_type),
        max_results=asked.max_results,
        filter_text=asked.filter,
        order_by=asked.order_by,
        token=asked.page_token,
        only=only,
        sight=sight_text(call.principal, "project"),
    )
    answer: dict[str, Any] = {}
    if page.items:
        answer["experiments"] = [plain_experiment(found) for found in page.items]
    if page.next_token:
        answer["next_page_token"] = page.next_token
    return answer


def _search_datasets(call: Call, asked: SearchDatasets) -> dict[str, Any]:
    ids = asked.experiment_ids
    if not ids:
        raise UsageError("SearchDatasets request must specify at least one experiment_id.")
    if len(ids) > 20:
        raise UsageError(
            f"SearchDatasets request cannot specify more than 20 experiment_ids. Received {len(ids)} experiment_ids.",
        )
    for each in ids:
        if not each:  # elsewhere that is the Default experiment
            raise UsageError("Invalid experiment ID ''. Experiment ID must be a valid integer.")
        check_experiment(call.principal, each)
    rows = call.store.link.all(
        "select distinct d.exp, d.name, d.digest, i.tags from dataset d join run_input i on i.dataset = d.id "  # noqa: S608  # bound
        f"where d.exp in ({marks(len(ids))}) order by d.name, d.digest limit 1000",
        [experiment_number(each) for each in ids],
    )
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for exp, name, digest, tags in rows:
        summary = {"experiment_id": str(exp), "name": name, "digest": digest}
        context = msgspec.json.decode(tags).get("mlflow.data.context")
        if context is not None:
            summary["context"] = context
        found[exp, name, digest, context] = summary
    return {"dataset_summaries": list(found.values())} if found else {}


def _route(method: str, path: str, message: type[Message], answer: Any, **more: Any) -> Route:
    access = Access.WRITE if more.get("is_write") else Access.READ
    return Route(method=method, path=f"experiments/{path}", access=access, message=message, answer=answer, **more)


ROUTES = (
    _route("POST", "create", Create, _create, required=("name",), is_write=True),
    _route("GET", "get", ById, _get, required=("experiment_id",)),
    _route("GET", "get-by-name", ByName, _get_by_name, required=("experiment_name",)),
    _route("POST", "update", Update, _update, required=("experiment_id", "new_name"), is_write=True),
    _route("POST", "delete", ById, _delete, required=("experiment_id",), is_write=True),
    _route("POST", "restore", ById, _restore, required=("experiment_id",), is_write=True),
    _route("POST", "set-experiment-tag", SetTag, _set_tag, required=("experiment_id", "key"), is_write=True),
    _route("POST", "delete-experiment-tag", SetTag, _delete_tag, required=("experiment_id", "key"), is_write=True),
    _route("DELETE", "delete-experiment-tag", SetTag, _delete_tag, required=("experiment_id", "key"), is_write=True),
    _route("POST", "search", Search, _search, is_heavy=True),
    _route("GET", "search", Search, _search, is_heavy=True),
    _route(
        "POST",
        "search-datasets",
        SearchDatasets,
        _search_datasets,
        is_heavy=True,
        # MLflow's own table lacks a slash here, so that its server answers these two as well.
        prefixes=(API, AJAX, API3, AJAX3, "/api/2.0mlflow/", "/ajax-api/2.0mlflow/"),
    ),
)
