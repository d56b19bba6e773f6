"""What differs between two results: code, params, data and packages."""

from __future__ import annotations

from collections.abc import Mapping

from headway.errors import HeadwayError
from headway.flow.model import JobResult
from headway.forges.git import Git
from headway.reports.model import WhatChanged


def what_changed(git: Git, before: JobResult, now: JobResult) -> WhatChanged:
    """Return the inputs of `now` that differ from those of `before`; unreadable history is an empty file list."""
    try:
        files = git.changed_files(before.commit, now.commit) if before.commit != now.commit else ()
    except HeadwayError:
        files = ()
    return WhatChanged(
        files=files,
        params=_differing({k: str(v) for k, v in before.params.items()}, {k: str(v) for k, v in now.params.items()}),
        data=_differing(before.data, now.data),
        packages=_differing(before.packages, now.packages),
    )


def _differing(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    return {
        name: (before.get(name, ""), now.get(name, ""))
        for name in sorted({*before, *now})
        if before.get(name, "") != now.get(name, "")
    }
