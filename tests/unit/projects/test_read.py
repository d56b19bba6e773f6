from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from headway.errors import ConfigError
from headway.projects.model import (
    AnalysisRule,
    CanaryStep,
    GateSpec,
    Goal,
    MetricSpec,
    ModelTest,
    NotifySpec,
    PredictionsSpec,
    ProjectSpec,
    Resources,
    Severity,
    TrackingSpec,
    VolumeSpec,
)
from headway.projects.problem import ProjectFileError
from headway.projects.read import read_project

MINIMAL = """\
name: churn
run: python train.py
metrics:
  val_auc: {goal: maximize}
"""

FULL = """\
version: 1
name: churn

env:
  python: "3.12"
  lockfile: uv.lock
  variables: {OMP_NUM_THREADS: "4", EMPTY: ""}
  secrets: [WAREHOUSE_TOKEN]

data:
  train: {uri: "s3://acme/churn/train.parquet"}
  holdout: data/holdout.csv

params: {lr: 0.05, max_depth: 6, kind: gbm, warm: true}
seed: 7
network: false
resources: {cpus: 4, memory: 8Gi}

pipeline:
  steps:
    prepare:
      run: python prepare.py --from ${data.train}
      inputs: [data.train]
      outputs: [build/features.parquet]
      cache: false
    train:
      needs: [prepare]
      run: python train.py --lr ${params.lr}
      inputs: [build/features.parquet]
      outputs: [./build/model, build/predictions.csv]
      code: ["src/**", train.py]
      resources: {cpus: 0.5, accelerators: H100, disk: 10G, processes: 64}
      timeout: 1h30m
      retries: 1
      variables: {A: b}
      network: true
    evaluate:
      run: python evaluate.py
      from: base
      inputs: [build/model, data.holdout]
      outputs: [build/holdout.csv]

metrics:
  val_auc: {goal: maximize, compute: roc_auc}
  val_logloss: minimize
  latency_p95_ms: {primary: true}

predictions:
  path: build/predictions.csv
  id: flight
  prediction: late
  score: p
  slices: [country, plan]
  holdout: build/holdout.csv

tune:
  step: train
  method: bayes
  metric: val_auc
  max_trials: 60
  max_parallel: 4
  early_stopping: {type: hyperband, min_steps: 5}
  parameters:
    lr: {distribution: log_uniform, min: 0.001, max: 0.3}
    max_depth: {values: [4, 6, 8, 10]}

gates:
  baseline: main
  rules:
    - {metric: val_auc, min: 0.85}
    - {metric: val_auc, max_regression: 0.002}
    - {metric: val_auc, paired: true, confidence: 0.9}
    - {metric: latency_p95_ms, max: 40, severity: warn}
    - {metric: val_auc, slices: [country, plan], min_rows: 500, max_regression: 0.01}
    - {fairness: demographic_parity_difference, slices: [plan], max: 0.1, id: fair}
    - {check: data_drift, data: train, max_psi: 0.2, severity: warn}

model: {path: build/model, signature: infer}

deploy:
  environment: live
  target: command
  command: ./deploy.sh --prod
  status_command: ./status.sh
  approval: {required: 2, reviewers: ["@acme/ml-leads", dan]}
  strategy:
    canary:
      steps:
        - {weight: 10, pause: 30m}
        - {weight: 100}
      analysis:
        - {metric: error_rate, max: 0.01}
      on_failure: rollback
  test: {requests: "tests/requests/*.json"}
  resources: {cpus: 2, memory: 512Mi, replicas: {min: 1, max: 4}}
  on_register: true
  min_requests: 50

monitor:
  reference: data.train
  window: 24h
  drift: {test: psi, threshold: 0.2, features: all}
  performance: {metric: val_auc, min: 0.83, labels: "s3://acme/churn/labels/"}
  notify: [slack]

triggers:
  pull_request: {comment: "/train", paths: ["**.py", headway.yaml], roles: [write]}
  push: {branches: [main]}
  schedule: {cron: "0 3 * * 1"}
  retrain: {when: [drift, performance], cooldown: 24h, open_pull_request: true}

engine:
  type: kubernetes
  namespace: ml
  concurrency: {group: pull_request, cancel_in_progress: false}
  price_per_hour: 0.04
  currency: EUR

report: {template: report.md.j2, columns: [val_logloss]}
tracking: {uri: "https://mlflow.example/team/", mode: log, gates: false, username: TRACKER_USER, password: TRACKER_WORD}
notifications:
  slack: {channel: "#churn-models", events: [gate_failed, drift]}
commands: {run-full-test: train lr=0.1}
"""


