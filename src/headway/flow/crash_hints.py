"""What to do about errors that many meet on their first day, from a crash's last lines."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_NO_FILE = re.compile(r"^FileNotFoundError: \[Errno 2\] No such file or directory: '([^']+)'\s*$", re.MULTILINE)
_UNTRUSTED = "The saved sklearn model references untrusted types"


def first_day_hint(text: str, *, project_files: Collection[str] = ()) -> str:
    """Return what to do, or "" when the lines tell of nothing that is known here."""
    if _UNTRUSTED in text:
        return (
            "MLflow 3 stores scikit-learn's trees only with your word for it: "
            'mlflow.sklearn.log_model(..., serialization_format="cloudpickle"), or skops_trusted_types=[...]'
        )
    missing = _NO_FILE.findall(text)
    return _file_hint(missing[-1], project_files) if missing else ""


def _file_hint(path: str, project_files: Collection[str]) -> str:
    if posixpath.isabs(path):
        return f"{path} is not there for the step: name it under data: in headway.yaml and read ${{data.NAME}}"
    plain = posixpath.normpath(path)
    if plain in project_files:
        return f"{path} is in the commit: the step starts in the project's folder, and something has left that"
    return (
        f"{path} is not in this commit: a step sees what git knows. Commit it, name it under data: in headway.yaml, "
        "or let an earlier step make it and list it in its outputs"
    )
