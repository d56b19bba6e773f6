"""Headway: from a pull-request comment to a served model, and back."""

__version__ = "0.1.0"