def mistakes(text: str | bytes, **options: object) -> list[str]:
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(ProjectFileError) as caught:
        read_project(data, **options)  # type: ignore[arg-type]
    assert isinstance(caught.value, ConfigError)
    return [str(problem) for problem in caught.value.problems]


def full(old: str = "", new: str = "") -> str:
    assert not old or FULL.count(old) == 1, f"{old!r} stands {FULL.count(old)} times"
    return FULL.replace(old, new) if old else FULL


def test_four_lines_are_a_project() -> None:
    spec = read_project(MINIMAL.encode())
    (step,) = spec.steps
    assert (spec.name, spec.root, step.name, step.run, step.outputs) == ("churn", "", "train", "python train.py", ())
    assert spec.metrics == (MetricSpec(name="val_auc", goal=Goal.MAXIMIZE, primary=True),)
    assert spec.gates.baseline == "production"
    assert spec.gates.rules == (GateSpec(id="val_auc regression", metric="val_auc", max_regression=0.0),)
    assert (spec.deploy, spec.model, spec.predictions, spec.engine.type) == (None, None, None, "local")


def test_a_project_knows_its_folder() -> None:
    assert read_project(MINIMAL.encode(), path="models/churn/headway.yaml").root == "models/churn"


def test_the_step_of_a_short_file_writes_what_the_file_refers_to() -> None:
    text = MINIMAL + "model: {path: out/model/}\npredictions: {path: out/p.csv, id: id, score: p, holdout: h.csv}\n"
    assert read_project(text.encode()).steps[0].outputs == ("out/model", "out/p.csv")


@pytest.fixture(scope="module")
def spec() -> ProjectSpec:
    return read_project(FULL.encode())


