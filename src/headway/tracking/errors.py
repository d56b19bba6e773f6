"""What tracking refuses beside the general errors.

HeadwayError
├── UsageError
│   └── AlreadyExists     400   the name is taken
└── WrongState            500   the thing is not in the state that this needs (MLflow's INVALID_STATE)
"""

from __future__ import annotations

from headway.errors import HeadwayError, UsageError


class AlreadyExists(UsageError):
    """The name is taken."""

    code = "ALREADY_EXISTS"


class WrongState(HeadwayError):
    """The thing is not in the state that this needs."""

    code = "WRONG_STATE"
