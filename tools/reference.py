"""Write the generated pages of docs/reference from the tables that the program itself reads.

python tools/reference.py            write them
python tools/reference.py --check    say which ones are stale, and exit 1
"""  # noqa: INP001  # a script beside the package, not a part of it

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import typer

from headway import errors
from headway.api import attempts, imports, v1
from headway.api.mlflow.absent import FAMILIES
from headway.api.mlflow.probes import SPOKEN_VERSION
from headway.api.mlflow.route import Route as WireRoute
from headway.api.mlflow.table import ROUTES
from headway.cli.main import app as terminal
from headway.commands.refusals import REFUSALS
from headway.commands.usage import USAGE
from headway.projects import model
from headway.projects.keys import FILE
from headway.projects.shapes import Either, Fields, Flag, ListOf, MapOf, Number, Scalar, Shape, Text
from headway.reports.sections import _TITLES, NAMES
from headway.settings import KubernetesSettings, Settings

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
MADE = "<!-- Written by tools/reference.py. Change the program or that script, then run it; never this page. -->"

LATER = {
    "tune": "`/tune` says what is missing",
    "monitor": "predictions are logged, and nothing judges them",
    "triggers.retrain": "nothing trains again by itself",
    "gates.rules[].check": "such a rule counts as missing evidence",
    "gates.rules[].data": "it belongs to `check`",
    "gates.rules[].max_psi": "it belongs to `check`",
    "model.signature": "the signature is the one that was logged",
    "deploy.resources.replicas.max": "as many answer as `min` says",
}
"""Keys that are checked already and whose machinery is not there yet."""

_DEFAULTS: dict[str, tuple[type, str]] = {
    "version": (model.ProjectSpec, "version"),
    "pipeline.steps.NAME.cache": (model.StepSpec, "cache"),
    "pipeline.steps.NAME.retries": (model.StepSpec, "retries"),
    "pipeline.steps.NAME.volumes.NAME.read_only": (model.VolumeSpec, "read_only"),
    "volumes.NAME.read_only": (model.VolumeSpec, "read_only"),
    "metrics.NAME.goal": (model.MetricSpec, "goal"),
    "predictions.label": (model.PredictionsSpec, "label"),
    "gates.baseline": (model.GatesSpec, "baseline"),
    "gates.rules[].min_rows": (model.GateSpec, "min_rows"),
    "gates.rules[].paired": (model.GateSpec, "paired"),
    "gates.rules[].confidence": (model.GateSpec, "confidence"),
    "gates.rules[].severity": (model.GateSpec, "severity"),
    "model.signature": (model.ModelSpec, "signature"),
    "deploy.environment": (model.DeploySpec, "environment"),
    "deploy.staging": (model.DeploySpec, "staging"),
    "deploy.target": (model.DeploySpec, "target"),
    "deploy.approval.required": (model.DeploySpec, "approvals"),
    "deploy.min_requests": (model.DeploySpec, "min_requests"),
    "deploy.on_register": (model.DeploySpec, "on_register"),
    "deploy.strategy.canary.on_failure": (model.DeploySpec, "on_failure"),
    "deploy.strategy.canary.steps[].pause": (model.CanaryStep, "pause"),
    "triggers.pull_request.comment": (model.TriggersSpec, "comment"),
    "tracking.mode": (model.TrackingSpec, "mode"),
    "tracking.gates": (model.TrackingSpec, "gates"),
    "engine.type": (model.EngineSpec, "type"),
    "engine.currency": (model.EngineSpec, "currency"),
    "engine.concurrency.cancel_in_progress": (model.EngineSpec, "cancel_in_progress"),
}
"""Where the default of a key stands; a key that is not here is simply absent by default."""


def pages() -> dict[str, str]:
    """Return every generated page: file name to text."""
    made = {
        "headway-yaml.md": _headway_yaml(),
        "cli.md": _cli(),
        "commands.md": _commands(),
        "settings.md": _settings(),
        "errors.md": _errors(),
        "refusals.md": _refusals(),
        "api.md": _api(),
        "mlflow.md": _mlflow(),
        "report-template.md": _report_template(),
    }
    return {name: text.rstrip("\n") + "\n" for name, text in made.items()}


