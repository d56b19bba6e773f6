"""Every state as a sign, a word and a tone: colour never speaks alone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """What stands for a state on a page."""

    mark: str
    word: str
    tone: str  # running | passed | warning | failed | unknown: a class of the style sheet


_MARKS = {"running": "◐", "passed": "✓", "warning": "!", "failed": "✕", "unknown": "○"}

_TONES = {
    "running": (
        "running", "launching", "collecting", "loading", "staging", "canary", "rolling_back", "accepted", "scheduled",
    ),
    "passed": (
        "succeeded", "reused", "passed", "pass", "ready", "promoted", "merged", "executed", "finished", "released",
        "deployed", "success", "serving", "better", "active",
    ),
    "warning": (
        "warn", "warned", "waiting", "needs_approval", "overridden", "cannot_tell", "superseded", "rolled_back",
        "pending_approval", "not_ready",
    ),
    "failed": (
        "failed", "fail", "missing", "refused", "crashed", "timed_out", "lost", "error", "failure", "killed", "worse",
    ),
}  # fmt: skip

_WORDS = {
    "pass": "passed",
    "warn": "passed with warnings",
    "fail": "not ready",
    "cannot_tell": "cannot tell",
    "missing": "no evidence",
    "executed": "done",
    "success": "green",
    "failure": "red",
    "waiting": "waits for approval",
    "loading": "loading beside production",
    "staging": "tested in staging",
}

_TONE_OF = {state: tone for tone, states in _TONES.items() for state in states}


def sign(state: object) -> Sign:
    """Return how a state is shown; one that nobody has thought of is shown as it is called."""
    # Details may follow a colon: "failed: out of memory" is a failure.
    name = str(getattr(state, "value", state)).lower()
    key = name.split(":", 1)[0]
    tone = _TONE_OF.get(key, "unknown")
    return Sign(mark=_MARKS[tone], word=_WORDS.get(key, name.replace("_", " ")), tone=tone)
