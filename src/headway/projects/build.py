"""Checked values to the frozen specification, every default filled in."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from headway.projects.model import (
    AnalysisRule,
    CanaryStep,
    DataSpec,
    DeploySpec,
    EngineSpec,
    EnvironmentRule,
    EnvSection,
    GatesSpec,
    Goal,
    MetricSpec,
    ModelSpec,
    ModelTest,
    NotifySpec,
    PredictionsSpec,
    ProjectSpec,
    ReportSpec,
    Resources,
    RetentionSpec,
    StepSpec,
    TrackingSpec,
    TriggersSpec,
    VolumeSpec,
)
from headway.projects.rules import default_rules, read_rule

DEFAULT_STEP = "train"
_SECRETS = {"slack": "SLACK_WEBHOOK_URL", "webhook": "WEBHOOK_URL"}
_MINIMIZED = (
    "loss",
    "error",
    "err",
    "rmse",
    "mse",
    "mae",
    "mape",
    "latency",
    "brier",
    "perplexity",
    "wer",
    "fpr",
    "fnr",
)

Doc = Mapping[str, Any]


def build(doc: Doc, *, root: str) -> ProjectSpec:
    """Return the project of a file without mistakes; `root` is its folder in the repository."""
    metrics = _metrics(doc.get("metrics", {}))
    return ProjectSpec(
        name=doc["name"],
        root=root,
        version=doc.get("version", 1),
        env=_env(doc.get("env", {})),
        data=tuple(DataSpec(name=name, uri=_uri(value)) for name, value in doc.get("data", {}).items()),
        params=dict(doc.get("params", {})),
        steps=_steps(doc),
        metrics=metrics,
        predictions=_predictions(doc.get("predictions")),
        gates=_gates(doc.get("gates"), metrics),
        model=_model(doc.get("model"), doc["name"]),
        deploy=_deploy(doc.get("deploy")),
        triggers=_triggers(doc.get("triggers", {})),
        engine=_engine(doc.get("engine", {})),
        report=ReportSpec(
            template=_path(doc.get("report", {}).get("template")),
            columns=tuple(doc.get("report", {}).get("columns", ())),
        ),
        tracking=_tracking(doc.get("tracking"), doc["name"]),
        retention=_retention(doc.get("retention") or {}),
        notifications=_notifications(doc.get("notifications", {})),
        commands=dict(doc.get("commands", {})),
        tune=plain(doc.get("tune")),
        monitor=plain(doc.get("monitor")),
        seed=doc.get("seed"),
    )


def steps_of(doc: Doc) -> dict[str, Mapping[str, Any]]:
    """Return the steps by name; a file with `run:` has one, which writes what the file refers to."""
    if "run" not in doc:
        steps = (doc.get("pipeline") or {}).get("steps") or {}
        return {name: step or {} for name, step in steps.items()}
    wanted = ((doc.get("model") or {}).get("path"), (doc.get("predictions") or {}).get("path"))
    return {DEFAULT_STEP: {"run": doc["run"], "outputs": [path for path in wanted if path]}}


def goal_of(name: str) -> Goal:
    """Return the direction that a metric's name suggests, for where nobody stated one."""
    words = name.lower().replace("/", "_").replace(".", "_").replace("-", "_").split("_")
    # log_loss, logloss, val_loss, and units of time.
    is_small = any(word in _MINIMIZED or word.endswith(("loss", "error")) for word in words)
    return Goal.MINIMIZE if is_small or words[-1] in {"ms", "seconds"} else Goal.MAXIMIZE


