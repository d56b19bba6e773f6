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
from headway.errors import UsageError
from headway.registry.search import LOGGED, MODELS, VERSIONS, search_logged, search_models, search_versions
from headway.tracking.limits import bad_value, experiment_number
from headway.tracking.search import METRIC, Order, parse_filter, parse_order, parse_orders

if TYPE_CHECKING:
    from collections.abc import Iterator

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


class SearchLogged(Message):
    """A page of logged models."""

    experiment_ids: list[str] = msgspec.field(default_factory=list)
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
    except (msgspec.DecodeError, KeyError):
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
    found = search_models(call.tx, clauses, orders, limit=limit + 1, offset=offset)
    return _page("registered_models", [model_json(each) for each in found], limit, offset)


def _versions(call: Call, message: SearchVersions) -> Any:
    limit = _limit(message.max_results, _MOST_VERSIONS)
    offset = offset_of(message.page_token)
    clauses = parse_filter(message.filter, VERSIONS)
    orders = parse_orders(message.order_by, VERSIONS)
    found = search_versions(call.tx, clauses, orders, limit=limit + 1, offset=offset)
    return _page("model_versions", [version_json(each) for each in found], limit, offset)


def _logged(call: Call, message: SearchLogged) -> Any:
    limit = _limit(message.max_results or 100, _MOST_LOGGED)
    offset = offset_of(message.page_token)
    if len(message.experiment_ids) > _MOST_EXPERIMENTS:
        raise UsageError(f"At most {_MOST_EXPERIMENTS} experiment_ids can be searched at once.")
    for each in message.experiment_ids:
        check_experiment(call.principal, each)
    if any(not each.dataset_name for each in message.datasets):
        raise UsageError("`dataset_name` in the `datasets` clause must be specified.")
    with _reworded(*_LOGGED_WORDS):
        clauses = parse_filter(message.filter, LOGGED)
    found = search_logged(
        call.tx,
        [experiment_number(each) for each in message.experiment_ids],
        clauses,
        [(_order(each), each.dataset_name, each.dataset_digest) for each in message.order_by[:50]],
        datasets=[(each.dataset_name, each.dataset_digest) for each in message.datasets[:50]],
        limit=limit + 1,
        offset=offset,
    )
    return _page("models", [logged_json(each) for each in found], limit, offset)


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
        required=("experiment_ids",),
        is_heavy=True,
    ),
)