class TestTheFullForm:
    def test_steps(self, spec: ProjectSpec) -> None:
        prepare, train, evaluate = spec.steps
        assert prepare.resources == Resources(cpus=4.0, memory_mb=8192)
        assert (prepare.cache, prepare.network, prepare.base) == (False, False, False)
        assert train.resources == Resources(cpus=0.5, memory_mb=8192, accelerators="H100:1", disk_mb=9537, processes=64)
        assert train.outputs == ("build/model", "build/predictions.csv")
        assert (train.timeout, train.retries, train.network) == (timedelta(minutes=90), 1, True)
        assert (train.code, train.variables) == (("src/**", "train.py"), {"A": "b"})
        assert (evaluate.base, evaluate.inputs) == (True, ("build/model", "data.holdout"))

    def test_values(self, spec: ProjectSpec) -> None:
        assert spec.params == {"lr": 0.05, "max_depth": 6, "kind": "gbm", "warm": True}
        assert [type(value) for value in spec.params.values()] == [float, int, str, bool]
        assert [(each.name, each.uri) for each in spec.data] == [
            ("train", "s3://acme/churn/train.parquet"),
            ("holdout", "data/holdout.csv"),
        ]
        assert (spec.seed, spec.env.python, spec.env.lockfile) == (7, "3.12", "uv.lock")
        assert (spec.env.variables, spec.env.secrets) == ({"OMP_NUM_THREADS": "4", "EMPTY": ""}, ("WAREHOUSE_TOKEN",))

    def test_metrics_and_predictions(self, spec: ProjectSpec) -> None:
        assert [(each.name, each.goal, each.primary, each.compute) for each in spec.metrics] == [
            ("val_auc", Goal.MAXIMIZE, False, "roc_auc"),
            ("val_logloss", Goal.MINIMIZE, False, None),
            ("latency_p95_ms", Goal.MINIMIZE, True, None),
        ]
        assert spec.predictions == PredictionsSpec(
            path="build/predictions.csv",
            id="flight",
            prediction="late",
            score="p",
            slices=("country", "plan"),
            holdout_path="build/holdout.csv",
        )

    def test_gates(self, spec: ProjectSpec) -> None:
        assert spec.gates.baseline == "main"
        assert [rule.id for rule in spec.gates.rules] == [
            "val_auc>=0.85",
            "val_auc regression",
            "val_auc paired",
            "latency_p95_ms<=40",
            "val_auc by country,plan",
            "fair",
            "data_drift train",
        ]
        _, _, paired, latency, sliced, fair, drift = spec.gates.rules
        assert (paired.paired, paired.max_regression, paired.confidence) == (True, 0.0, 0.9)
        assert (latency.maximum, latency.severity) == (40.0, Severity.WARN)
        assert (sliced.slices, sliced.min_rows, sliced.max_regression) == (("country", "plan"), 500, 0.01)
        assert (fair.fairness, fair.metric, fair.maximum) == ("demographic_parity_difference", None, 0.1)
        assert (drift.check, drift.data, drift.maximum) == ("data_drift", "train", 0.2)

    def test_release(self, spec: ProjectSpec) -> None:
        deploy = spec.deploy
        assert deploy is not None
        assert (deploy.environment, deploy.staging, deploy.target) == ("live", True, "command")
        assert (deploy.command, deploy.status_command) == ("./deploy.sh --prod", "./status.sh")
        assert (deploy.approvals, deploy.reviewers) == (2, ("@acme/ml-leads", "dan"))
        assert deploy.steps == (CanaryStep(weight=10, pause=timedelta(minutes=30)), CanaryStep(weight=100))
        assert deploy.analysis == (AnalysisRule(metric="error_rate", maximum=0.01),)
        assert deploy.test == ModelTest(requests="tests/requests/*.json")
        assert deploy.resources == Resources(cpus=2.0, memory_mb=512)
        assert (deploy.replicas_min, deploy.replicas_max, deploy.on_register, deploy.min_requests) == (1, 4, True, 50)
        assert spec.model is not None
        assert (spec.model.name, spec.model.path) == ("churn", "build/model")

    def test_the_rest(self, spec: ProjectSpec) -> None:
        assert spec.triggers.push_branches == ("main",)
        assert (spec.triggers.schedule, spec.triggers.comment_roles) == ("0 3 * * 1", ("write",))
        assert spec.triggers.retrain == {
            "when": ["drift", "performance"],
            "cooldown": 86400.0,
            "open_pull_request": True,
        }
        assert (spec.engine.type, spec.engine.cancel_in_progress) == ("kubernetes", False)
        assert (spec.engine.price_per_hour, spec.engine.currency) == (0.04, "EUR")
        assert (spec.report.template, spec.report.columns) == ("report.md.j2", ("val_logloss",))
        assert spec.tracking == TrackingSpec(
            uri="https://mlflow.example/team",
            mode="log",
            experiment=spec.name,
            gates=False,
            username="TRACKER_USER",
            password="TRACKER_WORD",
        )
        assert spec.notifications == (
            NotifySpec(
                kind="slack", secret="SLACK_WEBHOOK_URL", events=("gate_failed", "drift"), channel="#churn-models"
            ),
        )
        assert spec.commands == {"run-full-test": "train lr=0.1"}
        assert spec.tune is not None
        assert spec.tune["max_trials"] == 60
        assert spec.monitor is not None
        assert spec.monitor["window"] == 86400.0

    def test_it_survives_json(self, spec: ProjectSpec) -> None:
        assert msgspec.json.decode(msgspec.json.encode(spec), type=ProjectSpec) == spec


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        ("metrics:\n", "metric:\n", "unknown key `metric`, did you mean `metrics`? (write `metrics:`)"),
        ("engine:\n", "Engine:\n", "unknown key `Engine`, did you mean `engine`?"),
        ("report:", "on:", "unknown key `on` (the key is called `triggers:`)"),
        ("report:", "something:", "unknown key `something` (known here: version, name, run"),
        ("/team/", "/team/?a=1", "`tracking.uri`: `https://mlflow.example/team/?a=1` is not the address of an MLflow"),
        ("https://mlflow", "https://ann:x@mlflow", "is not the address of an MLflow server, without a user"),
        ("https://mlflow", "file://mlflow", "is not the address of an MLflow server"),
        (", password: TRACKER_WORD", "", "`username` is there and `password` is not"),
        ("gates: false", "token: TRACKER_TOKEN", "a token and a user are there, and only one can be sent"),
        ("TRACKER_WORD", "hunter-2", "`tracking.password`: `hunter-2` is not a variable's name"),
        ("reviewers:", "reviewer:", "unknown key `reviewer` in `deploy.approval`, did you mean `reviewers`?"),
        ("max_trials", "max-trials", "unknown key `max-trials` in `tune`, did you mean `max_trials`?"),
        ("name: churn\n", "", "the file lacks the key `name`: the project's name (add `name: churn`)"),
        ("name: churn\n", "name: ../x\n", "`name`: `../x` is not a name"),
        (
            "name: churn\n",
            "name: 7\n",
            '`name`: `7` is read as the number 7, it must be a name (write it in quotes: "7")',
        ),
        ("name: churn\n", "name:\n", "`name` has no value"),
        ("name: churn\n", "name: churn\nname: b\n", "the key `name` stands twice, first in line 2"),
        ("version: 1\n", "version: 2\n", "`version`: `2` is not a whole number from 1 to 1"),
        (
            'python: "3.12"',
            "python: 3.10",
            'read as the number 3.1, it must be a Python version in quotes, such as `"3.12"`',
        ),
        ('python: "3.12"', 'python: "2.7"', "`2.7` is not a Python version"),
        ('OMP_NUM_THREADS: "4"', "OMP_NUM_THREADS: 4", 'it must be text (write it in quotes: "4")'),
        ("timeout: 1h30m", "timeout: 30", "`30` is read as the number 30, it must be a duration such as `30m`"),
        ("timeout: 1h30m", "timeout: 1 hour", "`1 hour` is not a duration such as `30m`"),
        ("memory: 8Gi", "memory: 8", "it must be an amount such as `512Mi` or `8Gi`"),
        ("memory: 8Gi", "memory: 8GB", "`8GB` is not an amount"),
        ("cpus: 4,", "cpus: 0,", "`0` is not a number above 0 to 4096"),
        ("cpus: 4,", 'cpus: "4",', "(write the number without quotes)"),
        ("cpus: 4,", "cpus: .nan,", "`.nan` is not a number above 0"),
        ("accelerators: H100", "accelerators: 'H100:x'", "is not an accelerator such as `H100:1`"),
        ("retries: 1", "retries: 1.5", "`1.5` is not a whole number from 0 to 10"),
        ("cache: false", "cache: no", "`no` is not true or false"),
        ("from: base", "from: main", "`main` is unknown (write one of change | base)"),
        ("lr: 0.05", "lr: [1]", "`params.lr` is a list, it must be a text, a number, true or false"),
        ("lr: 0.05", "lr: .inf", "`.inf` is not a number of at most 64 bits"),
        ("needs: [prepare]", "needs: prepare", "must be a list (write `[prepare]`)"),
        ("needs: [prepare]", "needs: [prepar]", "there is no step `prepar`, did you mean `prepare`?"),
        ("needs: [prepare]", "needs: [train]", "the step `train` needs itself"),
        ("needs: [prepare]", "needs: [evaluate]", "steps wait for each other in a circle"),
        ("inputs: [data.train]", "inputs: [data.trian]", "there is no data set `trian`, did you mean `train`?"),
        ("inputs: [data.train]", "inputs: [build/features.parquet]", "which it writes itself"),
        ("inputs: [data.train]", "inputs: [../secret]", "`../secret` is not a path inside the project"),
        ("inputs: [data.train]", "inputs: [/etc/passwd]", "is not a path inside the project"),
        ("outputs: [build/holdout.csv]", "outputs: [build/model/x]", "is written by the step `train` too"),
        ("run: python prepare.py --from ${data.train}", "run: a && b", "`&&` means something to a shell only"),
        ("run: python prepare.py --from ${data.train}", "run: echo 'a", "cannot be split into words"),
        (
            "run: python prepare.py --from ${data.train}",
            "run: a ${params.lt}",
            "there is no param or data set `params.lt`, did you mean `params.lr`?",
        ),
        ("run: python prepare.py --from ${data.train}", "cache: true", "stands twice"),
        ("goal: maximize", "goal: maximise", "`maximise` is unknown, did you mean `maximize`?"),
        ("val_logloss: minimize", "val_logloss: {primary: true}", "is primary, and so is"),
        ("compute: roc_auc", "compute: auc", "`auc` is unknown"),
        ("  score: p\n", "", "`roc_auc` needs the column `score`, which is not declared"),
        (
            "metric: val_auc, min: 0.85",
            "metric: val_auk, min: 0.85",
            "there is no metric `val_auk`, did you mean `val_auc`?",
        ),
        ("{metric: val_auc, min: 0.85}", "{metric: val_auc}", "the rule sets no limit"),
        (
            "{metric: val_auc, min: 0.85}",
            "{min: 0.85}",
            "needs exactly one of `metric` or `fairness` or `check`, and has none of them",
        ),
        ("{metric: val_auc, min: 0.85}", "{metric: val_auc, min: 2, max: 1}", "min 2 is above max 1"),
        (
            "{metric: val_auc, min: 0.85}",
            "{metric: val_auc, max_regression: 1}",
            "known as `val_auc regression`, and so is rule 1",
        ),
        ("max_regression: 0.002", "max_regression: -1", "`-1` is not a number from 0"),
        (
            "slices: [country, plan], min_rows",
            "slices: [county], min_rows",
            "there is no slice column `county`, did you mean `country`?",
        ),
        (
            "fairness: demographic_parity_difference, slices: [plan]",
            "fairness: demographic_parity_difference",
            "needs the groups that it compares",
        ),
        ("data: train, max_psi", "data: trai, max_psi", "there is no data set `trai`"),
        ("baseline: main", "baseline: dev", "`dev` is not production, main, run:ID or model:NAME@ALIAS"),
        ("metric: val_auc\n  max_trials", "metric: auc\n  max_trials", "there is no metric `auc`"),
        ("step: train\n", "step: tran\n", "there is no step `tran`, did you mean `train`?"),
        ("max_depth: {values", "max_dept: {values", "there is no param `max_dept`, did you mean `max_depth`?"),
        ("min: 0.001, max: 0.3", "min: 0, max: 0.3", "the range of `lr` is empty"),
        ("min: 0.001, max: 0.3", "min: 0.001", "lacks `min` or `max`"),
        (
            "model: {path: build/model",
            "model: {path: build/modle",
            "no step writes `build/modle`, did you mean `build/model`?",
        ),
        ("path: build/predictions.csv", "path: p.csv", "no step writes `p.csv` (add it to the `outputs`"),
        ("- {weight: 100}", "- {weight: 90}", "the weights end at 90, not at 100"),
        ("- {weight: 100}", "- {weight: 5}", "the weight 5 does not rise above 10"),
        ("- {weight: 100}", "- {weight: 101}", "is not a whole number from 1 to 100"),
        ("command: ./deploy.sh --prod\n", "command: a | b\n", "`|` means something to a shell only"),
        ("  command: ./deploy.sh --prod\n", "", "the target `command` needs the script it runs"),
        ("target: command", "target: local", "`command` is run by the target `command`, and the target is `local`"),
        ('{requests: "tests/requests/*.json"}', "{}", "needs exactly one of `run` or `requests`"),
        ("replicas: {min: 1, max: 4}", "replicas: {min: 5, max: 4}", "min is above max"),
        ("reference: data.train", "reference: train", "`train` is not `data.NAME`"),
        (
            "reference: data.train",
            "reference: data.trai",
            "there is no data set `data.trai`, did you mean `data.train`?",
        ),
        ("performance: {metric: val_auc", "performance: {metric: auc", "there is no metric `auc`"),
        ('cron: "0 3 * * 1"', "cron: daily", "is not five cron fields"),
        ("events: [gate_failed, drift]", "events: [gate_fail]", "`gate_fail` is unknown, did you mean `gate_failed`?"),
        (
            "run-full-test: train lr=0.1",
            "train: plan",
            "the command `train` cannot be: `train` is a verb of Headway already",
        ),
        ("run-full-test: train lr=0.1", "x: run", "does not begin with a verb"),
        ("run-full-test: train lr=0.1", "X: train", "`X` is not a word of small letters"),
    ],
)
def test_a_mistake_is_named_with_its_mending(old: str, new: str, mistake: str) -> None:
    found = mistakes(full(old, new))
    assert any(mistake in each for each in found), found


