"""The search routes of registered models, versions and logged models."""

from __future__ import annotations

import base64
import binascii
import contextlib
from typing import TYPE_CHECKING, Any

import msgspec

from headway.api.mlflow.access import check_experiment
from headway.api.mlflow.models import logged_json
from headway.api.mlflow.registry import model_json, version_json
from headway.api.mlflow.route import Access, Call, Message, Route
from headway.auth.visible import in_sight
from headway.db import schema
from headway.errors import UsageError
from headway.registry.search import LOGGED, MODELS, VERSIONS, search_logged, search_models, search_versions
from headway.tracking.limits import bad_value, experiment_number
from headway.tracking.search import METRIC, Order, parse_filter, parse_order, parse_orders

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ColumnElement

_LOGGED_WORDS = (
    ("Invalid clause(s) in filter string", "Invalid filter string"),
    ("Invalid comparator", "Invalid comparison operator"),
)
_MOST_MODELS = 1_000
_MOST_VERSIONS = 200_000
_MOST_LOGGED = 1_000
_MOST_EXPERIMENTS = 1_000
_FARTHEST = 2**31


class SearchModels(Message):
    """A page of registered models."""

    filter: str = ""
    max_results: int = 100
    order_by: list[str] = msgspec.field(default_factory=list)
    page_token: str = ""


class SearchVersions(Message):
    """A page of versions."""

    filter: str = ""
    max_results: int = 10_000
    order_by: list[str] = msgspec.field(default_factory=list)
    page_token: str = ""


class ByDataset(msgspec.Struct, gc=False):
    """A data set that metrics were measured on."""

    dataset_name: str = ""
    dataset_digest: str = ""


class OrderLogged(msgspec.Struct, gc=False):
    """One sort key of a search for logged models."""

    field_name: str = ""
    ascending: bool = True
    dataset_name: str = ""
    dataset_digest: str = ""


class _Place(msgspec.Struct, gc=False):
    """What a page token of logged models says."""

    experiment_ids: list[str] | None = None
    filter_string: str | None = None
    order_by: list[dict[str, Any]] | None = None
    offset: int = 0


class SearchLogged(Message):
    """A page of logged models."""

    experiment_ids: list[str] | None = None  # none at all is an error, an empty list finds nothing
    filter: str = ""
    datasets: list[ByDataset] = msgspec.field(default_factory=list)
    max_results: int = 100
    order_by: list[OrderLogged] = msgspec.field(default_factory=list)
    page_token: str = ""