def _page(title: str, *parts: str) -> str:
    return "\n\n".join((f"# {title}", MADE, *(part.strip("\n") for part in parts if part)))


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + ":--|" * len(columns)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _first(text: str | None) -> str:
    return inspect.cleandoc(text or "").split("\n\n", 1)[0].replace("\n", " ")


# --- headway.yaml ---------------------------------------------------------------------------------------


def key_paths() -> dict[str, Shape]:
    """Return every key of headway.yaml by its path: `gates.rules[].min`."""
    return {path: shape for path, shape, _, _ in _walk(FILE, "")}


def _walk(shape: Shape, prefix: str) -> Iterator[tuple[str, Shape, str, bool]]:
    """Yield (path, shape, what it is, whether it must be there) of all keys below a shape."""
    if isinstance(shape, Fields):
        for name, key in shape.keys.items():
            path = f"{prefix}.{name}" if prefix else name
            yield path, key.shape, key.says, key.is_needed
            yield from _walk(key.shape, path)
    elif isinstance(shape, ListOf):
        yield from _walk(shape.item, f"{prefix}[]")
    elif isinstance(shape, MapOf):
        yield from _walk(shape.value, f"{prefix}.NAME")
    elif isinstance(shape, Either):
        seen: set[str] = set()
        for option in shape.options:
            # The short form of a mapping is a list of the same things, which were said already.
            inner = prefix if not (isinstance(option, ListOf) and seen) else ""
            for found in _walk(option, inner) if inner else ():
                seen.add(found[0])
                yield found


def _says(shape: Shape) -> str:  # noqa: PLR0911  # one return per kind
    match shape:
        case Text() if shape.choices:
            return ", ".join(f"`{each}`" for each in shape.choices)
        case Text():
            return shape.says
        case Number():
            return shape.says.replace(" from -1e+300", "").replace(" to 1e+300", "").replace("1e+06", "1,000,000")
        case Flag():
            return "`true` or `false`"
        case Scalar():
            return "a text, a number, `true` or `false`"
        case ListOf():
            return f"a list; each: {_says(shape.item)}"
        case MapOf():
            return f"a mapping of your own names; each: {_says(shape.value)}"
        case Fields():
            one = f"; exactly one of {', '.join(f'`{each}`' for each in shape.one_of)}" if shape.one_of else ""
            return f"a mapping{one}"
        case Either():
            return ", or ".join(_says(option) for option in shape.options)


def _default(path: str) -> str:
    if path not in _DEFAULTS:
        return ""
    record, name = _DEFAULTS[path]
    value = next(each.default for each in fields(record) if each.name == name)
    if isinstance(value, timedelta):
        return f"`{value.total_seconds():g}s`"
    return "`" + (str(value).lower() if isinstance(value, bool) else str(value)) + "`"


def _headway_yaml() -> str:
    parts = [
        (
            "One file per project, `headway.yaml`, in the project's folder. `headway init` writes the smallest one, "
            "`headway config validate` checks it (every mistake with line, column and fix), `headway config show` "
            "prints it with all defaults, and `headway config schema` prints the JSON Schema for your editor."
        ),
        "The smallest file that is judged:",
        "```yaml\nname: churn\nrun: python train.py\nmetrics:\n  val_auc: maximize\n```",
        (
            "A key in **bold** must be there. `NAME` stands for a name of your own, `[]` for an item of a list. "
            "The file itself is a mapping with exactly one of `run` (a project of one step) and `pipeline`. "
            "Paths are relative to the project's folder and never lead out of it."
        ),
        (
            "`gates`, `deploy`, `triggers`, `engine` and `report` are read from the base branch: a change that edits "
            "them is judged by the old ones until it is merged."
        ),
    ]
    sections: dict[str, list[Sequence[str]]] = {}
    for path, shape, says, needed in _walk(FILE, ""):
        later = f". *Checked, and not acted on yet: {LATER[path]}.*" if path in LATER else ""
        shown = f"**`{path}`**" if needed else f"`{path}`"
        row = (shown, f"{says}{later}", _says(shape), _default(path))
        sections.setdefault(path.split(".")[0].split("[")[0], []).append(row)
    for name, rows in sections.items():
        parts += [f"## {name}", _table(("Key", "What it is", "Value", "Default"), rows)]
    parts += [_baselines(), _placeholders()]
    return _page("headway.yaml", *parts)