def test_each_mistake_stands_at_its_line_and_column() -> None:
    text = MINIMAL + "gates:\n  rules:\n    - {metric: val_auc, minimum: 1}\n    - {metric: auc, min: 1}\nmetric: x\n"
    assert [each.split(": ")[0] for each in mistakes(text, path="a/headway.yaml")] == [
        "a/headway.yaml:7:7",
        "a/headway.yaml:7:25",
        "a/headway.yaml:8:8",
        "a/headway.yaml:9:1",
    ]


def test_all_mistakes_are_shown_together() -> None:
    with pytest.raises(ProjectFileError) as caught:
        read_project(b"nam: x\nrun: [a]\nmetrics: {a: 3}\n")
    assert caught.value.message == "headway.yaml has 4 mistakes"
    assert caught.value.cause.count("\n") == 3
    with pytest.raises(ProjectFileError) as caught:
        read_project(b"name: x\nrun: python train.py\nmetric: {}\n")
    assert caught.value.message == "headway.yaml:3:1: unknown key `metric`, did you mean `metrics`?"
    assert caught.value.hint == "write `metrics:`"


def test_thousands_of_mistakes_are_cut() -> None:
    with pytest.raises(ProjectFileError) as caught:
        read_project("\n".join(f"k{number}: 1" for number in range(2000)).encode())
    assert caught.value.cause.endswith("more")
    assert len(caught.value.cause) < 20_000


