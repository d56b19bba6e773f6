"""Every verb of the terminal on one page, so that `headway --help` prints it without loading any of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One line of `headway --help`, and where the verb lives."""

    panel: str
    name: str
    place: str  # module:attribute below headway.cli
    summary: str
    is_group: bool = False  # has verbs of its own
    is_bare: bool = False  # a group that does something of its own
    lists: bool = False  # without a verb it lists


def _verb(panel: str, name: str, module: str, summary: str) -> Listed:
    return Listed(panel=panel, name=name, place=f"{module}:{name}", summary=summary)


def _group(panel: str, name: str, place: str, summary: str, *, is_bare: bool = False, lists: bool = False) -> Listed:
    return Listed(panel=panel, name=name, place=place, summary=summary, is_group=True, is_bare=is_bare, lists=lists)


VERBS: tuple[Listed, ...] = (
    _verb("Start", "init", "start", "look at this folder and write the smallest headway.yaml; --github"),
    _verb("Start", "doctor", "start", "check git, uv, isolation, disk, database, GPU, GitHub; --live OWNER/REPO"),
    _group("Start", "server", "server:app", "start | restart | status | stop | backup | restore | clean"),
    _group("Start", "login", "login:app", "log a browser in; status | out", is_bare=True),
    _group("Start", "repo", "repo:app", "add | list | remove (OWNER/REPO at GitHub, or a folder)", lists=True),
    _group("Start", "kubernetes", "kubernetes:app", "manifests (what a cluster needs, for kubectl apply)"),
    _group("Start", "config", "config:app", "validate | show | schema"),
    _group("Start", "secrets", "secrets:app", "set | list | remove"),
    _group("Start", "user", "user:app", "add | list | show | role | disable | enable | grant | revoke"),
    _group("Start", "token", "token:app", "create | list | revoke"),
    _group("Start", "project", "project:app", "list | add"),
    _verb("Start", "version", "start", "print the version"),
    _verb("Work", "run", "work", "run the working tree, one script, or any command here, tracked"),
    _group("Work", "journal", "journal:app", "list | deliver | discard (what a server has not got yet)", lists=True),
    _verb("Work", "plan", "work", "what train would do: run or reuse, and why"),
    _verb("Work", "train", "work", "the pipeline of the working tree, a ref or a change"),
    _verb("Work", "tune", "work", "the search for parameters (comes later)"),
    _group("Work", "change", "change:app", "open | list | show | comment | merge | close"),
    _verb("Work", "stop", "again", "stop a job with everything that it started"),
    _verb("Work", "retry", "again", "run an ended job again; what succeeded is reused"),
    _verb("Work", "reproduce", "again", "run a good job again: how far do its numbers scatter?"),
    _verb("Work", "logs", "logs", "the log of a job; --follow waits for more"),
    _group("Work", "jobs", "jobs:app", "list | show", lists=True),
    _group("Work", "experiments", "experiments:app", "list | show | create | rename | delete", lists=True),
    _group("Work", "runs", "runs:app", "list | show | compare | tag | delete | export", lists=True),
    _verb("Work", "diff", "diff", "what changed between two jobs, beside what moved"),
    _verb("Judge", "gate", "judge", "the checks of a job; exit code 3 when it is not ready"),
    _verb("Judge", "report", "judge", "the report of a job or a change"),
    _verb("Judge", "override", "judge", "accept one failed check of a change, with a reason"),
    _group("Ship", "models", "models:app", "list | show | alias | delete | download", lists=True),
    _verb("Ship", "deploy", "ship", "release the model of a job"),
    _verb("Ship", "approve", "ship", "let the release that waits go on"),
    _verb("Ship", "rollback", "ship", "go back to the version that served before"),
    _group("Ship", "endpoints", "endpoints:app", "list | show | invoke | logs | delete", lists=True),
    _verb("Ship", "why", "ship", "from a prediction, deployment or version back to its causes"),
    _group("Watch", "monitor", "later:monitor", "status (comes later)"),
    _group("Look after", "trash", "trash:app", "list | restore | purge", lists=True),
    _group(
        "Look after", "space", "space:app", "where the bytes are (reclaim: give back what nothing needs)", is_bare=True
    ),
    _group("Look after", "retention", "retention:app", "how long things are kept (apply: now)", is_bare=True),
    _verb("More", "replay", "replay", "what a recorded event of GitHub's would be read as, and would start"),
    _group("More", "ci", "ci:app", "one command in any CI, with its exit code", is_bare=True),
    _group("More", "data", "later:data", "list (comes later)"),
    _group("More", "import", "later:imports", "mlflow: take over another tracker; wandb, tensorboard come later"),
)

BY_NAME = {each.name: each for each in VERBS}

_EPILOGUE = """\
Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 gate failed, 4 login needed, 5 not found, 6 server unreachable,
130 interrupted. `headway VERB --help` says more; every verb that reads takes --json."""


def help_page() -> str:
    """Return what `headway --help` prints."""
    width = max(len(each.name) for each in VERBS)
    lines = ["Usage: headway VERB ...", "", "From a pull-request comment to a served model, and back."]
    panel = ""
    for each in VERBS:
        if each.panel != panel:
            panel = each.panel
            lines += ["", panel]
        lines.append(f"  {each.name:<{width}}  {each.summary}")
    lines += [
        "",
        "Options",
        "  -h, --help            this page",
        "  --version             print the version",
        "  --install-completion  complete verbs and options in this shell",
        "",
        _EPILOGUE,
    ]
    return "\n".join(lines)
