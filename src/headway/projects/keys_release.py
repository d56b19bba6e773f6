"""The keys of what happens after a merge: deploy, monitor, triggers, notifications."""

from __future__ import annotations

from headway.projects.shapes import Either, Fields, Flag, ListOf, MapOf, Number, Text
from headway.projects.words import (
    ANY_NUMBER,
    COLUMN,
    COMMAND,
    COUNT,
    DURATION_TEXT,
    ENV_NAME,
    EVENTS,
    GLOB,
    METRIC,
    NAME,
    NAMESPACE,
    NOT_NEGATIVE,
    PATH,
    RESOURCES,
    SHARE,
    URI,
    choice,
    key,
)

DEPLOY = Fields(
    keys={
        "environment": key(NAME, "where it serves in the end"),
        "staging": key(Flag(), "test it in staging first"),
        "target": key(choice("local", "command", "kubernetes"), "who serves it"),
        "command": key(COMMAND, "the team's own deploy script (target: command)"),
        "status_command": key(COMMAND, "the script that says how it stands (target: command)"),
        "namespace": key(NAMESPACE, "where in the cluster it serves (target: kubernetes)"),
        "approval": key(
            Fields(
                keys={
                    "required": key(Number(least=0, most=10, is_whole=True), "how many must approve"),
                    "reviewers": key(
                        ListOf(
                            item=Text(
                                says="a user or team",
                                example='"@acme/leads"',
                                pattern=r"@?[A-Za-z0-9][\w./-]*",
                                longest=128,
                            )
                        ),
                        "who may approve; maintainers when absent",
                    ),
                }
            ),
            "who lets it into production",
        ),
        "environments": key(
            MapOf(
                key=NAME,
                value=Fields(
                    keys={
                        "roles": key(
                            ListOf(item=choice("write", "maintain", "admin"), least=1),
                            "who may release to it and roll it back; maintainers when absent",
                        ),
                        "users": key(
                            ListOf(
                                item=Text(
                                    says="a user",
                                    example="ada",
                                    pattern=r"@?[A-Za-z0-9][A-Za-z0-9_.-]*",
                                    longest=64,
                                ),
                                least=1,
                            ),
                            "who may besides, with `write` or more",
                        ),
                    }
                ),
                most=20,
            ),
            "who may release where",
        ),
        "strategy": key(
            Fields(
                keys={
                    "canary": key(
                        Fields(
                            keys={
                                "steps": key(
                                    ListOf(
                                        item=Fields(
                                            keys={
                                                "weight": key(
                                                    Number(least=1, most=100, is_whole=True),
                                                    "percent of the traffic",
                                                    needed=True,
                                                ),
                                                "pause": key(DURATION_TEXT, "how long it is watched"),
                                            }
                                        ),
                                        least=1,
                                        most=20,
                                    ),
                                    "shares of the traffic, rising to 100",
                                    needed=True,
                                ),
                                "analysis": key(
                                    ListOf(
                                        item=Fields(
                                            keys={
                                                "metric": key(
                                                    choice(
                                                        "error_rate", "latency_p95_ms", "latency_p99_ms", "missing_rate"
                                                    ),
                                                    "what is watched",
                                                    needed=True,
                                                ),
                                                "max": key(NOT_NEGATIVE, "the limit", needed=True),
                                            }
                                        )
                                    ),
                                    "limits that each share must keep",
                                ),
                                "on_failure": key(choice("rollback"), "what happens beyond a limit"),
                            }
                        ),
                        "step by step",
                        needed=True,
                    )
                }
            ),
            "how it takes over",
        ),
        "test": key(
            Fields(
                keys={
                    "run": key(COMMAND, "a script; HEADWAY_ENDPOINT has the address"),
                    "requests": key(GLOB, "JSON files of requests and expected answers"),
                },
                one_of=("run", "requests"),
            ),
            "what is thrown at it in staging",
        ),
        "resources": key(
            Fields(
                keys={
                    **RESOURCES,
                    "replicas": key(
                        Fields(
                            keys={
                                "min": key(Number(least=0, most=1000, is_whole=True), "at least"),
                                "max": key(Number(least=1, most=1000, is_whole=True), "at most"),
                            }
                        ),
                        "how many pods answer (target: kubernetes)",
                    ),
                }
            ),
            "what each replica may use",
        ),
        "on_register": key(Flag(), "registering a version starts its release"),
        "min_requests": key(COUNT, "answers before a canary step is judged"),
    }
)
MONITOR = Fields(
    keys={
        "reference": key(PATH, "`data.NAME`: what live traffic is compared with"),
        "sample_rate": key(SHARE, "the share of predictions that is kept"),
        "window": key(DURATION_TEXT, "how much traffic is judged together"),
        "drift": key(
            Fields(
                keys={
                    "test": key(choice("psi", "ks", "wasserstein", "jensen_shannon"), "the distance"),
                    "threshold": key(NOT_NEGATIVE, "the limit"),
                    "features": key(Either(options=(choice("all"), ListOf(item=COLUMN, least=1))), "which columns"),
                }
            ),
            "whether the inputs have moved",
        ),
        "performance": key(
            Fields(
                keys={
                    "metric": key(METRIC, "the metric", needed=True),
                    "min": key(ANY_NUMBER, "the least value"),
                    "max": key(ANY_NUMBER, "the largest value"),
                    "labels": key(URI, "where the true answers arrive"),
                }
            ),
            "whether the answers are still right",
        ),
        "notify": key(ListOf(item=choice("slack", "webhook")), "who is told"),
    }
)
TRIGGERS = Fields(
    keys={
        "pull_request": key(
            Fields(
                keys={
                    "comment": key(
                        Text(says="a command", example='"/train"', pattern=r"/[a-z][a-z0-9_-]*", longest=64),
                        "the command that a change is asked to be given",
                    ),
                    "paths": key(ListOf(item=GLOB, least=1), "globs of what concerns the project"),
                    "roles": key(
                        ListOf(item=choice("read", "triage", "write", "maintain", "admin"), least=1),
                        "who may give it",
                    ),
                }
            ),
            "pull requests",
        ),
        "push": key(
            Fields(
                keys={
                    "branches": key(
                        ListOf(
                            item=Text(
                                says="a branch", example="main", pattern=r"[^\s~^:?*\[\\-][^\s~^:?*\[\\]*", longest=255
                            ),
                            least=1,
                        ),
                        "which branches train by themselves",
                        needed=True,
                    )
                }
            ),
            "pushes",
        ),
        "schedule": key(
            Fields(
                keys={
                    "cron": key(
                        Text(
                            says="five cron fields",
                            example='"0 3 * * 1"',
                            pattern=r"[0-9*,/-]+(?: [0-9A-Za-z*,/-]+){4}",
                            longest=100,
                        ),
                        "when, in UTC",
                        needed=True,
                    )
                }
            ),
            "times",
        ),
        "label": key(
            ListOf(item=Text(says="a label", example="train", longest=50), least=1, most=20),
            "labels that, put on a change, train it",
        ),
        "version": key(
            ListOf(item=NAME, least=1, most=20), "registered models of which every newer version trains this project"
        ),
        "dispatch": key(
            ListOf(
                item=Text(
                    says="a name of an event", example="data-landed", longest=100, pattern=r"[A-Za-z0-9][\w.:/-]*"
                ),
                least=1,
                most=20,
            ),
            "names by which another system (`repository_dispatch`) trains the default branch",
        ),
        "retrain": key(
            Fields(
                keys={
                    "when": key(ListOf(item=choice("drift", "performance", "data"), least=1), "causes", needed=True),
                    "cooldown": key(DURATION_TEXT, "least time between two"),
                    "open_pull_request": key(Flag(), "propose it as a change"),
                }
            ),
            "training again by itself",
        ),
    }
)
NOTIFY = {
    "secret": key(ENV_NAME, "name of the secret that holds the address"),
    "events": key(ListOf(item=choice(*EVENTS), least=1), "what about; everything when absent"),
}

NOTIFICATIONS = Fields(
    keys={
        "slack": key(
            Fields(
                keys={**NOTIFY, "channel": key(Text(says="a channel", example='"#churn"', longest=100), "the channel")}
            ),
            "a Slack channel",
        ),
        "webhook": key(Fields(keys=NOTIFY), "an address of your own"),
    }
)
