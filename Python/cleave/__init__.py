"""Cleave from Python: starts the program, follows its events, and raises its errors. Nothing is computed here."""
from .errors import (
    BadInputError, CannotWriteError, CleaveError, InternalError, IOFailureError, LauncherError, MissingInputError, StoppedError, SystemRefusalError, UsageError,
)
from .program import version
from .reports import Report, load_report
from .verbs import compress, plan

__all__ = [
    "BadInputError", "CannotWriteError", "CleaveError", "IOFailureError", "InternalError", "LauncherError", "MissingInputError", "Report", "StoppedError",
    "SystemRefusalError", "UsageError", "compress", "load_report", "plan", "version",
]
