"""Words with units: durations, amounts of memory, accelerators."""

from __future__ import annotations

import math
import re
from datetime import timedelta

DURATION = r"(?:[0-9]{1,6}(?:\.[0-9]{1,3})?(?:ms|s|m|h|d)){1,4}"
MEMORY = r"[0-9]{1,7}(?:\.[0-9]{1,3})?(?:Mi|Gi|Ti|M|G|T)"
ACCELERATORS = r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}(?::[0-9]{1,3})?"

_PART = re.compile(r"([0-9.]+)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_MEBIBYTES = {"Mi": 1, "Gi": 1024, "Ti": 1024**2, "M": 1e6 / 2**20, "G": 1e9 / 2**20, "T": 1e12 / 2**20}


def read_duration(text: str) -> timedelta:
    """Return what `1h30m` is; the text must match `DURATION`."""
    return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text)))


def read_memory(text: str) -> int:
    """Return mebibytes, rounded up; the text must match `MEMORY`."""
    number = text.rstrip("MGTi")
    return math.ceil(float(number) * _MEBIBYTES[text[len(number) :]])


def read_accelerators(text: str) -> str:
    """Return `NAME:COUNT`; one where no count is given."""
    return text if ":" in text else f"{text}:1"