def test_one_mistake_makes_no_second() -> None:
    assert len(mistakes(MINIMAL.replace("goal: maximize", "goal: up") + "gates: [{metric: val_auc, min: 1}]\n")) == 1
    assert len(mistakes(MINIMAL.replace("{goal: maximize}", "[1]") + "gates: [{metric: val_auc, min: 1}]\n")) == 1
    assert len(mistakes(MINIMAL.replace("run: python train.py", "run: 3") + "model: {path: m}\n")) == 1
    assert len(mistakes("name: x\nrun: a\npipeline: {steps: {a: {run: b}}}\n")) == 1


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_file_is_said_to_be_empty(text: str) -> None:
    found = mistakes(text)
    assert len(found) == 1
    assert "the file" in found[0]


@pytest.mark.parametrize("text", ["- a\n", "text\n", "3\n", "[]\n"])
def test_a_file_that_is_no_mapping_is_refused(text: str) -> None:
    assert "the file must be a mapping" in mistakes(text)[0]


def test_inputs_are_looked_up_where_the_files_are_known() -> None:
    text = full("inputs: [data.train]", "inputs: [config, build/featurs.parquet]").replace("${data.train}", "x")
    found = mistakes(text, files=["config/a.yaml", "train.py"])
    assert len(found) == 1
    assert (
        "no step writes `build/featurs.parquet` and no file is there, did you mean `build/features.parquet`?"
        in found[0]
    )
    assert read_project(text.encode()).steps[0].inputs == ("config", "build/featurs.parquet")


