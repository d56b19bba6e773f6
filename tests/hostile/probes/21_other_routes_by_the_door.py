"""Everything of the server that the attempt's own token could ask for through its door."""

import json, os, urllib.error, urllib.request
from probe import FACTS, OUTSIDE, attempt, got, through

base = FACTS["server"] if OUTSIDE else os.environ["MLFLOW_TRACKING_URI"]
token = FACTS["control_token"] if OUTSIDE else os.environ["MLFLOW_TRACKING_TOKEN"]
member, other = FACTS["member_run"], FACTS["member_experiment"]
asks = [
    ("GET", f"/api/2.0/mlflow/runs/get?run_id={member}"),
    ("GET", f"/api/3.0/mlflow/runs/get?run_id={member}"),
    ("GET", f"/ajax-api/2.0/mlflow/runs/get?run_id={member}"),
    ("GET", f"/api/2.0/mlflow/artifacts/list?run_id={member}"),
    ("GET", f"/get-artifact?run_id={member}&path=planted.txt"),
    ("GET", "/api/2.0/mlflow-artifacts/artifacts?path="),
    ("GET", f"/api/2.0/mlflow-artifacts/artifacts/{other}/{member}/artifacts/planted.txt"),
    ("GET", f"/api/2.0/mlflow-artifacts/artifacts/..%2f..%2fgithub/app.json"),
    ("GET", "/api/2.0/mlflow-artifacts/artifacts/%252e%252e/headway.db"),
    ("GET", f"/api/2.0/mlflow/experiments/get?experiment_id={other}"),
    ("GET", "/api/2.0/mlflow/experiments/search?max_results=100"),
    ("POST", "/api/2.0/mlflow/runs/search"),
    ("GET", "/api/2.0/mlflow/registered-models/search"),
    ("GET", "/api/2.0/mlflow/model-versions/search"),
    ("GET", f"/api/2.0/mlflow/metrics/get-history?run_id={member}&metric_key=planted"),
    ("GET", "/api/2.0/mlflow/model-versions/get?name=planted&version=1"),
    ("GET", "/model-versions/get-artifact?name=planted&version=1&path=x"),
    ("GET", "/api/v1/repos"),
    ("GET", "/api/v1/secrets"),
    ("GET", "/api/v1/jobs"),
    ("GET", "/api/v1/users"),
    ("GET", "/api/v1/tokens"),
    ("GET", "/metrics"),
    ("GET", "/"),
    ("GET", "/health/../api/v1/jobs"),
    ("GET", "/health%2f..%2fapi/v1/jobs"),
    ("POST", "/webhooks/github"),
    ("GET", "//api/v1/jobs"),
    ("GET", "/api/2.0/mlflow/../../v1/jobs"),
    ("GET", "http://127.0.0.1/api/v1/jobs"),
    ("GET", "/api/2.0/mlflow;x/../../../api/v1/jobs"),
    ("POST", "/api/2.0/mlflow/runs/delete"),
    ("POST", "/api/2.0/mlflow/registered-models/alias"),
]
for method, path in asks:
    attempt()
    body = (
        json.dumps({"experiment_ids": [other, "0"], "run_id": member, "name": "planted"}).encode()
        if method == "POST"
        else None
    )
    request = urllib.request.Request(
        base + path if path.startswith("/") else base,
        body,
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        method=method,
    )
    if not path.startswith("/"):
        request.selector = path
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            said = answer.read(1 << 20)
            got(f"{method} {path}", said)
            if path.startswith(("/api/v1", "/metrics", "//", "/webhooks", "http:")):
                through(f"{method} {path} answers {answer.status}")
    except (OSError, ValueError):
        pass