def _baselines() -> str:
    rows = (
        ("`production`", "the version that serves; where nothing serves, the last good run of the default branch"),
        ("`main`", "the last good run of the default branch"),
        ("`run:ID`", "one job of this project, by its number or id"),
        (
            "`model:NAME@ALIAS`",
            "the run behind an alias of the registry; a model of this project, or open to all members",
        ),
    )
    return "## What `gates.baseline` may name\n\n" + _table(("Value", "Compared with"), rows)


def _placeholders() -> str:
    return (
        "## Placeholders in `run`\n\n"
        "`${params.NAME}` and `${data.NAME}` are replaced by the parameter and by the path or address of the data "
        "set, each as one argument. No shell reads the command line: no pipes, no `&&`, no `$HOME`. Put such things "
        "into a script."
    )


# --- the terminal ---------------------------------------------------------------------------------------


def cli_commands() -> list[tuple[str, Any]]:
    """Return every command of the terminal with its full name, in the order of `headway --help`."""
    group = typer.main.get_command(terminal)
    found: list[tuple[str, Any]] = []
    for name, command in getattr(group, "commands", {}).items():
        inner = getattr(command, "commands", None)
        if inner is None:
            found.append((f"headway {name}", command))
        else:
            found += [(f"headway {name}", command)] if command.invoke_without_command else []
            found += [(f"headway {name} {each}", below) for each, below in inner.items()]
    return found


def _cli() -> str:
    parts = [
        (
            "Results go to standard output, progress and errors to standard error. Every command that reads takes "
            "`--json`. The terminal is always a client: where no server runs on the data directory, it starts one that "
            "ends after 15 minutes without work. [Exit codes](errors.md) and [settings](settings.md) stand on pages of "
            "their own."
        ),
        "These variables act on the terminal itself:",
        _table(
            ("Variable", "What it does"),
            (
                ("`HEADWAY_DATA`", "the data directory; `~/.headway` when it is not set"),
                ("`HEADWAY_URL`", "a server elsewhere, used instead of the one of the data directory"),
                ("`HEADWAY_TOKEN`", "the token to log in with; otherwise the one in the data directory"),
                ("`NO_COLOR`", "no colours"),
            ),
        ),
    ]
    for name, command in cli_commands():
        words = [_word(each) for each in command.params if _is_word(each)]
        options = [each for each in command.params if not _is_word(each)]
        usage = " ".join((name, *words, *(["[options]"] if options else [])))
        parts += [f"## {name}", _first(command.help), f"```text\n{usage}\n```"]
        rows = [(f"`{_word(each)}`", each.help or "") for each in command.params if _is_word(each)]
        rows += [_option(command, each) for each in options]
        parts.append(_table(("Word or option", "What it is"), rows) if rows else "")
    return _page("The terminal", *parts)


def _is_word(each: Any) -> bool:
    return each.param_type_name == "argument"


def _word(each: Any) -> str:
    name = (each.name or "").upper() + ("..." if each.nargs == -1 else "")
    return name if each.required else f"[{name}]"


def _option(command: Any, each: Any) -> tuple[str, str]:
    record = each.get_help_record(command.context_class(command))
    return (f"`{record[0]}`", record[1]) if record else (f"`{', '.join(each.opts)}`", each.help or "")


# --- comments -------------------------------------------------------------------------------------------


def _commands() -> str:
    parts = [
        (
            "A command stands alone on a line of a comment on a change: at its start, after at most three spaces. "
            "Quoted text, code and HTML comments are never read. Several commands in one comment run in their order, "
            "five at most. A line that begins with a known word is never half understood: it is carried out as a "
            "whole, or answered with the right form. A comment that is edited later is not read again."
        ),
        (
            "A command is for the commit that was the head when the comment was written. After a push it is refused "
            "with the line to paste. `@COMMIT` says which commit is meant: 16 digits or all "
            "of it, and for a change from a fork all of it."
        ),
        (
            "The same words exist in [the terminal](cli.md). Your own words for them stand under `commands:` in "
            "[headway.yaml](headway-yaml.md)."
        ),
        _table(
            ("Command", "What it does", "Needs"),
            [(f"`/{each.verb}`", each.says, each.permission.name.lower()) for each in USAGE.values()],
        ),
    ]
    for each in USAGE.values():
        shape = f"```text\n{each.syntax}\n```"
        parts += [f"## /{each.verb}", f"{each.says[:1].upper()}{each.says[1:]}.", shape, _remark(each.verb.value)]
        parts.append(f"For example `{each.example}`")
    return _page("Commands in comments", *parts)