def plain(value: Any) -> Any:
    """Return a section whose machinery comes later as JSON has it: durations become seconds."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value.total_seconds() if isinstance(value, timedelta) else value


def _path(path: str | None) -> str | None:
    return None if path is None else posixpath.normpath(path)


def _uri(value: Any) -> str:
    return str(value["uri"] if isinstance(value, Mapping) else value)


def _env(section: Doc) -> EnvSection:
    return EnvSection(
        python=section.get("python"),
        lockfile=_path(section.get("lockfile")),
        variables=dict(section.get("variables", {})),
        secrets=tuple(section.get("secrets", ())),
    )


def _resources(section: Doc, default: Resources | None = None) -> Resources:
    base = default or Resources()
    cpus = section.get("cpus", base.cpus)
    return Resources(
        cpus=None if cpus is None else float(cpus),
        memory_mb=section.get("memory", base.memory_mb),
        accelerators=section.get("accelerators", base.accelerators),
        disk_mb=section.get("disk", base.disk_mb),
        processes=section.get("processes", base.processes),
    )


def _steps(doc: Doc) -> tuple[StepSpec, ...]:
    default = _resources(doc.get("resources", {}))
    return tuple(
        StepSpec(
            name=name,
            run=step["run"],
            needs=tuple(step.get("needs", ())),
            inputs=tuple(posixpath.normpath(path) for path in step.get("inputs", ())),
            outputs=tuple(posixpath.normpath(path) for path in step.get("outputs", ())),
            code=tuple(step.get("code", ())),
            base=step.get("from") == "base",
            cache=step.get("cache", True),
            resources=_resources(step.get("resources", {}), default),
            timeout=step.get("timeout"),
            retries=step.get("retries", 0),
            variables=dict(step.get("variables", {})),
            network=step.get("network", doc.get("network")),
            image=step.get("image", doc.get("image")),
            volumes=_volumes({**doc.get("volumes", {}), **step.get("volumes", {})}),
        )
        for name, step in steps_of(doc).items()
    )


def _volumes(section: Doc) -> tuple[VolumeSpec, ...]:
    read: dict[str, Doc] = {
        name: {"path": value} if isinstance(value, str) else value for name, value in section.items()
    }
    return tuple(
        VolumeSpec(name=name, path=posixpath.normpath(value["path"]), read_only=value.get("read_only", True))
        for name, value in read.items()
    )


def _metrics(section: Doc) -> tuple[MetricSpec, ...]:
    read = {name: {"goal": value} if isinstance(value, str) else value or {} for name, value in section.items()}
    chosen = next((name for name, value in read.items() if value.get("primary")), next(iter(read), None))
    return tuple(
        MetricSpec(
            name=name,
            goal=Goal(value["goal"]) if "goal" in value else goal_of(value.get("compute", name)),
            primary=name == chosen,
            compute=value.get("compute"),
        )
        for name, value in read.items()
    )


def _predictions(section: Doc | None) -> PredictionsSpec | None:
    if section is None:
        return None
    return PredictionsSpec(
        path=posixpath.normpath(section["path"]),
        id=section["id"],
        prediction=section.get("prediction"),
        score=section.get("score"),
        slices=tuple(section.get("slices", ())),
        holdout_path=posixpath.normpath(section["holdout"]),
        label=section.get("label", "label"),
    )


def _gates(section: Any, metrics: tuple[MetricSpec, ...]) -> GatesSpec:
    if section is None:
        return GatesSpec(rules=default_rules(metrics))
    if isinstance(section, list):
        return GatesSpec(rules=tuple(read_rule(rule) for rule in section))
    # A file that only names its baseline has said nothing of the rules.
    rules = tuple(read_rule(rule) for rule in section["rules"]) if "rules" in section else default_rules(metrics)
    return GatesSpec(baseline=section.get("baseline", "production"), rules=rules)


def _model(section: Doc | None, project: str) -> ModelSpec | None:
    if section is None:
        return None
    return ModelSpec(
        name=section.get("name", project),
        path=_path(section.get("path")),
        signature=section.get("signature", "infer"),
    )


def _deploy(section: Doc | None) -> DeploySpec | None:
    if section is None:
        return None
    default = DeploySpec()
    canary = section.get("strategy", {}).get("canary", {})
    approval, resources = section.get("approval", {}), section.get("resources", {})
    replicas = resources.get("replicas", {})
    least = replicas.get("min", min(1, replicas.get("max", 1)))
    test = section.get("test")
    return DeploySpec(
        environment=section.get("environment", default.environment),
        staging=section.get("staging", default.staging),
        target=section.get("target", default.target),
        command=section.get("command"),
        status_command=section.get("status_command"),
        namespace=section.get("namespace"),
        approvals=approval.get("required", default.approvals),
        reviewers=tuple(approval.get("reviewers", ())),
        steps=tuple(
            CanaryStep(weight=step["weight"], pause=step.get("pause", timedelta(0))) for step in canary.get("steps", ())
        )
        or default.steps,
        analysis=tuple(
            AnalysisRule(metric=rule["metric"], maximum=float(rule["max"])) for rule in canary.get("analysis", ())
        ),
        min_requests=section.get("min_requests", default.min_requests),
        on_failure=canary.get("on_failure", default.on_failure),
        test=None if test is None else ModelTest(run=test.get("run"), requests=test.get("requests")),
        resources=_resources(resources),
        replicas_min=least,
        replicas_max=replicas.get("max", max(1, least)),
        on_register=section.get("on_register", default.on_register),
        environments=tuple(
            EnvironmentRule(
                name=name, roles=tuple(rule.get("roles", ("maintain",))), users=tuple(rule.get("users", ()))
            )
            for name, rule in section.get("environments", {}).items()
        ),
    )


def _triggers(section: Doc) -> TriggersSpec:
    default = TriggersSpec()
    change = section.get("pull_request", {})
    return TriggersSpec(
        push_branches=tuple(section.get("push", {}).get("branches", ())),
        comment_roles=tuple(change.get("roles", default.comment_roles)),
        paths=tuple(change.get("paths", ())),
        schedule=section.get("schedule", {}).get("cron"),
        labels=tuple(section.get("label", ())),
        versions=tuple(section.get("version", ())),
        dispatch=tuple(section.get("dispatch", ())),
        comment=change.get("comment", default.comment),
        retrain=plain(section.get("retrain")),
    )


def _engine(section: Doc) -> EngineSpec:
    default = EngineSpec()
    price = section.get("price_per_hour")
    return EngineSpec(
        type=section.get("type", default.type),
        namespace=section.get("namespace"),
        cancel_in_progress=section.get("concurrency", {}).get("cancel_in_progress", default.cancel_in_progress),
        price_per_hour=None if price is None else float(price),
        currency=section.get("currency", default.currency),
    )


def _retention(section: Doc) -> RetentionSpec:
    runs = section.get("runs") or {}
    return RetentionSpec(
        trash=section.get("trash"),
        keep_last=runs.get("keep_last"),
        keep_days=runs.get("keep_days"),
    )


def _tracking(section: Doc | None, project: str) -> TrackingSpec | None:
    if section is None:
        return None
    default = TrackingSpec(uri="")
    return TrackingSpec(
        uri=section["uri"].rstrip("/"),
        mode=section.get("mode", default.mode),
        experiment=section.get("experiment", project),
        gates=section.get("gates", default.gates),
        token=section.get("token", default.token),
        username=section.get("username", default.username),
        password=section.get("password", default.password),
    )


def _notifications(section: Doc) -> tuple[NotifySpec, ...]:
    return tuple(
        NotifySpec(
            kind=kind,
            secret=value.get("secret", _SECRETS[kind]),
            events=tuple(value.get("events", ())),
            channel=value.get("channel", ""),
        )
        for kind, value in section.items()
    )
