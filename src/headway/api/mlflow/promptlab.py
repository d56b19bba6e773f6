"""The route that keeps what somebody tried in MLflow's prompt engineering: a run, with its answer as a table.

The texts are data and nothing else: no template is filled in. No model is saved with them, as it could only be asked
through MLflow's AI gateway, which is not spoken here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headway.api.mlflow.access import check_experiment, check_run_write, is_attempt
from headway.api.mlflow.admit import KnownProjects, admitted
from headway.api.mlflow.decode import Decoder
from headway.api.mlflow.experiments import PlainTag
from headway.api.mlflow.route import Access, Int64, Message, Route, StreamCall, StreamRoute
from headway.api.mlflow.streams import check_json_type, off_loop, send_json, take_small_body
from headway.blobs.keys import joined_key
from headway.errors import TooLarge, UsageError
from headway.registry.folders import key_of, run_location
from headway.tracking.model import PARENT_TAG, RunStatus

if TYPE_CHECKING:
    from headway.auth.model import Principal
    from headway.tracking.store import RunStore

_MOST = 1_000_000
_TABLE = "eval_results_table.json"
_NEEDED = ("experiment_id", "prompt_template", "prompt_parameters", "model_route", "model_input", "mlflow_version")


class Said(msgspec.Struct, gc=False):
    """A parameter of a prompt, a model or its answer."""

    key: str = ""
    value: str | int | float | bool | None = ""


class Tried(Message):
    """runs/create-promptlab-run."""

    experiment_id: str = ""
    run_name: str = ""
    tags: list[PlainTag] = msgspec.field(default_factory=list)
    prompt_template: str = ""
    prompt_parameters: list[Said] = msgspec.field(default_factory=list)
    model_route: str = ""
    model_parameters: list[Said] = msgspec.field(default_factory=list)
    model_input: str = ""
    model_output: str | None = None
    model_output_parameters: list[Said] = msgspec.field(default_factory=list)
    mlflow_version: str = ""
    user_id: str = "unknown"
    start_time: Int64 | None = None


def _never(_call: Any, _message: Any) -> None:
    """Stand where a route has its answer: this one streams."""


# Admitted as the creation of any run.
_ROUTE = Route(method="POST", path="runs/create", access=Access.WRITE, message=Tried, answer=_never, is_write=True)
_DECODER = Decoder(_ROUTE)


async def _serve(call: StreamCall) -> None:
    check_json_type(call.scope)
    body = await take_small_body(call, _MOST)
    if body is None:
        raise TooLarge(f"The request must be at most {_MOST} bytes.")
    tried: Tried = _DECODER.body(body)
    for name in _NEEDED:
        if not getattr(tried, name):
            raise UsageError(f"CreatePromptlabRun request must specify {name}.")
    run_id, key = await call.writer.run(lambda store: _begun(store, call.principal, tried))
    status = RunStatus.FAILED
    try:
        if key:
            await off_loop(lambda: call.blobs.save(key, [_table(tried)]))
        status = RunStatus.FINISHED
    finally:
        document = await call.writer.run(lambda store: _ended(store, run_id, status))
    await send_json(call, {"run": msgspec.Raw(document)})


def _begun(store: RunStore, principal: Principal, tried: Tried) -> tuple[str, str]:
    """Return the new run and the key of its table; "" where its artifacts are kept elsewhere."""
    store.actor = principal.user
    if principal.reach is not None:
        principal = admitted(principal, store, _ROUTE, tried, path={}, known=KnownProjects())
    check_experiment(principal, tried.experiment_id)
    tags = {each.key: each.value for each in tried.tags} | {"mlflow.runSourceType": "PROMPT_ENGINEERING"}
    if is_attempt(principal):
        tags.setdefault(PARENT_TAG, principal.run_id or "")
        check_run_write(store, principal, tags[PARENT_TAG])
    run_id = store.create_run(
        tried.experiment_id, name=tried.run_name, user_id=tried.user_id, tags=tags, start_time=tried.start_time
    )
    params = [(each.key, str(each.value)) for each in tried.model_parameters]
    params += [("model_route", tried.model_route), ("prompt_template", tried.prompt_template)]
    root = key_of(run_location(store.tx, run_id) or "")
    table = [("mlflow.loggedArtifacts", f'[{{"path": "{_TABLE}", "type": "table"}}]')] if root else []
    store.log_batch(run_id, metrics=[], params=params, tags=table)
    return run_id, joined_key(root, _TABLE) if root else ""


def _ended(store: RunStore, run_id: str, status: RunStatus) -> bytes:
    store.finish(run_id, status)
    return store.document(run_id)


def _table(tried: Tried) -> bytes:
    before = [(each.key, str(each.value)) for each in tried.prompt_parameters]
    after = [(each.key, str(each.value)) for each in tried.model_output_parameters]
    told = [*before, ("prompt", tried.model_input), ("output", tried.model_output), *after]
    return msgspec.json.encode({"columns": [name for name, _ in told], "data": [[value for _, value in told]]})


ROUTES = (
    StreamRoute(
        method="POST", path="/ajax-api/2.0/mlflow/runs/create-promptlab-run", access=Access.WRITE, serve=_serve
    ),
)