def _remark(verb: str) -> str:
    return {
        "train": "`key=value` tries another value than headway.yaml of the commit has. Such a run judges no commit: "
        "the required status stays that of a run with the file's own values. Commit the value to have it judged.",
        "tune": "The search is not there yet: the command answers with what is missing.",
        "override": "The check's id is what the report and `headway gate` print. The check turns into a warning, "
        "the reason and the name stand in the report and in the events, and the next commit needs it again.",
        "retry": "What succeeded is reused. A job that succeeded as a whole is run again: its numbers beside the first "
        "ones show how far they scatter (noise).",
        "deploy": "Without `--to`, the release goes through staging to the environment that headway.yaml names. "
        "`--to staging` stops there.",
        "approve": "Nobody approves their own release, except in a repository of the local forge, which has one "
        "user: there it is allowed, and said.",
    }.get(verb, "")


# --- settings and errors --------------------------------------------------------------------------------


def setting_says(record: type = Settings) -> dict[str, str]:
    """Return the sentence under each field of the settings."""
    lines = inspect.getsource(record).splitlines()
    known = {each.name for each in fields(record)}
    found: dict[str, str] = {}
    for number, line in enumerate(lines):
        name = line.strip().split(":")[0]
        if name in known and line.startswith("    ") and ":" in line:
            found[name] = lines[number + 1].strip().strip('"')
    return found


def _setting_rows(record: type, prefix: str) -> Iterator[tuple[str, str, str]]:
    says = setting_says(record)
    for each in fields(record):
        if each.name == "kubernetes":
            continue  # a record of its own
        default = "~/.headway" if each.default is MISSING else str(each.default or "")
        default = "0" if each.default == 0 and each.type == "int" else default
        yield f"`{prefix}{each.name.upper()}`", says[each.name], f"`{default}`" if default else "empty"


def _settings() -> str:
    return _page(
        "Settings of the server",
        "The server reads its settings from environment variables when it starts; there is no file. The terminal "
        "passes its own environment on to a server that it starts.",
        _table(("Variable", "What it is", "Default"), _setting_rows(Settings, "HEADWAY_")),
        "`headway server start` also takes `--host`, `--port` and `--auth`. Anything but a loopback address needs "
        "`HEADWAY_PUBLIC_URL=https://...`: put a proxy that speaks TLS in front of it.",
        "## A Kubernetes cluster",
        "Without `HEADWAY_KUBERNETES_NAMESPACES` there is none, and `engine: {type: kubernetes}` is refused. What is "
        "wrong is said when the server starts.",
        _table(("Variable", "What it is", "Default"), _setting_rows(KubernetesSettings, "HEADWAY_KUBERNETES_")),
    )


def _refusals() -> str:
    rows = [[f"`{code}`", each.means, each.fix] for code, each in sorted(REFUSALS.items())]
    return _page(
        "Refusals",
        "A comment that is refused gets 😕 and one answer: a code, a sentence, and what can be copied to mend it. "
        "The codes are stable: a program may look for them. What is accepted gets 👀.",
        _table(["Code", "What it means", "What mends it"], rows),
    )


def _errors() -> str:
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)]
    rows = [
        (f"`{each.code}`", f"{each.status}", f"{each.exit_code}", "yes" if each.retryable else "", _first(each.__doc__))
        for each in kinds
        if each is not errors.HeadwayError
    ]
    codes = (
        ("0", "done; where there is a verdict, it allows the merge"),
        ("1", "it failed: a job that crashed, something refused, something in the way"),
        ("2", "the command line, the request or headway.yaml makes no sense"),
        ("3", "the run is fine and its verdict does not allow the merge"),
        ("4", "no valid token"),
        ("5", "no such thing"),
        ("6", "the server does not answer, or none runs"),
        ("130", "interrupted"),
    )
    return _page(
        "Errors and exit codes",
        "Every error has up to three lines: what happened, the `cause`, and a `hint` that can be pasted. With "
        "`--json` the same is printed as an object with `code`, `message`, `cause`, `hint` and `retryable`; the API "
        "answers it as the body.",
        "## Exit codes",
        _table(("Code", "Means"), codes),
        "## Errors",
        _table(("Code in JSON", "HTTP", "Exit code", "Worth another try", "Means"), rows),
        "Anything else is `ERROR`, HTTP 500, exit code 1: a defect. The server's log has the details.",
    )