def offset_of(token: str) -> int:
    """Return where a page begins."""
    if not token:
        return 0
    try:
        raw = base64.b64decode(token.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise UsageError("Invalid page token, could not base64-decode") from None
    try:
        offset = msgspec.json.decode(raw, type=dict[str, int])["offset"]
    except (ValueError, KeyError, RecursionError):
        raise UsageError("Invalid page token, parsed value has no offset") from None
    if not 0 <= offset <= _FARTHEST:
        raise UsageError(f"Invalid page token, its offset must lie between 0 and {_FARTHEST}")
    return offset


def token_of(offset: int) -> str:
    """Return the token of the page that begins at an offset."""
    return base64.b64encode(msgspec.json.encode({"offset": offset})).decode()


def _models(call: Call, message: SearchModels) -> Any:
    limit = _limit(message.max_results, _MOST_MODELS)
    offset = offset_of(message.page_token)
    clauses = parse_filter(message.filter, MODELS)
    with _reworded(("Invalid attribute key", "Invalid order by key")):
        orders = parse_orders(message.order_by, MODELS)
    found = search_models(call.tx, clauses, orders, limit=limit + 1, offset=offset, seen=_seen(call))
    return _page("registered_models", [model_json(each) for each in found], limit, offset)


def _versions(call: Call, message: SearchVersions) -> Any:
    limit = _limit(message.max_results, _MOST_VERSIONS)
    offset = offset_of(message.page_token)
    clauses = parse_filter(message.filter, VERSIONS)
    orders = parse_orders(message.order_by, VERSIONS)
    found = search_versions(call.tx, clauses, orders, limit=limit + 1, offset=offset, seen=_seen(call))
    return _page("model_versions", [version_json(each) for each in found], limit, offset)


def _seen(call: Call) -> list[ColumnElement[bool]]:
    return in_sight(call.principal, schema.registered_model.c.project)


def _logged(call: Call, message: SearchLogged) -> Any:
    limit = _limit(message.max_results or 100, _MOST_LOGGED)
    wanted = message.experiment_ids
    if wanted is None:
        raise UsageError(
            "Missing value for required parameter 'experiment_ids'. "
            "See the API docs for more information about request parameters.",
        )
    if len(wanted) > _MOST_EXPERIMENTS:
        raise UsageError(f"At most {_MOST_EXPERIMENTS} experiment_ids can be searched at once.")
    offset = _logged_offset(message)
    for each in wanted:
        check_experiment(call.principal, each)
    if any(not each.dataset_name for each in message.datasets):
        raise UsageError("`dataset_name` in the `datasets` clause must be specified.")
    with _reworded(*_LOGGED_WORDS):
        clauses = parse_filter(message.filter, LOGGED)
    found = search_logged(
        call.tx,
        [_experiment(each) for each in wanted],
        clauses,
        [(_order(each), each.dataset_name, each.dataset_digest) for each in message.order_by[:50]],
        datasets=[(each.dataset_name, each.dataset_digest) for each in message.datasets[:50]],
        limit=limit + 1,
        offset=offset,
    )
    answer: dict[str, Any] = {"models": [logged_json(each) for each in found[:limit]]} if found else {}
    if len(found) > limit:
        answer["next_page_token"] = base64.b64encode(msgspec.json.encode(_asked(message, offset + limit))).decode()
    return answer


def _asked(message: SearchLogged, offset: int) -> dict[str, Any]:
    """Return what a page belongs to: the token of one search opens no page of another."""
    orders = [msgspec.to_builtins(each) for each in message.order_by]
    return {
        "experiment_ids": message.experiment_ids,
        "filter_string": message.filter or None,
        "order_by": orders or None,
        "offset": offset,
    }


def _logged_offset(message: SearchLogged) -> int:
    if not message.page_token:
        return 0
    try:
        told = msgspec.json.decode(base64.b64decode(message.page_token.encode("ascii"), validate=True), type=_Place)
    except (ValueError, RecursionError):
        raise UsageError(f"Invalid page token: {message.page_token[:100]}") from None
    asked = _asked(message, 0)
    for field, named, verb in (
        ("experiment_ids", "Experiment IDs", "do"),
        ("filter_string", "Filter string", "does"),
        ("order_by", "Order by", "does"),
    ):
        if getattr(told, field) != asked[field]:
            what = named if field != "experiment_ids" else "experiment IDs"
            raise UsageError(
                f"{named} in the page token {verb} not match the requested {what[0].lower() + what[1:]}. "
                f"Expected: {str(asked[field])[:300]}. Found: {str(getattr(told, field))[:300]}",
            )
    if not 0 <= told.offset <= _FARTHEST:
        raise UsageError(f"Invalid page token, its offset must lie between 0 and {_FARTHEST}")
    return told.offset


def _experiment(given: str) -> int:
    if not given:  # elsewhere that means the default experiment
        raise UsageError("Invalid experiment ID ''. Experiment ID must be a valid integer.")
    return experiment_number(given)


@contextlib.contextmanager
def _reworded(*words: tuple[str, str]) -> Iterator[None]:
    """Say a mistake as MLflow says it of this search; its texts differ from search to search."""
    try:
        yield
    except UsageError as error:
        for ours, theirs in words:
            if error.message.startswith(ours):
                raise UsageError(
                    theirs + error.message.removeprefix(ours), cause=error.cause, hint=error.hint
                ) from None
        raise


def _order(given: OrderLogged) -> Order:
    entity, dot, key = given.field_name.partition(".")
    if dot and entity in {"metrics", "metric"}:
        return Order(METRIC, key, given.ascending)
    if dot:
        raise UsageError(f"Invalid order by field name: {given.field_name[:300]}. Only metrics are supported.")
    try:
        found = parse_order(given.field_name, LOGGED)
    except UsageError:
        raise UsageError(f"Invalid order by field name: {given.field_name[:300]}") from None
    return found._replace(is_ascending=given.ascending)


def _limit(given: int, most: int) -> int:
    if given < 1:
        raise UsageError(f"Invalid value for max_results. It must be a positive integer, but got {given}")
    if given > most:
        raise bad_value(
            "max_results",
            str(given),
            f"Invalid value for request parameter max_results. It must be at most {most}, but got value {given}",
        )
    return given


def _page(name: str, found: list[dict[str, Any]], limit: int, offset: int) -> dict[str, Any]:
    answer: dict[str, Any] = {name: found[:limit]} if found else {}
    if len(found) > limit:
        answer["next_page_token"] = token_of(offset + limit)
    return answer


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="registered-models/search",
        access=Access.READ,
        message=SearchModels,
        answer=_models,
        is_heavy=True,
    ),
    Route(
        method="GET",
        path="model-versions/search",
        access=Access.READ,
        message=SearchVersions,
        answer=_versions,
        is_heavy=True,
    ),
    Route(
        method="POST",
        path="logged-models/search",
        access=Access.READ,
        message=SearchLogged,
        answer=_logged,
        is_heavy=True,
    ),
)
