"""Headway's errors as MLflow's: code, status and a body that names no statement, path or traceback."""

from __future__ import annotations

import msgspec

from headway.errors import (
    Conflict,
    HeadwayError,
    LoginNeeded,
    NotFound,
    NotThereYet,
    Refused,
    StorageFull,
    TooLarge,
    Unreachable,
    UsageError,
)
from headway.registry.logged import UnknownModel
from headway.tracking.errors import AlreadyExists, WrongState

# The first class that fits gives code and status.
_CODES: tuple[tuple[type[HeadwayError], str, int], ...] = (
    (AlreadyExists, "RESOURCE_ALREADY_EXISTS", 400),
    (UnknownModel, "BAD_REQUEST", 400),
    (UsageError, "INVALID_PARAMETER_VALUE", 400),
    (WrongState, "INVALID_STATE", 500),
    (NotFound, "RESOURCE_DOES_NOT_EXIST", 404),
    (LoginNeeded, "UNAUTHENTICATED", 401),
    (Refused, "PERMISSION_DENIED", 403),
    (Conflict, "RESOURCE_CONFLICT", 409),
    (TooLarge, "INVALID_PARAMETER_VALUE", 413),
    (NotThereYet, "NOT_IMPLEMENTED", 501),
    # MLflow's client knows 503 and tries again for minutes; 507 it would not.
    (StorageFull, "TEMPORARILY_UNAVAILABLE", 503),
    (Unreachable, "TEMPORARILY_UNAVAILABLE", 503),
)


class UnknownPath(NotFound):
    """No route has this method and path."""


def code_of(error: Exception) -> tuple[str, int]:
    """Return MLflow's error code and HTTP status for an error."""
    if isinstance(error, UnknownPath):
        return "ENDPOINT_NOT_FOUND", 404
    for kind, code, status in _CODES:
        if isinstance(error, kind):
            return code, status
    return "INTERNAL_ERROR", 500


def error_answer(error: Exception) -> tuple[int, bytes]:
    """Return the status and the JSON body for an error."""
    code, status = code_of(error)
    if not isinstance(error, HeadwayError):
        return status, body_of(code, "The server failed to answer; its log has the reason.")
    text = error.message
    if isinstance(error, (LoginNeeded, Refused, Conflict, NotThereYet, StorageFull, Unreachable)):
        text = ". ".join(part for part in (error.message, error.hint) if part)
    return status, body_of(code, text)


def body_of(code: str, message: str) -> bytes:
    """Return an error's JSON body."""
    return msgspec.json.encode({"error_code": code, "message": message})