# --- the two APIs ---------------------------------------------------------------------------------------


def _api() -> str:
    taken: list[tuple[str, str, str, str]] = []

    def take(_app: Any, method: str, path: str, needs: Any, handler: Any, **more: Any) -> None:
        who = f"the {more['kind'].value}'s own token" if "kind" in more else needs.name.lower()
        taken.append((method, f"`/api/v1{path}`", who, _first(handler.__doc__)))

    own, own_upload = v1.route, attempts.upload_route
    try:
        # The table is written as calls of these functions.
        v1.route = imports.route = attempts.route = attempts.upload_route = take  # type: ignore[assignment]
        v1.api_routes(None)  # type: ignore[arg-type]  # the application is only handed through
    finally:
        v1.route = imports.route = attempts.route = own
        attempts.upload_route = own_upload
    return _page(
        "Headway's own API",
        "What the terminal calls. Send `Authorization: Bearer TOKEN`; the first token is in `admin-token` in the data "
        "directory. Bodies are JSON of at most 1 MiB, errors are [the usual object](errors.md). An attempt's token is "
        "refused here but for its own attempt: beside that it may only track. The API has no promise of stability yet.",
        _table(("Method", "Path", "Role", "What it does"), taken),
    )


def _departures() -> list[str]:
    """Return why the conformance suite says that Headway differs, as its own markers say it."""
    found: list[str] = []
    for path in sorted((Path(__file__).parents[1] / "tests" / "conformance").glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr == "departs" and isinstance(node.args[0], ast.Constant):
                why = str(node.args[0].value)
                found.append(why[0].upper() + why[1:] + ".")
    return list(dict.fromkeys(found))


_OWN_TESTS = [
    (
        "store/tracking, runs",
        "101",
        "94",
        "91",
        "1 mended (over 1,000 data sets at once); three locations as databases are taken since",
    ),
    ("store/tracking, experiments and core", "46", "42", "46", "1 mended (an empty id in search-datasets)"),
    ("store/tracking, logged models", "31", "30", "30", ""),
    ("store/model_registry", "39", "28", "37", "sources are addresses of a bucket: both refuse local ones"),
    ("tracking/test_rest_tracking", "42", "39", "39", "3 mended (a folder named `.`, two answers to too many run ids)"),
    ("tracking/test_model_registry, fluent, test_tracking", "50", "31", "31", "the same 19 on neither"),
    ("tracking/test_tracking, store's file tests", "24", "24", "24", "1 mended (the sentence about fragments)"),
]


def _mlflow() -> str:
    rows: list[tuple[str, str, str]] = []
    for each in ROUTES:
        path = f"{each.prefixes[0]}{each.path}" if isinstance(each, WireRoute) else each.path
        is_twin = path.startswith("/ajax-api/") and any(path.removeprefix("/ajax-api") in row[1] for row in rows)
        is_alias = path.startswith("/api/2.0mlflow")
        if is_twin or is_alias or "/mpu/" in path or "presigned" in path:  # the last two only say what is not there
            continue
        rows.append((each.method, f"`{path}`", each.access.value))
    absent = [(name, ", ".join(f"`{word}`" for word in words.split())) for name, words in FAMILIES.items()]
    differences = "\n".join(f"- {why}" for why in _departures())
    return _page(
        "What of MLflow's API is there",
        f"Headway answers as an MLflow tracking server of version {SPOKEN_VERSION}. Point an unmodified client at it: "
        "`MLFLOW_TRACKING_URI` is the server's address, `MLFLOW_TRACKING_TOKEN` a token. In a step both are set "
        "already (see [the environment of a step](environment.md)). `/health` and `/version` answer too, and most "
        "routes stand below `/ajax-api/` as well.",
        "## There",
        _table(("Method", "Path", "Access"), rows),
        "## Not there",
        "These families answer 501 with a JSON error that names them, never 404 or 500. A test walks every route of "
        "the installed MLflow's server and finds it above or here. The words stand below `/api/2.0/mlflow/`, "
        "`/api/3.0/mlflow/` and their `/ajax-api/` twins; `/v1/traces` and `/gateway/` answer so as well.",
        _table(("Family", "Below"), absent),
        "Multipart and presigned transfers are refused as MLflow's server refuses them where it keeps the artifacts "
        "itself; the client then sends whole files through the proxy. MLflow's client keeps prompts as registered "
        "models: those routes take them, and hide them from ordinary searches. `/graphql` answers what MLflow's page "
        "of a run asks: an experiment, a run with its experiment and versions, runs, histories, files, datasets and "
        "versions, each with the rights of its route; it has no introspection. A prompt that somebody "
        "tried becomes a run with a table, without the model that only MLflow's AI gateway could ask.",
        "## On purpose different",
        "The conformance suite (`make conformance`) holds the same clauses against MLflow's server and this one. Where "
        "this one departs on purpose, the suite says why and expects it:",
        differences,
        "Beyond those, names of registered models have at most 256 characters, no backslash, no percent-encoding and "
        "no characters that cannot be seen; paths of artifacts are letters, digits and plain signs, never a drive or "
        "an address; and a filter may ask `IS NULL` of tags and params wherever it may ask of them at all.",
        "## MLflow's own tests",
        "The calls and assertions of MLflow's tests that show over HTTP were also run once against MLflow 3.17.2 and "
        "Headway side by side, through `RestStore`, `MlflowClient`, the fluent API and plain requests. A case is one "
        "test, or several short ones of one kind. Tests that mock MLflow's inside, read its tables, or are about "
        "traces, webhooks and the gateway were left out.",
        _table(
            ("MLflow's test file", "Cases", "Hold on MLflow", "Hold on Headway", "What was mended or departs"),
            _OWN_TESTS,
        ),
        "Cases that hold on neither are refused by the client before a request leaves it, or by both servers: a local "
        "path as a model's source without its run. What holds on Headway alone is mostly an answer 500 of MLflow where "
        "Headway says 400. 30 cases only noted both answers, to be compared. "
        "What they showed and is left so: MLflow takes a location of any scheme but those of the web (Headway: object "
        "stores and databases) and a query after `file:`, any key for a param or tag of a logged model, more than "
        "1,000 models on a page, and filters and "
        "orders of models by experiment, place and stage; Headway refuses these.",
        "## Trainings",
        "A token of an attempt may write its own run, runs below it, and *candidate* model versions. Aliases and other "
        "runs are out of its reach, and the token ends with the attempt.",
    )


def _report_template() -> str:
    words = ("headline", "project", "number", "commit", "actor", "command", "baseline", "state", "checks_count")
    return _page(
        "Report templates",
        "`report.template` in headway.yaml names a file of the base branch with your own text around the parts of the "
        "report. A placeholder is `{{ name }}`; nothing else of Jinja is carried out, so a template cannot run code. "
        "A part that is empty in the present state leaves nothing behind.",
        "```text\n{{ summary }}\n\nQuestions: ask in the channel of the churn team.\n\n{{ metrics_table }}\n"
        "{{ changed }}\n{{ next_step }}\n```",
        "The headline with the verdict always comes first. Of a failed or crashed run, the reason is added where a "
        "template leaves it out. A wrong placeholder is said in the report; it never stops one.",
        "## Parts",
        _table(("Placeholder", "Part"), [(f"`{name}`", _TITLES[name]) for name in NAMES]),
        "## Words",
        "\n".join(f"- `{word}`" for word in words),
    )


def main() -> int:
    """Write the pages, or with --check only compare; return the exit code."""
    is_check = "--check" in sys.argv[1:]
    stale = [
        name
        for name, text in pages().items()
        if not (FOLDER / name).exists() or (FOLDER / name).read_text(encoding="utf-8") != text
    ]
    for name in stale:
        if not is_check:
            FOLDER.mkdir(parents=True, exist_ok=True)
            (FOLDER / name).write_text(pages()[name], encoding="utf-8")
        print(f"{'stale' if is_check else 'written'}: docs/reference/{name}")  # noqa: T201  # a script speaks
    return 1 if is_check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
