"""Sources of versions, locations of experiments and names: refused when they are given, so that nothing is used later.

Published inputs under their numbers; `ours` are kin of them that nobody has published.
"""

from __future__ import annotations

from urllib.parse import quote

import pytest

from attacks.conftest import Record
from attacks.site import REST, Site

SOURCES = [
    ("CVE-2023-1177", "file:///etc"),
    ("CVE-2023-1176", "/etc"),
    ("CVE-2023-2780", "file://./etc"),
    ("CVE-2023-2780", "//proc/self/root"),
    ("CVE-2023-6977", "//proc/self/root"),
    ("CVE-2023-2356", "mlflow-artifacts://h:1/../../.."),
    ("CVE-2023-2356", "mlflow-artifacts:/../../.."),
    ("CVE-2023-2356", "http://h/api/2.0/mlflow-artifacts/artifacts/../../../"),
    ("CVE-2023-2356", "s3://bucket/a/../../b"),
    ("CVE-2024-1558", "mlflow-artifacts:/0/%2e%2e%2f%2e%2e%2fetc"),
    ("CVE-2024-1558", "mlflow-artifacts:/0/%252e%252e%252fetc"),
    ("CVE-2024-1558", "mlflow-artifacts:/0/{RUN}/artifacts/x%00"),
    ("CVE-2024-1558", "mlflow-artifacts:/0/{RUN}/artifacts/x\0"),
    ("CVE-2024-1558", "mlflow-artifacts:/0/{RUN}/artifacts/../../.."),
    ("CVE-2024-3573", "file:etc"),
    ("CVE-2024-3573", "FILE:///etc"),
    ("CVE-2024-3573", "file://localhost/etc"),
    ("CVE-2024-8859", "dbfs:/?/../../etc"),
    ("CVE-2025-11201", "../../../etc/passwd"),
    ("CVE-2026-2033", "runs:/{RUN}/../../../etc"),
    ("CVE-2026-2033", "runs:/{RUN}/%2e%2e/%2e%2e/etc"),
    ("CVE-2026-2033", "runs://{RUN}/model"),
    ("CVE-2026-2033", "models:/{LOGGED}/../x"),
    ("CVE-2023-6974", "http://169.254.169.254/latest/"),
    ("CVE-2023-6974", "http://{TRAP}/latest/"),
    ("CVE-2023-6974", "https://[::ffff:127.0.0.1]/"),
    ("CVE-2026-116690", "../../../etc"),
    ("ours", "mlflow-artifacts:/0/{RUN}/artifacts/a?/a"),
    ("ours", "mlflow-artifacts:/0/{RUN}/artifacts/a#/a"),
    ("ours", "mlflow-artifacts:/0/{RUN}/artifacts/a\\..\\b"),
    ("ours", "mlflow-artifacts:/0/{RUN}/artifacts/\uff0e\uff0e/b"),
    ("ours", "mlflow-artifacts:/0/{RUN}"),
    ("ours", "mlflow-artifacts:/"),
    ("ours", "mlflow-artifacts://{TRAP}/x"),
    ("ours", "ftp://h/x"),
    ("ours", "hdfs://{TRAP}/x/y"),
    ("ours", "x" * 10_000),
]
# How a source came through although another one was refused: tied to something, or called a prompt.
TIES: dict[str, dict[str, object]] = {
    "": {},
    "of a run": {"run_id": "{RUN}"},
    "of a model": {"model_id": "{LOGGED}"},
    "a prompt": {"run_id": "{RUN}", "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]},
    "only a prompt": {"tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]},
}
LOCATIONS = [
    ("CVE-2023-6909", "http://h/?/../../../../etc/"),
    ("CVE-2024-1483", "http:///#/../../../../etc/"),
    ("CVE-2024-1594", "mlflow-artifacts:/#/../../etc"),
    ("CVE-2024-2928", "mlflow-artifacts:/x#/../../etc"),
    ("CVE-2024-3848", "http:///#/../../../../../root/"),
    ("CVE-2024-1593", "http:///x;/../../etc"),
    ("CVE-2024-1593", "mlflow-artifacts:/x;/../../etc"),
    ("CVE-2024-3573", "file:etc"),
    ("CVE-2024-3573", "FILE:///etc"),
    ("CVE-2024-3573", "file://localhost/etc"),
    ("CVE-2024-8859", "dbfs:/?/../../etc"),
    ("CVE-2023-6974", "http://169.254.169.254/latest/"),
    ("CVE-2023-6974", "http://{TRAP}/latest/"),
    ("CVE-2024-6838", "x" * 10_000_000),
    ("CVE-2024-6838", "s3://bucket/" + "x" * 10_000),
    *(
        ("ours", location)
        for location in (
            *("../x", "/etc", "a/../../b", "mlflow-artifacts:/../x", "mlflow-artifacts:/%2e%2e/x", "C:\\x", "a\\..\\b"),
            *("mlflow-artifacts:/%252e%252e/x", "s3://b/../x", "mlflow-artifacts://other:1/x", "mlflow-artifacts:/0/x"),
            *("7", "x" * 10_000, "s3:///x", "mlflow-artifacts://{TRAP}/x", "javascript:alert(1)", "data:text/html,x"),
        )
    ),
]
NAMES = [
    ("CVE-2024-3099", "a%2Fb"),
    ("CVE-2024-3099", "a%252Fb"),
    ("CVE-2024-3099", "a/b"),
    ("CVE-2024-3099", "cafe\u0301"),
    ("CVE-2024-3099", "target\u00a0"),
    ("CVE-2024-3099", "a\u200bb"),
    ("ours", "a\u202eb"),
    ("ours", "a\0b"),
    ("ours", ".."),
    ("ours", "a:b"),
    ("ours", " "),
    ("ours", "x" * 10_000),
]


@pytest.mark.parametrize(("advisory", "source"), SOURCES, ids=range(len(SOURCES)))
def test_a_source(site: Site, told: Record, advisory: str, source: str) -> None:
    body = {"name": "target", "source": source}
    for tie, fields in TIES.items():
        answer = site.ask("POST", REST + "model-versions/create", {**body, **fields})
        told("CVE-2026-2614" if "prompt" in tie else advisory, f"source {source} {tie}".strip(), answer, 400)
    answer = site.ask("POST", REST + "model-versions/create", body, who="")
    told("CVE-2025-11201", f"source {source}, without login", answer, 401)


def test_and_nothing_was_kept_to_be_read_later(site: Site, told: Record) -> None:
    for path in ("passwd", "../canary", "canary"):
        answer = site.ask("GET", f"/model-versions/get-artifact?name=target&version=1&path={path}")
        told("CVE-2023-1177", f"model-versions/get-artifact?name=target&path={path}", answer, 400, 404)
    assert "model_versions" not in site.good("GET", REST + "model-versions/search?filter=name%20%3D%20%27target%27")


@pytest.mark.parametrize(("advisory", "location"), LOCATIONS, ids=range(len(LOCATIONS)))
def test_a_location(site: Site, told: Record, advisory: str, location: str) -> None:
    name = f"bad-{LOCATIONS.index((advisory, location))}"
    answer = site.ask("POST", REST + "experiments/create", {"name": name, "artifact_location": location})
    told(advisory, "artifact_location " + location, answer, 400, 413)
    assert site.ask("GET", REST + "experiments/get-by-name?experiment_name=" + name).status == 404


@pytest.mark.parametrize(("advisory", "name"), NAMES, ids=range(len(NAMES)))
def test_a_name(site: Site, told: Record, advisory: str, name: str) -> None:
    told(advisory, "model " + name, site.ask("POST", REST + "registered-models/create", {"name": name}), 400)
    fine = site.good("GET", REST + "registered-models/search")["registered_models"]
    assert {each["name"] for each in fine} == {"target", "read"}
    answer = site.ask("POST", REST + "registered-models/rename", {"name": "target", "new_name": name})
    told(advisory, "model renamed to " + name, answer, 400)


def test_a_name_of_ten_megabytes(site: Site, told: Record) -> None:
    answer = site.ask("POST", REST + "experiments/create", {"name": "x" * 10_000_000})
    told("CVE-2024-6838", "experiment name of 10 MB", answer, 400, 413)


TWINS = [("caf\u00e9", "cafe\u0301"), ("one", "\uff4fne"), ("a b", "a\u00a0b"), ("k", "\u212a"), ("a/b", "a%2Fb")]


@pytest.mark.parametrize(("first", "second"), TWINS, ids=range(len(TWINS)))
def test_experiments_whose_names_look_alike_stay_apart(site: Site, told: Record, first: str, second: str) -> None:
    made = []
    for name in (first, second):
        answer = site.ask("POST", REST + "experiments/create", {"name": f"twin {name}"})
        made.append(answer.json()["experiment_id"] if answer.status == 200 else "refused")
    shown = f"experiments {first!a} and {second!a}: the second refused, or another one"
    told("CVE-2024-3099", shown, answer, 200, 400, only=made[0] != made[1])
    for name, number in zip((first, second), made, strict=True):
        found = site.ask("GET", REST + "experiments/get-by-name?experiment_name=" + quote(f"twin {name}"))
        assert found.status == 404 or found.json()["experiment"]["experiment_id"] == number


@pytest.mark.parametrize("name", ["\uff52ead", "re\u0430d", "READ", "read."])
def test_models_whose_names_look_alike_stay_apart(site: Site, told: Record, name: str) -> None:
    made = site.ask("POST", REST + "registered-models/create", {"name": name})
    found = site.ask("GET", REST + "model-versions/get?version=1&name=" + quote(name))
    told("CVE-2024-3099", f"models 'read' and {name!a}: the second refused, or another one", found, 404)
    if made.status == 200:
        site.good("DELETE", REST + "registered-models/delete", {"name": name})
    assert site.good("GET", REST + "model-versions/get?version=1&name=read")["model_version"]["name"] == "read"
