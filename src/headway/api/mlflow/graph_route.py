"""The one path of GraphQL. It reads; what each field asks is admitted as the route that answers it would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headway.api.mlflow.decode import plain_object
from headway.api.mlflow.graph_run import answered
from headway.api.mlflow.route import Access, StreamRoute
from headway.api.mlflow.streams import check_json_type, off_loop, query_of, send_json, take_small_body
from headway.errors import TooLarge, UsageError

if TYPE_CHECKING:
    from headway.api.mlflow.route import StreamCall

_MOST = 1_000_000


async def _serve(call: StreamCall) -> None:
    asked: dict[str, Any]
    if call.scope["method"] == "POST":
        check_json_type(call.scope)
        body = await take_small_body(call, _MOST)
        if body is None:
            raise TooLarge(f"The request must be at most {_MOST} bytes.")
        asked = plain_object(body)
    else:
        asked = dict(query_of(call))
        asked["variables"] = plain_object(asked.get("variables", "").encode())
    query, given, name = asked.get("query"), asked.get("variables"), asked.get("operationName")
    if not isinstance(query, str):
        raise UsageError("The request must have a query.")
    variables = given if isinstance(given, dict) else {}
    operation = name if isinstance(name, str) else ""
    await send_json(call, await off_loop(lambda: answered(call, query, variables, operation)))


ROUTES = tuple(
    StreamRoute(method=method, path="/graphql", access=Access.READ, serve=_serve) for method in ("POST", "GET")
)