def test_gates_may_be_a_list_or_only_a_baseline() -> None:
    spec = read_project((MINIMAL + "gates: [{metric: val_auc, min: 0.5, max: 0.9, slices: [a]}]\n").encode())
    assert [rule.id for rule in spec.gates.rules] == ["val_auc>=0.5 <=0.9 by a"]
    spec = read_project((MINIMAL + "gates: {baseline: 'model:churn@champion'}\n").encode())
    assert (spec.gates.baseline, len(spec.gates.rules)) == ("model:churn@champion", 1)
    assert read_project((MINIMAL + "gates: []\n").encode()).gates.rules == ()


@pytest.mark.parametrize(
    "rule", ["{metric: val_auc, paired: true}", "{fairness: equalized_odds_ratio, slices: [a], min: 0.8}"]
)
def test_rules_over_rows_need_predictions(rule: str) -> None:
    assert "no predictions are declared" in mistakes(MINIMAL + f"gates: [{rule}]\n")[0]


def test_words_of_yaml_1_1_are_text() -> None:
    text = (
        MINIMAL + "params: {a: no, b: on, c: 1:30, d: 010, e: 0x10, f: 1e3, g: yes, h: '1', i: 1_000, j: 2026-11-02}\n"
    )
    assert read_project(text.encode()).params == {
        "a": "no", "b": "on", "c": "1:30", "d": 10, "e": 16, "f": 1000.0, "g": "yes", "h": "1", "i": "1_000",
        "j": "2026-11-02",
    }  # fmt: skip


def test_an_alias_repeats_a_value() -> None:
    text = MINIMAL + "params: &p {a: 1}\nenv: {variables: {A: &t text, B: *t}}\n"
    assert read_project(text.encode()).env.variables == {"A": "text", "B": "text"}


