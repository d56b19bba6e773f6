"""Gate rules: the default one, and the name that each rule is known by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headway.projects.model import GateSpec, MetricSpec, Severity


def rule_id(rule: Mapping[str, Any]) -> str:
    """Return the rule's own id, or one that says what it demands: stable as long as the rule is.

    `val_auc>=0.85`, `val_auc regression`, `val_auc by origin`, `val_auc paired`, `data_drift train`.
    """
    if rule.get("id"):
        return str(rule["id"])
    subject = str(rule.get("metric") or rule.get("fairness") or rule.get("check"))
    limits = [
        f"{sign}{_number(rule[key])}" for sign, key in ((">=", "min"), ("<=", "max")) if rule.get(key) is not None
    ]
    words = [subject + " ".join(limits)]
    slices = [str(column) for column in rule.get("slices") or ()]
    if rule.get("paired"):
        words.append("paired")
    elif rule.get("max_regression") is not None and not (slices and not limits):
        words.append("regression")
    if rule.get("data"):
        words.append(str(rule["data"]))
    if slices:
        words.append("by " + ",".join(slices))
    return " ".join(words)


def read_rule(rule: Mapping[str, Any]) -> GateSpec:
    """Return a rule as the gates read it; the mapping has passed the table of keys."""
    has_limit = any(rule.get(key) is not None for key in ("min", "max", "max_regression", "max_psi"))
    return GateSpec(
        id=rule_id(rule),
        metric=rule.get("metric"),
        minimum=_float(rule.get("min")),
        maximum=_float(rule.get("max_psi", rule.get("max"))),
        # A paired rule without a limit asks for no loss at all.
        max_regression=0.0 if rule.get("paired") and not has_limit else _float(rule.get("max_regression")),
        slices=tuple(rule.get("slices", ())),
        min_rows=rule.get("min_rows", 200),
        paired=rule.get("paired", False),
        confidence=float(rule.get("confidence", 0.95)),
        fairness=rule.get("fairness"),
        check=rule.get("check"),
        data=rule.get("data"),
        severity=Severity(rule.get("severity", "fail")),
    )


def default_rules(metrics: Sequence[MetricSpec]) -> tuple[GateSpec, ...]:
    """Return what holds where a file says nothing of gates: the primary metric is not worse than the baseline."""
    return tuple(
        GateSpec(id=rule_id({"metric": metric.name, "max_regression": 0}), metric=metric.name, max_regression=0.0)
        for metric in metrics
        if metric.primary
    )


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)
