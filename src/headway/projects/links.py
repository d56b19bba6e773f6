"""What one part of a headway.yaml says of another: every name that is used must be declared."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from headway.commands.grammar import alias_problem
from headway.commands.nearest import nearest
from headway.projects.build import steps_of
from headway.projects.cron import parse_cron
from headway.projects.links_cluster import check_cluster
from headway.projects.problem import quoted
from headway.projects.rules import rule_id
from headway.projects.take import Path, Taken
from headway.projects.words import FROM_SCORE

_HOLE = re.compile(r"\$\{([^}]*)\}")
_FORGOTTEN = re.compile(r"(?<!\$)\{(?:params\.|data\.)?([^{}]*)\}")
_SHELL_WORDS = frozenset({"&&", "||", "|", ";", "&", ">", ">>", "<", "2>", "2>&1"})
_LIMITS = ("min", "max", "max_regression", "paired", "max_psi")


def check_links(taken: Taken, *, files: Collection[str] | None) -> None:
    """Report every name that nothing declares; `files` are the paths of the project, where they are known."""
    _check_runs(taken)
    _check_steps(taken, files)
    _check_metrics(taken)
    _check_outputs(taken)
    for index, rule in enumerate(_rules(taken)):
        _check_rule(rule, (*_rules_path(taken), index), taken)
    _check_rule_ids(taken)
    _check_tune(taken)
    _check_deploy(taken)
    _check_monitor(taken)
    _check_tracking(taken)
    _check_triggers(taken)
    check_cluster(taken)
    for alias, text in (taken.at("commands") or {}).items():
        problem = alias_problem(alias, text) if text is not None else None
        if problem:
            taken.report(("commands", alias), f"the command {quoted(alias)} cannot be: {problem}", "see `/help`")


def _declared(taken: Taken, *path: str) -> Mapping[str, Any]:
    found = taken.at(*path)
    return found if isinstance(found, Mapping) else {}


def _check_known(taken: Taken, path: Path, name: str | None, known: Iterable[str], *, what: str, add: str) -> None:
    names = tuple(known)
    if name is None or name in names:
        return
    near = nearest(name, names, close=3)
    meant = f", did you mean `{near}`?" if near else ""
    taken.report(path, f"there is no {what} {quoted(name)}{meant}", f"write `{near}`" if near else add)


# --- steps ------------------------------------------------------------------------------------------


def _check_runs(taken: Taken) -> None:
    at: list[tuple[Path, Any]] = [(("run",), taken.at("run"))]
    at += [
        (("pipeline", "steps", name, "run"), (step or {}).get("run"))
        for name, step in _declared(taken, "pipeline", "steps").items()
    ]
    at += [(("deploy", key), taken.at("deploy", key)) for key in ("command", "status_command")]
    at += [(("deploy", "test", "run"), taken.at("deploy", "test", "run"))]
    for path, run in at:
        if isinstance(run, str):
            _check_run(run, path, taken)


def _check_run(run: str, path: Path, taken: Taken) -> None:
    try:
        words = shlex.split(run)
    except ValueError as error:
        taken.report(path, f"{quoted(run)} cannot be split into words: {error}", "close the quotes")
        return
    if not words:
        taken.report(path, "the command line is empty", "write for example `python train.py`")
    shell = next((word for word in words if word in _SHELL_WORDS or word.endswith(";")), None)
    if shell is not None or "\n" in run.strip():
        said = quoted(shell) if shell is not None else "a second line"
        taken.report(
            path,
            f"{said} means something to a shell only, and no shell reads this line",
            "put the commands into a script and run that, or make them steps of their own",
        )
    if path[0] == "deploy":
        return
    known = [f"params.{name}" for name in _declared(taken, "params")]
    known += [f"data.{name}" for name in _declared(taken, "data")]
    for hole in _HOLE.findall(run):
        add = "`${params.NAME}` and `${data.NAME}` are filled in; the program reads other variables itself"
        _check_known(taken, path, hole.strip(), known, what="param or data set", add=add)
    for found in _FORGOTTEN.finditer(run):
        meant = next((name for name in known if name.partition(".")[2] == found[1].strip()), None)
        if meant is not None:
            taken.report(path, f"{quoted(found[0])} stays as it is: nothing is filled in", f"write `${{{meant}}}`")


def _check_steps(taken: Taken, files: Collection[str] | None) -> None:
    steps = steps_of(taken.value)
    edges: dict[str, set[str]] = {name: set() for name in steps}
    writers = _writers(taken, steps)
    for name, step in steps.items():
        for index, need in enumerate(step.get("needs", ())):
            path: Path = ("pipeline", "steps", name, "needs", index)
            if need == name:
                taken.report(path, f"the step {quoted(name)} needs itself", "remove it")
            elif need is not None:
                _check_known(taken, path, need, steps, what="step", add=f"steps are: {', '.join(steps)}")
                edges[name].add(need)
        for index, given in enumerate(step.get("inputs", ())):
            path = ("pipeline", "steps", name, "inputs", index)
            if given is not None:
                edges[name] |= _check_input(given, name, path, writers, files, taken)
    _check_circles(edges, taken)


def _writers(taken: Taken, steps: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    writers: dict[str, str] = {}
    for name, step in steps.items():
        for index, written in enumerate(step.get("outputs", ())):
            if written is None:
                continue
            output = posixpath.normpath(written)
            earlier = next((each for each in writers if _overlap(each, output)), None)
            if earlier is not None and writers[earlier] != name:
                taken.report(
                    ("pipeline", "steps", name, "outputs", index),
                    f"the output {quoted(output)} is written by the step {quoted(writers[earlier])} too",
                    "give each step a path of its own",
                )
            writers.setdefault(output, name)
    return writers


def _check_input(
    given: str, step: str, path: Path, writers: Mapping[str, str], files: Collection[str] | None, taken: Taken
) -> set[str]:
    """Report an input that comes from nowhere; return the steps that write it."""
    if given.startswith("data."):
        names = _declared(taken, "data")
        add = f"declare it: `data: {{{given.removeprefix('data.')}: {{uri: ...}}}}`"
        _check_known(taken, path, given.removeprefix("data."), names, what="data set", add=add)
        return set()
    where = posixpath.normpath(given)
    makers = {maker for output, maker in writers.items() if _overlap(where, output)}
    if step in makers:
        taken.report(path, f"the step {quoted(step)} reads {quoted(given)}, which it writes itself", "remove it")
        return makers - {step}
    # Without a listing, a path that no step writes may be a file of the commit.
    if not makers and files is not None and not any(_overlap(where, each) for each in files):
        near = nearest(where, writers, close=3)
        meant = f", did you mean `{near}`?" if near else ""
        fix = f"write `{near}`" if near else "list it among the outputs of a step, or commit it"
        taken.report(path, f"no step writes {quoted(given)} and no file is there{meant}", fix)
    return makers


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _check_circles(edges: Mapping[str, set[str]], taken: Taken) -> None:
    left = {name: needs & edges.keys() for name, needs in edges.items()}
    while ready := [name for name, needs in left.items() if not needs]:
        left = {name: needs - set(ready) for name, needs in left.items() if name not in ready}
    if not left:
        return
    # Follow the needs until a step comes again: that is the circle itself, without what hangs on it.
    walk = [next(iter(left))]
    while (following := min(left[walk[-1]])) not in walk:
        walk.append(following)
    circle = walk[walk.index(following) :]
    taken.report(
        ("pipeline", "steps", circle[0]),
        f"steps wait for each other in a circle: {' → '.join([*circle, circle[0]])}",
        "take one of the needs or inputs away",
    )


def _check_outputs(taken: Taken) -> None:
    steps = steps_of(taken.value)
    if not steps:
        return
    outputs = [posixpath.normpath(path) for step in steps.values() for path in step.get("outputs", ()) if path]
    for where in (("model", "path"), ("predictions", "path")):
        path = taken.at(*where)
        if not isinstance(path, str) or any(_is_under(posixpath.normpath(path), output) for output in outputs):
            continue
        near = nearest(path, outputs, close=3)
        meant = f", did you mean `{near}`?" if near else ""
        fix = f"write `{near}`" if near else f"add it to the `outputs` of the step that writes it: `outputs: [{path}]`"
        taken.report(where, f"no step writes {quoted(path)}{meant}", fix)


def _is_under(path: str, output: str) -> bool:
    return path == output or path.startswith(f"{output}/")


# --- metrics and gates --------------------------------------------------------------------------------


def _check_metrics(taken: Taken) -> None:
    metrics = _declared(taken, "metrics")
    primary = [name for name, value in metrics.items() if isinstance(value, Mapping) and value.get("primary")]
    for name in primary[1:]:
        message = f"{quoted(name)} is primary, and so is {quoted(primary[0])}"
        taken.report(("metrics", name, "primary"), message, "keep one of them")
    predictions = taken.at("predictions")
    for name, value in metrics.items():
        compute = value.get("compute") if isinstance(value, Mapping) else None
        if compute is None:
            continue
        path: Path = ("metrics", name, "compute")
        column = "score" if compute in FROM_SCORE else "prediction"
        if "predictions" not in taken.value and ("predictions",) not in taken.places:
            fix = "add `predictions: {path, id, score, holdout, label}`"
            taken.report(path, f"{quoted(compute)} is computed from predictions, and none are declared", fix)
        elif isinstance(predictions, Mapping) and ("predictions", column) not in taken.places:
            fix = f"add `{column}: COLUMN` under `predictions:`"
            taken.report(path, f"{quoted(compute)} needs the column `{column}`, which is not declared", fix)


def _rules_path(taken: Taken) -> Path:
    return ("gates",) if isinstance(taken.at("gates"), list) else ("gates", "rules")


def _rules(taken: Taken) -> list[Mapping[str, Any]]:
    rules = taken.at(*_rules_path(taken))
    return [rule if isinstance(rule, Mapping) else {} for rule in rules] if isinstance(rules, list) else []


def _check_rule(rule: Mapping[str, Any], path: Path, taken: Taken) -> None:
    metrics = _declared(taken, "metrics")
    metric = rule.get("metric")
    if metric is not None:
        add = f"declare it: `metrics: {{{metric}: {{goal: maximize}}}}`"
        _check_known(taken, (*path, "metric"), metric, metrics, what="metric", add=add)
    if rule.get("data") is not None:
        names = _declared(taken, "data")
        _check_known(taken, (*path, "data"), rule["data"], names, what="data set", add="declare it under `data:`")
    is_judged = metric is not None or rule.get("fairness") is not None
    if is_judged and not any((*path, key) in taken.places for key in _LIMITS):
        taken.report(path, "the rule sets no limit", "add `min:`, `max:`, `max_regression:` or `paired: true`")
    low, high = rule.get("min"), rule.get("max")
    if low is not None and high is not None and low > high:
        taken.report((*path, "min"), f"min {low:g} is above max {high:g}: nothing passes", "swap them")
    _check_rule_rows(rule, path, taken)


def _check_rule_rows(rule: Mapping[str, Any], path: Path, taken: Taken) -> None:
    """Rules over rows need predictions, and the columns that they name."""
    predictions = taken.at("predictions")
    is_missing = ("predictions",) not in taken.places
    if rule.get("fairness") is not None and "slices" not in rule:
        taken.report(path, "a rule of fairness needs the groups that it compares", "add `slices: [COLUMN]`")
    if is_missing and (rule.get("paired") or rule.get("fairness") is not None):
        kind = "paired" if rule.get("paired") else "fairness"
        fix = "add `predictions: {path, id, prediction, holdout, label}`"
        taken.report((*path, kind), "the rule is judged on rows, and no predictions are declared", fix)
    if not isinstance(predictions, Mapping):
        return
    columns = [column for column in predictions.get("slices", ()) if column is not None]
    for index, column in enumerate(rule.get("slices", ())):
        add = f"declare it: `slices: [{column}]` under `predictions:`"
        _check_known(taken, (*path, "slices", index), column, columns, what="slice column", add=add)
    spec = _declared(taken, "metrics").get(rule.get("metric", ""))
    if rule.get("paired") and rule.get("metric") and isinstance(spec, Mapping | str) and "compute" not in spec:
        fix = f"write `{rule['metric']}: {{compute: roc_auc}}` or another under `metrics:`"
        taken.report((*path, "paired"), "a paired rule needs a metric that Headway computes from the rows", fix)


def _check_rule_ids(taken: Taken) -> None:
    seen: dict[str, int] = {}
    for index, rule in enumerate(_rules(taken)):
        if not any(key in rule for key in ("metric", "fairness", "check")):
            continue
        name = rule_id(rule)
        if name in seen:
            message = f"the rule is known as {quoted(name)}, and so is rule {seen[name] + 1}"
            taken.report((*_rules_path(taken), index), message, "give one of them an `id:`, or remove it")
        seen.setdefault(name, index)


# --- tune, deploy, monitor ------------------------------------------------------------------------------


def _check_tune(taken: Taken) -> None:
    tune = taken.at("tune")
    if not isinstance(tune, Mapping):
        return
    steps, metrics, params = steps_of(taken.value), _declared(taken, "metrics"), _declared(taken, "params")
    if steps:
        add = f"steps are: {', '.join(steps)}"
        _check_known(taken, ("tune", "step"), tune.get("step"), steps, what="step", add=add)
    _check_known(taken, ("tune", "metric"), tune.get("metric"), metrics, what="metric", add="declare it: `metrics:`")
    for name, value in (tune.get("parameters") or {}).items():
        path: Path = ("tune", "parameters", name)
        _check_known(taken, path, name, params, what="param", add=f"give it a default: `params: {{{name}: ...}}`")
        if not isinstance(value, Mapping) or "distribution" not in value:
            continue
        low, high = value.get("min"), value.get("max")
        if low is None or high is None:
            taken.report(path, f"the range of {quoted(name)} lacks `min` or `max`", "add both")
        elif low >= high or (str(value["distribution"]).find("log") >= 0 and low <= 0):
            taken.report(
                path, f"the range of {quoted(name)} is empty: {low:g} to {high:g}", "min < max; above 0 for log"
            )


def _check_deploy(taken: Taken) -> None:
    deploy = taken.at("deploy")
    if not isinstance(deploy, Mapping):
        return
    target = deploy.get("target", "local")
    if target == "command" and "command" not in deploy:
        taken.report(
            ("deploy", "target"), "the target `command` needs the script it runs", "add `command: ./deploy.sh`"
        )
    for key in ("command", "status_command"):
        if key in deploy and target != "command":
            message = f"`{key}` is run by the target `command`, and the target is `{target}`"
            taken.report(("deploy", key), message, "write `target: command`, or remove it")
    if "namespace" in deploy and target != "kubernetes":
        message = f"`namespace` is of the target `kubernetes`, and the target is `{target}`"
        taken.report(("deploy", "namespace"), message, "write `target: kubernetes`, or remove it")
    weight = 0
    steps = taken.at("deploy", "strategy", "canary", "steps") or []
    for index, step in enumerate(steps):
        now = (step or {}).get("weight")
        path: Path = ("deploy", "strategy", "canary", "steps", index)
        if now is not None and now <= weight:
            taken.report((*path, "weight"), f"the weight {now} does not rise above {weight}", "let weights rise to 100")
        weight = max(weight, now or weight)
    if steps and all((step or {}).get("weight") is not None for step in steps) and weight != 100:
        path = ("deploy", "strategy", "canary", "steps")
        taken.report(path, f"the weights end at {weight}, not at 100", "add `- {weight: 100}`")
    replicas = taken.at("deploy", "resources", "replicas") or {}
    if replicas.get("min", 0) > replicas.get("max", 1000):
        taken.report(("deploy", "resources", "replicas"), "min is above max", "swap them")


def _check_monitor(taken: Taken) -> None:
    reference = taken.at("monitor", "reference")
    if isinstance(reference, str):
        if reference.startswith("data."):
            names = [f"data.{name}" for name in _declared(taken, "data")]
            _check_known(taken, ("monitor", "reference"), reference, names, what="data set", add="declare it: `data:`")
        else:
            taken.report(("monitor", "reference"), f"{quoted(reference)} is not `data.NAME`", "name a data set")
    metric = taken.at("monitor", "performance", "metric")
    metrics = _declared(taken, "metrics")
    path: Path = ("monitor", "performance", "metric")
    _check_known(taken, path, metric, metrics, what="metric", add="declare it: `metrics:`")


def _check_tracking(taken: Taken) -> None:
    given = _declared(taken, "tracking")
    for name, other in (("username", "password"), ("password", "username")):
        if given.get(name) and not given.get(other):
            taken.report(("tracking", name), f"`{name}` is there and `{other}` is not", f"name the secret of `{other}`")
    if given.get("token") and given.get("username"):
        taken.report(("tracking", "token"), "a token and a user are there, and only one can be sent", "keep one")


def _check_triggers(taken: Taken) -> None:
    cron = taken.at("triggers", "schedule", "cron")
    if isinstance(cron, str):
        try:
            parse_cron(cron)
        except ValueError as error:
            taken.report(
                ("triggers", "schedule", "cron"), str(error), 'write for example "0 3 * * 1": Mondays at three'
            )
    own = taken.at("model", "name")
    for index, name in enumerate(taken.at("triggers", "version") or ()):
        if name is not None and name == own:
            where = ("triggers", "version", index)
            taken.report(where, f"{quoted(name)} is this project's own model: it would train for ever", "remove it")