class TestTriggers:
    CONFIG = "name: a\nrun: python x.py\nmetrics: {m: {goal: maximize}}\nmodel: {name: own}\n"

    def test_labels_versions_and_names_are_read(self) -> None:
        text = self.CONFIG + "triggers: {label: [train me], version: [other], dispatch: [data-landed]}\n"
        found = read_project(text.encode(), path="headway.yaml").triggers
        assert (found.labels, found.versions, found.dispatch) == (("train me",), ("other",), ("data-landed",))

    @pytest.mark.parametrize(
        ("triggers", "says"),
        [
            ('schedule: {cron: "0 0 31 2 *"}', "never comes"),
            ('schedule: {cron: "99 0 * * *"}', "no minute"),
            ("version: [own]", "train for ever"),
        ],
    )
    def test_what_cannot_be_is_said_with_its_line(self, triggers: str, says: str) -> None:
        with pytest.raises(ConfigError, match=says) as caught:
            read_project(f"{self.CONFIG}triggers: {{{triggers}}}\n".encode(), path="headway.yaml")
        assert "headway.yaml:5:" in str(caught.value)


CLUSTER = """\
name: churn
engine: {type: kubernetes, namespace: ml}
image: registry.example/ml/torch:2.4
volumes: {scratch: /scratch}
pipeline:
  steps:
    prepare: {run: python prepare.py, volumes: {scratch: {path: /scratch/, read_only: false}}}
    train:
      run: python train.py
      image: registry.example/ml/jax@sha256:abc
      volumes: {datasets: /data/sets}
"""


def cluster(old: str, new: str) -> list[str]:
    assert CLUSTER.count(old) == 1
    return mistakes(CLUSTER.replace(old, new))


def test_images_and_volumes_of_a_cluster() -> None:
    prepare, train = read_project(CLUSTER.encode()).steps
    assert prepare.image == "registry.example/ml/torch:2.4"
    assert prepare.volumes == (VolumeSpec(name="scratch", path="/scratch", read_only=False),)
    assert train.image == "registry.example/ml/jax@sha256:abc"
    assert train.volumes == (
        VolumeSpec(name="scratch", path="/scratch"),
        VolumeSpec(name="datasets", path="/data/sets"),
    )
    short = read_project(b"name: a\nrun: python t.py\nengine: {type: kubernetes}\nimage: python:3.12\n")
    assert short.steps[0].image == "python:3.12"


@pytest.mark.parametrize(
    ("old", "new", "place", "says"),
    [
        ("namespace: ml", "namespace: ML_team", "2:", "is not the name of a namespace"),
        ("type: kubernetes", "type: local", "3:1", "`image` means something to a cluster only"),
        ("/data/sets", "data/sets", "11:27", "is not an absolute path"),
        ("/data/sets", "/data/../etc", "11:27", "is not an absolute path"),
        ("/data/sets", "/etc/ssl", "11:17", "nothing can be mounted at `/etc/ssl`"),
        ("/data/sets", "/headway/attempt", "11:17", "nothing can be mounted at `/headway/attempt`"),
        ("/data/sets", "/", "11:27", "is not an absolute path"),
        ("/data/sets", "/scratch", "11:17", "the volumes `scratch` and `datasets` are both at `/scratch`"),
        ("jax@sha256:abc", "../../jax", "10:14", "is not a container image"),
        ("jax@sha256:abc", "jax; rm", "10:14", "is not a container image"),
        ("read_only: false", "readonly: false", "7:", "unknown key `readonly`"),
        ("path: /scratch/, ", "", "7:", "lacks the key `path`"),
    ],
)
def test_mistakes_about_a_cluster_are_said_with_their_place(old: str, new: str, place: str, says: str) -> None:
    found = cluster(old, new)
    assert any(says in each and each.startswith(f"headway.yaml:{place}") for each in found), found


@pytest.mark.parametrize(("written", "meant"), [("minimum", "min"), ("maximum", "max")])
def test_a_longer_word_for_a_key_is_understood(written: str, meant: str) -> None:
    text = MINIMAL + f"gates: {{rules: [{{metric: val_auc, {written}: 0.5}}]}}\n"
    with pytest.raises(ProjectFileError) as caught:
        read_project(text.encode())
    assert f"did you mean `{meant}`" in str(caught.value.problems[0]) + str(caught.value.problems[-1])
